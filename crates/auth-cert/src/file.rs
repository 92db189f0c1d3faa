//! A certificate in files that others renew.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pgreach_core::file::{self, FileError, Permissions, Reads};
use pgreach_core::{Code, Credential, CredentialProvider, CredentialRequest, Error, Retry, Secret};
use zeroize::Zeroizing;

use crate::codes;
use crate::input::MAX_INPUT;
use crate::parsed::Parsed;
use crate::presentation::Presentation;
use crate::problem::error;

/// Two files that do not fit together, or one that is not whole, may be caught in the middle of a
/// renewal: they are read again, after a pause.
const MORE_READS: usize = 4;
const PAUSE: Duration = Duration::from_millis(50);

/// A client certificate and its key in files, or in one PKCS#12 file.
///
/// The files are read for each new connection and parsed anew only when their bytes have changed, so
/// a renewed certificate is used by the next connection: written in place, renamed over the old one,
/// or reached by a symbolic link that was switched, as Kubernetes does. Files that are caught in the
/// middle of a renewal, so that the key is not the certificate's, are read again for a fifth of a
/// second before that is an error.
///
/// A file on a mount that hangs holds one thread of tokio's pool for blocking calls until the mount
/// answers, and no more than one: a source and its clones read one at a time. The connections that
/// wait meanwhile end at their deadlines.
///
/// # Permissions
///
/// As in libpq, a key that others can read is refused: allowed are mode 0600 and less, and 0640 and
/// less for a file of root. So is a PKCS#12 file, which holds a key. That fits Kubernetes secrets
/// mounted with `defaultMode: 0400` (with an `fsGroup`, 0440). The file of the certificate may be
/// readable by all, unless the key is in it.
///
/// ```no_run
/// use pgreach_auth_cert::FileCertificate;
///
/// let certificate = FileCertificate::new("/etc/app/tls.crt", "/etc/app/tls.key")
///     .with_user_from_subject();
/// ```
#[derive(Debug, Clone)]
pub struct FileCertificate {
    place: Place,
    passphrase: Option<Secret>,
    presentation: Presentation,
    cached: Arc<Mutex<Option<Cached>>>,
    reads: Reads,
}

#[derive(Debug, Clone)]
enum Place {
    Pair { certificate: PathBuf, key: PathBuf },
    Pkcs12(PathBuf),
}

/// What was read last, and what came of it: a failure, too, is not worth the work of finding it out
/// a second time.
struct Cached {
    content: Content,
    outcome: Result<Arc<Parsed>, Error>,
}

impl fmt::Debug for Cached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached")
            .field("outcome", &self.outcome)
            .finish_non_exhaustive()
    }
}

#[derive(PartialEq, Eq)]
struct Content {
    certificate: Zeroizing<Vec<u8>>,
    /// `None`: in the same file.
    key: Option<Zeroizing<Vec<u8>>>,
}

