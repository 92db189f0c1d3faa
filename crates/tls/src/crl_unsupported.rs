//! Revocation lists where native-tls is not OpenSSL: refused, because they cannot be enforced.

use std::path::PathBuf;

use pgreach_core::{Error, Stage};

use crate::codes;
use crate::roots::LoadedRoots;

/// There is none.
pub(crate) enum Crl {}

impl Crl {
    pub(crate) fn load(_: Vec<PathBuf>, _: Vec<PathBuf>, _: &LoadedRoots) -> Result<Self, Error> {
        Err(Error::new(
            &codes::TLS_CRL,
            Stage::CONFIG,
            "revocation lists are not supported with this platform's TLS library",
        )
        .with_hint(
            "remove sslcrl and sslcrldir; they are enforced where the TLS library is OpenSSL",
        ))
    }

    pub(crate) fn check(&self, _: &[u8], _: &str) -> Result<(), Error> {
        match *self {}
    }
}
