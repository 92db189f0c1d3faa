//! Key pairs, made by `ssh-keygen`.

use std::fs;
use std::path::{Path, PathBuf};

use russh::keys::{HashAlg, PublicKey};
use tempfile::TempDir;

use super::programs::{SshPrograms, programs};
use crate::Error;
use crate::command::run;

/// The type of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SshKeyType {
    /// `ssh-ed25519`.
    Ed25519,
    /// `ecdsa-sha2-nistp256`.
    Ecdsa256,
    /// `ecdsa-sha2-nistp384`.
    Ecdsa384,
    /// `ecdsa-sha2-nistp521`.
    Ecdsa521,
    /// `ssh-rsa`, with 2048 bits, which are made in a fraction of the time 3072 take.
    Rsa,
    /// `ssh-rsa` with another number of bits. OpenSSH takes 1024 at least.
    RsaBits(u32),
}

impl SshKeyType {
    fn options(self) -> Vec<String> {
        let (name, bits) = match self {
            Self::Ed25519 => ("ed25519", None),
            Self::Ecdsa256 => ("ecdsa", Some(256)),
            Self::Ecdsa384 => ("ecdsa", Some(384)),
            Self::Ecdsa521 => ("ecdsa", Some(521)),
            Self::Rsa => ("rsa", Some(2048)),
            Self::RsaBits(bits) => ("rsa", Some(bits)),
        };
        let mut options = vec!["-t".to_owned(), name.to_owned()];
        if let Some(bits) = bits {
            options.extend(["-b".to_owned(), bits.to_string()]);
        }
        options
    }
}

/// The format of a private key's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum KeyFormat {
    /// `BEGIN OPENSSH PRIVATE KEY`.
    #[default]
    OpenSsh,
    /// `BEGIN RSA PRIVATE KEY` and `BEGIN EC PRIVATE KEY`; there is none for Ed25519.
    Pem,
    /// `BEGIN PRIVATE KEY` and `BEGIN ENCRYPTED PRIVATE KEY`; OpenSSH writes none for Ed25519.
    Pkcs8,
}

/// A key pair in files of its own, removed when it is dropped.
#[derive(Debug)]
pub struct SshKeypair {
    folder: TempDir,
    public_line: String,
}

/// Describes a key pair before it is made.
#[derive(Clone)]
#[must_use]
pub struct SshKeypairBuilder {
    kind: SshKeyType,
    passphrase: String,
    format: KeyFormat,
    comment: String,
}

impl std::fmt::Debug for SshKeypairBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SshKeypairBuilder")
            .field("kind", &self.kind)
            .field("format", &self.format)
            .field("comment", &self.comment)
            .finish_non_exhaustive()
    }
}

impl SshKeypairBuilder {
    /// Encrypts the private key.
    pub fn with_passphrase(mut self, passphrase: impl Into<String>) -> Self {
        self.passphrase = passphrase.into();
        self
    }

    /// The format of the private key. Default: OpenSSH's own.
    pub fn with_format(mut self, format: KeyFormat) -> Self {
        self.format = format;
        self
    }

    /// The comment at the end of the public line. Default: `pgreach-testkit`.
    pub fn with_comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = comment.into();
        self
    }

    /// Makes the pair.
    ///
    /// # Errors
    /// There is no `ssh-keygen`, or it refuses: a passphrase of fewer than five characters, for one.
    pub fn generate(self) -> Result<SshKeypair, Error> {
        let folder = tempfile::Builder::new()
            .prefix("pgk-")
            .tempdir()
            .map_err(Error::file("create a folder in", std::env::temp_dir()))?;
        let file = folder.path().join("key");
        generate(&programs()?, &self, &file)?;
        let public_line = read_line(&file.with_extension("pub"))?;
        Ok(SshKeypair {
            folder,
            public_line,
        })
    }
}

impl SshKeypair {
    /// A pair of this type, not encrypted, in OpenSSH's format.
    ///
    /// # Errors
    /// There is no `ssh-keygen`.
    pub fn generate(kind: SshKeyType) -> Result<Self, Error> {
        Self::builder(kind).generate()
    }

    /// Begins a pair with a passphrase or another format.
    pub fn builder(kind: SshKeyType) -> SshKeypairBuilder {
        SshKeypairBuilder {
            kind,
            passphrase: String::new(),
            format: KeyFormat::default(),
            comment: "pgreach-testkit".to_owned(),
        }
    }

    /// The private key's file, which only this user can read.
    pub fn private_file(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    /// The text of [`private_file`](Self::private_file).
    ///
    /// # Errors
    /// The file was removed.
    pub fn private_pem(&self) -> Result<String, Error> {
        let file = self.private_file();
        fs::read_to_string(&file).map_err(Error::file("read", &file))
    }

    /// The public key as in `authorized_keys`, without an end of line.
    pub fn public_line(&self) -> &str {
        &self.public_line
    }

    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.public_line)
    }

    /// Puts a certificate where `ssh` and `ssh-add` look for that of this key, and returns where.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_certificate(&self, certificate: &str) -> Result<PathBuf, Error> {
        let file = self.folder.path().join("key-cert.pub");
        fs::write(&file, certificate).map_err(Error::file("write", &file))?;
        Ok(file)
    }
}

/// Makes a pair without passphrase in `file` and `file`.pub.
pub(super) fn generate_in(
    programs: &SshPrograms,
    kind: SshKeyType,
    file: &Path,
) -> Result<String, Error> {
    generate(programs, &SshKeypair::builder(kind), file)?;
    read_line(&file.with_extension("pub"))
}

fn generate(programs: &SshPrograms, what: &SshKeypairBuilder, file: &Path) -> Result<(), Error> {
    let mut command = programs.command(programs.keygen());
    command.arg("-q").args(what.kind.options());
    match what.format {
        KeyFormat::OpenSsh => {}
        KeyFormat::Pem => drop(command.args(["-m", "PEM"])),
        KeyFormat::Pkcs8 => drop(command.args(["-m", "PKCS8"])),
    }
    command.args(["-N", &what.passphrase, "-C", &what.comment, "-f"]);
    run(command.arg(file))?;
    Ok(())
}

/// The fingerprint of a public line; empty where it is none.
pub(crate) fn fingerprint(public_line: &str) -> String {
    PublicKey::from_openssh(public_line)
        .map(|key| key.fingerprint(HashAlg::Sha256).to_string())
        .unwrap_or_default()
}

pub(super) fn read_line(file: &Path) -> Result<String, Error> {
    let text = fs::read_to_string(file).map_err(Error::file("read", file))?;
    Ok(text.trim_end().to_owned())
}
