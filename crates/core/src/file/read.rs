//! Reading a file once: which file it is, who can read it, and what is in it.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek};
use std::path::Path;

use zeroize::Zeroizing;

use super::{FileError, Permissions, Stamp};

/// A file that is being written is read again; one that is still being written after this many
/// tries is an error.
const TRIES: usize = 3;

/// The content of the file at `path`, with the stamp of the very file that it was read from. It
/// blocks.
///
/// The buffer is wiped when it is dropped, and no copies of it are left behind.
///
/// # Errors
/// All of [`FileError`].
pub fn read(
    path: &Path,
    limit: usize,
    permissions: Permissions,
) -> Result<(Stamp, Zeroizing<Vec<u8>>), FileError> {
    for _ in 0..TRIES {
        let mut file = open(path)?;
        // Of the open file, not of the path: the two can differ by now.
        let meta = file.metadata()?;
        check_regular(&meta)?;
        if permissions == Permissions::LikePrivateKey {
            check_permissions(&meta)?;
        }
        let before = Stamp::of(&meta);
        let bytes = contents(&mut file, meta.len(), limit)?;
        if before == Stamp::of(&file.metadata()?) {
            if bytes.len() > limit {
                return Err(FileError::TooLarge { limit });
            }
            return Ok((before, bytes));
        }
    }
    Err(FileError::Changing)
}

pub(super) fn check_regular(meta: &Metadata) -> Result<(), FileError> {
    if meta.is_file() {
        Ok(())
    } else {
        Err(FileError::NotRegular)
    }
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
        libc::O_NONBLOCK | libc::O_NOCTTY,
    );
    options.open(path)
}

/// At most one byte more than `limit`.
fn contents(file: &mut File, len: u64, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let whole = usize::try_from(len).unwrap_or(limit).min(limit);
    // Of full size from the start: a vector that grows leaves copies of the secret behind.
    let bytes = fill(file, whole.saturating_add(1))?;
    if bytes.len() <= whole || whole == limit {
        return Ok(bytes);
    }
    // Some file systems do not know how long their files are.
    file.rewind()?;
    fill(file, limit.saturating_add(1))
}

fn fill(file: &mut File, size: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; size]);
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

#[cfg(unix)]
fn check_permissions(meta: &Metadata) -> Result<(), FileError> {
    use std::os::unix::fs::MetadataExt as _;
    let mode = meta.mode() & 0o7777;
    if too_open(mode, meta.uid()) {
        return Err(FileError::OpenToOthers { mode });
    }
    Ok(())
}

/// libpq's rule for private keys: nothing for group and others, but root may let a group read.
#[cfg(unix)]
fn too_open(mode: u32, owner: u32) -> bool {
    let forbidden = if owner == 0 { 0o037 } else { 0o077 };
    mode & forbidden != 0
}

/// Elsewhere access is governed by lists that the mode does not show.
#[cfg(not(unix))]
fn check_permissions(_: &Metadata) -> Result<(), FileError> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn who_may_read_a_private_file() {
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
        std::thread::spawn(move || {
            done.send(read(&fifo, 10, Permissions::LikePrivateKey).map(drop))
        });
        let error = answer
            .recv_timeout(std::time::Duration::from_secs(10))
            .expect("the read does not return")
            .unwrap_err();
        assert!(matches!(error, FileError::NotRegular), "{error}");
    }

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        for (length, limit, fits) in [(0, 0, true), (1, 0, false), (9, 10, true), (10, 10, true)]
            .into_iter()
            .chain([(11, 10, false), (100_000, 10, false)])
        {
            fs::write(&path, vec![b'x'; length]).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            match read(&path, limit, Permissions::LikePrivateKey) {
                Ok((stamp, bytes)) => {
                    assert!(fits, "{length} of {limit}");
                    assert_eq!(*bytes, vec![b'x'; length]);
                    assert_eq!(stamp, Stamp::at(&path).unwrap());
                }
                Err(FileError::TooLarge { limit: told }) => {
                    assert!(!fits && told == limit, "{length} of {limit}");
                }
                Err(error) => panic!("{length} of {limit}: {error}"),
            }
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = read(&path, 1 << 20, Permissions::LikePrivateKey).unwrap_err();
        assert_eq!(
            error.to_string(),
            "is open to others than its owner (mode 0644)"
        );
        read(&path, 1 << 20, Permissions::Any).unwrap();
    }

    /// The files of `/proc` say that they are empty.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_does_not_know_its_length_is_read() {
        let (_, bytes) = read(Path::new("/proc/self/status"), 1 << 16, Permissions::Any).unwrap();
        assert!(bytes.starts_with(b"Name:") && bytes.len() > 200);
    }
}
