//! Keys that identify the client to an SSH server.

mod armor;
mod authorized;
mod certificate;
mod check;
mod decode;
mod der;
mod file;
mod legacy;
mod openssh;
mod pair;
mod problem;
mod recognise;
mod scalar;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use data_encoding::BASE64;
use pgreach_core::{Error, Secret};
use russh::keys::ssh_key::HashAlg;
use russh::keys::{Certificate, PrivateKey};

pub use authorized::AuthorizedKeyOptions;
pub use pair::SshKeyPair;

/// A private key, perhaps with a user certificate.
///
/// Understood are OpenSSH's format, PKCS#8, PKCS#1 and SEC1, each with or without a passphrase, of
/// the types Ed25519, ECDSA (P-256, P-384, P-521) and RSA (2048 to 8192 bits). A key whose
/// passphrase would take more than seconds to try is refused, so a key may come from somebody who
/// is not trusted.
///
/// Cloning is cheap. `Debug` shows the type and the fingerprint only, and the key is wiped from
/// memory when its last clone is dropped.
///
/// ```no_run
/// use pgreach_core::Secret;
/// use pgreach_transport_ssh::SshKey;
///
/// # fn main() -> Result<(), pgreach_core::Error> {
/// let passphrase = Secret::new("correct horse");
/// let key = SshKey::from_file("/etc/tunnel/id_ed25519", Some(&passphrase))?;
/// println!("to be allowed on the bastion: {}", key.public_line());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SshKey {
    private: Arc<PrivateKey>,
    certificate: Option<Arc<Certificate>>,
    /// The public half without the comment: type and base64.
    public: Arc<str>,
}

impl SshKey {
    /// Reads a key from text that begins with `-----BEGIN`.
    ///
    /// What pasting and environment variables do to line ends, white space and quotes is repaired.
    /// A passphrase for a key that has none is ignored; an empty one counts as none.
    ///
    /// Decrypting is meant to take time (a tenth of a second as `ssh-keygen` writes keys): in
    /// asynchronous code, call this where blocking is allowed.
    ///
    /// # Errors
    ///
    /// `ssh-key-invalid`, `ssh-key-unsupported`, `ssh-key-passphrase-missing` or
    /// `ssh-key-passphrase-wrong`.
    pub fn from_pem(text: &str, passphrase: Option<&Secret>) -> Result<Self, Error> {
        Self::new(decode::decode(text, passphrase)?)
    }

    /// Reads a key from the file `path`, and as `ssh` does the user certificate beside it
    /// (`path` with `-cert.pub` appended): one that is damaged or another key's is ignored.
    ///
    /// This blocks, also on a mount that hangs.
    ///
    /// # Errors
    ///
    /// `ssh-key-unreadable`, and those of [`from_pem`](Self::from_pem).
    pub fn from_file(path: impl AsRef<Path>, passphrase: Option<&Secret>) -> Result<Self, Error> {
        let path = path.as_ref();
        let text = file::read(path)?;
        let key = Self::from_pem(&text, passphrase)
            .map_err(|error| error.with_context(file::context(path)))?;
        let beside = file::beside(path);
        if !beside.is_file() {
            return Ok(key);
        }
        let certificate = file::read(&beside).and_then(|text| key.clone().with_certificate(&text));
        Ok(certificate.unwrap_or_else(|error| {
            tracing::debug!(file = %beside.display(), %error, "certificate beside the key ignored");
            key
        }))
    }

    /// Adds the user certificate that was issued for this key, the line of a `-cert.pub` file.
    /// Whether it is still valid is left to the server, whose clock counts.
    ///
    /// # Errors
    ///
    /// `ssh-certificate-mismatch` when it is damaged, a host certificate, or another key's.
    pub fn with_certificate(mut self, text: &str) -> Result<Self, Error> {
        let certificate = certificate::parse(text, self.private.public_key().key_data())?;
        self.certificate = Some(Arc::new(certificate));
        Ok(self)
    }

    fn new(mut private: PrivateKey) -> Result<Self, Error> {
        // The comment comes from the file, and is shown and put into authorized_keys.
        let comment = without_control(private.comment().as_str_lossy());
        private.set_comment(comment);
        let blob = private
            .public_key()
            .to_bytes()
            .map_err(|_| problem::invalid("the public half of the key cannot be written"))?;
        let public = format!("{} {}", private.algorithm().as_str(), BASE64.encode(&blob));
        Ok(Self {
            private: Arc::new(private),
            certificate: None,
            public: public.into(),
        })
    }

    /// The type of the key as SSH names it, such as `ssh-ed25519`.
    #[must_use]
    pub fn algorithm(&self) -> String {
        self.private.algorithm().as_str().to_owned()
    }

    /// The fingerprint as `ssh-keygen -l` prints it: `SHA256:` and base64.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.private.fingerprint(HashAlg::Sha256).to_string()
    }

    /// The public half as a line of `authorized_keys`, with the key's comment if it has one.
    #[must_use]
    pub fn public_line(&self) -> String {
        match self.private.comment().as_str_lossy() {
            "" => self.public.to_string(),
            comment => format!("{} {comment}", self.public),
        }
    }

    /// The key to sign with.
    pub(crate) fn private(&self) -> &Arc<PrivateKey> {
        &self.private
    }

    /// The certificate to show in place of the public key.
    pub(crate) fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_deref()
    }
}

impl fmt::Debug for SshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshKey")
            .field("algorithm", &self.algorithm())
            .field("fingerprint", &self.fingerprint())
            .field("certificate", &self.certificate.is_some())
            .finish()
    }
}

/// Fit for the end of a line.
fn without_control(comment: &str) -> String {
    let comment: String = comment.chars().filter(|c| !c.is_control()).collect();
    comment.trim().to_owned()
}
