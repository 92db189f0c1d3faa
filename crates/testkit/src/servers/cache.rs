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
    let shared = shared();
    let mut last = None;
    for folder in preferred().into_iter().chain([shared.clone()]) {
        let refused = match create_open(&folder) {
            Err(error) => error,
            // Only now: whoever made it, it is there and cannot become somebody else's. The other
            // folders may be links, as nobody else can make one there.
            Ok(()) if !(ours(&folder) || folder != shared && leads_to_ours(&folder)) => {
                Error::State(format!(
                    "the cache folder {} is not this user's",
                    folder.display()
                ))
            }
            Ok(()) if !account.reaches(&folder) => Error::State(format!(
                "the user {} cannot reach the cache folder {}",
                account.name(),
                folder.display()
            )),
            Ok(()) => return Ok(folder),
        };
        last = Some(refused);
    }
    Err(last.unwrap_or_else(|| Error::State("there is no cache folder".to_owned())))
}

/// The cache folders to look for servers in, the preferred one first.
pub(crate) fn candidates() -> Vec<PathBuf> {
    let shared = shared();
    let mut folders = preferred();
    if ours(&shared) {
        folders.push(shared);
    }
    folders
}

/// The folders that this user named, or where nobody else makes any.
fn preferred() -> Vec<PathBuf> {
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
    named.into_iter().chain(own).collect()
}

/// The folder among the temporary files, where anybody may make one of any name.
fn shared() -> PathBuf {
    env::temp_dir().join(format!("pgreach-cache-{}", nix::unistd::geteuid()))
}

/// Whether the folder is there and this user's: programs are started from it. One that is not there
/// could be somebody else's a moment later, and a link could lead elsewhere.
fn ours(folder: &Path) -> bool {
    fs::symlink_metadata(folder)
        .is_ok_and(|meta| meta.is_dir() && meta.uid() == nix::unistd::geteuid().as_raw())
}

fn leads_to_ours(link: &Path) -> bool {
    link.canonicalize().is_ok_and(|folder| ours(&folder))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    #[test]
    fn only_a_folder_that_is_there_and_this_users_is_ours() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, link) = (dir.path().join("folder"), dir.path().join("link"));
        assert!(!ours(&folder), "anybody may make it between two looks");
        fs::create_dir(&folder).unwrap();
        assert!(ours(&folder));
        symlink(&folder, &link).unwrap();
        assert!(!ours(&link), "where it leads may change");
        if is_root() {
            chown(&folder, Some(65_534), None).unwrap();
            assert!(!ours(&folder));
        }
    }
}
