//! One host: credential beside dial, then TLS, startup and session.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;
use tokio_postgres::Client;

use super::connection::{Connection, ConnectionInfo, REPORTED};
use super::negotiate::Encryption;
use super::startup::Session;
use super::{CancelHandle, Settings, session};
use crate::text::escape_control;
use crate::{
    BoxStream, Credential, CredentialRequest, DialContext, Dialed, Endpoint, Error, ErrorKind,
    Stage, TargetSessionAttrs, Trace, codes,
};

/// How long the look at a refused certificate may take.
const EXPLAIN_TIMEOUT: Duration = Duration::from_secs(5);

impl Settings {
    /// Opens one connection to `endpoint`. The caller holds the deadline.
    ///
    /// A verdict of the server that is already known stays in `verdict` while another attempt is
    /// made, so that neither the deadline nor a route that breaks meanwhile can hide it.
    pub(super) async fn open(
        &self,
        endpoint: &Endpoint,
        wanted: TargetSessionAttrs,
        cx: &DialContext,
        verdict: &mut Option<Error>,
    ) -> Result<Connection, Error> {
        let epoch = self.epoch.current();
        // The dial runs beside the credential's fetch: a token costs no extra time.
        let (credential, dialed) = tokio::try_join!(
            self.fetch(endpoint, cx.trace()),
            self.transport.dial(endpoint, cx)
        )?;
        let way = Way { endpoint, cx };
        let first = self.authenticate(&credential, dialed, way, verdict).await;
        let connection = match first {
            Ok(mut connection) => {
                connection.set_credential_epoch(epoch);
                connection
            }
            Err(refusal) => {
                if !is_about_credential(&refusal) || !self.credentials.invalidate(&credential) {
                    return Err(refusal);
                }
                *verdict = Some(refusal);
                let second = self.with_fresh_credential(&credential, way).await;
                match (second, verdict.take()) {
                    (Ok(mut connection), _) => {
                        connection.set_credential_epoch(self.epoch.ended(epoch));
                        connection
                    }
                    // Only a verdict on the fresh credential takes the place of the first.
                    (Err(Second::Failed(error)), _) if is_verdict(&error) => return Err(error),
                    (Err(second), Some(refusal)) => return Err(second.explain(refusal)),
                    (Err(Second::Failed(error) | Second::NotFetched(error)), None) => {
                        return Err(error);
                    }
                    (Err(Second::Same(_)), None) => return Err(nothing_tried()),
                }
            }
        };
        self.check_session(connection, wanted, cx.trace()).await
    }

    /// One more attempt, if the source has another credential than the one that was refused.
    async fn with_fresh_credential(
        &self,
        rejected: &Credential,
        way: Way<'_>,
    ) -> Result<Connection, Second> {
        let Way { endpoint, cx } = way;
        let fresh = self
            .fetch(endpoint, cx.trace())
            .await
            .map_err(Second::NotFetched)?;
        if fresh.same_as(rejected) {
            return Err(Second::Same(fresh));
        }
        tracing::debug!(target: "pgreach", %endpoint, "refused; trying once more with a fresh credential");
        let dialed = self.transport.dial(endpoint, cx).await;
        let dialed = dialed.map_err(Second::Failed)?;
        let attempt = self.authenticate(&fresh, dialed, way, &mut None).await;
        attempt.map_err(Second::Failed)
    }

    async fn fetch(&self, endpoint: &Endpoint, trace: &Trace) -> Result<Arc<Credential>, Error> {
        let request =
            CredentialRequest::new(endpoint, self.database.as_deref(), self.user.as_deref())
                .with_default_user(self.default_user.as_deref());
        let stage = trace.enter(Stage::CREDENTIAL);
        let result = self
            .credentials
            .credential(&request)
            .await
            .and_then(|credential| match credential.expires_at() {
                Some(at) if at <= SystemTime::now() => {
                    let message = "the credential has expired";
                    Err(Error::new(
                        &codes::STARTUP_CREDENTIAL,
                        Stage::CREDENTIAL,
                        message,
                    ))
                }
                _ => Ok(credential),
            });
        if let Ok(credential) = &result {
            for (what, value) in credential.notes() {
                stage.note(what, value);
            }
            for warning in credential.warnings() {
                stage.warn(warning);
            }
        }
        stage.end(result)
    }

