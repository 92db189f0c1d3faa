//! A connection in a pool.

use std::fmt;
use std::future::pending;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use pgreach_core::{CancelHandle, Connection, ConnectionInfo, Connector};
use tokio::time::Instant;

use crate::epochs::{Epochs, Retired};

/// A connection in a pool.
///
/// It derefs to [`ClientWrapper`], and through it to [`tokio_postgres::Client`], so that
/// `prepare_cached` and transactions with a statement cache are there, and statements run on the
/// driver itself.
///
/// [`tokio_postgres::Client`]: pgreach_core::tokio_postgres::Client
pub struct PooledClient {
    client: ClientWrapper,
    cancel: CancelHandle,
    info: ConnectionInfo,
    /// How often had been rotated when it began to be opened.
    rotation: u64,
    expires: Option<Instant>,
    /// When it was last known to answer.
    heard: Instant,
    /// Whether it has been handed out.
    used: bool,
    /// Whether a check of it has begun and not come to its end.
    checking: bool,
    /// Whether its end has been told already.
    retired: bool,
}

/// For how long a connection that was opened, and not handed out yet, is taken as it is: the server
/// has just answered. Whoever opened it could otherwise find it too old, or too slow, again and again.
const FRESH: Duration = Duration::from_secs(1);

impl PooledClient {
    pub(crate) fn new(connection: Connection, rotation: u64, lifetime: Option<Duration>) -> Self {
        let cancel = connection.cancel_handle();
        let (client, driver, info) = connection.into_parts();
        // The wrapper aborts the task that it is given. That must not be the one which moves the
        // bytes: it has a statement to finish and a goodbye to say. This one holds the driver and
        // does nothing; aborted, it drops the driver, whose own task then ends as it should.
        let holder = tokio::spawn(async move {
            let _driver = driver;
            pending::<()>().await;
        });
        Self {
            client: ClientWrapper::new(client, holder),
            cancel,
            info,
            rotation,
            // Too far away to be counted is never.
            expires: lifetime.and_then(|lifetime| Instant::now().checked_add(lifetime)),
            heard: Instant::now(),
            used: false,
            checking: false,
            retired: false,
        }
    }

    /// What is known of the connection.
    #[must_use]
    pub fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// A handle that cancels the statement that runs on this connection. Whoever keeps it longer
    /// than the connection may hit the statement of its next user.
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone()
    }

    /// Whether it may be used again, as far as this side knows.
    pub(crate) fn fit(&self, connector: &dyn Connector, epochs: &Epochs) -> Result<(), Retired> {
        if self.client.is_closed() {
            return Err(Retired::Closed);
        }
        if self.checking {
            return Err(Retired::GivenUp);
        }
        // Not "another epoch": a connector that wraps one and does not count says 0 for ever.
        if self.info.credential_epoch() < connector.credential_epoch() {
            return Err(Retired::Credential);
        }
        if self.rotation != epochs.current() {
            return Err(Retired::Rotated);
        }
        match self.expires {
            Some(expires) if expires <= Instant::now() && !self.is_fresh() => Err(Retired::Aged),
            _ => Ok(()),
        }
    }

    /// Whether it was opened just now, and nobody has had it.
    pub(crate) fn is_fresh(&self) -> bool {
        !self.used && self.heard.elapsed() < FRESH
    }

    /// When it was last known to answer.
    pub(crate) fn heard(&self) -> Instant {
        self.heard
    }

    /// It is about to be handed out.
    pub(crate) fn hand_out(&mut self) {
        self.used = true;
    }

    /// Until [`end_check`](Self::end_check) it is not fit for anybody.
    pub(crate) fn begin_check(&mut self) {
        self.checking = true;
    }

    pub(crate) fn end_check(&mut self, answered: bool) {
        self.checking = false;
        if answered {
            self.heard = Instant::now();
        }
    }

    /// Tells in the log why it is not handed out again: once, however often a pool asks.
    pub(crate) fn note_retired(&mut self, why: Retired) {
        if !std::mem::replace(&mut self.retired, true) {
            let pid = self.info.backend_pid();
            tracing::debug!(target: "pgreach", backend_pid = pid, %why, "connection retired");
        }
    }
}

impl Deref for PooledClient {
    type Target = ClientWrapper;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl DerefMut for PooledClient {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.client
    }
}

impl fmt::Debug for PooledClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledClient")
            .field("endpoint", self.info.endpoint())
            .field("backend_pid", &self.info.backend_pid())
            .field("closed", &self.client.is_closed())
            .finish_non_exhaustive()
    }
}
