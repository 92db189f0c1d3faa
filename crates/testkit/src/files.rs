//! Copying trees of files.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, chown, lchown, symlink};
use std::path::Path;

use crate::Error;
use crate::account::{is_root, set_mode};

/// Copies a folder with its modes and symbolic links; as root, with its owners too.
///
/// `fs::copy` shares the blocks with the original where the file system can. Sockets and the like
/// are left out, as is everything whose path below `from` fails `wanted`. Files that vanish on the
/// way are no error: the data folder of a running server is such a place.
pub(crate) fn copy_tree(
    from: &Path,
    to: &Path,
    wanted: &dyn Fn(&Path) -> bool,
) -> Result<(), Error> {
    copy_below(from, to, Path::new(""), wanted)
}

fn copy_below(
    from: &Path,
    to: &Path,
    below: &Path,
    wanted: &dyn Fn(&Path) -> bool,
) -> Result<(), Error> {
    fs::create_dir(to).map_err(Error::file("create", to))?;
    for entry in fs::read_dir(from).map_err(Error::file("read", from))? {
        let entry = entry.map_err(Error::file("read", from))?;
        let below = below.join(entry.file_name());
        if !wanted(&below) {
            continue;
        }
        let source = entry.path();
        let target = to.join(entry.file_name());
        let meta = match fs::symlink_metadata(&source) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            result => result.map_err(Error::file("read", &source))?,
        };
        if meta.is_dir() {
            copy_below(&source, &target, &below, wanted)?;
        } else if meta.is_symlink() {
            let link = fs::read_link(&source).map_err(Error::file("read", &source))?;
            symlink(link, &target).map_err(Error::file("link", &target))?;
            if is_root() {
                lchown(&target, Some(meta.uid()), Some(meta.gid()))
                    .map_err(Error::file("give away", &target))?;
            }
        } else if meta.is_file() {
            match fs::copy(&source, &target) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                result => result.map_err(Error::file("copy", &source))?,
            };
            give_away(&target, &meta)?;
        }
    }
    let meta = fs::metadata(from).map_err(Error::file("read", from))?;
    give_away(to, &meta)?;
    set_mode(to, meta.mode() & 0o7777)
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
}
