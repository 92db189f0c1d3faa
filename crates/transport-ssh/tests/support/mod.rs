//! The tools that make keys, and what they make.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

use pgreach_core::{Error, Secret};
use tempfile::TempDir;

pub(crate) const PASSPHRASE: &str = "correct horse";

/// A directory for keys, with `ssh-keygen` and `openssl` at hand.
pub(crate) struct Bench {
    dir: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A key of this kind, such as `ed25519` or `ecdsa-384`, without passphrase.
    pub(crate) fn generate(&self, kind: &str) -> PathBuf {
        let path = self.path(kind);
        let (key_type, bits) = kind.split_once('-').unwrap_or((kind, ""));
        let mut args = vec!["-q", "-t", key_type, "-N", "", "-C", "a comment"];
        if !bits.is_empty() {
            args.extend(["-b", bits]);
        }
        keygen(&args, &path);
        path
    }

    /// `text` as a file that `ssh-keygen` accepts as a key.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        path
    }

    /// The key in `path`, written anew by `ssh-keygen -p` with these arguments.
    pub(crate) fn rewritten(&self, path: &Path, args: &[&str]) -> String {
        let copy = self.write("rewritten", &read(path));
        let mut all = vec!["-q", "-p", "-P", ""];
        all.extend(args);
        keygen(&all, &copy);
        read(&copy)
    }
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// `ssh-keygen ARGS -f PATH`: what it prints.
pub(crate) fn keygen(args: &[&str], path: &Path) -> String {
    let mut command = Command::new("ssh-keygen");
    run(command.args(args).arg("-f").arg(path))
}

/// `openssl ARGS -in PATH`: what it prints.
pub(crate) fn openssl(args: &[&str], path: &Path) -> String {
    let (program, rest) = args.split_first().unwrap();
    let mut command = Command::new("openssl");
    run(command.arg(program).arg("-in").arg(path).args(rest))
}

pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The fingerprint as `ssh-keygen -l` shows it.
pub(crate) fn fingerprint(path: &Path) -> String {
    let line = keygen(&["-l"], path);
    line.split_whitespace().nth(1).unwrap().to_owned()
}

pub(crate) fn secret() -> Secret {
    Secret::new(PASSPHRASE)
}

/// The code of the error that must have come.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.unwrap_err().code().name()
}
