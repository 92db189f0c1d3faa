//! Which file it is, and when it was written.

use std::fs::{self, Metadata};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::FileError;
use super::read::check_regular;

/// Which file it is and when it was last written.
///
/// Two stamps that are equal mean the same content once the file was left alone for a while:
/// see [`settled`](Self::settled).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
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
    /// The stamp of the file that `path` leads to now. It blocks.
    ///
    /// # Errors
    /// [`FileError::Unreadable`] and [`FileError::NotRegular`].
    pub fn at(path: &Path) -> Result<Self, FileError> {
        let meta = fs::metadata(path)?;
        // Before it is opened too: opening a device can have effects of its own.
        check_regular(&meta)?;
        Ok(Self::of(&meta))
    }

    pub(super) fn of(meta: &Metadata) -> Self {
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
    ///
    /// Time stamps are coarse: two writes within the same tick (milliseconds on local file systems,
    /// one or two seconds on NFS and FAT) cannot be told apart.
    #[must_use]
    pub fn settled(&self, now: SystemTime, quiet: Duration) -> bool {
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_left_alone_is_settled() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let stamp = Stamp::at(file.path()).unwrap();
        let quiet = Duration::from_secs(2);
        let now = SystemTime::now();
        assert!(!stamp.settled(now, quiet), "just written");
        assert!(stamp.settled(now + Duration::from_secs(3), quiet));
        assert!(
            !stamp.settled(now - Duration::from_secs(60), quiet),
            "a clock that went back"
        );
    }
}
