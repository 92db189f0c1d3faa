//! Which authorities are trusted.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use native_tls::Certificate;
use pgreach_core::{Error, Stage};

use crate::{codes, pem};

/// The authorities whose certificates are trusted: libpq's `sslrootcert`.
///
/// Nothing is read or parsed before [`NativeTlsBuilder::build`](crate::NativeTlsBuilder::build),
/// which reports what is wrong; the file is read once there.
#[derive(Debug, Clone)]
pub struct Roots(Source);

#[derive(Debug, Clone)]
enum Source {
    System,
    Pem(Text),
    File(PathBuf),
}

#[derive(Clone)]
struct Text {
    bytes: Vec<u8>,
    /// How many there were, also after [`Roots::forget`].
    len: usize,
}

/// A combined file has a private key beside the certificates, so none of it is shown.
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len)
    }
}

impl Roots {
    /// The system's roots (`sslrootcert=system`), the default. With OpenSSL: the usual places of the
    /// distributions, or where `SSL_CERT_FILE` and `SSL_CERT_DIR` point.
    ///
    /// Public authorities sign for anybody, so with these roots the name must be verified:
    /// [`Verification::Ca`](pgreach_core::Verification::Ca) is refused in the handshake.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// The certificates of a PEM text, and no others: the system's roots are replaced.
    #[must_use]
    pub fn from_pem(certificates: impl Into<Vec<u8>>) -> Self {
        let bytes = certificates.into();
        let len = bytes.len();
        Self(Source::Pem(Text { bytes, len }))
    }

    /// The certificates of a PEM file, and no others: the system's roots are replaced. Every
    /// certificate of the file is trusted, or taken as an intermediate when it is not self-signed;
    /// text between them does not matter. One that cannot be parsed, or none at all, is an error.
    #[must_use]
    pub fn from_file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// Drops the text, which is not needed once it is loaded: it may hold more than certificates.
    pub(crate) fn forget(&mut self) {
        if let Source::Pem(text) = &mut self.0 {
            text.bytes = Vec::new();
        }
    }

    pub(crate) fn load(&self) -> Result<LoadedRoots, Error> {
        let (bytes, label) = match &self.0 {
            Source::System => return Ok(LoadedRoots::system()),
            Source::Pem(text) => (
                Cow::Borrowed(text.bytes.as_slice()),
                "the given root certificates".to_owned(),
            ),
            Source::File(path) => {
                let label = format!("root certificate file \"{}\"", path.display());
                let bytes = read_file(path).map_err(|error| {
                    refusal(format!("{label} cannot be read: {error}")).with_source(error)
                })?;
                (Cow::Owned(bytes), label)
            }
        };
        let certificates = parse(&bytes).map_err(|error| error.with_context(&label))?;
        Ok(LoadedRoots {
            system: false,
            label,
            certificates,
        })
    }
}

impl Default for Roots {
    fn default() -> Self {
        Self::system()
    }
}

/// Roots as the TLS library wants them.
pub(crate) struct LoadedRoots {
    pub(crate) system: bool,
    /// What to call them in messages.
    pub(crate) label: String,
    /// Empty for the system's.
    pub(crate) certificates: Vec<Certificate>,
}

/// Looked at before it is opened: opening a pipe would wait for a writer.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if std::fs::metadata(path)?.is_file() {
        std::fs::read(path)
    } else {
        Err(io::Error::other("it is not a plain file"))
    }
}

impl LoadedRoots {
    pub(crate) fn system() -> Self {
        Self {
            system: true,
            label: "the system's roots".to_owned(),
            certificates: Vec::new(),
        }
    }
}

fn refusal(message: impl AsRef<str>) -> Error {
    Error::new(&codes::TLS_ROOTS, Stage::CONFIG, message)
}

fn parse(bytes: &[u8]) -> Result<Vec<Certificate>, Error> {
    let mut certificates = Vec::new();
    for block in pem::blocks(bytes) {
        let place = |what: &str| {
            refusal(format!(
                "certificate {} (line {}) {what}",
                certificates.len() + 1,
                block.line
            ))
        };
        match block.label {
            "CERTIFICATE" | "X509 CERTIFICATE" => {}
            // OpenSSL's own format can carry distrust, which native-tls would drop.
            "TRUSTED CERTIFICATE" => {
                return Err(place("is in OpenSSL's \"trusted\" format").with_hint(
                    "convert it with: openssl x509 -in FILE -clrtrust -clrreject -out NEWFILE",
                ));
            }
            _ => continue,
        }
        let Some(text) = block.text else {
            return Err(place("has no end"));
        };
        // The library looks at the first block only, so each is given on its own.
        let certificate = Certificate::from_pem(text)
            .map_err(|error| place("cannot be parsed").with_source(error))?;
        certificates.push(certificate);
    }
    if certificates.is_empty() {
        let error = refusal("there is no certificate in it");
        // DER begins with the tag of a SEQUENCE.
        return Err(if bytes.first() == Some(&0x30) {
            error.with_hint(
                "the file looks like DER; convert it with: openssl x509 -inform der -in FILE -out NEWFILE",
            )
        } else {
            error
        });
    }
    Ok(certificates)
}
