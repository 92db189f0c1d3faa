//! From a dialled stream to one that is encrypted as the policy says.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::trace::ActiveStage;
use crate::{
    BoxStream, ClientIdentity, Endpoint, Error, PeerCertificate, SslMode, SslNegotiation, Stage,
    TlsInfo, TlsPolicy, TlsProvider, TlsRequest, Trace, codes,
};

/// SSLRequest: length 8, code 80877103 (PostgreSQL manual, "Message Formats").
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// A stream that PostgreSQL's startup can begin on.
pub(super) struct Negotiated {
    pub(super) stream: BoxStream,
    pub(super) tls: Option<Established>,
}

/// What is known of the TLS session.
#[derive(Debug, Clone)]
pub(super) struct Established {
    pub(super) info: TlsInfo,
    pub(super) channel_binding: Option<Vec<u8>>,
}

/// How one attempt is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encryption {
    /// Not at all.
    Plain,
    /// With TLS; without where the server has none and the mode is `prefer`.
    Tls { or_plain: bool },
}

impl Encryption {
    /// The attempts that libpq's `sslmode` makes, in order. A Unix socket is never encrypted.
    pub(super) fn plan(policy: TlsPolicy, endpoint: &Endpoint) -> &'static [Self] {
        const TLS: Encryption = Encryption::Tls { or_plain: false };
        if endpoint.is_unix() {
            return &[Self::Plain];
        }
        match policy.mode() {
            SslMode::Disable => &[Self::Plain],
            SslMode::Allow => &[Self::Plain, TLS],
            SslMode::Prefer => &[Self::Tls { or_plain: true }, Self::Plain],
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[TLS],
        }
    }
}

/// TLS as a connector was told to do it.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    pub(super) policy: TlsPolicy,
    pub(super) provider: Option<Arc<dyn TlsProvider>>,
}

impl Tls {
    /// Encrypts `stream` to `endpoint`. Cancel-safe: dropping the future closes the stream.
    pub(super) async fn negotiate(
        &self,
        mut stream: BoxStream,
        endpoint: &Endpoint,
        encryption: Encryption,
        identity: Option<&ClientIdentity>,
        trace: &Trace,
    ) -> Result<Negotiated, Error> {
        let Encryption::Tls { or_plain } = encryption else {
            return Ok(Negotiated { stream, tls: None });
        };
        let stage = trace.enter(Stage::TLS);
        match self.request_tls(&mut stream, endpoint).await {
            Ok(true) => {}
            Ok(false) if or_plain => {
                stage.note("encryption", "none: the server does not support TLS");
                stage.pass();
                return Ok(Negotiated { stream, tls: None });
            }
            Ok(false) => {
                let message =
                    format!("server at {endpoint} does not support TLS, but it is required");
                let error = Error::new(&codes::TLS_NOT_SUPPORTED, Stage::TLS, message);
                return Err(stage.fail(error));
            }
            Err(error) => return Err(stage.fail(error)),
        }
        let handshake = async {
            let request = TlsRequest::new(endpoint.host(), self.policy.verification())
                .with_negotiation(self.policy.negotiation())
                .with_identity(identity);
            self.provider()?.handshake(stream, &request).await
        };
        match handshake.await {
            Ok(secured) => {
                let mut info = secured.info;
                info.verification = Some(self.policy.verification());
                info.channel_binding = secured.channel_binding.is_some();
                note_session(&stage, &info);
                stage.pass();
                let tls = Some(Established {
                    info,
                    channel_binding: secured.channel_binding,
                });
                Ok(Negotiated {
                    stream: secured.stream,
                    tls,
                })
            }
            Err(error) => Err(stage.fail(error)),
        }
    }

    fn provider(&self) -> Result<&Arc<dyn TlsProvider>, Error> {
        self.provider.as_ref().ok_or_else(missing_provider)
    }

    /// Looks at the certificate that a handshake refused.
    pub(super) async fn inspect(
        &self,
        mut stream: BoxStream,
        endpoint: &Endpoint,
    ) -> Option<PeerCertificate> {
        let provider = self.provider().ok()?;
        match self.request_tls(&mut stream, endpoint).await {
            Ok(true) => provider.inspect(stream, endpoint.host()).await.ok()?,
            Ok(false) | Err(_) => None,
        }
    }

    /// Asks for TLS. False when the server has none.
    async fn request_tls(
        &self,
        stream: &mut BoxStream,
        endpoint: &Endpoint,
    ) -> Result<bool, Error> {
        if self.policy.negotiation() == SslNegotiation::Direct {
            return Ok(true);
        }
        let broken = |error: std::io::Error| {
            if let Some(own) = Error::of_io(&error) {
                return own.repeat().with_stage(Stage::TLS);
            }
            Error::new(
                &codes::IO,
                Stage::TLS,
                format!("connection to {endpoint} broke during TLS negotiation: {error}"),
            )
            .with_source(error)
        };
        stream.write_all(&SSL_REQUEST).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        // One byte is the answer. A server that then speaks before our ClientHello is either broken
        // or an attacker who stuffs the first response (CVE-2021-23222).
        let mut answer = [0u8; 64];
        let n = stream.read(&mut answer).await.map_err(broken)?;
        match answer.get(..n).unwrap_or_default() {
            [b'S'] => Ok(true),
            [b'N'] => Ok(false),
            [] => {
                let message =
                    format!("server at {endpoint} closed the connection when it was asked for TLS");
                Err(Error::new(&codes::CLOSED, Stage::TLS, message))
            }
            [b'S' | b'N', ..] => {
                let message =
                    format!("received unencrypted data after the TLS response of {endpoint}");
                Err(Error::new(&codes::TLS_STUFFED, Stage::TLS, message))
            }
            // Its text is not shown: nobody has proved to be the server yet (CVE-2024-10977).
            [b'E', ..] => {
                let message = format!(
                    "server at {endpoint} sent an error response when it was asked for TLS"
                );
                Err(Error::new(&codes::TLS_NEGOTIATION, Stage::TLS, message))
            }
            [other, ..] => {
                let message = format!(
                    "server at {endpoint} answered the TLS request with {other:#04x}, which is not PostgreSQL"
                );
                Err(Error::new(&codes::TLS_NEGOTIATION, Stage::TLS, message))
            }
        }
    }
}

pub(super) fn missing_provider() -> Error {
    let message = "TLS is asked for and no TLS provider was given";
    Error::new(&codes::TLS_PROVIDER_MISSING, Stage::CONFIG, message)
}

fn note_session(stage: &ActiveStage, info: &TlsInfo) {
    if let Some(protocol) = &info.protocol {
        stage.note("protocol", protocol);
    }
    if let Some(certificate) = &info.certificate {
        stage.note("certificate", &certificate.subject);
        stage.note("expires", &certificate.not_after);
    }
    if let Some(verification) = info.verification {
        stage.note(
            "verified",
            match verification {
                crate::Verification::None => "nothing",
                crate::Verification::Ca => "authority",
                crate::Verification::Full => "authority and name",
            },
        );
    }
}
