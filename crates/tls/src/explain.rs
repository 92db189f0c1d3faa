//! A failed handshake as an [`Error`]: which code, and what to change.

use pgreach_core::{Error, Retry, SslNegotiation, Stage, TlsVersion};

use crate::cause::{self, Cause};
use crate::codes;

const DIRECT_HINT: &str = "set sslnegotiation=postgres: direct TLS needs PostgreSQL 17 or later, and \
    a proxy in between must pass ALPN on";
const PLACE_HINT: &str = "check that host and port lead to PostgreSQL itself";

/// What was asked of the handshake, for its error.
pub(crate) struct Asked<'a> {
    /// The name as the caller wrote it.
    pub(crate) server_name: &'a str,
    pub(crate) system_roots: bool,
    /// What the roots are called.
    pub(crate) roots: &'a str,
    pub(crate) min: TlsVersion,
    pub(crate) max: Option<TlsVersion>,
    pub(crate) negotiation: SslNegotiation,
    pub(crate) has_identity: bool,
}

impl Asked<'_> {
    pub(crate) fn certificate(&self) -> String {
        match self.server_name {
            "" => "the server's certificate".to_owned(),
            name => format!("the certificate of \"{name}\""),
        }
    }

    pub(crate) fn server(&self) -> String {
        match self.server_name {
            "" => "the server".to_owned(),
            name => format!("the server \"{name}\""),
        }
    }

    fn versions(&self) -> String {
        match self.max {
            Some(max) if max == self.min => format!("exactly {max}"),
            Some(max) => format!("{} to {max}", self.min),
            None => format!("{} or later", self.min),
        }
    }

    fn is_direct(&self) -> bool {
        self.negotiation == SslNegotiation::Direct
    }

    fn closed_hint(&self) -> &'static str {
        if self.is_direct() {
            DIRECT_HINT
        } else {
            "look into the server's log for the reason, and check the network in between"
        }
    }

    fn unknown_ca_hint(&self) -> String {
        if self.system_roots {
            "give the root certificate of the server's authority as sslrootcert; this system does \
             not trust it"
                .to_owned()
        } else {
            format!(
                "add the root certificate of the server's authority to {}; if it is there, the \
                 server must send the intermediate certificates with its own",
                self.roots
            )
        }
    }

    /// The error for a failed handshake.
    pub(crate) fn explain(&self, error: native_tls::Error) -> Error {
        // The route below may know better why its stream broke.
        if let Some(own) = cause::io(&error).and_then(Error::of_io) {
            return own.repeat().with_stage(Stage::TLS);
        }
        self.error(&cause::of(&error), &error).with_source(error)
    }

    fn error(&self, cause: &Cause, text: &native_tls::Error) -> Error {
        let new = |code, message: String| Error::new(code, Stage::TLS, message);
        let (certificate, server) = (self.certificate(), self.server());
        match cause {
            Cause::WrongName => new(
                &codes::TLS_WRONG_NAME,
                format!(
                    "the server's certificate is not for \"{}\"",
                    self.server_name
                ),
            ),
            Cause::UnknownCa => new(
                &codes::TLS_UNKNOWN_CA,
                format!(
                    "{certificate} does not lead to an authority that is trusted by {}",
                    self.roots
                ),
            )
            .with_hint(self.unknown_ca_hint()),
            Cause::SelfSigned => new(
                &codes::TLS_SELF_SIGNED,
                format!(
                    "{certificate} is self-signed and not trusted by {}",
                    self.roots
                ),
            ),
            Cause::Expired => new(
                &codes::TLS_EXPIRED,
                format!("{certificate}, or one that it depends on, has expired"),
            ),
            Cause::NotYetValid => new(
                &codes::TLS_NOT_YET_VALID,
                format!("{certificate}, or one that it depends on, is not valid yet"),
            ),
            Cause::Revoked => new(
                &codes::TLS_REVOKED,
                format!("{certificate} has been revoked"),
            ),
            Cause::Certificate(result) => new(
                &codes::TLS_CERTIFICATE,
                format!("{certificate} is not acceptable: {result}"),
            ),
            Cause::ProtocolVersion => new(
                &codes::TLS_PROTOCOL_VERSION,
                format!("{server} does not speak {}", self.versions()),
            ),
            Cause::Alpn => new(
                &codes::TLS_ALPN,
                format!("{server} refused to speak PostgreSQL over TLS (ALPN \"postgresql\")"),
            ),
            Cause::CertificateRefused(alert) => {
                certificate_refused(&server, alert, self.has_identity)
            }
            Cause::Alert(alert) => new(
                &codes::TLS_HANDSHAKE,
                format!("{server} refused the TLS handshake: {alert}"),
            ),
            Cause::NotTls => new(
                &codes::TLS_HANDSHAKE,
                format!("the answer of {server} is not TLS"),
            )
            .with_hint(if self.is_direct() {
                DIRECT_HINT
            } else {
                PLACE_HINT
            }),
            Cause::Closed => new(
                &codes::TLS_HANDSHAKE,
                format!("{server} closed the connection during the TLS handshake"),
            )
            .with_retry(Retry::Backoff)
            .with_hint(self.closed_hint()),
            Cause::Broken => new(
                &codes::TLS_HANDSHAKE,
                format!("the connection to {server} broke during the TLS handshake: {text}"),
            )
            .with_retry(Retry::Backoff)
            .with_hint(self.closed_hint()),
            Cause::Other => new(
                &codes::TLS_HANDSHAKE,
                format!("the TLS handshake with {server} failed: {text}"),
            ),
        }
    }

    /// The errors for an application protocol that is not PostgreSQL's.
    pub(crate) fn wrong_alpn(&self, chosen: Option<&[u8]>) -> Error {
        let server = self.server();
        match chosen {
            None => Error::new(
                &codes::TLS_ALPN,
                Stage::TLS,
                format!("{server} did not agree to ALPN \"postgresql\", which direct TLS needs"),
            )
            .with_hint(DIRECT_HINT),
            Some(other) => Error::new(
                &codes::TLS_ALPN,
                Stage::TLS,
                format!(
                    "{server} chose ALPN \"{}\" instead of \"postgresql\"",
                    String::from_utf8_lossy(other)
                ),
            )
            .with_hint(PLACE_HINT),
        }
    }
}

/// The error for what a session's first read failed with, when that is the server's verdict on the
/// client's certificate.
pub(crate) fn late_refusal(text: &str, server: &str, has_identity: bool) -> Option<Error> {
    match cause::of_text(text) {
        Cause::CertificateRefused(alert) => Some(certificate_refused(server, &alert, has_identity)),
        _ => None,
    }
}

fn certificate_refused(server: &str, alert: &str, has_identity: bool) -> Error {
    let message = if has_identity {
        format!("{server} refused the client's certificate: {alert}")
    } else {
        format!("{server} demands a client certificate: {alert}")
    };
    let error = Error::new(&codes::TLS_CERTIFICATE_REFUSED, Stage::TLS, message);
    // The server knows more than the alert says, and only its log tells.
    match alert {
        "unknown authority" => error.with_hint(
            "add the root certificate of the client certificate's authority to the server's ssl_ca_file \
             (and its revocation list to ssl_crl_file, if there is one), or use a certificate of an \
             authority that is in it; the client must send the intermediate certificates with its own",
        ),
        "certificate revoked" => error.with_hint(
            "use a new client certificate: this one is on a revocation list of the server (ssl_crl_file)",
        ),
        "certificate expired" => error.with_hint(
            "renew the client certificate, or one that it depends on; if they are valid, check the \
             clocks of the server and of this machine",
        ),
        _ => error,
    }
}
