//! The server's process: starting, signalling, waiting for its end.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Error;
use crate::account::Account;
use crate::servers::ServerBinaries;

/// The pause between two looks at something that is about to happen.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// What the guard does once the test process is gone, whichever way it went.
///
/// Its standard input is a pipe only the test process writes to, so `read` returns at that
/// process's end. On Linux the id in `postmaster.pid` is trusted only while that process works in
/// the data folder, which every PostgreSQL process does.
const GUARD: &str = r#"
trap '' INT TERM HUP
read -r _
if read -r pid < "$1/data/postmaster.pid"; then
    if [ ! -e /proc/self ] || [ "/proc/$pid/cwd" -ef "$1/data" ]; then
        kill -QUIT "$pid"
        kill -CONT "$pid"
        tries=0
        while kill -0 "$pid" && [ "$tries" -lt 100 ]; do
            sleep 0.1
            tries=$((tries + 1))
        done
    fi
fi
rm -rf "$1"
"#;

/// Starts a server on `data`; what it says goes to the end of the file `log`.
pub(super) fn spawn(
    server: &ServerBinaries,
    account: &Account,
    data: &Path,
    log: &Path,
) -> Result<Child, Error> {
    let output = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .map_err(Error::file("open", log))?;
    let errors = output.try_clone().map_err(Error::file("open", log))?;
    let mut command = Command::new(server.bin().join("postgres"));
    command.arg("-D").arg(data).current_dir(data);
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    clean_environment(&mut command);
    account.apply(&mut command);
    command
        .spawn()
        .map_err(Error::file("start", server.bin().join("postgres")))
}

/// Starts the guard of a server's folder.
pub(super) fn spawn_guard(folder: &Path) -> Result<Child, Error> {
    Command::new("/bin/sh")
        .args(["-c", GUARD, "pgreach-testkit-guard"])
        .arg(folder)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A group of its own: runners end a test that takes too long together with its group.
        .process_group(0)
        .spawn()
        .map_err(Error::file("start", "/bin/sh"))
}

/// Takes away what would make a server behave differently from one user's shell to the next.
pub(super) fn clean_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PG") {
            command.env_remove(name);
        }
    }
    command.env("LC_ALL", "C").env("TZ", "UTC");
}

/// Sends a signal to a child that has not been waited for, whose id is therefore still its own.
pub(super) fn signal(child: &Child, signal: Signal) -> Result<(), Error> {
    let pid = i32::try_from(child.id())
        .map_err(|_| Error::State("the process id is out of range".to_owned()))?;
    kill(Pid::from_raw(pid), signal)
        .map_err(|error| Error::State(format!("cannot send {signal} to {pid}: {error}")))
}

/// Ends a server with `how` and waits; after `patience` it is killed.
pub(super) fn end(child: &mut Child, how: Signal, patience: Duration) -> Result<(), Error> {
    if exited(child)?.is_some() {
        return Ok(());
    }
    signal(child, how)?;
    // One that is stopped, see `Postgres::pause`, takes no other signal before this one.
    signal(child, Signal::SIGCONT)?;
    let deadline = Instant::now() + patience;
    while exited(child)?.is_none() {
        if Instant::now() > deadline {
            child.kill().map_err(Error::file("end", "postgres"))?;
            child.wait().map_err(Error::file("wait for", "postgres"))?;
            return Err(Error::State(format!(
                "the server did not stop within {} s of {how} and was killed",
                patience.as_secs()
            )));
        }
        thread::sleep(TICK);
    }
    Ok(())
}

/// How the child ended, once it has.
pub(super) fn exited(child: &mut Child) -> Result<Option<ExitStatus>, Error> {
    child
        .try_wait()
        .map_err(Error::file("wait for", "postgres"))
}
