//! Fetching OpenSSH and Dropbear from the packages of Debian and Ubuntu.
//!
//! The packages are downloaded and unpacked, not installed: that needs no root, starts no service
//! and runs none of their scripts. What they depend on is unpacked beside them, as far as it is a
//! library that is not installed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::programs::{CACHE, DROPBEAR, KEYGEN, Packaged, SSHD, SshPrograms, find, locate};
use crate::Error;
use crate::account::{Account, create_open, open_to_all};
use crate::command::run;
use crate::servers::cache;

/// Fetches what is not here: `sshd`, `ssh-keygen`, and `dropbear` where the system has a package.
///
/// Needs `apt-get` and `dpkg`. Two processes may do this at once: the second waits for the first and
/// takes its result.
///
/// # Errors
/// This is no Debian or Ubuntu, or a package cannot be downloaded.
pub fn fetch() -> Result<SshPrograms, Error> {
    let found = fetch_openssh()?;
    if found.dropbear().is_some() || !dropbear_is_packaged() {
        return Ok(found);
    }
    fetch_package(DROPBEAR)?;
    find().ok_or_else(|| no_sshd("the programs went away"))
}

/// Whether Dropbear can be expected: this system has a package of it.
pub fn dropbear_is_packaged() -> bool {
    Apt::system().knows(DROPBEAR.0)
}

pub(super) fn fetch_openssh() -> Result<SshPrograms, Error> {
    for packaged in [SSHD, KEYGEN] {
        if locate(packaged).is_none() {
            fetch_package(packaged).map_err(|error| no_sshd(&error.to_string()))?;
        }
    }
    find().ok_or_else(|| no_sshd("what was fetched does not run on this machine"))
}

pub(super) fn fetch_dropbear() -> Result<SshPrograms, Error> {
    fetch_package(DROPBEAR).map_err(|error| Error::NoProgram {
        program: "dropbear",
        package: DROPBEAR.0,
        reason: error.to_string(),
    })?;
    find().ok_or_else(|| no_sshd("the programs went away"))
}

fn no_sshd(reason: &str) -> Error {
    Error::NoProgram {
        program: "sshd",
        package: SSHD.0,
        reason: reason.to_owned(),
    }
}

fn fetch_package(packaged: Packaged) -> Result<(), Error> {
    let (package, _) = packaged;
    let folder = cache::folder(&Account::current()?)?.join(CACHE);
    create_open(&folder)?;
    let lock = folder.join(format!(".lock-{package}"));
    let lock = File::create(&lock).map_err(Error::file("create", &lock))?;
    lock.lock().map_err(Error::file("lock", &folder))?;
    if locate(packaged).is_some() {
        return Ok(());
    }
    // Beside the target, so that the last step is a rename, which is all or nothing.
    let staging = tempfile::Builder::new()
        .prefix(".fetch-")
        .tempdir_in(&folder)
        .map_err(Error::file("create a folder in", &folder))?;
    let archives = staging.path().join("archives");
    let tree = staging.path().join("tree");
    for folder in [&archives, &tree] {
        fs::create_dir(folder).map_err(Error::file("create", folder))?;
    }
    download(package, &archives, staging.path())?;
    for archive in fs::read_dir(&archives).map_err(Error::file("read", &archives))? {
        let archive = archive.map_err(Error::file("read", &archives))?.path();
        if archive.extension().is_some_and(|kind| kind == "deb") {
            run(Command::new("dpkg").arg("-x").arg(&archive).arg(&tree))?;
        }
    }
    // As in the server's packages: `bin` and `sbin` hold programs, whatever their mode says.
    open_to_all(&tree)?;
    let target = folder.join(package);
    if target.exists() {
        fs::remove_dir_all(&target).map_err(Error::file("remove", &target))?;
    }
    fs::rename(&tree, &target).map_err(Error::file("rename", &tree))
}

/// Downloads a package and the libraries it needs: with the system's lists of packages, and where
/// these are missing or out of date, with fresh ones that nobody else sees.
fn download(package: &str, to: &Path, staging: &Path) -> Result<(), Error> {
    let apt = Apt::system();
    if apt.knows(package) && apt.download(package, to).is_ok() {
        return Ok(());
    }
    let apt = Apt::private(staging)?;
    run(apt.command("apt-get").arg("update"))?;
    apt.download(package, to)
}

/// `apt`, with the lists of packages that it is to use.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn system() -> Self {
        Self {
            options: Vec::new(),
        }
    }

    /// Lists of its own, because only root may renew the system's.
    fn private(folder: &Path) -> Result<Self, Error> {
        let lists = folder.join("lists/partial");
        let archives = folder.join("cache/archives/partial");
        for folder in [&lists, &archives] {
            fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        }
        let option = |name: &str, path: PathBuf| format!("{name}={}", path.display());
        Ok(Self {
            options: vec![
                option("Dir::State::Lists", folder.join("lists")),
                option("Dir::Cache", folder.join("cache")),
            ],
        })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C");
        for option in &self.options {
            command.arg("-o").arg(option);
        }
        command
    }

    fn knows(&self, package: &str) -> bool {
        run(self.command("apt-cache").args(["show", package])).is_ok_and(|text| !text.is_empty())
    }

    fn download(&self, package: &str, to: &Path) -> Result<(), Error> {
        let packages = self.with_libraries(package)?;
        run(self
            .command("apt-get")
            .arg("download")
            .args(&packages)
            .current_dir(to))?;
        Ok(())
    }

    /// The package, with the libraries it needs that are not installed, and those that these need.
    fn with_libraries(&self, package: &str) -> Result<BTreeSet<String>, Error> {
        let mut wanted = BTreeSet::from([package.to_owned()]);
        let mut open = vec![package.to_owned()];
        while let Some(next) = open.pop() {
            let answer = run(self.command("apt-cache").args(["depends", &next]))?;
            for library in libraries(&answer) {
                if !wanted.contains(library) && !installed(library) {
                    wanted.insert(library.to_owned());
                    open.push(library.to_owned());
                }
            }
        }
        Ok(wanted)
    }
}

/// The libraries in what `apt-cache depends` prints.
fn libraries(answer: &str) -> impl Iterator<Item = &str> {
    answer.lines().filter_map(|line| {
        let line = line.trim_start().trim_start_matches('|');
        let name = line
            .strip_prefix("Depends: ")
            .or_else(|| line.strip_prefix("PreDepends: "))?;
        let name = name.split(':').next()?;
        // Perl's are called so too, and belong to scripts that are not run.
        (name.starts_with("lib") && !name.ends_with("-perl")).then_some(name)
    })
}

fn installed(package: &str) -> bool {
    run(Command::new("dpkg-query").args(["-W", "-f", "${Status}", package]))
        .is_ok_and(|status| status.contains("ok installed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_told_from_other_packages() {
        let answer = "openssh-server\n  PreDepends: init-system-helpers\n  Depends: libwrap0\n \
                      |Depends: debconf\n  Depends: <debconf-2.0>\n    cdebconf\n  \
                      Depends: libc6:amd64\n  Suggests: libother\n  Depends: libfoo-perl\n";
        let found: Vec<_> = libraries(answer).collect();
        assert_eq!(found, ["libwrap0", "libc6"]);
    }
}
