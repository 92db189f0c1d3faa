//! Where records come from, and how files are read.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pgreach_core::Error;
use tokio::sync::Semaphore;

use crate::{HOST_KEY, codes};

/// Far more than any known_hosts file needs; it keeps a mistaken path from filling the memory.
const MAX_SIZE: u64 = 64 << 20;

/// A `known_hosts` file or its text.
#[derive(Debug, Clone)]
pub(super) enum Source {
    File(PathBuf),
    Text(Arc<str>),
}

impl Source {
    /// What is in it. It blocks.
    pub(super) fn read(&self) -> Result<Vec<u8>, Error> {
        match self {
            Self::File(path) => read(path),
            Self::Text(text) => Ok(text.as_bytes().to_vec()),
        }
    }

    /// A line of it, as error messages call it.
    pub(super) fn line(&self, line: usize) -> String {
        match self {
            Self::File(path) => format!("{}:{line}", path.display()),
            Self::Text(_) => format!("line {line} of the given text"),
        }
    }
}

/// OpenSSH's files: the user's and the system's.
pub(super) fn usual_files() -> Vec<PathBuf> {
    let user = std::env::home_dir().map(|home| home.join(".ssh"));
    let mut files = both(user, ["known_hosts", "known_hosts2"]);
    files.extend(system_files());
    files
}

/// OpenSSH's files for all users.
pub(crate) fn system_files() -> Vec<PathBuf> {
    let system = if cfg!(windows) {
        std::env::var_os("ProgramData").map(|data| PathBuf::from(data).join("ssh"))
    } else {
        Some(PathBuf::from("/etc/ssh"))
    };
    both(system, ["ssh_known_hosts", "ssh_known_hosts2"])
}

fn both(directory: Option<PathBuf>, names: [&str; 2]) -> Vec<PathBuf> {
    directory
        .iter()
        .flat_map(|directory| names.map(|name| directory.join(name)))
        .collect()
}

/// The bytes of a file; none of one that does not exist, as OpenSSH has it.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    if cfg!(unix) && path == Path::new("/dev/null") {
        return Ok(Vec::new());
    }
    // Looked at before it is opened: opening a device can have effects of its own.
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(path, error)),
    };
    check_plain(path, &meta)?;
    let mut file = match open(path, OpenOptions::new().read(true)) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(path, error)),
    };
    contents(path, &mut file)
}

/// Opens what may have become something else than a plain file since it was looked at.
pub(crate) fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // A pipe without a writer would block the thread for ever, and a terminal could become this
    // process' own. To a plain file neither flag makes a difference.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        options,
        nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY,
    );
    options.open(path)
}

/// All of an open file.
pub(super) fn contents(path: &Path, file: &mut File) -> Result<Vec<u8>, Error> {
    let meta = file.metadata().map_err(|error| unreadable(path, error))?;
    check_plain(path, &meta)?;
    let mut bytes = Vec::new();
    file.take(MAX_SIZE + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(path, error))?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > MAX_SIZE) {
        return Err(trouble(path, "is too large"));
    }
    Ok(bytes)
}

fn check_plain(path: &Path, meta: &Metadata) -> Result<(), Error> {
    if meta.is_file() {
        return Ok(());
    }
    Err(trouble(path, "is not a plain file"))
}

fn unreadable(path: &Path, cause: io::Error) -> Error {
    trouble(path, format_args!("cannot be read: {cause}")).with_source(cause)
}

fn trouble(path: &Path, what: impl fmt::Display) -> Error {
    Error::new(
        &codes::KNOWN_HOSTS_UNREADABLE,
        HOST_KEY,
        format!("known_hosts file \"{}\" {what}", path.display()),
    )
}

/// Work with files, one at a time, in tokio's pool for blocking calls.
///
/// A read from a mount that hangs outlives the handshake that wanted it and cannot be interrupted.
/// This way one thread at most is stuck, and other handshakes wait asynchronously.
#[derive(Debug, Clone)]
pub(super) struct Turns(Arc<Semaphore>);

impl Turns {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let cut_off = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(
                &codes::KNOWN_HOSTS_UNREADABLE,
                HOST_KEY,
                format!("reading the known_hosts files was cut off: {error}"),
            )
            .with_source(error)
        };
        let permit = Arc::clone(&self.0)
            .acquire_owned()
            .await
            .map_err(|error| cut_off(error.into()))?;
        let work = tokio::task::spawn_blocking(move || {
            // It ends with the work, not with the handshake that waits for it.
            let _permit = permit;
            work()
        });
        work.await.map_err(|error| cut_off(error.into()))?
    }
}
