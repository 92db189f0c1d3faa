//! Reading a key from a file, and the certificate beside it.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use pgreach_core::{Error, Stage};
use zeroize::Zeroizing;

use super::armor::MAX_TEXT;
use crate::codes;
use crate::known_hosts::open_file;

/// The text of the file `path`.
pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, Error> {
    let unreadable =
        |cause: io::Error| error(path, format!("cannot be read: {cause}")).with_source(cause);
    // Before it is opened: opening a device can have effects of its own.
    let regular = fs::metadata(path).map_err(unreadable)?.is_file();
    if !regular {
        return Err(error(path, "is not a regular file"));
    }
    let mut file = open_file(path, OpenOptions::new().read(true)).map_err(unreadable)?;
    // And of the open file: the path may lead elsewhere by now.
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(error(path, "is not a regular file"));
    }
    let limit = MAX_TEXT as u64;
    if metadata.len() > limit {
        return Err(error(path, "is too large for a key"));
    }
    // Of full size from the start: a vector that grows leaves copies of the key behind.
    let size = usize::try_from(metadata.len()).unwrap_or(MAX_TEXT);
    let mut bytes = Zeroizing::new(vec![0; size]);
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(unreadable(cause)),
        }
    }
    bytes.truncate(length);
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(super::problem::invalid("it is not text").with_context(context(path))),
    }
}

/// Where `ssh` looks for the certificate of the key in `path`.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-cert.pub");
    PathBuf::from(name)
}

/// What errors about the content of `path` begin with.
pub(super) fn context(path: &Path) -> String {
    format!("SSH key file \"{}\"", path.display())
}

fn error(path: &Path, what: impl AsRef<str>) -> Error {
    Error::new(
        &codes::SSH_KEY_UNREADABLE,
        Stage::CONFIG,
        format!("{} {}", context(path), what.as_ref()),
    )
}
