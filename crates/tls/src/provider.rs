//! [`NativeTls`]: the handshake.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use pgreach_core::{
    BoxStream, Error, PeerCertificate, Secured, SslNegotiation, Stage, TlsInfo, TlsProvider,
    TlsRequest, TlsVersion, Verification,
};
use tokio::io::BufReader;
use tokio_native_tls::TlsStream;

use crate::connectors::{ALPN, Connectors, Settings, blocking};
use crate::crl::Crl;
use crate::explain::Asked;
use crate::roots::LoadedRoots;
use crate::server_name::ServerName;
use crate::verdict::AwaitVerdict;
use crate::{NativeTlsBuilder, certificate, codes};

/// As much as postgres-native-tls: half a TLS record, so that small records are read with one call.
const READ_BUFFER: usize = 8 * 1024;

/// TLS by the system's library: see the [crate](crate).
///
/// Clones share their settings and the library's connectors, which are costly to make; a program
/// needs one `NativeTls` per set of roots. Root certificates are not read again: a file's when
/// building, the system's when first needed. Handshakes need a Tokio runtime.
///
/// ```
/// use pgreach_tls::NativeTls;
///
/// let tls = NativeTls::new();
/// assert!(format!("{tls:?}").contains("System"));
/// ```
#[derive(Clone)]
pub struct NativeTls(Arc<Inner>);

struct Inner {
    settings: NativeTlsBuilder,
    /// What the roots are called.
    roots: String,
    system_roots: bool,
    connectors: Connectors,
    crl: Option<Arc<Crl>>,
}

type Plain = BufReader<BoxStream>;

impl NativeTls {
    /// The system's roots, TLS 1.2 or later, with SNI.
    #[must_use]
    pub fn new() -> Self {
        Self::assemble(NativeTlsBuilder::new(), LoadedRoots::system(), None)
    }

    /// Starts from the settings of [`NativeTls::new`].
    pub fn builder() -> NativeTlsBuilder {
        NativeTlsBuilder::new()
    }

    pub(crate) fn assemble(
        settings: NativeTlsBuilder,
        roots: LoadedRoots,
        crl: Option<Crl>,
    ) -> Self {
        let connectors = Connectors::new(Settings {
            system_roots: roots.system,
            roots: roots.certificates,
            min: settings.min,
            max: settings.max,
        });
        Self(Arc::new(Inner {
            settings,
            roots: roots.label,
            system_roots: roots.system,
            connectors,
            crl: crl.map(Arc::new),
        }))
    }

    /// What to say in the error of a handshake.
    fn asked<'a>(&'a self, request: &TlsRequest<'a>) -> Asked<'a> {
        Asked {
            server_name: request.server_name,
            system_roots: self.0.system_roots,
            roots: &self.0.roots,
            min: self.0.settings.min,
            max: self.0.settings.max,
            negotiation: request.negotiation,
            has_identity: request.identity.is_some(),
        }
    }

    /// The handshake alone. `tokio_native_tls` is what postgres-native-tls is made of; that one
    /// hides the certificate and the ALPN choice, which are needed here.
    async fn connect(
        &self,
        stream: BoxStream,
        request: &TlsRequest<'_>,
        asked: &Asked<'_>,
    ) -> Result<TlsStream<Plain>, Error> {
        let verification = request.verification;
        let name = ServerName::new(request.server_name, verification)?;
        let sni = self.0.settings.sni && name.is_dns;
        let connectors = &self.0.connectors;
        let connector = connectors.get(verification, sni, request.identity).await?;
        connector
            .connect(name.text, BufReader::with_capacity(READ_BUFFER, stream))
            .await
            .map_err(|error| asked.explain(error))
    }

    /// Refuses what the settings cannot honour, before anything is sent.
    fn admit(&self, verification: Verification) -> Result<(), Error> {
        if verification == Verification::Ca && self.0.system_roots {
            return Err(Error::new(
                &codes::TLS_WEAK_SYSTEM_ROOTS,
                Stage::TLS,
                "weak sslmode \"verify-ca\" may not be used with the system's roots",
            ));
        }
        if verification == Verification::None && self.0.crl.is_some() {
            return Err(Error::new(
                &codes::TLS_CRL,
                Stage::TLS,
                "revocation lists need a sslmode of verify-ca or verify-full",
            )
            .with_hint(
                "raise sslmode to verify-ca or verify-full, or remove sslcrl and sslcrldir",
            ));
        }
        Ok(())
    }

    /// The version, where the settings leave only one: native-tls does not tell.
    fn protocol(&self) -> Option<String> {
        let max = self.0.settings.max.unwrap_or(TlsVersion::V1_3);
        (self.0.settings.min == max).then(|| max.to_string())
    }
}

impl Default for NativeTls {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for NativeTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NativeTls").field(&self.0.settings).finish()
    }
}

#[async_trait]
impl TlsProvider for NativeTls {
    async fn handshake(
        &self,
        stream: BoxStream,
        request: &TlsRequest<'_>,
    ) -> Result<Secured, Error> {
        self.admit(request.verification)?;
        let asked = self.asked(request);
        let stream = self.connect(stream, request, &asked).await?;
        check_alpn(&stream, &asked)?;
        let der = peer_der(&stream);
        if let Some(crl) = &self.0.crl {
            check_crl(crl, der.clone(), asked.certificate()).await?;
        }
        // An error here would be the library's; without a binding, SCRAM goes on without it unless
        // it is required.
        let channel_binding = stream.get_ref().tls_server_end_point().ok().flatten();
        let mut info = TlsInfo::default();
        info.protocol = self.protocol();
        info.certificate = der.as_deref().and_then(certificate::describe);
        Ok(Secured::new(AwaitVerdict::new(stream, &asked))
            .with_channel_binding(channel_binding)
            .with_info(info))
    }

    async fn inspect(
        &self,
        stream: BoxStream,
        server_name: &str,
    ) -> Result<Option<PeerCertificate>, Error> {
        let request = TlsRequest::new(server_name, Verification::None);
        let stream = self
            .connect(stream, &request, &self.asked(&request))
            .await?;
        Ok(peer_der(&stream).as_deref().and_then(certificate::describe))
    }
}

fn check_alpn(stream: &TlsStream<Plain>, asked: &Asked<'_>) -> Result<(), Error> {
    // What the library cannot tell counts as nothing chosen.
    let chosen = stream.get_ref().negotiated_alpn().ok().flatten();
    match chosen.as_deref() {
        Some(chosen) if chosen == ALPN.as_bytes() => Ok(()),
        None if asked.negotiation == SslNegotiation::Postgres => Ok(()),
        other => Err(asked.wrong_alpn(other)),
    }
}

fn peer_der(stream: &TlsStream<Plain>) -> Option<Vec<u8>> {
    let certificate = stream.get_ref().peer_certificate().ok().flatten()?;
    certificate.to_der().ok()
}

async fn check_crl(crl: &Arc<Crl>, der: Option<Vec<u8>>, name: String) -> Result<(), Error> {
    let Some(der) = der else {
        return Err(Error::new(
            &codes::TLS_CRL_UNAVAILABLE,
            Stage::TLS,
            "the server showed no certificate that could be checked for revocation",
        ));
    };
    let crl = Arc::clone(crl);
    blocking(move || crl.check(&der, &name)).await?
}
