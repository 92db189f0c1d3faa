//! Authorities that sign SSH certificates, by `ssh-keygen -s`.

use std::fs;
use std::sync::Arc;

use super::keys::{SshKeyType, SshKeypair, read_line};
use super::programs::programs;
use crate::Error;
use crate::command::run;

/// From when until when a certificate is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validity(String);

impl Validity {
    /// At any time.
    pub fn always() -> Self {
        Self("always:forever".to_owned())
    }

    /// From an hour ago for two hours.
    pub fn around_now() -> Self {
        Self::seconds(-3600, 3600)
    }

    /// Until an hour ago.
    pub fn expired() -> Self {
        Self::seconds(-7200, -3600)
    }

    /// From in an hour on.
    pub fn not_yet() -> Self {
        Self::seconds(3600, 7200)
    }

    /// From so many seconds after now until so many; negative numbers are in the past.
    pub fn seconds(from: i64, until: i64) -> Self {
        Self(format!("{from:+}s:{until:+}s"))
    }
}

/// An authority for certificates of hosts and users.
#[derive(Debug, Clone)]
pub struct SshCa {
    key: Arc<SshKeypair>,
}

impl SshCa {
    /// An authority with a new Ed25519 key.
    ///
    /// # Errors
    /// There is no `ssh-keygen`.
    pub fn generate() -> Result<Self, Error> {
        Self::generate_with(SshKeyType::Ed25519)
    }

    /// An authority with a new key of this type.
    ///
    /// # Errors
    /// There is no `ssh-keygen`.
    pub fn generate_with(kind: SshKeyType) -> Result<Self, Error> {
        Ok(Self {
            key: Arc::new(SshKeypair::generate(kind)?),
        })
    }

    /// The authority's public key, for `TrustedUserCAKeys` and the like.
    pub fn public_line(&self) -> &str {
        self.key.public_line()
    }

    /// The line of `known_hosts` that trusts this authority for hosts that match `pattern`.
    pub fn known_hosts_line(&self, pattern: &str) -> String {
        format!("@cert-authority {pattern} {}", self.public_line())
    }

    /// A certificate for a host's key; `principals` are the names of the host, none for any.
    ///
    /// # Errors
    /// `ssh-keygen` refuses.
    pub fn sign_host(
        &self,
        public_line: &str,
        principals: &[&str],
        validity: &Validity,
    ) -> Result<String, Error> {
        self.sign(&["-h"], public_line, principals, validity)
    }

    /// A certificate for a user's key; `principals` are the users it may log in as. OpenSSH lets
    /// nobody in with a certificate that names none.
    ///
    /// # Errors
    /// `ssh-keygen` refuses.
    pub fn sign_user(
        &self,
        public_line: &str,
        principals: &[&str],
        validity: &Validity,
    ) -> Result<String, Error> {
        self.sign(&[], public_line, principals, validity)
    }

    /// As [`sign_user`](Self::sign_user), with options such as `force-command=/bin/false`,
    /// `source-address=10.0.0.0/8` or `no-port-forwarding`.
    ///
    /// # Errors
    /// `ssh-keygen` refuses.
    pub fn sign_user_with(
        &self,
        public_line: &str,
        principals: &[&str],
        validity: &Validity,
        options: &[&str],
    ) -> Result<String, Error> {
        let options: Vec<&str> = options.iter().flat_map(|option| ["-O", option]).collect();
        self.sign(&options, public_line, principals, validity)
    }

    fn sign(
        &self,
        options: &[&str],
        public_line: &str,
        principals: &[&str],
        validity: &Validity,
    ) -> Result<String, Error> {
        let folder =
            tempfile::tempdir().map_err(Error::file("create a folder in", std::env::temp_dir()))?;
        let public = folder.path().join("key.pub");
        fs::write(&public, format!("{public_line}\n")).map_err(Error::file("write", &public))?;
        let programs = programs()?;
        let mut command = programs.command(programs.keygen());
        command.arg("-q").arg("-s").arg(self.key.private_file());
        command
            .args(["-I", "pgreach-testkit", "-V", &validity.0])
            .args(options);
        if !principals.is_empty() {
            command.args(["-n", &principals.join(",")]);
        }
        run(command.arg(&public))?;
        read_line(&folder.path().join("key-cert.pub"))
    }
}
