//! Where fetched servers and the templates of data folders are kept.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::account::{Account, create_open, is_root};

/// The folder this machine's copies are written to.
///
/// The first of `PGREACH_CACHE`, the user's cache folder (for root: `/var/cache/pgreach`) and a
/// folder for temporary files that can be made, and that the user of the servers can reach. Root's
/// home folder and a `PGREACH_CACHE` below it are closed to that user, and so are passed over.
pub(crate) fn folder(account: &Account) -> Result<PathBuf, Error> {
    let mut last = None;
    for folder in candidates() {
        match create_open(&folder) {
            Ok(()) if ours(&folder) && account.reaches(&folder) => return Ok(folder),
            Ok(()) => {
                last = Some(Error::State(format!(
                    "the user {} cannot reach the cache folder {}",
                    account.name(),
                    folder.display()
                )));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| Error::State("there is no cache folder".to_owned())))
}

/// The cache folders to look for servers in, the preferred one first.
pub(crate) fn candidates() -> Vec<PathBuf> {
    let named = env::var_os("PGREACH_CACHE")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from);
    let own = if is_root() {
        Some(PathBuf::from("/var/cache/pgreach"))
    } else {
        env::var_os("XDG_CACHE_HOME")
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
            .or_else(|| env::home_dir().map(|home| home.join(".cache")))
            .map(|cache| cache.join("pgreach"))
    };
    let shared = env::temp_dir().join(format!("pgreach-cache-{}", nix::unistd::geteuid()));
    named
        .into_iter()
        .chain(own)
        .chain(ours(&shared).then_some(shared))
        .collect()
}

/// Whether the folder is this user's, or not there yet: programs are started from it, and anybody
/// may make a folder of any name among the temporary files.
fn ours(folder: &Path) -> bool {
    match fs::symlink_metadata(folder) {
        Ok(meta) => meta.uid() == nix::unistd::geteuid().as_raw(),
        Err(_) => true,
    }
}
