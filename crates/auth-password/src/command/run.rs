//! One run of a program, with everything that it started.

use std::ffi::OsString;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use pgreach_core::{Code, Error, Secret, Stage};
use tokio::process::{Child, Command};

use super::output::{self, Tail};
use crate::codes;
use crate::content::{self, MAX_LEN, MAX_OUTPUT, Unusable};

/// How long the end of standard error is waited for once the program has ended with a failure. What
/// the program wrote is there already; a process that it left behind may hold the pipe open.
const STDERR_GRACE: Duration = Duration::from_millis(100);

/// What to run.
#[derive(Clone)]
pub(super) struct Invocation {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
    pub(super) timeout: Duration,
    /// Whether all that it prints counts, and not the first line alone.
    pub(super) whole: bool,
}

impl Invocation {
    fn limit(&self) -> usize {
        match self.whole {
            true => MAX_OUTPUT,
            false => MAX_LEN,
        }
    }
}

/// Why there is no password. `Clone`, because all connections that share a run share its failure.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Failure {
    #[error("cannot be started: {0}")]
    Start(String),
    #[error("failed ({}){}", .status, .stderr.as_deref().map(|line| format!(": {line}")).unwrap_or_default())]
    Failed {
        status: ExitStatus,
        stderr: Option<String>,
    },
    #[error("cannot be read from: {0}")]
    Io(String),
    #[error("did not end within {0:?}")]
    Timeout(Duration),
    #[error("printed more than {} KiB", .0 / 1024)]
    TooMuch(usize),
    #[error("ended well, but its output {0}")]
    Output(Unusable),
}

impl Failure {
    fn code(&self) -> &'static Code {
        match self {
            Self::Start(_) => &codes::PASSWORD_COMMAND_START,
            Self::Failed { .. } | Self::Io(_) => &codes::PASSWORD_COMMAND_FAILED,
            Self::Timeout(_) => &codes::PASSWORD_COMMAND_TIMEOUT,
            Self::TooMuch(_) | Self::Output(_) => &codes::PASSWORD_COMMAND_OUTPUT,
        }
    }

    /// Names the program and never its arguments, which can hold secrets.
    pub(super) fn into_error(self, invocation: &Invocation) -> Error {
        let what = match invocation.whole {
            true => "command",
            false => "password command",
        };
        let message = format!("{what} {} {self}", invocation.program.display());
        Error::new(self.code(), Stage::CREDENTIAL, message)
    }
}

/// Runs the program. Dropping the future kills it.
pub(super) async fn run(invocation: &Invocation) -> Result<Secret, Failure> {
    tokio::time::timeout(invocation.timeout, attempt(invocation))
        .await
        .unwrap_or(Err(Failure::Timeout(invocation.timeout)))
}

async fn attempt(invocation: &Invocation) -> Result<Secret, Failure> {
    let mut group = Group::start(invocation).map_err(|error| Failure::Start(error.to_string()))?;
    let (Some(mut stdout), Some(mut stderr)) =
        (group.child.stdout.take(), group.child.stderr.take())
    else {
        return Err(Failure::Io("it has no output".to_owned()));
    };
    let mut tail = Tail::new();
    let limit = invocation.limit();
    let work = async {
        // The end of the output first, the exit status second: until it is asked for, the program's
        // process id is not given to another process, so that the right group is killed.
        let bytes = output::head(&mut stdout, limit).await?;
        if bytes.len() > limit {
            return Ok((bytes, None));
        }
        let status = group.child.wait().await?;
        Ok::<_, io::Error>((bytes, Some(status)))
    };
    // The program would stop at a full pipe if nobody read what it has to say.
    let drained = async {
        tail.drain(&mut stderr).await;
        std::future::pending::<()>().await;
    };
    let (bytes, status) = tokio::select! {
        done = work => done.map_err(|error| Failure::Io(error.to_string()))?,
        () = drained => return Err(Failure::Io("its end was not seen".to_owned())),
    };
    let Some(status) = status else {
        return Err(Failure::TooMuch(limit));
    };
    if !status.success() {
        let _ = tokio::time::timeout(STDERR_GRACE, tail.drain(&mut stderr)).await;
        return Err(Failure::Failed {
            status,
            stderr: tail.last_line(&bytes),
        });
    }
    let read = match invocation.whole {
        true => content::output,
        false => content::first_line,
    };
    read(&bytes).map_err(Failure::Output)
}

/// A program and what it starts: on Unix, a process group that it leads.
struct Group {
    child: Child,
}

impl Group {
    fn start(invocation: &Invocation) -> io::Result<Self> {
        let mut command = std::process::Command::new(&invocation.program);
        command
            .args(&invocation.args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = Command::from(command).kill_on_drop(true).spawn()?;
        Ok(Self { child })
    }
}

impl Drop for Group {
    /// Before the fields are dropped: the program itself is killed and reaped by `kill_on_drop`.
    fn drop(&mut self) {
        // The id is None once the exit status is known: the number may be another's from then on.
        #[cfg(unix)]
        if let Some(leader) = self.child.id()
            && let Ok(group) = i32::try_from(leader)
        {
            // It fails when the group is gone already, which is what is wanted.
            let _ = nix::sys::signal::killpg(
                nix::unistd::Pid::from_raw(group),
                nix::sys::signal::Signal::SIGKILL,
            );
        }
    }
}
