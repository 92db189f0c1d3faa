//! PostgreSQL's startup over a finished stream, through tokio-postgres.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::{self, Config};
use tokio_postgres::tls::{ChannelBinding as Binding, TlsConnect, TlsStream};

use super::auth_request::{Protection, Rules};
use super::guard::{Guard, Observed};
use super::negotiate::{Established, Negotiated};
use super::server_error;
use crate::{
    ChannelBinding, Credential, CredentialKind, Endpoint, Error, RequireAuth, Stage, Trace,
    Verification, codes,
};

/// The driver's connection as this crate runs it.
pub(super) type RawConnection = tokio_postgres::Connection<Guard, Finished<Guard>>;

/// What the session is asked for.
#[derive(Debug, Clone)]
pub(super) struct SessionRequest {
    pub(super) require_auth: RequireAuth,
    pub(super) channel_binding: ChannelBinding,
    pub(super) application_name: Option<String>,
    pub(super) options: Option<String>,
    pub(super) max_message_size: usize,
}

/// A session that has begun.
pub(super) struct Session {
    pub(super) client: tokio_postgres::Client,
    pub(super) connection: RawConnection,
    pub(super) tls: Option<Established>,
    pub(super) backend_pid: Option<i32>,
    pub(super) method: Option<&'static str>,
}

impl SessionRequest {
    /// Authenticates as `user`. Cancel-safe: dropping the future closes the stream.
    pub(super) async fn begin(
        &self,
        negotiated: Negotiated,
        endpoint: &Endpoint,
        credential: &Credential,
        user: &str,
        database: &str,
        trace: &Trace,
    ) -> Result<Session, Refused> {
        let Negotiated { stream, tls } = negotiated;
        let stage = trace.enter(Stage::AUTHENTICATION);
        if let Err(error) = check_token_may_leave(credential, tls.as_ref()) {
            return Err(Refused {
                error: stage.fail(error),
                before_authentication: false,
            });
        }
        let secret = credential
            .secret()
            .map(|s| s.expose())
            .filter(|s| !s.is_empty());
        let binding = tls.as_ref().and_then(|tls| tls.channel_binding.clone());
        let protection = match &tls {
            None => Protection::None,
            Some(_) if binding.is_some() => Protection::Bindable,
            Some(tls) => Protection::Unbindable {
                verified: tls.info.verification > Some(Verification::None),
            },
        };
        let rules = Rules::new(
            self.require_auth,
            self.channel_binding,
            protection,
            secret.is_some(),
        );
        let (guard, observed) = Guard::new(stream, rules, self.max_message_size);

        let mut config = Config::new();
        config.user(user).dbname(database);
        if let Some(secret) = secret {
            config.password(secret);
        }
        if let Some(name) = &self.application_name {
            config.application_name(name);
        }
        if let Some(options) = &self.options {
            config.options(options);
        }
        config.channel_binding(match self.channel_binding {
            ChannelBinding::Disable => config::ChannelBinding::Disable,
            ChannelBinding::Prefer => config::ChannelBinding::Prefer,
            ChannelBinding::Require => config::ChannelBinding::Require,
        });
        let begun = if tls.is_some() {
            // "Direct" makes the driver call `connect` at once, without an SSLRequest of its own.
            config.ssl_mode(config::SslMode::Require);
            config.ssl_negotiation(config::SslNegotiation::Direct);
            config.connect_raw(guard, Handover { binding }).await
        } else {
            config.ssl_mode(config::SslMode::Disable);
            config.connect_raw(guard, Handover { binding: None }).await
        };
        match begun {
            Ok((client, connection)) => {
                let method = observed.method().map(|method| method.describe());
                stage.note("user", user);
                if let Some(method) = method {
                    stage.note("method", method);
                }
                stage.pass();
                Ok(Session {
                    client,
                    connection,
                    tls,
                    backend_pid: observed.backend_pid(),
                    method,
                })
            }
            Err(error) => {
                let with_certificate = tls.is_some() && credential.identity().is_some();
                let mut error = explain(error, &observed, with_certificate);
                if credential.kind() == CredentialKind::BearerToken
                    && error.code() == &codes::AUTH_REFUSED
                {
                    error = error.with_hint(TOKEN_HINT);
                }
                let error = error.with_context(format!("connection to {endpoint} failed"));
                // "Cannot connect now" says nothing about the encryption.
                let verdict = error.sqlstate().is_some_and(|state| state != "57P03");
                let before_authentication = verdict && !observed.authenticated();
                let error = match error.stage() {
                    Stage::TLS => {
                        trace.fail_passed(Stage::TLS);
                        error
                    }
                    _ => stage.fail(error),
                };
                Err(Refused {
                    error,
                    before_authentication,
                })
            }
        }
    }
}

/// A session that did not begin.
pub(super) struct Refused {
    pub(super) error: Error,
    /// Whether the server answered with an error before it had accepted the identity: with another
    /// encryption, it may answer otherwise.
    pub(super) before_authentication: bool,
}

fn check_token_may_leave(credential: &Credential, tls: Option<&Established>) -> Result<(), Error> {
    let verified = tls.and_then(|tls| tls.info.verification) == Some(Verification::Full);
    if !credential.needs_verified_tls() || verified {
        return Ok(());
    }
    let message = match tls {
        None => "a bearer token is not sent over a connection without TLS",
        Some(_) => "a bearer token is not sent to a server whose name was not verified",
    };
    Err(Error::new(
        &codes::AUTH_UNVERIFIED_TLS,
        Stage::AUTHENTICATION,
        message,
    ))
}

/// Servers say of a token what they say of a password, or less.
const TOKEN_HINT: &str = "check that the role has exactly this name, in upper and lower case; that it belongs to the identity of the token (one that was deleted and made again is another: drop the role and create it anew); and that the token is of the tenant and cloud that the server trusts";

fn explain(error: tokio_postgres::Error, observed: &Observed, with_certificate: bool) -> Error {
    if let Some(violation) = observed.take_violation() {
        return violation;
    }
    let translated = server_error::from_driver(error, Stage::AUTHENTICATION);
    // In TLS 1.3 the server's verdict on the client certificate arrives only now. Some TLS providers
    // know it from a connection that broke.
    let silent = !observed.heard_anything();
    if silent && translated.kind() == crate::ErrorKind::Tls {
        return translated.with_stage(Stage::TLS);
    }
    if with_certificate && silent && translated.kind() == crate::ErrorKind::Closed {
        let message = format!("the server ended the TLS session before it answered: {translated}");
        return Error::new(&codes::TLS_CLOSED, Stage::TLS, message).with_source(translated);
    }
    translated
}

/// Hands a stream whose TLS is already established to tokio-postgres, with its channel binding.
pub(super) struct Handover {
    pub(super) binding: Option<Vec<u8>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsConnect<S> for Handover {
    type Stream = Finished<S>;
    type Error = std::convert::Infallible;
    type Future = Ready<Result<Finished<S>, Self::Error>>;

    fn connect(self, stream: S) -> Self::Future {
        ready(Ok(Finished {
            inner: stream,
            binding: self.binding,
        }))
    }
}

/// A stream whose TLS is established below.
pub(super) struct Finished<S> {
    inner: S,
    binding: Option<Vec<u8>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Finished<S> {
    fn channel_binding(&self) -> Binding {
        match &self.binding {
            Some(hash) => Binding::tls_server_end_point(hash.clone()),
            None => Binding::none(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Finished<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Finished<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
