//! Reading private files with care, for authors of credential sources.
//!
//! A file with a secret is somebody else's: it is rotated while it is read, lies on a mount that hangs,
//! is a pipe by mistake, or can be read by the whole machine. [`read()`] copes with all but the mount,
//! and [`Reads`] sees that a mount that hangs holds one thread and no more. Why a file cannot be used
//! is a [`FileError`], which a source turns into an error with a code of its own.
//!
//! ```
//! use pgreach_core::file::{self, FileError, Permissions, Reads};
//!
//! # async fn example(path: std::path::PathBuf) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let reads = Reads::new(); // one for each source, shared by its clones
//! let content = reads
//!     .run(move || file::read(&path, 64 * 1024, Permissions::LikePrivateKey))
//!     .await?;
//! match content {
//!     Ok((stamp, bytes)) => println!("{} bytes of {stamp:?}", bytes.len()),
//!     Err(FileError::OpenToOthers { mode }) => println!("mode {mode:o} is too open"),
//!     Err(error) => println!("the file {error}"),
//! }
//! # Ok(())
//! # }
//! ```

mod read;
mod reads;
mod stamp;

use std::io;

pub use read::read;
pub use reads::Reads;
pub use stamp::Stamp;

/// Who may be able to read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Permissions {
    /// libpq's rule for private keys: nothing for group and others, but root may let a group read.
    /// Windows' lists are not looked at.
    #[default]
    LikePrivateKey,
    /// Everybody.
    Any,
}

/// Why a file cannot be used, as the end of a sentence about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It is a directory, a pipe, a socket or a device.
    #[error("is not a regular file")]
    NotRegular,
    /// Its permissions let others read it.
    #[error("is open to others than its owner (mode {mode:04o})")]
    OpenToOthers {
        /// The permission bits.
        mode: u32,
    },
    /// It has more bytes than the reader wants.
    #[error("is larger than {limit} bytes")]
    TooLarge {
        /// What the reader wants at most.
        limit: usize,
    },
    /// Somebody wrote to it at each attempt.
    #[error("was written to at each attempt to read it")]
    Changing,
    /// It does not exist, may not be read, or the file system failed.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}
