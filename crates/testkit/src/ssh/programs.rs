//! Where the programs of OpenSSH and Dropbear are.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::fetch;
use crate::Error;
use crate::servers::cache;

/// Looking takes some starts of programs, and is done once in the life of a process.
static PROGRAMS: OnceLock<SshPrograms> = OnceLock::new();

/// The folder of the cache that holds one folder for each package.
pub(super) const CACHE: &str = "ssh";

/// The package of each program, whose name is the folder of the cache that it is fetched to.
pub(super) const SSHD: Packaged = ("openssh-server", "sshd");
pub(super) const KEYGEN: Packaged = ("openssh-client", "ssh-keygen");
pub(super) const DROPBEAR: Packaged = ("dropbear-bin", "dropbear");

/// A package and the program that one looks for.
pub(super) type Packaged = (&'static str, &'static str);

/// The programs of OpenSSH on this machine, and those of Dropbear where there are any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshPrograms {
    sshd: PathBuf,
    version: String,
    keygen: PathBuf,
    dropbear: Option<PathBuf>,
    dropbearkey: Option<PathBuf>,
}

impl SshPrograms {
    /// `sshd`, with its whole path, which it insists on.
    pub fn sshd(&self) -> &Path {
        &self.sshd
    }

    /// The version of `sshd` as it says it, such as `9.2` or `9.8p1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// `ssh-keygen`; `ssh`, `ssh-agent` and `ssh-add` are in the same folder.
    pub fn keygen(&self) -> &Path {
        &self.keygen
    }

    /// `ssh`, the client.
    pub fn client(&self) -> PathBuf {
        self.keygen.with_file_name("ssh")
    }

    /// `dropbear`, the other server.
    pub fn dropbear(&self) -> Option<&Path> {
        self.dropbear.as_deref()
    }

    /// `dropbearkey`, which makes keys in the format of Dropbear.
    pub fn dropbearkey(&self) -> Option<&Path> {
        self.dropbearkey.as_deref()
    }

    /// A command that runs one of the programs, with the libraries that were fetched with it.
    pub fn command(&self, program: &Path) -> Command {
        command(program)
    }

    /// Whether this is at least this version of OpenSSH.
    pub(super) fn is_at_least(&self, major: u32, minor: u32) -> bool {
        let mut numbers = self
            .version
            .split(|c: char| !c.is_ascii_digit())
            .map(|word| word.parse().unwrap_or(0));
        let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        found >= (major, minor)
    }

    /// The folder with the programs that `sshd` starts, where they are not where it was built to
    /// look for them. Before OpenSSH 9.8 there are none.
    pub(super) fn helpers(&self) -> Option<PathBuf> {
        let root = fetched_root(&self.sshd)?;
        let folder = root.join("usr/lib/openssh");
        folder.join("sshd-session").is_file().then_some(folder)
    }
}

/// Returns the programs on this machine, if `sshd` and `ssh-keygen` are among them.
///
/// They are looked for on `PATH`, then in `/usr/sbin` and `/usr/local/sbin`, which are not on every
/// user's path, then in the cache (see [`servers`](crate::servers)).
pub fn find() -> Option<SshPrograms> {
    let sshd = locate(SSHD)?;
    let dropbear = locate(DROPBEAR);
    Some(SshPrograms {
        version: version_of(&sshd)?,
        keygen: locate(KEYGEN)?,
        dropbearkey: locate((DROPBEAR.0, "dropbearkey")).filter(|_| dropbear.is_some()),
        dropbear,
        sshd,
    })
}

/// Returns the programs, fetching `sshd` and `ssh-keygen` where they are not installed.
///
/// # Errors
/// They are not here, and this is no Debian or Ubuntu, or its packages cannot be downloaded.
pub fn programs() -> Result<SshPrograms, Error> {
    if let Some(known) = PROGRAMS.get() {
        return Ok(known.clone());
    }
    let programs = match find() {
        Some(found) => found,
        None => fetch::fetch_openssh()?,
    };
    Ok(PROGRAMS.get_or_init(|| programs).clone())
}

/// Where a program is that answers when asked for its version.
pub(super) fn locate((package, program): Packaged) -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> = env::var_os("PATH")
        .map(|path| env::split_paths(&path).collect())
        .unwrap_or_default();
    folders.extend(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    for cache in cache::candidates() {
        let root = cache.join(CACHE).join(package);
        folders.extend([root.join("usr/sbin"), root.join("usr/bin")]);
    }
    folders
        .into_iter()
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|path| path.is_file() && answers(path))
}

/// Whether it starts: a program of the cache may be another system's.
fn answers(program: &Path) -> bool {
    match program.file_name().and_then(|name| name.to_str()) {
        Some("sshd") => version_of(program).is_some(),
        // It has no option that does nothing.
        Some("ssh-keygen") => true,
        _ => said(program, "-h").is_some(),
    }
}

/// `OpenSSH_9.2p1 Debian-2+deb12u3, OpenSSL 3.0.11` gives `9.2p1`.
fn version_of(sshd: &Path) -> Option<String> {
    let answer = said(sshd, "-V")?;
    let version = answer
        .split("OpenSSH_")
        .nth(1)?
        .split([' ', ',', '\n'])
        .next()?;
    Some(version.to_owned())
}

/// What a program prints, whatever it ends with: older ones know no `-V` and tell their version in
/// the complaint about it. One that cannot be started, or lacks a library, says nothing.
fn said(program: &Path, option: &str) -> Option<String> {
    let output = command(program)
        .arg(option)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    // The dynamic linker's own exit code.
    if output.status.code() == Some(127) {
        return None;
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Some(text)
}

/// A command that finds the libraries beside a fetched program.
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some(root) = fetched_root(program) {
        let libraries: Vec<PathBuf> = ["usr/lib", "lib"]
            .iter()
            .flat_map(|lib| std::fs::read_dir(root.join(lib)).into_iter().flatten())
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir() && path.to_string_lossy().contains("-linux-"))
            .collect();
        if let Ok(list) = env::join_paths(&libraries) {
            command.env("LD_LIBRARY_PATH", list);
        }
    }
    command
}

/// The folder a program's package was unpacked to, if it is of the cache.
fn fetched_root(program: &Path) -> Option<PathBuf> {
    let caches = cache::candidates();
    program
        .ancestors()
        .find(|folder| {
            let parent = folder.parent();
            caches
                .iter()
                .any(|cache| parent == Some(cache.join(CACHE).as_path()))
        })
        .map(Path::to_owned)
}
