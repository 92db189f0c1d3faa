//! Who we are to the database, and where that comes from.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::{Endpoint, Error, Secret};

/// What kind of proof a [`Credential`] holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CredentialKind {
    /// Nothing: the server trusts the client or asks the operating system.
    None,
    /// A password, for any of the server's password methods.
    Password,
    /// A token that is sent as a cleartext password: only over TLS verified in full.
    BearerToken,
    /// A client certificate, perhaps with a password as well.
    Certificate,
}

/// A client certificate with its private key.
#[derive(Clone)]
pub struct ClientIdentity {
    chain_pem: Vec<u8>,
    key_pem: Arc<Zeroizing<Vec<u8>>>,
}

impl ClientIdentity {
    /// A certificate chain in PEM, the client's own certificate first, and its unencrypted PKCS#8
    /// private key in PEM (`-----BEGIN PRIVATE KEY-----`). Nothing is parsed here: a TLS provider
    /// refuses what it cannot use.
    #[must_use]
    pub fn from_pem(chain: impl Into<Vec<u8>>, pkcs8_key: impl Into<Vec<u8>>) -> Self {
        Self {
            chain_pem: chain.into(),
            key_pem: Arc::new(Zeroizing::new(pkcs8_key.into())),
        }
    }

    /// The certificate chain in PEM.
    #[must_use]
    pub fn chain_pem(&self) -> &[u8] {
        &self.chain_pem
    }

    /// The private key in PEM. What is done with it is the caller's responsibility.
    #[must_use]
    pub fn expose_key_pem(&self) -> &[u8] {
        &self.key_pem
    }
}

impl Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientIdentity(***)")
    }
}

/// What proves to a server who we are: a user name with a password, a token or a certificate.
///
/// ```
/// use pgreach_core::{Credential, Secret};
///
/// let credential = Credential::password(Secret::new("correct horse")).with_user("alice");
/// assert_eq!(credential.user(), Some("alice"));
/// assert!(!format!("{credential:?}").contains("horse"));
/// ```
#[derive(Debug, Clone)]
pub struct Credential {
    kind: CredentialKind,
    user: Option<String>,
    secret: Option<Secret>,
    identity: Option<ClientIdentity>,
    expires_at: Option<SystemTime>,
    notes: Vec<(&'static str, String)>,
    warnings: Vec<String>,
    unverified_tls: bool,
}

impl Credential {
    fn new(kind: CredentialKind) -> Self {
        Self {
            kind,
            user: None,
            secret: None,
            identity: None,
            expires_at: None,
            notes: Vec::new(),
            warnings: Vec::new(),
            unverified_tls: false,
        }
    }

    /// No proof at all, for servers that trust the client (`trust`, `peer`).
    #[must_use]
    pub fn none() -> Self {
        Self::new(CredentialKind::None)
    }

    /// A password.
    #[must_use]
    pub fn password(secret: impl Into<Secret>) -> Self {
        Self {
            secret: Some(secret.into()),
            ..Self::new(CredentialKind::Password)
        }
    }

    /// A token that is sent as a cleartext password. A connector sends it only over TLS that is
    /// verified in full.
    #[must_use]
    pub fn bearer_token(token: impl Into<Secret>) -> Self {
        Self {
            secret: Some(token.into()),
            ..Self::new(CredentialKind::BearerToken)
        }
    }

    /// A client certificate.
    #[must_use]
    pub fn certificate(identity: ClientIdentity) -> Self {
        Self {
            identity: Some(identity),
            ..Self::new(CredentialKind::Certificate)
        }
    }

