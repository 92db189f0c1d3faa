//! The trust decision: whether to encrypt, and what to verify.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;

use crate::{BoxStream, ClientIdentity, Error, Stream};

/// libpq's `sslmode`.
///
/// Source: <https://www.postgresql.org/docs/18/libpq-ssl.html#LIBPQ-SSL-PROTECTION>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never encrypt.
    Disable,
    /// Without encryption first; with it when the server refuses that.
    Allow,
    /// With encryption first; without it when the server refuses that. Protects from nothing.
    Prefer,
    /// Always encrypt; the server is not verified (unless there is a root certificate file).
    Require,
    /// Always encrypt, and the certificate must be signed by a trusted authority.
    VerifyCa,
    /// As `verify-ca`, and the certificate must be for the host's name.
    VerifyFull,
}

impl SslMode {
    /// libpq's spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// What is verified of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verification {
    /// Nothing: whoever sits on the path can pose as the server.
    None,
    /// The chain up to a trusted authority, but not the name.
    Ca,
    /// The chain and the name.
    Full,
}

/// How TLS begins (libpq's `sslnegotiation`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslNegotiation {
    /// The client asks with an SSLRequest and waits for the server's `S`.
    #[default]
    Postgres,
    /// TLS at once with ALPN `postgresql`: a round trip less, PostgreSQL 17 and later.
    Direct,
}

/// Whether to encrypt, what to verify, and how TLS begins.
///
/// The default is [`TlsPolicy::verify_full`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TlsPolicy {
    mode: SslMode,
    verification: Verification,
    negotiation: SslNegotiation,
}

impl TlsPolicy {
    /// Always encrypted, chain and name verified: the only policy that keeps an attacker out.
    #[must_use]
    pub const fn verify_full() -> Self {
        Self::from_sslmode(SslMode::VerifyFull)
    }

    /// Always encrypted, chain verified, any name: whoever has a certificate of the same authority
    /// can pose as the server. For a private authority that signs nothing else.
    #[must_use]
    pub const fn verify_ca() -> Self {
        Self::from_sslmode(SslMode::VerifyCa)
    }

    /// Always encrypted, nothing verified: whoever sits on the path can pose as the server.
    #[must_use]
    pub const fn dangerous_unverified() -> Self {
        Self::from_sslmode(SslMode::Require)
    }

    /// Never encrypted: whoever sits on the path can read and change everything.
    #[must_use]
    pub const fn dangerous_plaintext() -> Self {
        Self::from_sslmode(SslMode::Disable)
    }

    /// The policy of libpq's `sslmode`. Modes below `verify-ca` protect from eavesdroppers at most;
    /// `allow` and `prefer` not even from those.
    #[must_use]
    pub const fn from_sslmode(mode: SslMode) -> Self {
        let verification = match mode {
            SslMode::VerifyCa => Verification::Ca,
            SslMode::VerifyFull => Verification::Full,
            _ => Verification::None,
        };
        Self {
            mode,
            verification,
            negotiation: SslNegotiation::Postgres,
        }
    }

    /// Verifies the chain in every TLS handshake although the mode does not ask for it, as libpq
    /// does with `sslmode=require` when there is a root certificate file.
    #[must_use]
    pub fn with_ca_verified(mut self) -> Self {
        self.verification = self.verification.max(Verification::Ca);
        self
    }

    /// How TLS begins. [`SslNegotiation::Direct`] needs a mode of `require` or stronger.
    #[must_use]
    pub fn with_negotiation(mut self, negotiation: SslNegotiation) -> Self {
        self.negotiation = negotiation;
        self
    }

    /// The mode.
    #[must_use]
    pub fn mode(self) -> SslMode {
        self.mode
    }

    /// What is verified.
    #[must_use]
    pub fn verification(self) -> Verification {
        self.verification
    }

    /// How TLS begins.
    #[must_use]
    pub fn negotiation(self) -> SslNegotiation {
        self.negotiation
    }
}

impl Default for TlsPolicy {
    fn default() -> Self {
        Self::verify_full()
    }
}

/// What a connector asks of a TLS provider for one handshake.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct TlsRequest<'a> {
    /// The name to verify and to send as SNI: a DNS name or an IP address. It can be empty when
    /// the name is not verified.
    pub server_name: &'a str,
    /// What to verify.
    pub verification: Verification,
    /// How TLS begins: with [`SslNegotiation::Direct`] the server must agree to ALPN `postgresql`.
    pub negotiation: SslNegotiation,
    /// The client certificate to present.
    pub identity: Option<&'a ClientIdentity>,
}

