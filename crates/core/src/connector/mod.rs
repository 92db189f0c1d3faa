//! The connector: a route, an identity and a trust decision, put together.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use tracing::Instrument as _;

use crate::text::escape_control;
use crate::{Error, Report};

mod attempt;
mod auth_request;
mod builder;
mod cancel;
mod check;
mod connection;
mod epoch;
mod explain;
mod guard;
mod hosts;
mod negotiate;
mod server_error;
mod session;
mod startup;

pub use builder::{DEFAULT_CONNECT_TIMEOUT, DEFAULT_MAX_MESSAGE_SIZE, PgConnectorBuilder};
pub use cancel::CancelHandle;
pub use connection::{Connection, ConnectionInfo, Driver, MessageHandler};

use epoch::Epoch;
use negotiate::Tls;
use startup::SessionRequest;

/// What other programs embed: something that opens connections to one database.
///
/// [`PgConnector`] is the implementation that dials; decorators wrap another connector and forward
/// every method.
#[async_trait]
pub trait Connector: Debug + Send + Sync + 'static {
    /// Opens a new connection.
    ///
    /// Cancel-safe: dropping the future closes whatever was open.
    ///
    /// # Errors
    /// The first stage that failed; see [`Error::stage`] and [`Error::hint`].
    async fn connect(&self) -> Result<Connection, Error>;

    /// Walks the same way as [`connect`](Self::connect), then closes the connection, and reports
    /// each stage: for a "Save & Test" button.
    async fn check(&self) -> Report;

    /// The route for people and logs, without secrets.
    fn route(&self) -> String;

    /// The number of times that a credential was refused and a fresh one took its place. A pool
    /// retires connections of an earlier epoch ([`ConnectionInfo::credential_epoch`]): their
    /// credential has been rotated away, and the server may be about to end them.
    ///
    /// It never goes down, over all the connections that this connector hands out: a pool compares
    /// it with theirs by order. A decorator that switches between connectors must not forward the
    /// number of whichever it uses now, since each counts for itself: the connections of the others
    /// would be retired as soon as they are opened. The least of theirs retires only what is out of
    /// date, and the default nothing.
    ///
    /// The default is for connectors whose credentials do not change.
    fn credential_epoch(&self) -> u64 {
        0
    }
}

#[async_trait]
impl<T: Connector + ?Sized> Connector for Arc<T> {
    async fn connect(&self) -> Result<Connection, Error> {
        (**self).connect().await
    }

    async fn check(&self) -> Report {
        (**self).check().await
    }

    fn route(&self) -> String {
        (**self).route()
    }

    fn credential_epoch(&self) -> u64 {
        (**self).credential_epoch()
    }
}

/// The [`Connector`] that dials. Built by [`PgConnector::builder`]; cheap to clone.
#[derive(Debug, Clone)]
pub struct PgConnector(Arc<Settings>);

/// Everything that a connector was told, checked.
#[derive(Debug)]
struct Settings {
    transport: Arc<dyn crate::Transport>,
    credentials: Arc<dyn crate::CredentialProvider>,
    tls: Tls,
    endpoints: Vec<crate::Endpoint>,
    user: Option<String>,
    /// The user where neither the settings nor the credential names one.
    default_user: Option<String>,
    database: Option<String>,
    session: SessionRequest,
    target_session_attrs: crate::TargetSessionAttrs,
    load_balance_hosts: crate::LoadBalanceHosts,
    connect_timeout: std::time::Duration,
    message_handler: Option<Handler>,
    epoch: Epoch,
}

/// A message handler that can stand in a `Debug` struct.
#[derive(Clone)]
struct Handler(MessageHandler);

impl Debug for Handler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MessageHandler")
    }
}

impl PgConnector {
    /// Begins a connector. TLS is verified in full unless the builder is told otherwise.
    pub fn builder() -> PgConnectorBuilder {
        PgConnectorBuilder::default()
    }
}

#[async_trait]
impl Connector for PgConnector {
    async fn connect(&self) -> Result<Connection, Error> {
        let span = tracing::debug_span!(target: "pgreach", "connect", route = self.route());
        self.0.connect(&crate::Trace::new()).instrument(span).await
    }

    async fn check(&self) -> Report {
        let span = tracing::debug_span!(target: "pgreach", "check", route = self.route());
        check::check(&self.0, self.route()).instrument(span).await
    }

    fn route(&self) -> String {
        let settings = &self.0;
        let routes: Vec<String> = settings
            .endpoints
            .iter()
            .map(|e| settings.transport.describe(e))
            .collect();
        escape_control(&routes.join(", or "))
    }

    fn credential_epoch(&self) -> u64 {
        self.0.epoch.current()
    }
}
