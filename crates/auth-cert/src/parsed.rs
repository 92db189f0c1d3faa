//! A certificate and its key, read and checked.

use pgreach_core::{ClientIdentity, Error, Secret};
use zeroize::Zeroizing;

use crate::backend;
use crate::pem;
use crate::subject::Subject;

/// What a backend makes of its input: the chain in order, and the key.
pub(crate) struct Pair {
    pub(crate) chain: Vec<Vec<u8>>,
    /// PKCS#8 in PEM.
    pub(crate) key_pem: Zeroizing<Vec<u8>>,
    pub(crate) subject: Subject,
}

/// A certificate that can be presented.
#[derive(Debug, Clone)]
pub(crate) struct Parsed {
    pub(crate) identity: ClientIdentity,
    pub(crate) subject: Subject,
}

impl Parsed {
    pub(crate) fn from_pair(
        certificate: &[u8],
        key: &[u8],
        passphrase: Option<&Secret>,
    ) -> Result<Self, Error> {
        backend::pair(certificate, key, given(passphrase)).map(Self::new)
    }

    pub(crate) fn from_pkcs12(bytes: &[u8], passphrase: Option<&Secret>) -> Result<Self, Error> {
        backend::pkcs12(bytes, given(passphrase)).map(Self::new)
    }

    fn new(mut pair: Pair) -> Self {
        let chain: Vec<u8> = pair
            .chain
            .iter()
            .flat_map(|der| pem::encode("CERTIFICATE", der).to_vec())
            .collect();
        // Moved, not copied: the identity wipes it.
        let key = std::mem::take(&mut *pair.key_pem);
        Self {
            identity: ClientIdentity::from_pem(chain, key),
            subject: pair.subject,
        }
    }
}

/// An empty passphrase is none, as in libpq.
fn given(passphrase: Option<&Secret>) -> Option<&str> {
    passphrase
        .map(Secret::expose)
        .filter(|passphrase| !passphrase.is_empty())
}
