//! Reading files and copying trees of them.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, chown, lchown, symlink};
use std::path::Path;

use crate::Error;
use crate::account::{is_root, set_mode};

/// Copies a folder with its modes and symbolic links; as root, with its owners too.
///
/// `fs::copy` shares the blocks with the original where the file system can. Sockets and the like
/// are left out, as is everything whose path below `from` fails `wanted`. Files and folders that
/// vanish on the way are no error: the data folder of a running server is such a place.
pub(crate) fn copy_tree(
    from: &Path,
    to: &Path,
    wanted: &dyn Fn(&Path) -> bool,
) -> Result<(), Error> {
    let meta = fs::metadata(from).map_err(Error::file("read", from))?;
    let entries = fs::read_dir(from).map_err(Error::file("read", from))?;
    copy_folder(&meta, entries, to, Path::new(""), wanted)
}

/// Copies what is in `entries` to a new folder like that of `meta`, which may be gone by then.
fn copy_folder(
    meta: &fs::Metadata,
    entries: fs::ReadDir,
    to: &Path,
    below: &Path,
    wanted: &dyn Fn(&Path) -> bool,
) -> Result<(), Error> {
    fs::create_dir(to).map_err(Error::file("create", to))?;
    for entry in entries {
        let entry = entry.map_err(Error::file("read the original of", to))?;
        let below = below.join(entry.file_name());
        if !wanted(&below) {
            continue;
        }
        let source = entry.path();
        let target = to.join(entry.file_name());
        let Some(meta) = unless_gone(fs::symlink_metadata(&source), &source)? else {
            continue;
        };
        if meta.is_dir() {
            if let Some(entries) = unless_gone(fs::read_dir(&source), &source)? {
                copy_folder(&meta, entries, &target, &below, wanted)?;
            }
        } else if meta.is_symlink() {
            let Some(link) = unless_gone(fs::read_link(&source), &source)? else {
                continue;
            };
            symlink(link, &target).map_err(Error::file("link", &target))?;
            if is_root() {
                lchown(&target, Some(meta.uid()), Some(meta.gid()))
                    .map_err(Error::file("give away", &target))?;
            }
        } else if meta.is_file() && unless_gone(fs::copy(&source, &target), &source)?.is_some() {
            give_away(&target, &meta)?;
        }
    }
    give_away(to, meta)?;
    set_mode(to, meta.mode() & 0o7777)
}

/// `None` where there is nothing any more.
fn unless_gone<T>(result: io::Result<T>, path: &Path) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("copy", path)(error)),
    }
}

/// The text of a file that another program writes; empty where there is none.
pub(crate) fn read_lossy(file: &Path) -> String {
    fs::read(file)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

fn give_away(path: &Path, meta: &fs::Metadata) -> Result<(), Error> {
    if is_root() {
        chown(path, Some(meta.uid()), Some(meta.gid())).map_err(Error::file("give away", path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_links_and_exceptions_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("sub/left-out")).unwrap();
        fs::write(from.join("sub/file"), "text").unwrap();
        set_mode(&from.join("sub/file"), 0o640).unwrap();
        symlink("sub/file", from.join("link")).unwrap();

        copy_tree(&from, &to, &|path| path != Path::new("sub/left-out")).unwrap();

        assert_eq!(fs::read_to_string(to.join("link")).unwrap(), "text");
        assert_eq!(
            fs::metadata(to.join("sub/file")).unwrap().mode() & 0o777,
            0o640
        );
        assert!(!to.join("sub/left-out").exists());
    }

    #[test]
    fn a_folder_that_vanishes_on_the_way_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::write(from.join("sub/file"), "text").unwrap();
        fs::write(from.join("kept"), "text").unwrap();
        let vanishing = |path: &Path| {
            if path == Path::new("sub/file") {
                fs::remove_dir_all(from.join("sub")).unwrap();
            }
            true
        };

        copy_tree(&from, &to, &vanishing).unwrap();

        assert!(to.join("kept").exists());
        assert!(!to.join("sub/file").exists());
        let none = dir.path().join("none");
        assert!(
            unless_gone(fs::read_dir(&none), &none).unwrap().is_none(),
            "it went between the two looks at it"
        );
        assert!(
            copy_tree(&none, &dir.path().join("copy"), &|_| true).is_err(),
            "a root that is not there is an error"
        );
    }
}
