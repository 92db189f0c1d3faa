//! Looking for installed servers.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::{ServerBinaries, cache};
use crate::command::run;

/// Versions already asked for, by folder: a program is asked once in the life of a process.
static VERSIONS: LazyLock<Mutex<HashMap<PathBuf, Option<String>>>> = LazyLock::new(Mutex::default);

/// Returns every server found on this machine, in the order of the places searched.
///
/// A folder counts when it holds `postgres` and `initdb`, and `postgres --version` answers.
pub fn find() -> Vec<ServerBinaries> {
    let mut folders = named_folders();
    folders.extend(
        run(Command::new("pg_config").arg("--bindir"))
            .ok()
            .map(|dir| PathBuf::from(dir.trim())),
    );
    if let Some(path) = env::var_os("PATH") {
        folders.extend(env::split_paths(&path));
    }
    for pattern in [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/opt/homebrew/opt", "postgresql", "bin"),
        ("/usr/local/opt", "postgresql", "bin"),
        ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
    ] {
        folders.extend(below(Path::new(pattern.0), pattern.1, pattern.2));
    }
    for cache in cache::candidates() {
        folders.extend(below(&cache.join("postgres"), "", "bin"));
    }
    probe_all(folders)
}

/// The servers `PGREACH_POSTGRES_BIN` names.
pub(super) fn named() -> Vec<ServerBinaries> {
    probe_all(named_folders())
}

/// The server in this folder, if there is one.
pub(crate) fn probe(bin: &Path) -> Option<ServerBinaries> {
    if !bin.join("postgres").is_file() || !bin.join("initdb").is_file() {
        return None;
    }
    let bin = bin.canonicalize().ok()?;
    let mut versions = VERSIONS.lock().unwrap_or_else(PoisonError::into_inner);
    let version = versions
        .entry(bin.clone())
        .or_insert_with(|| {
            let answer = run(Command::new(bin.join("postgres")).arg("--version")).ok()?;
            parse_version(&answer)
        })
        .clone()?;
    let major = version
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()?;
    Some(ServerBinaries {
        major,
        version,
        bin,
    })
}

fn named_folders() -> Vec<PathBuf> {
    env::var_os("PGREACH_POSTGRES_BIN")
        .map(|list| {
            env::split_paths(&list)
                .filter(|path| !path.as_os_str().is_empty())
                .collect()
        })
        .unwrap_or_default()
}

/// `<root>/<prefix>*/<leaf>`, the newest version first.
fn below(root: &Path, prefix: &str, leaf: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort_by_key(|name| std::cmp::Reverse(numbers(name)));
    names
        .into_iter()
        .map(|name| root.join(name).join(leaf))
        .collect()
}

/// The numbers in a name, so that 17.10 sorts after 17.9.
pub(super) fn numbers(name: &str) -> Vec<u32> {
    name.split(|c: char| !c.is_ascii_digit())
        .filter_map(|word| word.parse().ok())
        .collect()
}

fn probe_all(folders: Vec<PathBuf>) -> Vec<ServerBinaries> {
    let mut servers: Vec<ServerBinaries> = Vec::new();
    for server in folders.iter().filter_map(|folder| probe(folder)) {
        if !servers.contains(&server) {
            servers.push(server);
        }
    }
    servers
}

/// `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)` gives `15.14`.
fn parse_version(answer: &str) -> Option<String> {
    let version = answer
        .split("(PostgreSQL)")
        .nth(1)?
        .split_whitespace()
        .next()?;
    version
        .starts_with(|c: char| c.is_ascii_digit())
        .then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_programs_own_words() {
        let debian = "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n";
        assert_eq!(parse_version(debian).as_deref(), Some("15.14"));
        assert_eq!(
            parse_version("postgres (PostgreSQL) 18beta1\n").as_deref(),
            Some("18beta1")
        );
        assert_eq!(parse_version("postgres: command not found"), None);
    }

    #[test]
    fn newer_versions_sort_by_number() {
        assert!(numbers("17.10") > numbers("17.9"));
        assert!(numbers("9.6") < numbers("10"));
    }

    #[test]
    fn a_folder_without_initdb_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("postgres"), "").unwrap();
        assert_eq!(probe(dir.path()), None);
    }
}
