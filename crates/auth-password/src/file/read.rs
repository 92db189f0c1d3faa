//! Reading a password file, and what to say when it cannot be used.

use std::path::Path;

use pgreach_core::file::{self, FileError, Permissions, Stamp};
use pgreach_core::{Code, Error, Secret, Stage};

use crate::codes;
use crate::content::{self, MAX_LEN, Unusable};

/// A password and its newline.
const MAX_FILE: usize = MAX_LEN + b"\r\n".len();

/// The stamp of the file that `path` leads to now.
pub(super) fn stamp(path: &Path) -> Result<Stamp, Error> {
    Stamp::at(path).map_err(|cause| unusable_file(path, cause))
}

/// The password, with the stamp of the very file that it was read from.
pub(super) fn read(path: &Path, permissions: Permissions) -> Result<(Stamp, Secret), Error> {
    let (stamp, bytes) = match file::read(path, MAX_FILE, permissions) {
        Err(FileError::TooLarge { limit }) => {
            return Err(no_password(path, Unusable::TooLarge(limit)));
        }
        other => other.map_err(|cause| unusable_file(path, cause))?,
    };
    let secret = content::whole(&bytes).map_err(|unusable| no_password(path, unusable))?;
    Ok((stamp, secret))
}

fn unusable_file(path: &Path, cause: FileError) -> Error {
    let code = match cause {
        FileError::OpenToOthers { .. } => &codes::PASSWORD_FILE_PERMISSIONS,
        FileError::Changing => &codes::PASSWORD_FILE_CONTENT,
        _ => &codes::PASSWORD_FILE,
    };
    let error = error(code, path, &cause.to_string());
    match cause {
        FileError::Unreadable(cause) => error.with_source(cause),
        _ => error,
    }
}

fn no_password(path: &Path, unusable: Unusable) -> Error {
    error(&codes::PASSWORD_FILE_CONTENT, path, &unusable.to_string())
}

fn error(code: &'static Code, path: &Path, trouble: &str) -> Error {
    Error::new(
        code,
        Stage::CREDENTIAL,
        format!("password file {} {trouble}", path.display()),
    )
}
