//! A real sshd lets in whom it should, obeys, and goes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use common::{Client, KEY, Live, SERVER, SSL_REQUEST, assert_answered, assert_refused, target};
use pgreach_testkit::ssh::{SshKeyType, SshKeypair, SshUser, Sshd, SshdBuilder};

fn sshd() -> SshdBuilder {
    Sshd::builder().with_user(SshUser::default().with_authorized_key(KEY.public_line()))
}

fn client(sshd: &Sshd) -> Client {
    Client::new(sshd.user(), sshd.port(), &sshd.known_hosts()).usual_key()
}

#[test]
fn a_key_opens_a_way_to_postgres_and_another_key_does_not() {
    let sshd = sshd().start().unwrap();
    assert_answered(&client(&sshd).ask(&target()));
    sshd.wait_for_log("Accepted publickey").unwrap();
    let other = SshKeypair::generate(SshKeyType::Ed25519).unwrap();
    sshd.set_authorized_keys(sshd.user(), [other.public_line()])
        .unwrap();
    assert_refused(
        &client(&sshd).ask(&target()),
        "Permission denied (publickey)",
    );
    assert!(sshd.set_authorized_keys("nobody-here", [""]).is_err());
}

#[test]
fn every_type_of_host_key_is_the_one_that_is_announced() {
    let kinds = [
        SshKeyType::Ed25519,
        SshKeyType::Ecdsa256,
        SshKeyType::Ecdsa384,
        SshKeyType::Ecdsa521,
        SshKeyType::Rsa,
    ];
    let sshd = kinds
        .iter()
        .fold(sshd(), |sshd, kind| sshd.with_host_key(*kind))
        .start()
        .unwrap();
    let lines = sshd.host_key_public_lines();
    for (index, algorithm) in [
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "rsa-sha2-512",
    ]
    .into_iter()
    .enumerate()
    {
        let known = format!("[127.0.0.1]:{} {}", sshd.port(), lines[index]);
        let output = Client::new(sshd.user(), sshd.port(), &known)
            .usual_key()
            .option(&format!("HostKeyAlgorithms={algorithm}"))
            .option("LogLevel=DEBUG")
            .ask(&target());
        assert_answered(&output);
        let said = String::from_utf8_lossy(&output.stderr);
        let fingerprint = &sshd.host_key_fingerprints()[index];
        assert!(said.contains(fingerprint), "{fingerprint}: {said}");
    }
}

#[test]
fn a_new_host_key_is_noticed() {
    let sshd = sshd().start().unwrap();
    let before = client(&sshd);
    let (line, port) = (sshd.known_hosts_line(), sshd.port());
    sshd.replace_host_key().unwrap();
    assert_ne!(sshd.known_hosts_line(), line);
    assert_eq!(sshd.port(), port);
    assert_refused(
        &before.ask(&target()),
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
    );
    assert_answered(&client(&sshd).ask(&target()));
}

#[test]
fn raw_lines_win_and_match_blocks_count() {
    let sshd = sshd()
        .with_config("Match User *\nAllowTcpForwarding no")
        .with_config("LogLevel VERBOSE")
        .start()
        .unwrap();
    assert_refused(&client(&sshd).ask(&target()), "administratively prohibited");
    assert!(!sshd.log().contains("debug1"), "{}", sshd.log());

    let error = Sshd::builder().with_config("NoSuchOption yes").start();
    let error = error.unwrap_err().to_string();
    assert!(error.contains("NoSuchOption"), "{error}");
}

#[test]
fn a_killed_session_ends_and_the_next_one_works() {
    let (sshd, other) = (sshd().start().unwrap(), sshd().start().unwrap());
    let live = Live::open(&client(&sshd), &target());
    let mut bystander = Live::open(&client(&other), &target());
    assert_eq!(sshd.session_count(), 1);
    sshd.kill_sessions().unwrap();
    assert_eq!(live.ended().0, Some(255));
    sshd.wait_for_sessions(0).unwrap();
    assert_answered(&client(&sshd).ask(&target()));
    assert!(bystander.child.try_wait().unwrap().is_none());
    assert_eq!(other.session_count(), 1);
}

#[test]
fn a_killed_server_takes_its_sessions_along_and_starts_again() {
    for end in [Sshd::kill, Sshd::stop] {
        let sshd = sshd().start().unwrap();
        let (port, pid) = (sshd.port(), sshd.pid());
        let live = Live::open(&client(&sshd), &target());
        end(&sshd).unwrap();
        assert_eq!(live.ended().0, Some(255));
        assert_eq!(sshd.session_count(), 0);
        assert!(sshd.pause().is_err(), "there is nothing to pause");
        assert_refused(&client(&sshd).ask(&target()), "Connection refused");
        sshd.start_again().unwrap();
        assert_eq!(sshd.port(), port);
        assert_ne!(sshd.pid(), pid);
        assert_answered(&client(&sshd).ask(&target()));
        assert!(sshd.start_again().is_err(), "it runs");
    }
}

#[test]
fn a_paused_server_says_nothing_and_goes_on_later() {
    let sshd = sshd().start().unwrap();
    let mut live = Live::open(&client(&sshd), &target());
    sshd.pause().unwrap();
    let patient = client(&sshd).option("ConnectTimeout=1");
    assert_refused(&patient.ask(&target()), "timed out");
    let input = live.child.stdin.as_mut().unwrap();
    input.write_all(&SSL_REQUEST).unwrap();
    sshd.unpause().unwrap();
    let mut byte = [0];
    let output = live.child.stdout.as_mut().unwrap();
    output.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"E", "it asked for TLS once before");
    // And one that is stopped while it sleeps.
    let live = Live::open(&client(&sshd), &target());
    sshd.pause().unwrap();
    sshd.stop().unwrap();
    assert_eq!(live.ended().0, Some(255));
}