impl<'a> TlsRequest<'a> {
    /// A request to verify `server_name`.
    #[must_use]
    pub fn new(server_name: &'a str, verification: Verification) -> Self {
        Self {
            server_name,
            verification,
            negotiation: SslNegotiation::Postgres,
            identity: None,
        }
    }

    /// Says how TLS begins.
    #[must_use]
    pub fn with_negotiation(mut self, negotiation: SslNegotiation) -> Self {
        self.negotiation = negotiation;
        self
    }

    /// Presents a client certificate.
    #[must_use]
    pub fn with_identity(mut self, identity: Option<&'a ClientIdentity>) -> Self {
        self.identity = identity;
        self
    }
}

/// A server's certificate, as far as a person needs it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct PeerCertificate {
    /// The subject's distinguished name (RFC 4514), control characters escaped.
    pub subject: String,
    /// The issuer's distinguished name.
    pub issuer: String,
    /// The names it is for: DNS names and IP addresses of the subject alternative names, or the
    /// common name where there are none.
    pub names: Vec<String>,
    /// First moment of validity (RFC 3339, UTC).
    pub not_before: String,
    /// Last moment of validity (RFC 3339, UTC).
    pub not_after: String,
    /// SHA-256 of the DER form, lower-case hexadecimal, where it is known.
    pub sha256: Option<String>,
}

/// What is known of an established TLS session.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The protocol version, where the TLS library tells.
    pub protocol: Option<String>,
    /// The server's certificate, where the TLS library tells.
    pub certificate: Option<PeerCertificate>,
    /// What was verified.
    pub verification: Option<Verification>,
    /// Whether `tls-server-end-point` channel binding is possible.
    pub channel_binding: bool,
}

/// A stream with TLS established.
#[non_exhaustive]
pub struct Secured {
    /// The decrypted side.
    pub stream: BoxStream,
    /// `tls-server-end-point` (RFC 5929): the hash of the server's certificate.
    pub channel_binding: Option<Vec<u8>>,
    /// For reports.
    pub info: TlsInfo,
}

impl Secured {
    /// The decrypted side of a stream.
    #[must_use]
    pub fn new(stream: impl Stream) -> Self {
        Self {
            stream: Box::new(stream),
            channel_binding: None,
            info: TlsInfo::default(),
        }
    }

    /// The hash of the server's certificate that SCRAM can be bound to (`tls-server-end-point`).
    #[must_use]
    pub fn with_channel_binding(mut self, hash: Option<Vec<u8>>) -> Self {
        self.channel_binding = hash;
        self
    }

    /// What is known of the session. The connector fills in what was verified.
    #[must_use]
    pub fn with_info(mut self, info: TlsInfo) -> Self {
        self.info = info;
        self
    }
}

impl Debug for Secured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secured")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// Establishes TLS over any stream. The roots, the protocol versions and SNI are the provider's own
/// settings; what to verify is the connector's.
#[async_trait]
pub trait TlsProvider: Debug + Send + Sync + 'static {
    /// Performs the handshake as `request` says, with ALPN `postgresql`.
    ///
    /// It runs inside the connector's deadline and is dropped when that passes.
    ///
    /// # Errors
    /// [`ErrorKind::Tls`](crate::ErrorKind::Tls) when the handshake fails or the certificate is not
    /// accepted.
    async fn handshake(
        &self,
        stream: BoxStream,
        request: &TlsRequest<'_>,
    ) -> Result<Secured, Error>;

    /// Looks at the server's certificate without trusting it, to explain why
    /// [`handshake`](Self::handshake) refused it. The stream carries nothing afterwards.
    ///
    /// # Errors
    /// When the handshake fails even so.
    async fn inspect(
        &self,
        stream: BoxStream,
        server_name: &str,
    ) -> Result<Option<PeerCertificate>, Error> {
        let _ = (stream, server_name);
        Ok(None)
    }
}

#[async_trait]
impl<T: TlsProvider + ?Sized> TlsProvider for Arc<T> {
    async fn handshake(
        &self,
        stream: BoxStream,
        request: &TlsRequest<'_>,
    ) -> Result<Secured, Error> {
        (**self).handshake(stream, request).await
    }

    async fn inspect(
        &self,
        stream: BoxStream,
        server_name: &str,
    ) -> Result<Option<PeerCertificate>, Error> {
        (**self).inspect(stream, server_name).await
    }
}