    /// Adds a password, for servers that demand a certificate and a password.
    #[must_use]
    pub fn with_secret(mut self, secret: impl Into<Secret>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// Adds a client certificate to a password or a token.
    #[must_use]
    pub fn with_identity(mut self, identity: ClientIdentity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The user that the credential belongs to. A user given to the connector itself comes first.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// When the credential ends.
    #[must_use]
    pub fn with_expiry(mut self, at: SystemTime) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// Adds what a person may want to see of it in a report, such as `("subject", "CN=app")`. Never
    /// a secret.
    #[must_use]
    pub fn with_note(mut self, what: &'static str, value: impl Into<String>) -> Self {
        self.notes.push((what, value.into()));
        self
    }

    /// Adds a warning for the report: one sentence on what works now and will not for long. Never a
    /// secret.
    #[must_use]
    pub fn with_warning(mut self, warning: impl Into<String>) -> Self {
        self.warnings.push(warning.into());
        self
    }

    /// Lets a bearer token be sent to a server whose name was not verified, or in cleartext. Whoever
    /// sits on the path can then take the token and use it.
    #[must_use]
    pub fn dangerous_allow_unverified_tls(mut self) -> Self {
        self.unverified_tls = true;
        self
    }

    /// What kind of proof this is.
    #[must_use]
    pub fn kind(&self) -> CredentialKind {
        self.kind
    }

    /// The user that the credential belongs to.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The password or token.
    #[must_use]
    pub fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    /// The client certificate.
    #[must_use]
    pub fn identity(&self) -> Option<&ClientIdentity> {
        self.identity.as_ref()
    }

    /// When the credential ends, where that is known.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// What a report shows of it.
    #[must_use]
    pub fn notes(&self) -> &[(&'static str, String)] {
        &self.notes
    }

    /// What a report warns of.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether TLS verified in full is needed before the secret may be sent.
    #[must_use]
    pub fn needs_verified_tls(&self) -> bool {
        self.kind == CredentialKind::BearerToken && !self.unverified_tls
    }

    /// Whether both prove the same thing, so that a server that refused one will refuse the other.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let same_secret = match (&self.secret, &other.secret) {
            (Some(a), Some(b)) => a.same_as(b),
            (None, None) => true,
            _ => false,
        };
        let same_identity = match (&self.identity, &other.identity) {
            (Some(a), Some(b)) => a.chain_pem == b.chain_pem && a.key_pem == b.key_pem,
            (None, None) => true,
            _ => false,
        };
        same_secret && same_identity && self.user == other.user
    }
}

/// What a credential is wanted for.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct CredentialRequest<'a> {
    /// The server.
    pub endpoint: &'a Endpoint,
    /// The database that the connector was given. `None`: the session's database will have the name
    /// of its user, whoever names that one.
    pub database: Option<&'a str>,
    /// The user that the connector was given. `None`: the credential names the user, or it is
    /// `default_user`.
    pub user: Option<&'a str>,
    /// The user where neither the connector nor the credential names one: the operating system's,
    /// as a rule.
    pub default_user: Option<&'a str>,
}

impl<'a> CredentialRequest<'a> {
    /// A request for `endpoint`.
    #[must_use]
    pub fn new(endpoint: &'a Endpoint, database: Option<&'a str>, user: Option<&'a str>) -> Self {
        Self {
            endpoint,
            database,
            user,
            default_user: None,
        }
    }

    /// Names the user for when nobody else does.
    #[must_use]
    pub fn with_default_user(mut self, user: Option<&'a str>) -> Self {
        self.default_user = user;
        self
    }
}

/// Gives the credential for each new connection.
///
/// It is called once for every physical connection, because credentials are rotated and expire:
/// what is worth caching, a provider caches itself. The call runs while the route is dialled, and
/// inside the connector's deadline: it is dropped when that passes, so it must be cancel-safe.
///
/// ```
/// use std::sync::Arc;
///
/// use async_trait::async_trait;
/// use pgreach_core::{Credential, CredentialProvider, CredentialRequest, Error};
///
/// #[derive(Debug)]
/// struct Vault;
///
/// #[async_trait]
/// impl CredentialProvider for Vault {
///     async fn credential(
///         &self,
///         request: &CredentialRequest<'_>,
///     ) -> Result<Arc<Credential>, Error> {
///         let password = format!("the password of {}", request.endpoint.host());
///         Ok(Arc::new(Credential::password(password).with_user("app")))
///     }
/// }
/// ```
#[async_trait]
pub trait CredentialProvider: Debug + Send + Sync + 'static {
    /// The credential to use now.
    ///
    /// # Errors
    /// [`ErrorKind::Credential`](crate::ErrorKind::Credential) when the source fails.
    async fn credential(&self, request: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error>;

    /// The server refused this credential (SQLSTATE 28P01 or 28000, but not for want of a line in
    /// pg_hba.conf): the next call must try to fetch anew. True when it can then give another one;
    /// the connector tries once more only if so.
    fn invalidate(&self, rejected: &Credential) -> bool {
        let _ = rejected;
        false
    }
}

#[async_trait]
impl<T: CredentialProvider + ?Sized> CredentialProvider for Arc<T> {
    async fn credential(&self, request: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        (**self).credential(request).await
    }

    fn invalidate(&self, rejected: &Credential) -> bool {
        (**self).invalidate(rejected)
    }
}

/// No credential, for servers that trust the client.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct NoCredential;

impl NoCredential {
    /// No credential.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl CredentialProvider for NoCredential {
    async fn credential(&self, _: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        Ok(Arc::new(Credential::none()))
    }
}
