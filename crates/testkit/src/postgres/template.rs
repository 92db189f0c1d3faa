//! Data folders made once and copied for each server.
//!
//! `initdb` takes a second or more; a copy of its result takes some hundredths.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::process::clean_environment;
use crate::account::{Account, create_open};
use crate::command::run;
use crate::files::copy_tree;
use crate::servers::{ServerBinaries, cache};
use crate::{Error, account};

/// The role the kit itself connects as, over the Unix socket.
///
/// It is not `postgres`, so that a test's own `pg_hba.conf` may say what it likes about that one.
pub(super) const ROLE: &str = "pgreach_testkit";

/// To be changed whenever templates are made differently.
const LAYOUT: u32 = 1;

/// Returns an initialised data folder for this server, owned by this user; made on first use.
pub(super) fn template(server: &ServerBinaries, account: &Account) -> Result<PathBuf, Error> {
    let folder = cache::folder(account)?.join("templates");
    create_open(&folder)?;
    let name = format!(
        "{}-{}-{:016x}",
        server.version(),
        account.name(),
        fingerprint(server.bin())
    );
    let target = folder.join(&name);
    if target.join("PG_VERSION").exists() {
        return Ok(target);
    }
    // Many processes may want the same template at once: one makes it, the others wait.
    let lock = folder.join(format!(".lock-{name}"));
    let lock = File::create(&lock).map_err(Error::file("create", &lock))?;
    lock.lock().map_err(Error::file("lock", &folder))?;
    if target.join("PG_VERSION").exists() {
        return Ok(target);
    }
    let staging = tempfile::Builder::new()
        .prefix(".initdb-")
        .tempdir_in(&folder)
        .map_err(Error::file("create a folder in", &folder))?;
    account.own(staging.path())?;
    let data = staging.path().join("data");
    initdb(server, account, &data)?;
    create_role(server, account, &data)?;
    fs::rename(&data, &target).map_err(Error::file("rename", &data))?;
    Ok(target)
}

fn initdb(server: &ServerBinaries, account: &Account, data: &Path) -> Result<(), Error> {
    let mut command = Command::new(server.bin().join("initdb"));
    command
        .args([
            "-U",
            "postgres",
            "--auth=trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
            "-D",
        ])
        .arg(data)
        .current_dir("/");
    clean_environment(&mut command);
    account.apply(&mut command);
    run(&mut command).map(drop)
}

/// Makes [`ROLE`] with a server that runs in single-user mode, listening nowhere.
fn create_role(server: &ServerBinaries, account: &Account, data: &Path) -> Result<(), Error> {
    let mut command = Command::new(server.bin().join("postgres"));
    command
        .args(["--single", "-F", "-j", "-D"])
        .arg(data)
        .arg("postgres")
        .current_dir("/");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    clean_environment(&mut command);
    account.apply(&mut command);
    let failed = |reason: String| {
        Error::State(format!(
            "PostgreSQL {} in single-user mode: {reason}",
            server.version()
        ))
    };
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    if let Some(mut input) = child.stdin.take() {
        let sql = format!("CREATE ROLE {ROLE} SUPERUSER REPLICATION LOGIN;\n\n");
        input
            .write_all(sql.as_bytes())
            .map_err(|error| failed(error.to_string()))?;
    }
    let output = child
        .wait_with_output()
        .map_err(|error| failed(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    // In this mode a failed statement does not fail the program.
    if !output.status.success() || said.contains("ERROR:") {
        return Err(failed(said.into_owned()));
    }
    Ok(())
}

/// Returns these binaries, or a copy of them where the user of the server cannot reach them.
pub(super) fn within_reach(
    server: ServerBinaries,
    account: &Account,
) -> Result<ServerBinaries, Error> {
    if account.reaches(server.bin()) {
        return Ok(server);
    }
    let unreachable = || {
        Error::State(format!(
            "the user {} cannot reach {}",
            account.name(),
            server.bin().display()
        ))
    };
    let prefix = server.bin().parent().ok_or_else(unreachable)?;
    let folder = cache::folder(account)?.join("copies");
    create_open(&folder)?;
    let name = format!("{}-{:016x}", server.version(), fingerprint(server.bin()));
    let target = folder.join(&name);
    let lock = folder.join(format!(".lock-{name}"));
    let lock = File::create(&lock).map_err(Error::file("create", &lock))?;
    lock.lock().map_err(Error::file("lock", &folder))?;
    if !target.exists() {
        let staging = tempfile::Builder::new()
            .prefix(".copy-")
            .tempdir_in(&folder)
            .map_err(Error::file("create a folder in", &folder))?;
        let copy = staging.path().join("server");
        fs::create_dir(&copy).map_err(Error::file("create", &copy))?;
        for part in ["bin", "lib", "lib64", "share"] {
            if prefix.join(part).is_dir() {
                copy_tree(&prefix.join(part), &copy.join(part), &|_| true)?;
            }
        }
        account::open_to_all(&copy)?;
        fs::rename(&copy, &target).map_err(Error::file("rename", &copy))?;
    }
    crate::servers::probe(&target.join("bin")).ok_or_else(unreachable)
}

/// Two builds of one version must not share a data folder: their defaults may differ.
fn fingerprint(bin: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    (LAYOUT, bin).hash(&mut hasher);
    hasher.finish()
}
