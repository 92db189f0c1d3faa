//! Looking up what a document refers to: passwords, keys, certificates and archives.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use pgreach_auth_password::CommandPassword;
use pgreach_core::file::{self, Permissions, Reads};
use pgreach_core::{Code, CredentialProvider, CredentialRequest, Error, Secret, Stage, codes};
use zeroize::Zeroizing;

use super::secret::SecretSource;

/// As large as a key with a chain can be, with room to spare.
const MAX_LEN: usize = 1 << 20;

/// What a look-up is for: it decides how much is read, and who else may read the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(
    dead_code,
    reason = "which ones there are depends on the Cargo features"
)]
pub(super) enum Purpose {
    /// One line, as the password sources read it.
    Password,
    /// A key.
    PrivateKey,
    /// A certificate, which everybody may read.
    Public,
    /// An archive with a key: its bytes, or these in base64.
    Archive,
}

/// What was found. It is wiped when the last clone is dropped.
#[derive(Clone)]
pub(super) enum Found {
    Text(Secret),
    Bytes(Arc<Zeroizing<Vec<u8>>>),
}

impl Found {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(secret) => secret.expose().as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// # Errors
    /// It is no text.
    pub(super) fn secret(&self) -> Result<Secret, Error> {
        match self {
            Self::Text(secret) => Ok(secret.clone()),
            Self::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Secret::new(text)),
                Err(_) => Err(error(&codes::CONFIG_FILE, "is not UTF-8 text")),
            },
        }
    }

    pub(super) fn same_as(&self, other: &Self) -> bool {
        let (a, b) = (self.bytes(), other.bytes());
        // All of them, whatever the first ones are, as secrets are compared.
        a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
    }
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Found(***)")
    }
}

/// Where to look.
#[derive(Debug)]
pub(super) enum Lookup {
    Given(Secret),
    Env(String),
    File {
        path: PathBuf,
        permissions: Permissions,
        reads: Reads,
    },
    Asked(Arc<dyn CredentialProvider>),
}

impl Lookup {
    pub(super) fn new(source: &SecretSource, purpose: Purpose) -> Self {
        match (source, purpose) {
            (SecretSource::Value(secret), _) => Self::Given(secret.clone()),
            (source, Purpose::Password) => Self::Asked(source.provider()),
            (SecretSource::Env(name), _) => Self::Env(name.clone()),
            (SecretSource::File(path), purpose) => Self::File {
                path: path.into(),
                permissions: match purpose {
                    Purpose::Public => Permissions::Any,
                    _ => Permissions::LikePrivateKey,
                },
                reads: Reads::new(),
            },
            (SecretSource::Command(words), _) => {
                let mut words = words.iter();
                let program = words.next().map_or("", String::as_str);
                let command = CommandPassword::new(program).with_args(words);
                Self::Asked(Arc::new(command.with_whole_output()))
            }
        }
    }

    /// What the document itself has.
    pub(super) fn given(&self) -> Option<Found> {
        match self {
            Self::Given(secret) => Some(Found::Text(secret.clone())),
            _ => None,
        }
    }

    /// Cancel-safe, as the sources are.
    ///
    /// # Errors
    /// There is nothing, or it cannot be read.
    pub(super) async fn find(&self, request: &CredentialRequest<'_>) -> Result<Found, Error> {
        match self {
            Self::Given(secret) => Ok(Found::Text(secret.clone())),
            Self::Env(name) => of_variable(name),
            Self::File {
                path,
                permissions,
                reads,
            } => {
                let unreadable = |why: &dyn fmt::Display| {
                    let message = format!("file {} {why}", path.display());
                    error(&codes::CONFIG_FILE, message)
                };
                let (path, permissions) = (path.clone(), *permissions);
                let read = reads.run(move || file::read(&path, MAX_LEN, permissions));
                match read.await {
                    Ok(Ok((_, bytes))) if bytes.is_empty() => Err(unreadable(&"is empty")),
                    Ok(Ok((_, bytes))) => Ok(Found::Bytes(Arc::new(bytes))),
                    Ok(Err(cause)) => Err(unreadable(&cause)),
                    Err(cause) => {
                        Err(unreadable(&"cannot be read: it was cut off").with_source(cause))
                    }
                }
            }
            Self::Asked(provider) => {
                let credential = provider.credential(request).await?;
                match credential.secret() {
                    Some(secret) => Ok(Found::Text(secret.clone())),
                    None => Err(error(&codes::CONFIG_MISSING, "the source gave no secret")),
                }
            }
        }
    }

    /// What was found last is of no use: whether another look-up can find something else.
    #[cfg(feature = "cert")]
    pub(super) fn invalidate(&self, found: &Found) -> bool {
        match (self, found) {
            (Self::Given(_), _) => false,
            (Self::Asked(provider), Found::Text(secret)) => {
                provider.invalidate(&pgreach_core::Credential::password(secret.clone()))
            }
            _ => true,
        }
    }
}

fn of_variable(name: &str) -> Result<Found, Error> {
    let trouble = |what: &str| {
        let message = format!("environment variable {name} {what}");
        error(&codes::CONFIG_MISSING, message)
    };
    match std::env::var(name).map(Zeroizing::new) {
        Ok(text) if text.is_empty() => Err(trouble("is empty")),
        Ok(text) => Ok(Found::Text(Secret::new(text.as_str()))),
        Err(std::env::VarError::NotPresent) => Err(trouble("is not set")),
        Err(std::env::VarError::NotUnicode(_)) => Err(trouble("is not UTF-8 text")),
    }
}

fn error(code: &'static Code, message: impl AsRef<str>) -> Error {
    Error::new(code, Stage::CREDENTIAL, message)
}

/// The bytes of an archive. `path` is the field.
///
/// # Errors
/// It is text, and not base64.
#[cfg(any(feature = "cert", feature = "azure-client-certificate"))]
pub(super) fn archive(path: &str, found: &Found) -> Result<Zeroizing<Vec<u8>>, Error> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    let bytes = found.bytes();
    // DER is never ASCII throughout: an archive is longer than what one byte of length can tell.
    if !bytes.is_ascii() {
        return Ok(Zeroizing::new(bytes.to_vec()));
    }
    // With line ends, as `base64` and `openssl` write it. Of full size from the start: a vector that
    // grows leaves copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(bytes.len()));
    text.extend(bytes.iter().filter(|byte| !byte.is_ascii_whitespace()));
    match STANDARD.decode(text.as_slice()) {
        Ok(bytes) => Ok(Zeroizing::new(bytes)),
        Err(_) => Err(super::fault::Fault::field(path, "is not base64").into()),
    }
}
