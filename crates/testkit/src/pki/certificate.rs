//! Certificates of servers and clients.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose};
use time::{Duration, OffsetDateTime};

use super::authority::{base_params, serial_of};
use super::store::Store;
use super::{AlternativeName, Issuer, Pki};
use crate::Error;

/// The kind of a certificate's key.
///
/// RSA is missing: the library behind this module cannot make such keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum KeyType {
    /// ECDSA on the curve P-256.
    #[default]
    EcdsaP256,
    /// Ed25519.
    Ed25519,
}

impl KeyType {
    fn generate(self) -> Result<KeyPair, Error> {
        match self {
            Self::EcdsaP256 => Ok(KeyPair::generate()?),
            Self::Ed25519 => first_version(&KeyPair::generate_for(&rcgen::PKCS_ED25519)?),
        }
    }
}

/// Encodes an Ed25519 key without its public half, as version 1 of PKCS#8 has it.
///
/// A fresh key comes in version 2, which OpenSSL does not read.
fn first_version(key: &KeyPair) -> Result<KeyPair, Error> {
    // A sequence of the version, the algorithm and the head of the secret, which follows.
    const HEAD: [u8; 16] = [
        0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
    ];
    let secret = key
        .serialized_der()
        .get(HEAD.len()..HEAD.len() + 32)
        .ok_or_else(|| Error::Certificate("a fresh Ed25519 key is too short".into()))?;
    let reencoded = KeyPair::try_from([&HEAD, secret].concat())?;
    if reencoded.public_key_raw() != key.public_key_raw() {
        return Err(Error::Certificate(
            "a fresh Ed25519 key has an unknown encoding".into(),
        ));
    }
    Ok(reencoded)
}

/// What a certificate is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Server,
    Client,
}

/// When a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Validity {
    Now,
    Past,
    Future,
}

/// A certificate to be issued; made by [`Pki::server`] and [`Pki::client`].
#[derive(Debug, Clone)]
#[must_use = "nothing is made before `issue`"]
pub struct CertificateBuilder<'a> {
    pki: &'a Pki,
    role: Role,
    name: String,
    names: Vec<AlternativeName>,
    common_name_only: bool,
    issuer: Issuer,
    validity: Validity,
    key: KeyType,
}

impl<'a> CertificateBuilder<'a> {
    pub(super) fn new(pki: &'a Pki, role: Role, name: String) -> Self {
        Self {
            pki,
            role,
            name,
            names: Vec::new(),
            common_name_only: false,
            issuer: Issuer::default(),
            validity: Validity::Now,
            key: KeyType::default(),
        }
    }

    /// Adds a DNS name to the alternative names; it may hold a wildcard.
    pub fn with_dns(mut self, name: impl Into<String>) -> Self {
        self.names.push(AlternativeName::Dns(name.into()));
        self
    }

    /// Adds an address to the alternative names.
    pub fn with_ip(mut self, ip: IpAddr) -> Self {
        self.names.push(AlternativeName::Ip(ip));
        self
    }

    /// Leaves out all alternative names, also those added before or after.
    pub fn common_name_only(mut self) -> Self {
        self.common_name_only = true;
        self
    }

    /// Chooses the issuer, by default [`Issuer::Root`].
    pub fn signed_by(mut self, issuer: Issuer) -> Self {
        self.issuer = issuer;
        self
    }

    /// Lets the certificate end yesterday.
    pub fn expired(mut self) -> Self {
        self.validity = Validity::Past;
        self
    }

    /// Lets the certificate begin tomorrow.
    pub fn not_yet_valid(mut self) -> Self {
        self.validity = Validity::Future;
        self
    }

    /// Chooses the kind of the key, by default [`KeyType::EcdsaP256`].
    pub fn with_key(mut self, key: KeyType) -> Self {
        self.key = key;
        self
    }

    /// Makes the key and the certificate, and writes both to files.
    ///
    /// # Errors
    ///
    /// [`Error::Certificate`] for a DNS name that is not ASCII, [`Error::File`] when a file cannot
    /// be written.
    pub fn issue(self) -> Result<Certificate, Error> {
        let key = self.key.generate()?;
        let mut params = base_params(&self.name, &key);
        let now = OffsetDateTime::now_utc();
        match self.validity {
            Validity::Now => {}
            Validity::Past => {
                params.not_before = now - Duration::DAY * 10;
                params.not_after = now - Duration::DAY;
            }
            Validity::Future => params.not_before = now + Duration::DAY,
        }
        if !self.common_name_only {
            params.subject_alt_names = self
                .names
                .iter()
                .map(AlternativeName::encode)
                .collect::<Result<_, _>>()?;
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.extended_key_usages.push(match self.role {
            Role::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Role::Client => ExtendedKeyUsagePurpose::ClientAuth,
        });

        let certificate = match self.pki.authority(self.issuer) {
            Some(authority) => {
                params.key_usages.push(KeyUsagePurpose::DigitalSignature);
                authority.sign(&params, &key)?
            }
            // No key usage: with one, it would have to allow signing certificates as well.
            None => params.self_signed(&key)?,
        };

        let cert_pem = certificate.pem();
        let chain_pem = match self.issuer {
            Issuer::Intermediate => format!("{cert_pem}{}", self.pki.intermediate_pem()),
            _ => cert_pem.clone(),
        };
        let key_pem = key.serialize_pem();
        let store = &self.pki.store;
        let stem = store.stem(&self.name);
        Ok(Certificate {
            cert_file: store.write_public(&format!("{stem}.crt"), &chain_pem)?,
            key_file: store.write_secret(&format!("{stem}.key"), &key_pem)?,
            chain_pem,
            cert_pem,
            key_pem,
            der: certificate.der().to_vec(),
            serial: serial_of(&key),
            issuer: self.issuer,
            name: self.name,
            store: Arc::clone(store),
        })
    }
}

/// A certificate with its key.
///
/// Clones share the files.
#[derive(Clone)]
pub struct Certificate {
    name: String,
    issuer: Issuer,
    serial: u128,
    chain_pem: String,
    cert_pem: String,
    key_pem: String,
    der: Vec<u8>,
    cert_file: PathBuf,
    key_file: PathBuf,
    store: Arc<Store>,
}

impl Certificate {
    /// The common name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who signed the certificate.
    #[must_use]
    pub fn issuer(&self) -> Issuer {
        self.issuer
    }

    /// The serial number; in decimal digits it is what `pg_stat_ssl.client_serial` shows.
    #[must_use]
    pub fn serial(&self) -> u128 {
        self.serial
    }

    /// The certificate, followed by the intermediate's if that one signed it.
    #[must_use]
    pub fn chain_pem(&self) -> &str {
        &self.chain_pem
    }

    /// The certificate alone.
    #[must_use]
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The private key as PKCS#8.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The certificate alone, without the PEM armour.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The file of [`Certificate::chain_pem`].
    #[must_use]
    pub fn cert_file(&self) -> &Path {
        &self.cert_file
    }

    /// The file of [`Certificate::key_pem`], which only its owner may read.
    #[must_use]
    pub fn key_file(&self) -> &Path {
        &self.key_file
    }

    /// Whether the certificate is from the `Pki` with this store.
    pub(super) fn is_in(&self, store: &Arc<Store>) -> bool {
        Arc::ptr_eq(&self.store, store)
    }
}

impl fmt::Debug for Certificate {
    /// Leaves out the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("name", &self.name)
            .field("issuer", &self.issuer)
            .field("serial", &format_args!("{:x}", self.serial))
            .field("cert_file", &self.cert_file)
            .finish_non_exhaustive()
    }
}
