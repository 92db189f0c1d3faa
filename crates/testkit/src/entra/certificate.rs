//! The certificate of an application.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{Algorithm, Header};
use rcgen::{CertificateParams, DnType, KeyPair};
use sha1::{Digest, Sha1};

use super::keys::{Claims, SigningKey};
use crate::Error;

/// A self-signed certificate with an RSA key, as applications prove themselves with.
///
/// [`Pki`](crate::Pki) has no RSA keys, and Entra takes no others.
pub struct AppCertificate {
    key: SigningKey,
    pem: String,
    der: Vec<u8>,
}

impl AppCertificate {
    /// Makes a key and a certificate for this name.
    ///
    /// # Errors
    /// There is no `ssh-keygen`, which makes the key.
    pub fn generate(name: &str) -> Result<Self, Error> {
        let key = SigningKey::generate()?;
        let pair = KeyPair::from_pem(key.pem())?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&pair)?;
        Ok(Self {
            key,
            pem: certificate.pem(),
            der: certificate.der().to_vec(),
        })
    }

    /// The certificate.
    pub fn cert_pem(&self) -> &str {
        &self.pem
    }

    /// The private key as PKCS#8.
    pub fn key_pem(&self) -> &str {
        self.key.pem()
    }

    /// The certificate without the PEM armour.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-1 over the certificate, which names it in an assertion's header.
    pub fn thumbprint(&self) -> Vec<u8> {
        Sha1::digest(&self.der).to_vec()
    }

    /// A client assertion with these claims, signed and named as Entra wants it.
    ///
    /// # Errors
    /// The claims cannot be signed.
    pub fn assertion(&self, claims: &Claims) -> Result<String, Error> {
        let mut header = Header::new(Algorithm::RS256);
        header.x5t = Some(BASE64URL_NOPAD.encode(&self.thumbprint()));
        self.key.sign_under(&header, claims)
    }

    pub(super) fn key(&self) -> &SigningKey {
        &self.key
    }
}

impl fmt::Debug for AppCertificate {
    /// Leaves out the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppCertificate").finish_non_exhaustive()
    }
}