    /// Makes the attempts that the sslmode asks for, with one credential.
    async fn authenticate(
        &self,
        credential: &Arc<Credential>,
        dialed: Dialed,
        way: Way<'_>,
        verdict: &mut Option<Error>,
    ) -> Result<Connection, Error> {
        // The endpoint is the one that was asked for: a transport says where it went, and has no
        // say in what is verified.
        let endpoint = dialed.pin(way.endpoint);
        let plan = Encryption::plan(self.tls.policy, way.endpoint);
        let mut ready = Some(dialed);
        for (i, encryption) in plan.iter().enumerate() {
            let stream = match ready.take() {
                Some(dialed) => dialed.stream,
                None => match self.transport.dial(&endpoint, way.cx).await {
                    Ok(dialed) => dialed.stream,
                    Err(error) => return Err(verdict.take().unwrap_or(error)),
                },
            };
            let last = i + 1 == plan.len();
            let tried = self.attempt(credential, stream, &endpoint, *encryption, way.cx);
            match tried.await {
                Ok(connection) => {
                    *verdict = None;
                    return Ok(connection);
                }
                Err(failure) if last || !failure.fall_back => {
                    let error = match verdict.take() {
                        Some(first) => more_telling(first, failure.error),
                        None => failure.error,
                    };
                    return Err(self.explain(error, &endpoint, way.cx, verdict).await);
                }
                Err(failure) => *verdict = Some(failure.error),
            }
        }
        // A plan is never empty, and its last attempt returns.
        Err(verdict.take().unwrap_or_else(nothing_tried))
    }

    async fn attempt(
        &self,
        credential: &Arc<Credential>,
        stream: BoxStream,
        endpoint: &Endpoint,
        encryption: Encryption,
        cx: &DialContext,
    ) -> Result<Connection, Failure> {
        let trace = cx.trace();
        let identity = credential.identity();
        let negotiated = self
            .tls
            .negotiate(stream, endpoint, encryption, identity, trace);
        let negotiated = negotiated.await.map_err(|error| {
            // libpq goes on without TLS when the handshake failed, but not when the answer to the
            // request was an attack or an error.
            let tampered = error.code() == &codes::TLS_STUFFED
                || error.code() == &codes::TLS_NEGOTIATION
                || error.kind() != ErrorKind::Tls;
            Failure {
                error,
                fall_back: !tampered,
            }
        })?;
        let other_encryption = negotiated.tls.is_some() || encryption == Encryption::Plain;
        let (user, database) = self.names(credential).map_err(Failure::last)?;
        let session = self
            .session
            .begin(negotiated, endpoint, credential, &user, &database, trace)
            .await
            .map_err(|refused| Failure {
                fall_back: other_encryption && refused.before_authentication,
                error: refused.error,
            })?;
        Ok(self.connection(session, endpoint.clone(), credential, user, database))
    }

    /// The user and the database of the session.
    fn names(&self, credential: &Credential) -> Result<(String, String), Error> {
        let user = self
            .user
            .as_deref()
            .or_else(|| credential.user())
            .or(self.default_user.as_deref())
            .ok_or_else(|| {
                let message = "no user was given, neither by the settings nor by the credential";
                Error::new(&codes::CONFIG_MISSING, Stage::CONFIG, message)
            })?;
        let database = self.database.as_deref().unwrap_or(user);
        Ok((user.to_owned(), database.to_owned()))
    }

    fn connection(
        &self,
        session: Session,
        endpoint: Endpoint,
        credential: &Credential,
        user: String,
        database: String,
    ) -> Connection {
        let Session {
            client,
            connection,
            tls,
            backend_pid,
            method,
        } = session;
        let parameters: HashMap<&'static str, String> = REPORTED
            .iter()
            .filter_map(|name| Some((*name, connection.parameter(name)?.to_owned())))
            .collect();
        let cancel = CancelHandle::new(
            Client::cancel_token(&client),
            Arc::clone(&self.transport),
            endpoint.clone(),
            self.tls.clone(),
            tls.is_some(),
            credential.identity().cloned(),
            self.connect_timeout,
        );
        let info = ConnectionInfo {
            route: escape_control(&self.transport.describe(&endpoint)),
            endpoint,
            user,
            database,
            tls: tls.map(|tls| tls.info),
            authentication: method,
            backend_pid,
            parameters,
            credential_epoch: 0,
            stages: Vec::new(),
            elapsed: Duration::ZERO,
        };
        let handler = self
            .message_handler
            .as_ref()
            .map(|handler| Arc::clone(&handler.0));
        Connection::new(client, connection, handler, cancel, info)
    }

