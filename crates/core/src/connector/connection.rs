//! An open connection: the client, the task that drives it, and what is known of it.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_postgres::AsyncMessage;

use super::cancel::CancelHandle;
use super::server_error;
use super::startup::RawConnection;
use crate::{Endpoint, Error, Stage, StageRecord, TlsInfo, codes};

/// How long a connection that was dropped may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// What receives the server's notices and notifications.
pub type MessageHandler = Arc<dyn Fn(AsyncMessage) + Send + Sync>;

/// An open connection to PostgreSQL.
///
/// It derefs to [`tokio_postgres::Client`]: queries run on the driver itself, with nothing in
/// between. When it is dropped, the server is told, a statement that is still running gets five
/// seconds to end, and the task behind it ends.
pub struct Connection {
    // Dropped before the driver, which then sees that nobody is left to serve.
    client: tokio_postgres::Client,
    driver: Driver,
    cancel: CancelHandle,
    info: ConnectionInfo,
}

impl Connection {
    pub(super) fn new(
        client: tokio_postgres::Client,
        connection: RawConnection,
        handler: Option<MessageHandler>,
        cancel: CancelHandle,
        info: ConnectionInfo,
    ) -> Self {
        Self {
            client,
            driver: Driver::spawn(connection, handler),
            cancel,
            info,
        }
    }

    pub(super) fn set_stages(&mut self, stages: Vec<StageRecord>, elapsed: Duration) {
        self.info.stages = stages;
        self.info.elapsed = elapsed;
    }

    pub(super) fn set_credential_epoch(&mut self, epoch: u64) {
        self.info.credential_epoch = epoch;
    }

    /// A handle that cancels the statement that runs on this connection. It may outlive the
    /// connection.
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone()
    }

    /// What is known of this connection.
    #[must_use]
    pub fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// Takes the connection apart, for code that wants to own a [`tokio_postgres::Client`].
    #[must_use]
    pub fn into_parts(self) -> (tokio_postgres::Client, Driver, ConnectionInfo) {
        (self.client, self.driver, self.info)
    }

    /// Closes the connection and waits until the server was told, for five seconds at most.
    ///
    /// # Errors
    /// The error that ended the connection before, if any.
    pub async fn close(self) -> Result<(), Error> {
        let Self { client, driver, .. } = self;
        drop(client);
        driver.close().await
    }
}

impl Deref for Connection {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.client
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("endpoint", &self.info.endpoint)
            .field("backend_pid", &self.info.backend_pid)
            .field("closed", &self.client.is_closed())
            .finish_non_exhaustive()
    }
}

/// The task that moves a connection's bytes.
///
/// While the client lives, so does the task. Dropping the driver while the client still lives cuts
/// the connection off after five seconds.
#[derive(Debug)]
pub struct Driver {
    task: JoinHandle<Result<(), Error>>,
    // Dropped with the driver: the task then has `GOODBYE` to end.
    _alive: oneshot::Sender<()>,
}

impl Driver {
    fn spawn(mut connection: RawConnection, handler: Option<MessageHandler>) -> Self {
        let (alive, dropped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let drive = async {
                while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
                    match message {
                        Ok(message) => {
                            if let Some(handler) = &handler {
                                handler(message);
                            }
                        }
                        Err(error) => {
                            return Err(server_error::from_driver(error, Stage::QUERY));
                        }
                    }
                }
                Ok(())
            };
            tokio::pin!(drive);
            let ended = tokio::select! {
                ended = &mut drive => ended,
                _ = dropped => match tokio::time::timeout(GOODBYE, drive).await {
                    Ok(ended) => ended,
                    Err(_) => Err(Error::new(
                        &codes::TIMEOUT,
                        Stage::QUERY,
                        "the connection was dropped and did not end in time",
                    )),
                },
            };
            if let Err(error) = &ended {
                tracing::debug!(target: "pgreach", code = error.code().name(), %error, "connection ended");
            }
            ended
        });
        Self {
            task,
            _alive: alive,
        }
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits until the connection has ended, for five seconds at most. Drop the client first.
    ///
    /// # Errors
    /// The error that ended the connection.
    pub async fn close(self) -> Result<(), Error> {
        let Self {
            task,
            _alive: alive,
        } = self;
        drop(alive);
        match task.await {
            Ok(ended) => ended,
            // The task does not panic by itself: a message handler did, or the runtime ends.
            Err(_) => Err(Error::new(
                &codes::CLOSED,
                Stage::QUERY,
                "the task of the connection did not end by itself",
            )),
        }
    }
}

/// What is known of a connection.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ConnectionInfo {
    pub(super) route: String,
    pub(super) endpoint: Endpoint,
    pub(super) user: String,
    pub(super) database: String,
    pub(super) tls: Option<TlsInfo>,
    pub(super) authentication: Option<&'static str>,
    pub(super) backend_pid: Option<i32>,
    #[serde(skip)]
    pub(super) parameters: HashMap<&'static str, String>,
    #[serde(skip)]
    pub(super) credential_epoch: u64,
    pub(super) stages: Vec<StageRecord>,
    #[serde(skip)]
    pub(super) elapsed: Duration,
}

impl ConnectionInfo {
    /// The route, without secrets.
    #[must_use]
    pub fn route(&self) -> &str {
        &self.route
    }

    /// The server, pinned to the address that was dialled.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The user of the session.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The database of the session.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The TLS session. `None`: the connection is not encrypted.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_ref()
    }

    /// How the server authenticated the client.
    #[must_use]
    pub fn authentication(&self) -> Option<&str> {
        self.authentication
    }

    /// The process id of the server's backend.
    #[must_use]
    pub fn backend_pid(&self) -> Option<i32> {
        self.backend_pid
    }

    /// The server's version, such as `18.4`.
    #[must_use]
    pub fn server_version(&self) -> Option<&str> {
        self.parameter("server_version")
    }

    /// A parameter as the server reported it when the session began: `server_version`,
    /// `in_hot_standby`, `default_transaction_read_only`, `is_superuser`, `session_authorization`,
    /// `server_encoding`, `standard_conforming_strings` or `TimeZone`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The connector's [`credential_epoch`](crate::Connector::credential_epoch) that the credential of
    /// this connection belongs to.
    #[must_use]
    pub fn credential_epoch(&self) -> u64 {
        self.credential_epoch
    }

    /// The stages and how long each took.
    #[must_use]
    pub fn stages(&self) -> &[StageRecord] {
        &self.stages
    }

    /// How long it took until the connection was ready.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }
}

/// The parameters that are kept in [`ConnectionInfo`].
pub(super) const REPORTED: &[&str] = &[
    "server_version",
    "in_hot_standby",
    "default_transaction_read_only",
    "is_superuser",
    "session_authorization",
    "server_encoding",
    "standard_conforming_strings",
    "TimeZone",
];
