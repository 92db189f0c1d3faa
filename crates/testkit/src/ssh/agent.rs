//! A real `ssh-agent` for one test.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::programs::{self, SshPrograms};
use crate::Error;
use crate::command::run;

/// Runs the agent for as long as the test process is there, whichever way that goes: its standard
/// input is a pipe that only the test process writes to.
const GUARD: &str = r#"
trap '' INT TERM HUP
"$1" -D -a "$2/agent" > /dev/null &
agent=$!
echo started
read -r _
kill -KILL "$agent"
rm -rf "$2"
"#;

const PATIENCE: Duration = Duration::from_secs(10);

/// A running `ssh-agent` with no keys, ended when it is dropped.
#[derive(Debug)]
pub struct SshAgent {
    programs: SshPrograms,
    folder: TempDir,
    guard: Child,
}

impl SshAgent {
    /// Starts one.
    ///
    /// # Errors
    /// There is no `ssh-agent`, or it does not start.
    pub fn start() -> Result<Self, Error> {
        let programs = super::programs()?;
        // Short, because a socket's path has 107 bytes at most.
        let folder = tempfile::Builder::new()
            .prefix("pga-")
            .tempdir_in("/tmp")
            .map_err(Error::file("create a folder in", "/tmp"))?;
        let program = programs.keygen().with_file_name("ssh-agent");
        let mut command = Command::new("/bin/sh");
        for (name, value) in programs::command(&program).get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        let mut guard = command
            .args(["-c", GUARD, "pgreach-testkit-guard"])
            .arg(&program)
            .arg(folder.path())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(Error::file("start", &program))?;
        if let Some(output) = guard.stdout.take() {
            // From here on the agent has a parent that ends it.
            let _ = BufReader::new(output).read_line(&mut String::new());
        }
        let agent = Self {
            programs,
            folder,
            guard,
        };
        let deadline = Instant::now() + PATIENCE;
        // The socket is there before anybody listens on it.
        while UnixStream::connect(agent.socket()).is_err() {
            if Instant::now() > deadline {
                return Err(Error::State("ssh-agent did not start".to_owned()));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(agent)
    }

    /// The socket, as in `SSH_AUTH_SOCK`.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("agent")
    }

    /// Adds a private key that is not encrypted, with the certificate beside it if there is one.
    ///
    /// # Errors
    /// `ssh-add` refuses.
    pub fn add(&self, private_file: &Path) -> Result<(), Error> {
        run(self.ssh_add().arg("-q").arg(private_file)).map(drop)
    }

    /// As [`add`](Self::add), with options of `ssh-add` such as `-t 60` or `-c`.
    ///
    /// # Errors
    /// `ssh-add` refuses.
    pub fn add_with(&self, private_file: &Path, options: &[&str]) -> Result<(), Error> {
        run(self.ssh_add().arg("-q").args(options).arg(private_file)).map(drop)
    }

    /// Removes all keys.
    ///
    /// # Errors
    /// The agent does not answer.
    pub fn remove_all(&self) -> Result<(), Error> {
        run(self.ssh_add().arg("-D")).map(drop)
    }

    fn ssh_add(&self) -> Command {
        let program = self.programs.keygen().with_file_name("ssh-add");
        let mut command = self.programs.command(&program);
        command.env("SSH_AUTH_SOCK", self.socket());
        // An encrypted key is refused, and asked about on nobody's terminal.
        command.env("SSH_ASKPASS_REQUIRE", "never");
        command
    }
}

impl Drop for SshAgent {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}
