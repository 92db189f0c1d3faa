//! What sshd lets the holder of a restricted key do, with the `ssh` program as the holder.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use pgreach_testkit::Error;
use pgreach_testkit::ssh::{SshUser, Sshd, has_namespaces, programs};
use pgreach_transport_ssh::{AuthorizedKeyOptions, SshKeyPair};
use support::Bench;

const GREETING: &[u8] = b"hello from the target";

/// A port on which every connection is greeted and ended.
fn greeter() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            stream.unwrap().write_all(GREETING).unwrap();
        }
    });
    port
}

/// As [`greeter`], on a Unix socket that every account may connect to.
fn greeting_socket(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            stream.unwrap().write_all(GREETING).unwrap();
        }
    });
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

struct Holder {
    sshd: Sshd,
    bench: Bench,
    key: PathBuf,
}

impl Holder {
    /// `None` where no server can be run for this user.
    fn new(options: &AuthorizedKeyOptions, config: &str) -> Option<Self> {
        let pair = SshKeyPair::generate_ed25519().unwrap();
        let user = SshUser::default().with_authorized_key(pair.authorized_key(options).unwrap());
        let sshd = match Sshd::builder().with_user(user).with_config(config).start() {
            Ok(sshd) => sshd,
            Err(Error::State(reason)) if reason.contains("needs root") => {
                assert!(!has_namespaces(), "{reason}");
                println!("not tested here: {reason}");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let bench = Bench::new();
        // The account on the server makes and finds sockets in it.
        fs::set_permissions(bench.path(""), fs::Permissions::from_mode(0o777)).unwrap();
        bench.write("known_hosts", &format!("{}\n", sshd.known_hosts()));
        let key = bench.write("key", pair.private_pem(None).unwrap().expose());
        Some(Self { sshd, bench, key })
    }

    /// `ssh ARGS… tunnel@127.0.0.1 COMMAND…`.
    fn ssh(&self, args: &[&str], command: &[&str]) -> Command {
        let programs = programs().unwrap();
        let mut ssh = programs.command(&programs.client());
        ssh.args(["-F", "/dev/null", "-i"]).arg(&self.key);
        let known_hosts = self.bench.path("known_hosts");
        for option in [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "StrictHostKeyChecking=yes",
            "GlobalKnownHostsFile=/dev/null",
            "ExitOnForwardFailure=yes",
            "ConnectTimeout=20",
            &format!("UserKnownHostsFile={}", known_hosts.display()),
            &format!("Port={}", self.sshd.port()),
        ] {
            ssh.args(["-o", option]);
        }
        ssh.args(args)
            .arg(format!("{}@127.0.0.1", self.sshd.user()))
            .args(command)
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        ssh
    }

    fn output(&self, args: &[&str], command: &[&str]) -> Output {
        self.ssh(args, command).output().unwrap()
    }

    /// What comes through `-L` from `target`; nothing where it is refused.
    fn through(&self, target: &str) -> Vec<u8> {
        let port = free_port();
        let mut ssh = self
            .ssh(&["-N", "-L", &format!("127.0.0.1:{port}:{target}")], &[])
            .spawn()
            .unwrap();
        let mut stream = connected(&mut ssh, port);
        let mut text = Vec::new();
        // A forwarding that is refused may also end as a reset.
        let _ = stream.read_to_end(&mut text);
        ssh.kill().unwrap();
        ssh.wait().unwrap();
        text
    }

    /// Whether `-R` from `listen` is refused.
    fn refuses_to_listen(&self, listen: &str) -> bool {
        let forward = format!("{listen}:127.0.0.1:1");
        let mut ssh = self.ssh(&["-N", "-R", &forward], &[]).spawn().unwrap();
        let begun = Instant::now();
        loop {
            if ssh.try_wait().unwrap().is_some() {
                let output = ssh.wait_with_output().unwrap();
                assert_eq!(output.status.code(), Some(255));
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(said.contains("remote port forwarding failed"), "{said}");
                return true;
            }
            if begun.elapsed() > Duration::from_secs(3) {
                ssh.kill().unwrap();
                ssh.wait().unwrap();
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn connected(ssh: &mut Child, port: u16) -> TcpStream {
    let begun = Instant::now();
    loop {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .unwrap();
            return stream;
        }
        assert!(ssh.try_wait().unwrap().is_none(), "ssh has ended");
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn nothing_but_forwarding_to_the_permitted_target() {
    let (good, other) = (greeter(), greeter());
    let options = AuthorizedKeyOptions::new()
        .with_permit_open("127.0.0.1", good)
        .with_from("127.0.0.0/8");
    let Some(holder) = Holder::new(&options, "") else {
        return;
    };

    // Commands, shells and subsystems.
    for (args, command) in [
        (&[][..], &["id"][..]),
        (&[], &["/bin/sh", "-c", "id"]),
        (&["-T"], &[]),
        (&["-tt"], &["id"]),
        (&["-s"], &["sftp"]),
    ] {
        let output = holder.output(args, command);
        assert!(output.stdout.is_empty(), "{args:?} {command:?}: {output:?}");
        assert!(!output.status.success(), "{args:?} {command:?}: {output:?}");
    }

    // Forwarding from here.
    let target = format!("127.0.0.1:{good}");
    assert_eq!(holder.output(&["-W", &target], &[]).stdout, GREETING);
    assert_eq!(holder.through(&target), GREETING);
    for elsewhere in [format!("127.0.0.1:{other}"), format!("localhost:{good}")] {
        let output = holder.output(&["-W", &elsewhere], &[]);
        assert!(output.stdout.is_empty() && !output.status.success());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("administratively prohibited"), "{said}");
        assert!(holder.through(&elsewhere).is_empty());
    }
    let socket = holder.bench.path("socket");
    greeting_socket(&socket);
    assert!(holder.through(&socket.display().to_string()).is_empty());

    // Forwarding from there.
    for listen in [
        format!("127.0.0.1:{}", free_port()),
        free_port().to_string(),
        "127.0.0.1:0".to_owned(),
        "*:0".to_owned(),
    ] {
        assert!(holder.refuses_to_listen(&listen), "{listen}");
    }
}

/// What the documentation of [`AuthorizedKeyOptions`] says of Unix sockets of the bastion.
#[test]
fn only_the_server_denies_listening_on_unix_sockets() {
    for (config, refused) in [("", false), ("AllowStreamLocalForwarding no", true)] {
        let options = AuthorizedKeyOptions::new().with_permit_open("127.0.0.1", 5432);
        let Some(holder) = Holder::new(&options, config) else {
            return;
        };
        let socket = holder.bench.path("made");
        let listen = socket.display().to_string();
        assert_eq!(holder.refuses_to_listen(&listen), refused, "{config}");
        assert_eq!(socket.exists(), !refused, "{config}");
    }
}

#[test]
fn without_targets_everything_can_be_reached_also_unix_sockets() {
    let Some(holder) = Holder::new(&AuthorizedKeyOptions::new(), "") else {
        return;
    };
    let socket = holder.bench.path("socket");
    greeting_socket(&socket);
    assert_eq!(holder.through(&socket.display().to_string()), GREETING);
    let target = format!("localhost:{}", greeter());
    assert_eq!(holder.through(&target), GREETING);
}

#[test]
fn the_key_counts_from_its_network_only() {
    let options = AuthorizedKeyOptions::new().with_from("192.0.2.0/24");
    let Some(holder) = Holder::new(&options, "") else {
        return;
    };
    let output = holder.output(&["-W", "127.0.0.1:1"], &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("Permission denied (publickey"), "{said}");
}

/// Why the forced command is there.
#[test]
fn without_the_forced_command_programs_run() {
    let options = AuthorizedKeyOptions::new().without_forced_command();
    let Some(holder) = Holder::new(&options, "") else {
        return;
    };
    let output = holder.output(&[], &["echo", "it", "runs"]);
    assert_eq!(output.stdout, b"it runs\n", "{output:?}");
}
