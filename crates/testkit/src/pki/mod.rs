//! A throw-away public key infrastructure: authorities, certificates and revocation lists.
//!
//! [`Pki::generate`] makes a root, an intermediate signed by it and an unrelated second root. Every
//! certificate is kept in memory and in a file, so that it suits a driver's API as well as the
//! settings of a server.
//!
//! ```
//! # fn main() -> Result<(), pgreach_testkit::Error> {
//! use pgreach_testkit::pki::{Issuer, Pki};
//!
//! let pki = Pki::generate()?;
//! let server = pki.server("db.internal").signed_by(Issuer::Intermediate).issue()?;
//! let client = pki.client("alice").issue()?;
//! pki.revoke(&client)?;
//! println!("ssl_cert_file = '{}'", server.cert_file().display());
//! println!("ssl_crl_file = '{}'", pki.crl_file()?.display());
//! # Ok(())
//! # }
//! ```

mod authority;
mod certificate;
mod store;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rcgen::SanType;
use time::{Duration, OffsetDateTime};

use self::authority::Authority;
use self::certificate::Role;
pub use self::certificate::{Certificate, CertificateBuilder, KeyType};
use self::store::Store;
use crate::Error;

/// Who signs a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Issuer {
    /// The root.
    #[default]
    Root,
    /// The intermediate, which the root signed.
    Intermediate,
    /// The second root, which shares nothing with the first.
    Other,
    /// The certificate's own key.
    SelfSigned,
}

/// Authorities, and the files of everything they issued.
///
/// The files live in a folder of their own with mode 0755, certificates and lists with mode 0644
/// and keys with mode 0600. The folder is removed when the `Pki` and the last [`Certificate`] from
/// it are gone.
pub struct Pki {
    root: Authority,
    intermediate: Authority,
    other: Authority,
    root_file: PathBuf,
    intermediate_file: PathBuf,
    other_root_file: PathBuf,
    bundle_file: PathBuf,
    revoked: Mutex<Revoked>,
    store: Arc<Store>,
}

/// What was revoked, by issuer, and how many lists were made of it.
#[derive(Debug, Default)]
struct Revoked {
    root: Vec<u128>,
    intermediate: Vec<u128>,
    other: Vec<u128>,
    lists: u64,
}

impl Pki {
    /// Makes the authorities and writes their certificates to files.
    ///
    /// # Errors
    ///
    /// [`Error::Certificate`] when no key can be made, [`Error::File`] when a file cannot be
    /// written.
    pub fn generate() -> Result<Self, Error> {
        let store = Arc::new(Store::create()?);
        let root = Authority::root("pgreach test root")?;
        let intermediate = Authority::below(&root, "pgreach test intermediate")?;
        let other = Authority::root("pgreach other test root")?;
        let bundle = format!("{}{}", root.pem(), intermediate.pem());
        Ok(Self {
            root_file: store.write_public("root.crt", root.pem())?,
            intermediate_file: store.write_public("intermediate.crt", intermediate.pem())?,
            other_root_file: store.write_public("other-root.crt", other.pem())?,
            bundle_file: store.write_public("bundle.crt", &bundle)?,
            root,
            intermediate,
            other,
            revoked: Mutex::default(),
            store,
        })
    }

    /// The root's certificate.
    #[must_use]
    pub fn root_pem(&self) -> &str {
        self.root.pem()
    }

    /// The file of the root's certificate.
    #[must_use]
    pub fn root_file(&self) -> &Path {
        &self.root_file
    }

    /// The intermediate's certificate.
    #[must_use]
    pub fn intermediate_pem(&self) -> &str {
        self.intermediate.pem()
    }

    /// The file of the intermediate's certificate.
    #[must_use]
    pub fn intermediate_file(&self) -> &Path {
        &self.intermediate_file
    }

    /// The file of the root's and the intermediate's certificates, in this order.
    #[must_use]
    pub fn bundle_file(&self) -> &Path {
        &self.bundle_file
    }

    /// The second root's certificate.
    #[must_use]
    pub fn other_root_pem(&self) -> &str {
        self.other.pem()
    }

    /// The file of the second root's certificate.
    #[must_use]
    pub fn other_root_file(&self) -> &Path {
        &self.other_root_file
    }

