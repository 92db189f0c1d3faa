//! Where a server's files are, for as long as it is there.

use std::path::{Path, PathBuf};
use std::process::Child;

use super::process;
use crate::Error;
use crate::account::{Account, set_mode};

/// A server's folder, with the guard that removes it, also when this process is killed.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    guard: Child,
}

impl Place {
    pub(super) fn make(account: &Account) -> Result<Self, Error> {
        // Short, because a socket's path has 107 bytes at most.
        let base = match Path::new("/tmp") {
            tmp if tmp.is_dir() => tmp.to_owned(),
            _ => std::env::temp_dir(),
        };
        let folder = tempfile::Builder::new()
            .prefix("pgr-")
            .tempdir_in(&base)
            .map_err(Error::file("create a folder in", &base))?;
        account.own(folder.path())?;
        // The kit's role needs no password at the socket in it, and it is a superuser.
        set_mode(folder.path(), 0o700)?;
        // The guard is there before the server is: a kill in between leaves nothing behind.
        let guard = process::spawn_guard(folder.path())?;
        Ok(Self {
            path: folder.keep(),
            guard,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Its end of the pipe closes with this: it ends what could not be ended from here, and
        // removes the folder, which tells it the process.
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;
    use std::thread;

    use nix::sys::signal::Signal;

    use super::*;

    #[test]
    fn a_server_that_could_not_be_ended_is_ended_by_the_guard() {
        let place = Place::make(&Account::current().unwrap()).unwrap();
        let path = place.path.clone();
        let data = path.join("data");
        fs::create_dir(&data).unwrap();
        // It ends by itself if nobody ends it: the test then fails and does not hang.
        let mut child = Command::new("sleep")
            .arg("60")
            .current_dir(&data)
            .spawn()
            .unwrap();
        fs::write(data.join("postmaster.pid"), format!("{}\n", child.id())).unwrap();
        let waiting = thread::spawn(move || child.wait().unwrap());

        drop(place);

        assert_eq!(
            waiting.join().unwrap().signal(),
            Some(Signal::SIGQUIT as i32)
        );
        assert!(!path.exists());
    }
}
