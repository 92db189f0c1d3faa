//! The user a server runs under, and what that user can reach.
//!
//! PostgreSQL refuses to run as root. Where the tests run as root, as they do in most containers,
//! the server gets another user: `postgres` where there is one, else `nobody`. Everything it needs
//! (program, data folder, sockets) must then lie where that user can go, and root's own home
//! folder usually is not such a place.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Gid, Uid, User, getegid, geteuid, getgrouplist};

use crate::Error;

/// The user a server runs under.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    name: String,
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    /// Whether it differs from the user this process runs under.
    other: bool,
}

impl Account {
    /// The user for servers started by this process.
    pub(crate) fn current() -> Result<Self, Error> {
        if !geteuid().is_root() {
            let uid = geteuid();
            let name = match User::from_uid(uid) {
                Ok(Some(user)) => user.name,
                _ => uid.to_string(),
            };
            let groups = nix_groups(&name, getegid());
            return Ok(Self {
                name,
                uid: uid.as_raw(),
                gid: getegid().as_raw(),
                groups,
                other: false,
            });
        }
        for name in ["postgres", "nobody"] {
            if let Ok(Some(user)) = User::from_name(name) {
                // A process started with `CommandExt::uid` by root has no further groups.
                return Ok(Self {
                    name: user.name,
                    uid: user.uid.as_raw(),
                    gid: user.gid.as_raw(),
                    groups: Vec::new(),
                    other: true,
                });
            }
        }
        Err(Error::State(
            "PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody`"
                .to_owned(),
        ))
    }

    /// The name of the user.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The numbers of user and group.
    pub(crate) fn ids(&self) -> (u32, u32) {
        (self.uid, self.gid)
    }

    /// Makes `command` run under this user.
    pub(crate) fn apply(&self, command: &mut Command) {
        if self.other {
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Gives a file or folder to this user.
    pub(crate) fn own(&self, path: &Path) -> Result<(), Error> {
        if !self.other {
            return Ok(());
        }
        chown(path, Some(self.uid), Some(self.gid)).map_err(Error::file("give away", path))
    }

    /// Whether this user can enter the folder and each folder above it.
    pub(crate) fn reaches(&self, folder: &Path) -> bool {
        let Ok(folder) = folder.canonicalize() else {
            return false;
        };
        folder.ancestors().all(|step| self.enters(step))
    }

    fn enters(&self, folder: &Path) -> bool {
        let Ok(meta) = fs::metadata(folder) else {
            return false;
        };
        let mode = meta.mode();
        let bit = if self.uid == 0 || meta.uid() == self.uid {
            0o100
        } else if meta.gid() == self.gid || self.groups.contains(&meta.gid()) {
            0o010
        } else {
            0o001
        };
        meta.is_dir() && mode & bit != 0
    }
}

/// The groups of a user; empty when the user is not in the user database.
fn nix_groups(name: &str, gid: Gid) -> Vec<u32> {
    #[cfg(not(target_vendor = "apple"))]
    if let Ok(name) = std::ffi::CString::new(name) {
        return getgrouplist(&name, gid)
            .map(|groups| groups.into_iter().map(Gid::as_raw).collect())
            .unwrap_or_default();
    }
    let _ = (name, gid);
    Vec::new()
}

/// Makes a folder and what is missing above it, open to every user whatever the umask says.
pub(crate) fn create_open(folder: &Path) -> Result<(), Error> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        create_open(parent)?;
    }
    match fs::create_dir(folder) {
        Ok(()) => set_mode(folder, 0o755),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(Error::file("create", folder)(error)),
    }
}

/// Sets the permission bits of a file or folder.
pub(crate) fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .map_err(Error::file("set the mode of", path))
}

/// Lets every user read the files and run the programs: the server may run under another user.
pub(crate) fn open_to_all(folder: &Path) -> Result<(), Error> {
    set_mode(folder, 0o755)?;
    let programs = folder.file_name().is_some_and(|name| name == "bin");
    for entry in fs::read_dir(folder).map_err(Error::file("read", folder))? {
        let entry = entry.map_err(Error::file("read", folder))?;
        let path = entry.path();
        let meta = fs::symlink_metadata(&path).map_err(Error::file("read", &path))?;
        if meta.is_dir() {
            open_to_all(&path)?;
        } else if meta.is_file() {
            let executable = programs || meta.permissions().mode() & 0o100 != 0;
            set_mode(&path, if executable { 0o755 } else { 0o644 })?;
        }
    }
    Ok(())
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    Uid::effective().is_root()
}