    /// Starts a server's certificate.
    ///
    /// The name becomes the common name and the first alternative name: an address if it parses as
    /// one, else a DNS name.
    pub fn server(&self, name: impl Into<String>) -> CertificateBuilder<'_> {
        let name = name.into();
        let builder = CertificateBuilder::new(self, Role::Server, name.clone());
        match name.parse::<IpAddr>() {
            Ok(ip) => builder.with_ip(ip),
            Err(_) => builder.with_dns(name),
        }
    }

    /// Starts a client's certificate with the user as its common name and no alternative name.
    pub fn client(&self, user: impl Into<String>) -> CertificateBuilder<'_> {
        CertificateBuilder::new(self, Role::Client, user.into())
    }

    /// Puts a certificate on its issuer's list.
    ///
    /// Lists made earlier do not change, see [`Pki::crl_file`].
    ///
    /// # Errors
    ///
    /// [`Error::State`] for a certificate of another [`Pki`], and for a self-signed one, as nobody
    /// keeps a list for it.
    pub fn revoke(&self, certificate: &Certificate) -> Result<(), Error> {
        if !certificate.is_in(&self.store) {
            return Err(Error::State(
                "cannot revoke a certificate of another Pki".into(),
            ));
        }
        let mut revoked = self.revoked();
        let list = match certificate.issuer() {
            Issuer::Root => &mut revoked.root,
            Issuer::Intermediate => &mut revoked.intermediate,
            Issuer::Other => &mut revoked.other,
            Issuer::SelfSigned => {
                return Err(Error::State(
                    "cannot revoke a self-signed certificate".into(),
                ));
            }
        };
        if !list.contains(&certificate.serial()) {
            list.push(certificate.serial());
        }
        Ok(())
    }

    /// The revocation lists of the root, the intermediate and the second root, valid for a day.
    ///
    /// # Errors
    ///
    /// [`Error::Certificate`] when a list cannot be signed.
    pub fn crl_pem(&self) -> Result<String, Error> {
        let now = OffsetDateTime::now_utc();
        self.lists(
            &mut self.revoked(),
            now - Duration::HOUR,
            now + Duration::DAY,
        )
    }

    /// Writes [`Pki::crl_pem`] to a file.
    ///
    /// The path is the same every time; each call replaces the file in one step, so that a server
    /// that names it in its settings needs no more than a reload.
    ///
    /// # Errors
    ///
    /// [`Error::Certificate`] when a list cannot be signed, [`Error::File`] when the file cannot be
    /// written.
    pub fn crl_file(&self) -> Result<PathBuf, Error> {
        let now = OffsetDateTime::now_utc();
        self.write_lists("crl.pem", now - Duration::HOUR, now + Duration::DAY)
    }

    /// Writes the same lists as [`Pki::crl_file`], but out of date since yesterday.
    ///
    /// # Errors
    ///
    /// As [`Pki::crl_file`].
    pub fn expired_crl_file(&self) -> Result<PathBuf, Error> {
        let now = OffsetDateTime::now_utc();
        self.write_lists(
            "expired-crl.pem",
            now - Duration::DAY * 2,
            now - Duration::DAY,
        )
    }

    /// Holds the lock until the file is in place: the newest list must win.
    fn write_lists(
        &self,
        name: &str,
        since: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<PathBuf, Error> {
        let mut revoked = self.revoked();
        let lists = self.lists(&mut revoked, since, until)?;
        self.store.write_public(name, &lists)
    }

    fn lists(
        &self,
        revoked: &mut Revoked,
        since: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<String, Error> {
        revoked.lists += 1;
        let number = revoked.lists;
        let mut lists = self.root.crl(&revoked.root, number, since, until)?;
        lists += &self
            .intermediate
            .crl(&revoked.intermediate, number, since, until)?;
        lists += &self.other.crl(&revoked.other, number, since, until)?;
        Ok(lists)
    }

    fn revoked(&self) -> MutexGuard<'_, Revoked> {
        self.revoked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The authority behind an issuer; none for a self-signed certificate.
    fn authority(&self, issuer: Issuer) -> Option<&Authority> {
        match issuer {
            Issuer::Root => Some(&self.root),
            Issuer::Intermediate => Some(&self.intermediate),
            Issuer::Other => Some(&self.other),
            Issuer::SelfSigned => None,
        }
    }
}

impl fmt::Debug for Pki {
    /// Leaves out the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pki")
            .field("folder", &self.store.folder())
            .field("revoked", &*self.revoked())
            .finish_non_exhaustive()
    }
}

/// An alternative name as the builder takes it; whether it can be encoded shows at the end.
#[derive(Debug, Clone)]
enum AlternativeName {
    Dns(String),
    Ip(IpAddr),
}

impl AlternativeName {
    fn encode(&self) -> Result<SanType, Error> {
        match self {
            Self::Dns(name) => name.as_str().try_into().map(SanType::DnsName).map_err(|_| {
                Error::Certificate(format!("`{name}` is no DNS name: it is not all ASCII"))
            }),
            Self::Ip(ip) => Ok(SanType::IpAddress(*ip)),
        }
    }
}
