//! One host: credential beside dial, then TLS, startup and session.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_postgres::Client;

use super::connection::{Connection, ConnectionInfo, REPORTED};
use super::negotiate::Encryption;
use super::startup::Session;
use super::{CancelHandle, Settings, session};
use crate::{
    Credential, CredentialRequest, DialContext, Dialed, Endpoint, Error, ErrorKind, Stage,
    TargetSessionAttrs, Trace, codes,
};

/// How long the look at a refused certificate may take.
const EXPLAIN_TIMEOUT: Duration = Duration::from_secs(5);

impl Settings {
    /// Opens one connection to `endpoint`. The caller holds the deadline.
    pub(super) async fn open(
        &self,
        endpoint: &Endpoint,
        wanted: TargetSessionAttrs,
        cx: &DialContext,
    ) -> Result<Connection, Error> {
        // The dial runs beside the credential's fetch: a token costs no extra time.
        let (credential, dialed) = tokio::try_join!(
            self.fetch(endpoint, cx.trace()),
            self.transport.dial(endpoint, cx)
        )?;
        let error = match self.authenticate(&credential, dialed, cx).await {
            Ok(connection) => return self.check_session(connection, wanted, cx.trace()).await,
            Err(error) => error,
        };
        let refused = matches!(error.sqlstate(), Some("28P01" | "28000"));
        if !refused || !self.credentials.invalidate(&credential) {
            return Err(error);
        }
        let fresh = self.fetch(endpoint, cx.trace()).await?;
        if fresh.same_as(&credential) {
            return Err(error);
        }
        tracing::debug!(target: "pgreach", %endpoint, "refused; trying once more with a fresh credential");
        let dialed = self.transport.dial(endpoint, cx).await?;
        let connection = self.authenticate(&fresh, dialed, cx).await?;
        self.check_session(connection, wanted, cx.trace()).await
    }

    async fn fetch(&self, endpoint: &Endpoint, trace: &Trace) -> Result<Arc<Credential>, Error> {
        let user = self.user.as_deref();
        let likely_user = user.or(self.system_user.as_deref()).unwrap_or_default();
        let database = self.database.as_deref().unwrap_or(likely_user);
        let request = CredentialRequest::new(endpoint, database, user);
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
        stage.end(result)
    }

    /// Makes the attempts that the sslmode asks for, with one credential.
    async fn authenticate(
        &self,
        credential: &Arc<Credential>,
        dialed: Dialed,
        cx: &DialContext,
    ) -> Result<Connection, Error> {
        let endpoint = dialed.endpoint.clone();
        let plan = Encryption::plan(self.tls.policy, &endpoint);
        let mut ready = Some(dialed);
        let mut first_failure: Option<Error> = None;
        for (i, encryption) in plan.iter().enumerate() {
            let dialed = match ready.take() {
                Some(dialed) => dialed,
                None => self.transport.dial(&endpoint, cx).await?,
            };
            let last = i + 1 == plan.len();
            match self.attempt(credential, dialed, *encryption, cx).await {
                Ok(connection) => return Ok(connection),
                Err(failure) if last || !failure.fall_back => {
                    let error = match first_failure {
                        Some(first) => more_telling(first, failure.error),
                        None => failure.error,
                    };
                    return Err(self.explain(error, &endpoint, cx).await);
                }
                Err(failure) => first_failure = Some(failure.error),
            }
        }
        // A plan is never empty, and its last attempt returns.
        Err(first_failure.unwrap_or_else(|| {
            Error::new(&codes::CLOSED, Stage::TLS, "no attempt was made to connect")
        }))
    }

    async fn attempt(
        &self,
        credential: &Arc<Credential>,
        dialed: Dialed,
        encryption: Encryption,
        cx: &DialContext,
    ) -> Result<Connection, Failure> {
        let trace = cx.trace();
        let identity = credential.identity();
        let negotiated = match self
            .tls
            .negotiate(dialed, encryption, identity, trace)
            .await
        {
            Ok(negotiated) => negotiated,
            Err(error) => {
                // libpq goes on without TLS when the handshake failed, but not when the answer to
                // the request was an attack or an error.
                let tampered = error.code() == &codes::TLS_STUFFED
                    || error.code() == &codes::TLS_NEGOTIATION
                    || error.kind() != ErrorKind::Tls;
                return Err(Failure {
                    error,
                    fall_back: !tampered,
                });
            }
        };
        let endpoint = negotiated.endpoint.clone();
        // libpq tries the other encryption only where the server answered with an error.
        let other_encryption = negotiated.tls.is_some() || encryption == Encryption::Plain;
        let (user, database) = self.names(credential).map_err(Failure::last)?;
        let session = self
            .session
            .begin(negotiated, credential, &user, &database, trace)
            .await
            .map_err(|error| Failure {
                fall_back: other_encryption && error.sqlstate().is_some(),
                error,
            })?;
        Ok(self.connection(session, endpoint, credential, user, database))
    }

    /// The user and the database of the session.
    fn names(&self, credential: &Credential) -> Result<(String, String), Error> {
        let user = self
            .user
            .as_deref()
            .or_else(|| credential.user())
            .or(self.system_user.as_deref())
            .ok_or_else(|| {
                let message = "no user was given and the operating system does not name one";
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
            route: self.transport.describe(&endpoint),
            endpoint,
            user,
            database,
            tls: tls.map(|tls| tls.info),
            authentication: method,
            backend_pid,
            parameters,
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
    async fn explain(&self, error: Error, target: &Endpoint, cx: &DialContext) -> Error {
        if !super::explain::can_explain(&error) {
            return error;
        }
        let deadline = cx
            .deadline()
            .min(tokio::time::Instant::now() + EXPLAIN_TIMEOUT);
        // Its stages are not part of the way.
        let aside = DialContext::new(deadline);
        let look = async {
            let dialed = self.transport.dial(target, &aside).await.ok()?;
            self.tls.inspect(dialed).await
        };
        match tokio::time::timeout_at(deadline, look).await {
            Ok(Some(certificate)) => super::explain::with_certificate(error, &certificate, target),
            // What was found stays the error when the look itself fails.
            Ok(None) | Err(_) => error,
        }
    }
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

/// Of the errors of an encrypted and an unencrypted attempt, the one to show. A wrong password or a
/// certificate that was refused says more than a pg_hba.conf without a line for the other kind of
/// connection.
fn more_telling(first: Error, second: Error) -> Error {
    let unhelpful = |error: &Error| error.code() == &codes::AUTH_HBA;
    if unhelpful(&first) && !unhelpful(&second) && second.code() != &codes::TLS_NOT_SUPPORTED {
        second
    } else {
        first
    }
}
