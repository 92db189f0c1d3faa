//! The folder that holds the files of a `Pki`.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use crate::Error;

/// A temporary folder, removed on drop.
#[derive(Debug)]
pub(super) struct Store {
    folder: TempDir,
    count: AtomicU64,
}

impl Store {
    pub(super) fn create() -> Result<Self, Error> {
        let folder = tempfile::Builder::new()
            .prefix("pgreach-pki-")
            .tempdir()
            .map_err(Error::file("create a folder in", std::env::temp_dir()))?;
        // Servers may run under another user; only the keys are secret.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))
            .map_err(Error::file("set the mode of", folder.path()))?;
        Ok(Self {
            folder,
            count: AtomicU64::new(0),
        })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A file name without its ending, of which no other certificate gets the same.
    pub(super) fn stem(&self, name: &str) -> String {
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() || c == '.' || c == '-' {
                c
            } else {
                '_'
            }
        };
        let name: String = name.chars().take(64).map(plain).collect();
        format!("{number:04}-{name}")
    }

    /// Writes a file that everyone may read.
    pub(super) fn write_public(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        self.write(name, text, 0o644)
    }

    /// Writes a file that only its owner may read.
    pub(super) fn write_secret(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        self.write(name, text, 0o600)
    }

    /// Writes beside the file and renames, so that a reader sees the old text or the new one.
    fn write(&self, name: &str, text: &str, mode: u32) -> Result<PathBuf, Error> {
        let path = self.folder().join(name);
        let draft = self.folder().join(format!("{name}.new"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&draft)
            .map_err(Error::file("create", &draft))?;
        file.set_permissions(Permissions::from_mode(mode))
            .map_err(Error::file("set the mode of", &draft))?;
        file.write_all(text.as_bytes())
            .map_err(Error::file("write", &draft))?;
        drop(file);
        fs::rename(&draft, &path).map_err(Error::file("write", &path))?;
        Ok(path)
    }
}