#[test]
fn without_a_namespace_one_user_has_keys_and_nothing_else() {
    let plain = || Sshd::builder().without_namespace();
    let user = SshUser::default().with_authorized_key(KEY.public_line());
    let sshd = plain().with_user(user.clone()).start().unwrap();
    let live = Live::open(&client(&sshd), &target());
    assert_eq!(sshd.session_count(), 1);
    // The user is that of the PostgreSQL servers.
    let socket = SERVER
        .socket_dir()
        .join(format!(".s.PGSQL.{}", SERVER.port()));
    assert_answered(&client(&sshd).ask_socket(&socket));
    sshd.kill().unwrap();
    assert_eq!(live.ended().0, Some(255));
    sshd.start_again().unwrap();
    let live = Live::open(&client(&sshd), &target());
    let folder = sshd.config_path().parent().unwrap().to_owned();
    drop(sshd);
    assert_eq!(live.ended().0, Some(255));
    assert!(!folder.exists());

    for refused in [
        user.clone().with_password("secret"),
        user.clone().with_locked_password(),
        user.clone().with_home_mode(0o777),
        SshUser::new("somebody-else"),
    ] {
        let error = plain().with_user(refused).start().unwrap_err().to_string();
        assert!(error.contains("needs root"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}

/// The folder of a server, and the processes that belong to it.
fn traces(sshd: &Sshd) -> (PathBuf, Vec<String>) {
    let folder = sshd.config_path().parent().unwrap().to_owned();
    let mut processes = vec![sshd.pid().to_string()];
    for found in fs::read_dir("/proc").unwrap().flatten() {
        let pid = found.file_name().into_string().unwrap();
        let line = fs::read(found.path().join("cmdline")).unwrap_or_default();
        let guarded = String::from_utf8_lossy(&line).contains(folder.to_str().unwrap());
        let stat = fs::read_to_string(found.path().join("stat")).unwrap_or_default();
        let session = stat.contains(&format!(") S {} ", sshd.pid()));
        if guarded || session {
            processes.push(pid);
        }
    }
    (folder, processes)
}

fn assert_gone((folder, processes): &(PathBuf, Vec<String>)) {
    assert!(!folder.exists(), "{} is left", folder.display());
    for pid in processes {
        assert!(!runs(pid), "process {pid} is left");
    }
}

/// What has ended and only waits for process 1 to take notice is gone as well.
fn runs(pid: &String) -> bool {
    let stat = Path::new("/proc").join(pid).join("stat");
    fs::read_to_string(stat).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn nothing_is_left_after_a_drop_or_a_panic() {
    for plain in [false, true] {
        let start = move || match plain {
            true => sshd().without_namespace().start().unwrap(),
            false => sshd().start().unwrap(),
        };
        let (sender, receiver) = mpsc::channel();
        let panicked = std::thread::spawn(move || {
            let sshd = start();
            let live = Live::open(&client(&sshd), &target());
            sender.send((traces(&sshd), live)).unwrap();
            panic!("as a failed test would");
        });
        let (left, live) = receiver.recv().unwrap();
        assert!(panicked.join().is_err());
        assert_eq!(live.ended().0, Some(255));
        assert!(left.1.len() >= 3, "listener, guard, session: {left:?}");
        assert_gone(&left);
    }
}

/// Says to the test below that it is the process to be killed, and with which kind of server.
const VICTIM: &str = "PGREACH_TEST_VICTIM";

/// A server and a session, until it is killed.
fn be_killed(kind: &std::ffi::OsStr) {
    let sshd = match kind == "plain" {
        true => sshd().without_namespace().start().unwrap(),
        false => sshd().start().unwrap(),
    };
    let _live = Live::open(&client(&sshd), &target());
    let (folder, processes) = traces(&sshd);
    println!("\nTRACES {} {}", folder.display(), processes.join(" "));
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn nothing_is_left_when_the_test_is_killed() {
    // This very test, in a process of its own.
    if let Some(kind) = std::env::var_os(VICTIM) {
        return be_killed(&kind);
    }
    for kind in ["namespace", "plain"] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--nocapture"]);
        command.arg("nothing_is_left_when_the_test_is_killed");
        // What the client of that test leaves behind is no part of the question.
        let temporary = tempfile::tempdir().unwrap();
        command.env("TMPDIR", temporary.path());
        command.env(VICTIM, kind);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = String::new();
        let mut piece = [0; 256];
        let traces = loop {
            let got = child.stdout.as_mut().unwrap().read(&mut piece).unwrap();
            assert_ne!(got, 0, "{output}");
            output.push_str(std::str::from_utf8(&piece[..got]).unwrap());
            let line = output
                .split("TRACES ")
                .nth(1)
                .and_then(|l| l.split_once('\n'));
            if let Some((line, _)) = line {
                break line.to_owned();
            }
        };
        let mut words = traces.split(' ').map(str::to_owned);
        let left = (
            PathBuf::from(words.next().unwrap()),
            words.collect::<Vec<_>>(),
        );
        child.kill().unwrap();
        child.wait().unwrap();
        // The guard is not this process's child: nothing tells when it is done but its absence.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while (left.0.exists() || left.1.iter().any(runs)) && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_gone(&left);
    }
}
