//! Reading a password file once: which file it is, who can read it, and what is in it.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, SystemTime};

use pgreach_core::{Code, Error, Secret, Stage};
use zeroize::Zeroizing;

use crate::codes;
use crate::content::{self, MAX_LEN, Unusable};

/// A file that is being written is read again; one that is still being written after this many
/// tries is an error.
const TRIES: usize = 3;

/// Which file it is and when it was last written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
    #[cfg(unix)]
    inode: (u64, u64),
    /// Seconds and nanoseconds. Unlike the time of modification it cannot be set back, and it moves
    /// with the permissions too.
    #[cfg(unix)]
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt as _;
        Self {
            len: meta.len(),
            modified: meta.modified().ok(),
            #[cfg(unix)]
            inode: (meta.dev(), meta.ino()),
            #[cfg(unix)]
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Whether the last write was at least `quiet` before `now`.
    pub(super) fn settled(&self, now: SystemTime, quiet: Duration) -> bool {
        let long_ago = |time: SystemTime| now.duration_since(time).is_ok_and(|age| age >= quiet);
        #[cfg(unix)]
        {
            let changed = u64::try_from(self.changed.0).ok().and_then(|seconds| {
                SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
            });
            if !changed.is_some_and(long_ago) {
                return false;
            }
        }
        self.modified.is_some_and(long_ago)
    }
}

/// The stamp of the file that `path` leads to now.
pub(super) fn stamp(path: &Path) -> Result<Stamp, Error> {
    let meta = fs::metadata(path).map_err(|error| unreadable(path, error))?;
    // Before it is opened too: opening a device can have effects of its own.
    check_regular(path, &meta)?;
    Ok(Stamp::of(&meta))
}

fn check_regular(path: &Path, meta: &Metadata) -> Result<(), Error> {
    if meta.is_file() {
        return Ok(());
    }
    Err(error(&codes::PASSWORD_FILE, path, "is not a regular file"))
}

/// Opens what may have become something else than a regular file since it was looked at.
fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true);
    // A pipe without a writer would block the thread for ever, and a terminal could become this
    // process' own. To a regular file neither flag makes a difference.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY,
    );
    options.open(path)
}

/// The password, with the stamp of the very file that it was read from.
pub(super) fn read(path: &Path, any_permissions: bool) -> Result<(Stamp, Secret), Error> {
    for _ in 0..TRIES {
        let mut file = open(path).map_err(|error| unreadable(path, error))?;
        // Of the open file, not of the path: the two can differ by now.
        let meta = file.metadata().map_err(|error| unreadable(path, error))?;
        check_regular(path, &meta)?;
        if !any_permissions {
            check_permissions(path, &meta)?;
        }
        let before = Stamp::of(&meta);
        let bytes = contents(&mut file).map_err(|error| unreadable(path, error))?;
        let after = file.metadata().map_err(|error| unreadable(path, error))?;
        if before == Stamp::of(&after) {
            let secret =
                content::whole(&bytes).map_err(|unusable| unusable_file(path, unusable))?;
            return Ok((before, secret));
        }
    }
    Err(error(
        &codes::PASSWORD_FILE_CONTENT,
        path,
        "was written to at each attempt to read it",
    ))
}

/// At most one byte more than a password and its newline can have.
fn contents(file: &mut File) -> io::Result<Zeroizing<Vec<u8>>> {
    // Of full size from the start: a vector that grows leaves copies of the secret behind.
    let mut bytes = Zeroizing::new(vec![0; MAX_LEN + b"\r\n".len() + 1]);
    let mut len = 0;
    while let Some(rest) = bytes.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// libpq's rule for private keys: nothing for group and others, but root may let a group read.
#[cfg(unix)]
fn check_permissions(path: &Path, meta: &Metadata) -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt as _;
    let mode = meta.mode() & 0o7777;
    if !too_open(mode, meta.uid()) {
        return Ok(());
    }
    Err(error(
        &codes::PASSWORD_FILE_PERMISSIONS,
        path,
        &format!("is open to others than its owner (mode {mode:04o})"),
    ))
}

#[cfg(unix)]
fn too_open(mode: u32, owner: u32) -> bool {
    let forbidden = if owner == 0 { 0o037 } else { 0o077 };
    mode & forbidden != 0
}

/// Elsewhere access is governed by lists that the mode does not show.
#[cfg(not(unix))]
fn check_permissions(_: &Path, _: &Metadata) -> Result<(), Error> {
    Ok(())
}

fn unreadable(path: &Path, cause: io::Error) -> Error {
    error(
        &codes::PASSWORD_FILE,
        path,
        &format!("cannot be read: {cause}"),
    )
    .with_source(cause)
}

fn unusable_file(path: &Path, unusable: Unusable) -> Error {
    error(&codes::PASSWORD_FILE_CONTENT, path, &unusable.to_string())
}

fn error(code: &'static Code, path: &Path, trouble: &str) -> Error {
    Error::new(
        code,
        Stage::CREDENTIAL,
        format!("password file {} {trouble}", path.display()),
    )
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn who_may_read_a_password_file() {
        let cases = [
            (0o600, 1000, false),
            (0o400, 1000, false),
            (0o640, 1000, true),
            (0o604, 1000, true),
            (0o620, 1000, true),
            (0o600, 0, false),
            (0o640, 0, false),
            (0o440, 0, false),
            (0o660, 0, true),
            (0o644, 0, true),
            (0o444, 0, true),
        ];
        for (mode, owner, refused) in cases {
            assert_eq!(too_open(mode, owner), refused, "{mode:o} of {owner}");
        }
    }

    #[test]
    fn only_a_file_left_alone_is_settled() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let stamp = stamp(file.path()).unwrap();
        let quiet = Duration::from_secs(2);
        let now = SystemTime::now();
        assert!(!stamp.settled(now, quiet), "just written");
        assert!(stamp.settled(now + Duration::from_secs(3), quiet));
        assert!(
            !stamp.settled(now - Duration::from_secs(60), quiet),
            "a clock that went back"
        );
    }

    /// As when the file is replaced by a pipe after it was looked at.
    #[test]
    fn a_pipe_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        let made = std::process::Command::new("mkfifo")
            .args(["-m", "600"])
            .arg(&fifo)
            .status()
            .unwrap();
        assert!(made.success());
        let (done, answer) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(read(&fifo, false).map(drop)));
        let error = answer
            .recv_timeout(Duration::from_secs(10))
            .expect("the read does not return")
            .unwrap_err();
        assert_eq!(error.code(), &codes::PASSWORD_FILE);
        assert!(
            error.message().ends_with("is not a regular file"),
            "{error}"
        );
    }
}
