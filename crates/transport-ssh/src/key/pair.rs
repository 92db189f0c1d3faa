//! Key pairs made for a customer.

use pgreach_core::{Error, Secret};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData, RsaKeypair};

use super::authorized::AuthorizedKeyOptions;
use super::problem::{invalid, setting};
use super::{SshKey, without_control};

const RSA_BITS: usize = 4096;

/// A key pair made for a customer: they get the public line, the platform keeps the private half.
///
/// ```
/// use pgreach_core::Secret;
/// use pgreach_transport_ssh::{AuthorizedKeyOptions, SshKeyPair};
///
/// # fn main() -> Result<(), pgreach_core::Error> {
/// let pair = SshKeyPair::generate_ed25519()?.with_comment("tunnel of customer 42");
/// let to_show = pair.authorized_key(
///     &AuthorizedKeyOptions::new()
///         .with_permit_open("127.0.0.1", 5432)
///         .with_from("203.0.113.0/24"),
/// )?;
/// assert!(to_show.starts_with("restrict,port-forwarding,command=\"/bin/false\",permitopen="));
///
/// let to_store = pair.private_pem(Some(&Secret::new("correct horse")))?;
/// # assert!(to_store.expose().starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SshKeyPair {
    key: SshKey,
}

impl SshKeyPair {
    /// Makes an Ed25519 pair: the right one unless the SSH server is from before 2014.
    ///
    /// # Errors
    ///
    /// `ssh-key-invalid`, which does not happen.
    pub fn generate_ed25519() -> Result<Self, Error> {
        let pair = Ed25519Keypair::random(&mut rand::rng());
        Self::of(KeypairData::Ed25519(pair))
    }

    /// Makes an RSA pair of 4096 bits.
    ///
    /// This blocks for seconds, and its time varies: in asynchronous code, call it where
    /// blocking is allowed.
    ///
    /// # Errors
    ///
    /// `ssh-key-invalid`, which does not happen.
    pub fn generate_rsa4096() -> Result<Self, Error> {
        let pair = RsaKeypair::random(&mut rand::rng(), RSA_BITS)
            .map_err(|_| invalid("the RSA key could not be generated"))?;
        Self::of(KeypairData::Rsa(pair))
    }

    /// Reads a pair that [`private_pem`](Self::private_pem) wrote, or any other private key.
    ///
    /// # Errors
    ///
    /// Those of [`SshKey::from_pem`].
    pub fn from_pem(text: &str, passphrase: Option<&Secret>) -> Result<Self, Error> {
        Ok(Self {
            key: SshKey::from_pem(text, passphrase)?,
        })
    }

    /// Replaces the comment, which ends the public line and tells people what the key is for.
    /// Control characters, line ends among them, are left out.
    #[must_use]
    pub fn with_comment(mut self, comment: impl AsRef<str>) -> Self {
        let mut private = PrivateKey::clone(&self.key.private);
        private.set_comment(without_control(comment.as_ref()));
        self.key.private = private.into();
        self
    }

    /// The public half, such as `ssh-ed25519 AAAA… comment`.
    #[must_use]
    pub fn public_line(&self) -> String {
        self.key.public_line()
    }

    /// The public half as a line of `authorized_keys` that allows only what `options` say.
    ///
    /// # Errors
    ///
    /// `ssh-config-invalid` when an option's value is not one that sshd understands.
    pub fn authorized_key(&self, options: &AuthorizedKeyOptions) -> Result<String, Error> {
        Ok(format!("{} {}", options.text()?, self.public_line()))
    }

    /// The fingerprint as `ssh-keygen -l` prints it: `SHA256:` and base64.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.key.fingerprint()
    }

    /// The private half in OpenSSH's format, encrypted if there is a passphrase.
    ///
    /// # Errors
    ///
    /// `ssh-config-invalid` when the passphrase is empty: nothing would be encrypted.
    pub fn private_pem(&self, passphrase: Option<&Secret>) -> Result<Secret, Error> {
        let unwritable = |_| invalid("the private key cannot be written");
        let text = match passphrase {
            None => self.key.private.to_openssh(LineEnding::LF),
            Some(passphrase) if passphrase.expose().is_empty() => {
                return Err(setting("the passphrase for the private key is empty"));
            }
            Some(passphrase) => self
                .key
                .private
                .encrypt(&mut rand::rng(), passphrase.expose())
                .and_then(|encrypted| encrypted.to_openssh(LineEnding::LF)),
        };
        Ok(Secret::new(text.map_err(unwritable)?.as_str()))
    }

    /// The key to connect with.
    #[must_use]
    pub fn key(&self) -> SshKey {
        self.key.clone()
    }

    fn of(pair: KeypairData) -> Result<Self, Error> {
        let private =
            PrivateKey::try_from(pair).map_err(|_| invalid("the key could not be generated"))?;
        Ok(Self {
            key: SshKey::new(private)?,
        })
    }
}