impl FileCertificate {
    /// The certificate, with those of its issuers behind it, in one file and its key in another, or
    /// the same: each in PEM or DER, in any of the [forms](crate#forms).
    #[must_use]
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self::at(Place::Pair {
            certificate: certificate.into(),
            key: key.into(),
        })
    }

    /// The key in a PKCS#12 file, and the chain of the certificate that it belongs to.
    #[must_use]
    pub fn pkcs12(path: impl Into<PathBuf>) -> Self {
        Self::at(Place::Pkcs12(path.into()))
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            passphrase: None,
            presentation: Presentation::new(),
            cached: Arc::default(),
            reads: Reads::new(),
        }
    }

    /// The passphrase of the key. One that is not needed is ignored; an empty one is none.
    #[must_use]
    pub fn with_passphrase(mut self, passphrase: impl Into<Secret>) -> Self {
        self.passphrase = Some(passphrase.into());
        // What is cached may be a failure for want of it, and may be shared with clones.
        self.cached = Arc::default();
        self
    }

    /// Adds the password or token of another source, for servers that demand both. Whom that source
    /// names is the user, unless the certificate's own settings name one.
    #[must_use]
    pub fn with_password_from(mut self, source: impl CredentialProvider) -> Self {
        self.presentation.set_password(source);
        self
    }

    /// The user that the certificate belongs to. A user given to the connector itself comes first.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.presentation.set_user(user.into());
        self
    }

    /// The user is the common name (CN) of the certificate's subject, which the server's method
    /// `cert` compares it with. A user given to the connector itself comes first.
    #[must_use]
    pub fn with_user_from_subject(mut self) -> Self {
        self.presentation.set_user_from_subject();
        self
    }

    /// How long before the end of the certificate a report warns of it: 30 days by default, never
    /// with zero.
    #[must_use]
    pub fn with_expiry_warning(mut self, span: Duration) -> Self {
        self.presentation.set_expiry_warning(span);
        self
    }

    /// Blocks on the file system, and on the work to decrypt a key that is new.
    fn load(&self) -> Result<Arc<Parsed>, Error> {
        let content = self.place.read()?;
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cached) = cached.as_ref().filter(|cached| cached.content == content) {
            return repeated(&cached.outcome);
        }
        let outcome = self.parse(&content).map(Arc::new);
        let result = repeated(&outcome);
        *cached = Some(Cached { content, outcome });
        result
    }

    fn parse(&self, content: &Content) -> Result<Parsed, Error> {
        let passphrase = self.passphrase.as_ref();
        let certificate = content.certificate.as_slice();
        let parsed = match &self.place {
            Place::Pair { .. } => {
                let key = content.key.as_deref().map_or(certificate, Vec::as_slice);
                Parsed::from_pair(certificate, key, passphrase)
            }
            Place::Pkcs12(_) => Parsed::from_pkcs12(certificate, passphrase),
        };
        parsed.map_err(|error| error.with_context(&self.place))
    }

    /// Waits for a renewal that is under way.
    async fn current(&self) -> Result<Arc<Parsed>, Error> {
        let mut more = MORE_READS;
        loop {
            let source = self.clone();
            let read = self.reads.run(move || source.load()).await;
            let result = read.unwrap_or_else(|cause| {
                let message = format!("the read of {} was cut off", self.place);
                Err(error(&codes::CERT_FILE, message).with_source(cause))
            });
            match result {
                Err(error) if is_in_between(&error) => {
                    if more == 0 {
                        return Err(error.with_retry(Retry::Backoff));
                    }
                    more -= 1;
                    tokio::time::sleep(PAUSE).await;
                }
                other => return other,
            }
        }
    }
}

/// What files look like between the old certificate and the new one.
fn is_in_between(error: &Error) -> bool {
    let codes: [&Code; 3] = [
        &codes::CERT_KEY_MISMATCH,
        &codes::CERT_INVALID,
        &codes::CERT_KEY_INVALID,
    ];
    codes.contains(&error.code())
}

fn repeated(outcome: &Result<Arc<Parsed>, Error>) -> Result<Arc<Parsed>, Error> {
    match outcome {
        Ok(parsed) => Ok(Arc::clone(parsed)),
        Err(error) => Err(error.repeat()),
    }
}

impl Place {
    fn read(&self) -> Result<Content, Error> {
        match self {
            Self::Pkcs12(path) => Ok(Content {
                certificate: read("client certificate file", path, Permissions::LikePrivateKey)?,
                key: None,
            }),
            Self::Pair { certificate, key } if certificate == key => Ok(Content {
                certificate: read("client certificate file", key, Permissions::LikePrivateKey)?,
                key: None,
            }),
            Self::Pair { certificate, key } => Ok(Content {
                certificate: read("client certificate file", certificate, Permissions::Any)?,
                key: Some(read("private key file", key, Permissions::LikePrivateKey)?),
            }),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pair { certificate, key } if certificate != key => write!(
                f,
                "client certificate file {} and private key file {}",
                certificate.display(),
                key.display()
            ),
            Self::Pair { key: path, .. } | Self::Pkcs12(path) => {
                write!(f, "client certificate file {}", path.display())
            }
        }
    }
}

fn read(what: &str, path: &Path, permissions: Permissions) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (_, bytes) = file::read(path, MAX_INPUT, permissions).map_err(|cause| {
        let code = match cause {
            FileError::OpenToOthers { .. } => &codes::CERT_KEY_PERMISSIONS,
            _ => &codes::CERT_FILE,
        };
        let error = error(code, format!("{what} {} {cause}", path.display()));
        match cause {
            FileError::Unreadable(cause) => error.with_source(cause),
            FileError::Changing => error.with_retry(Retry::Backoff),
            _ => error,
        }
    })?;
    Ok(bytes)
}

#[async_trait]
impl CredentialProvider for FileCertificate {
    async fn credential(&self, request: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        let certificate = self.current().await?;
        self.presentation.present(&certificate, request).await
    }

    /// Always true: the next call reads the files again. The connector does not try twice with the
    /// same certificate.
    fn invalidate(&self, rejected: &Credential) -> bool {
        self.presentation.invalidate(rejected);
        true
    }
}
