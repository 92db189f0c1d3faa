//! OpenSSH's client, as the tests of the SSH servers use it.
#![allow(dead_code, reason = "no test uses all of it")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::thread;

use pgreach_testkit::Postgres;
use pgreach_testkit::ssh::{self, SshKeyType, SshKeypair};
use tempfile::TempDir;

/// What PostgreSQL answers with one byte: `N` where it has no TLS.
pub(crate) const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A key for all tests of a process. In memory: what is static is never dropped.
pub(crate) struct Key {
    private: String,
    public: String,
}

pub(crate) static KEY: LazyLock<Key> = LazyLock::new(|| {
    let key = SshKeypair::generate(SshKeyType::Ed25519).unwrap();
    Key {
        private: key.private_pem().unwrap(),
        public: key.public_line().to_owned(),
    }
});

impl Key {
    pub(crate) fn public_line(&self) -> &str {
        &self.public
    }
}

/// PostgreSQL for all tests of a process; its guard removes it at the end.
pub(crate) static SERVER: LazyLock<Postgres> = LazyLock::new(|| Postgres::start().unwrap());

/// Where [`SERVER`] listens.
pub(crate) fn target() -> String {
    format!("127.0.0.1:{}", SERVER.port())
}

/// A client with files of its own.
pub(crate) struct Client {
    folder: TempDir,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    target: String,
}

impl Client {
    pub(crate) fn new(user: &str, port: u16, known_hosts: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        fs::write(&file, known_hosts.to_owned() + "\n").unwrap();
        let mut client = Self {
            folder,
            options: Vec::new(),
            environment: Vec::new(),
            target: format!("{user}@127.0.0.1"),
        };
        client
            .options
            .extend(["-F", "/dev/null", "-p"].map(str::to_owned));
        client.options.push(port.to_string());
        for option in [
            &format!("UserKnownHostsFile={}", file.display()),
            "GlobalKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=yes",
            "NumberOfPasswordPrompts=1",
            "ExitOnForwardFailure=yes",
        ] {
            client = client.option(option);
        }
        client
    }

    /// An option as in `ssh_config`.
    pub(crate) fn option(mut self, option: &str) -> Self {
        self.options.extend(["-o".to_owned(), option.to_owned()]);
        self
    }

    /// Logs in with [`KEY`].
    pub(crate) fn usual_key(self) -> Self {
        let file = self.folder.path().join("key");
        fs::write(&file, &KEY.private).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        self.key(&file)
    }

    pub(crate) fn key(mut self, file: &Path) -> Self {
        self.options
            .extend(["-i".to_owned(), file.display().to_string()]);
        self.option("BatchMode=yes")
            .option("IdentitiesOnly=yes")
            .option("IdentityAgent=none")
            .option("PreferredAuthentications=publickey")
    }

    /// Answers every prompt with `secret`, for this method of authentication only.
    pub(crate) fn secret(mut self, method: &str, secret: &str) -> Self {
        let script: PathBuf = self.folder.path().join("askpass");
        fs::write(&script, "#!/bin/sh\nprintf '%s\\n' \"$ANSWER\"\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
        for (name, value) in [
            ("SSH_ASKPASS", script.to_str().unwrap()),
            ("SSH_ASKPASS_REQUIRE", "force"),
            ("ANSWER", secret),
        ] {
            self.environment.push((name.to_owned(), value.to_owned()));
        }
        self.option(&format!("PreferredAuthentications={method}"))
    }

    pub(crate) fn command(&self) -> Command {
        let programs = ssh::programs().unwrap();
        let mut command = programs.command(&programs.client());
        command.args(&self.options).arg(&self.target);
        command
            .env_remove("SSH_AUTH_SOCK")
            .envs(self.environment.iter().cloned());
        command
    }

    /// Connects to `target` from the server, asks it for TLS, and returns all that came back.
    pub(crate) fn ask(&self, target: &str) -> Output {
        let mut child = self.forward(target);
        let mut input = child.stdin.take().unwrap();
        // Where the login fails, there is nobody to write to.
        let _ = input.write_all(&SSL_REQUEST);
        let mut output = child.stdout.take().unwrap();
        let mut byte = [0];
        let got = output.read(&mut byte).unwrap();
        drop(input);
        let mut result = child.wait_with_output().unwrap();
        result.stdout.extend(&byte[..got]);
        result
    }

    /// As [`ask`](Self::ask), of a Unix socket on the server's side. `ssh -W` knows only TCP.
    pub(crate) fn ask_socket(&self, socket: &Path) -> Output {
        let (mut child, stream) = self.listen(socket.to_str().unwrap());
        let Some(mut stream) = stream else {
            return child.wait_with_output().unwrap();
        };
        // Where the channel is refused, ssh may have closed this end before the question is written.
        let _ = stream.write_all(&SSL_REQUEST);
        let mut byte = [0];
        let got = stream.read(&mut byte).unwrap_or_default();
        child.kill().unwrap();
        let mut result = child.wait_with_output().unwrap();
        result.stdout.extend(&byte[..got]);
        result
    }

    /// `ssh -N -L`, with a connection to its local end unless the client has ended.
    pub(crate) fn listen(&self, target: &str) -> (Child, Option<UnixStream>) {
        let local = self.folder.path().join("local");
        let _ = fs::remove_file(&local);
        let mut command = self.command();
        command.arg("-N").arg("-L");
        command.arg(format!("{}:{target}", local.display()));
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        loop {
            if let Ok(stream) = UnixStream::connect(&local) {
                return (child, Some(stream));
            }
            if child.try_wait().unwrap().is_some() {
                return (child, None);
            }
            thread::yield_now();
        }
    }

    /// `ssh -W`, with pipes.
    pub(crate) fn forward(&self, target: &str) -> Child {
        let mut command = self.command();
        command.args(["-W", target]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    }
}

/// A forwarded connection that PostgreSQL has answered on.
pub(crate) struct Live {
    pub(crate) child: Child,
}

impl Live {
    pub(crate) fn open(client: &Client, target: &str) -> Self {
        let mut child = client.forward(target);
        child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(&SSL_REQUEST)
            .unwrap();
        let mut byte = [0];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut byte)
            .unwrap_or_else(|_| {
                let mut said = String::new();
                let _ = child.stderr.take().unwrap().read_to_string(&mut said);
                panic!("{said}")
            });
        assert_eq!(&byte, b"N");
        Self { child }
    }

    /// Waits for the end of the client, whose input stays open.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let mut stderr = self.child.stderr.take().unwrap();
        let said = thread::spawn(move || {
            let mut said = String::new();
            stderr.read_to_string(&mut said).unwrap();
            said
        });
        let input = self.child.stdin.take();
        let status = self.child.wait().unwrap();
        drop(input);
        (status.code(), said.join().unwrap())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asserts that PostgreSQL answered.
#[track_caller]
pub(crate) fn assert_answered(output: &Output) {
    assert_eq!(
        output.stdout,
        b"N",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Asserts that nothing came, and that the client said why.
#[track_caller]
pub(crate) fn assert_refused(output: &Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.stdout.is_empty() && said.contains(why), "{said}");
}