    async fn check_session(
        &self,
        connection: Connection,
        wanted: TargetSessionAttrs,
        trace: &Trace,
    ) -> Result<Connection, Error> {
        let stage = trace.enter(Stage::SESSION);
        if let Some(version) = connection.info().server_version() {
            stage.note("server version", version);
        }
        stage.end(session::check(&connection, wanted).await)?;
        Ok(connection)
    }

    /// Looks at a certificate that was refused, over a stream of its own.
    async fn explain(
        &self,
        error: Error,
        target: &Endpoint,
        cx: &DialContext,
        verdict: &mut Option<Error>,
    ) -> Error {
        if !super::explain::can_explain(&error) {
            return error;
        }
        let deadline = cx.deadline().min(Instant::now() + EXPLAIN_TIMEOUT);
        // Its stages are not part of the way.
        let aside = DialContext::new(deadline);
        let look = async {
            let dialed = self.transport.dial(target, &aside).await.ok()?;
            self.tls.inspect(dialed.stream, target).await
        };
        // What was found stays the error when the look fails, or when time runs out meanwhile.
        let code = error.code();
        *verdict = Some(error);
        let certificate = tokio::time::timeout_at(deadline, look).await.ok().flatten();
        let error = verdict
            .take()
            .unwrap_or_else(|| Error::new(code, Stage::TLS, code.meaning()));
        match certificate {
            Some(certificate) => super::explain::with_certificate(error, &certificate, target),
            None => error,
        }
    }
}

/// What one host is reached with.
#[derive(Debug, Clone, Copy)]
struct Way<'a> {
    endpoint: &'a Endpoint,
    cx: &'a DialContext,
}

/// A failed attempt, and whether the sslmode's next attempt may follow.
struct Failure {
    error: Error,
    fall_back: bool,
}

impl Failure {
    fn last(error: Error) -> Self {
        Self {
            error,
            fall_back: false,
        }
    }
}

/// Why there was no connection with a fresh credential either.
enum Second {
    /// There was none.
    NotFetched(Error),
    /// It is the one that was refused.
    Same(Arc<Credential>),
    /// It was tried.
    Failed(Error),
}

impl Second {
    /// The first refusal, with the reason why nothing came after it.
    fn explain(self, refusal: Error) -> Error {
        let (why, retry) = match self {
            Self::NotFetched(error) => (error.message().to_owned(), error.retry()),
            // A source that keeps what it has while it gets no other tells in a warning.
            Self::Same(credential) => match credential.warnings().last() {
                Some(warning) => (warning.clone(), refusal.retry()),
                None => return refusal,
            },
            Self::Failed(_) => return refusal,
        };
        let hint = format!("{}; there is no fresh credential: {why}", refusal.hint());
        refusal.with_hint(hint).with_retry(retry)
    }
}

/// Whether the server refused the identity, so that another credential may be let in. Where its
/// pg_hba.conf has no line for this client, no credential was looked at.
fn is_about_credential(error: &Error) -> bool {
    matches!(error.sqlstate(), Some("28P01" | "28000")) && error.code() != &codes::AUTH_HBA
}

/// For what cannot be: every way through the attempts leaves an error.
fn nothing_tried() -> Error {
    Error::new(&codes::CLOSED, Stage::TLS, "no attempt was made to connect")
}

/// Whether a server or its certificate was judged, as opposed to a route that broke.
fn is_verdict(error: &Error) -> bool {
    let judged = matches!(
        error.kind(),
        ErrorKind::Authentication | ErrorKind::Database | ErrorKind::Tls
    );
    // "Cannot connect now" judges nobody.
    judged && error.sqlstate() != Some("57P03")
}

/// Of the errors of an encrypted and an unencrypted attempt, the one to show. A wrong password or a
/// certificate that was refused says more than a pg_hba.conf without a line for the other kind of
/// connection.
fn more_telling(first: Error, second: Error) -> Error {
    let says_little =
        second.code() == &codes::AUTH_HBA || second.code() == &codes::TLS_NOT_SUPPORTED;
    if first.code() == &codes::AUTH_HBA && is_verdict(&second) && !says_little {
        second
    } else {
        first
    }
}
