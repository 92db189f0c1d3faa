//! What opens, checks and retires the connections of a pool, whichever pool that is.

use std::sync::Arc;
use std::time::Duration;

use pgreach_core::{Connector, Error, Stage, codes};

use crate::RecyclingCheck;
use crate::client::PooledClient;
use crate::epochs::{Epochs, Retired, jittered};
use crate::silence::Silence;

/// How long a recycling check may take, where nothing else is said.
pub const DEFAULT_CHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// The least that a check is given: with none at all, its question would not even be sent.
const MIN_CHECK_TIMEOUT: Duration = Duration::from_millis(1);

/// How long the request to cancel a statement may take. Where the network is gone, these would
/// otherwise pile up until the connector's own deadline.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens, checks and retires the connections of a pool.
///
/// Every connection comes from the connector, and so with a credential that was fetched for it. The
/// same manager serves deadpool (feature `deadpool`) and bb8 (feature `bb8`).
///
/// ```
/// use std::time::Duration;
///
/// use pgreach_core::Connector;
/// use pgreach_pool::{Manager, RecyclingCheck};
///
/// fn manager(connector: impl Connector) -> Manager {
///     Manager::new(connector)
///         .with_recycling(RecyclingCheck::Clean)
///         .with_check_timeout(Duration::from_secs(1))
///         .with_max_lifetime(Duration::from_secs(3600))
/// }
/// ```
#[derive(Debug)]
pub struct Manager {
    connector: Arc<dyn Connector>,
    epochs: Epochs,
    check: RecyclingCheck,
    check_timeout: Duration,
    max_lifetime: Option<Duration>,
    silence: Silence,
    #[cfg(feature = "bb8")]
    pub(crate) failures: Arc<crate::bb8::Failures>,
    #[cfg(feature = "bb8")]
    pub(crate) sink: Option<Box<dyn crate::bb8::ErrorSink<Error>>>,
}

impl Manager {
    /// A manager over `connector`; an `Arc<dyn Connector>` is one as well.
    #[must_use]
    pub fn new(connector: impl Connector) -> Self {
        Self {
            connector: Arc::new(connector),
            epochs: Epochs::new(),
            check: RecyclingCheck::default(),
            check_timeout: DEFAULT_CHECK_TIMEOUT,
            max_lifetime: None,
            silence: Silence::default(),
            #[cfg(feature = "bb8")]
            failures: Arc::default(),
            #[cfg(feature = "bb8")]
            sink: None,
        }
    }

    /// How a connection is checked before it is handed out again. Default:
    /// [`RecyclingCheck::Verified`].
    #[must_use]
    pub fn with_recycling(mut self, check: RecyclingCheck) -> Self {
        self.check = check;
        self
    }

    /// How long that may take. Default: [`DEFAULT_CHECK_TIMEOUT`]; at least a millisecond. It is also
    /// how long somebody may wait for an idle connection that the network has lost, and for a
    /// statement that the user before gave up: that one is then cancelled, and its connection closed.
    ///
    /// After one that did not answer, the others that were idle meanwhile are given at most 250 ms,
    /// and after four in a row they are closed unasked, until one answers or a new one is opened.
    #[must_use]
    pub fn with_check_timeout(mut self, timeout: Duration) -> Self {
        self.check_timeout = timeout.max(MIN_CHECK_TIMEOUT);
        self
    }

    /// How old a connection may become; it is closed when it is next taken up after that. Each one
    /// gets up to a tenth less, so that those which were opened together do not end together.
    /// Default: no limit. Each connection is handed out once at least: with a lifetime of zero,
    /// exactly once.
    #[must_use]
    pub fn with_max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = Some(lifetime);
        self
    }

    /// Shares a handle between the pools that one rotation concerns.
    #[must_use]
    pub fn with_epochs(mut self, epochs: Epochs) -> Self {
        self.epochs = epochs;
        self
    }

    /// The handle that retires this manager's connections.
    #[must_use]
    pub fn epochs(&self) -> Epochs {
        self.epochs.clone()
    }

    /// Where a [`bb8::Pool`](crate::bb8::Pool) brings its errors, beside those who wait: of attempts
    /// that failed, and of idle connections that were not fit. Such a pool takes this one instead of
    /// the builder's.
    #[cfg(feature = "bb8")]
    #[must_use]
    pub fn with_error_sink(mut self, sink: Box<dyn crate::bb8::ErrorSink<Error>>) -> Self {
        self.sink = Some(sink);
        self
    }

    /// Where the connections come from.
    #[must_use]
    pub fn connector(&self) -> &Arc<dyn Connector> {
        &self.connector
    }

    pub(crate) async fn open(&self) -> Result<PooledClient, Error> {
        // Before the credential is fetched: a rotation meanwhile may or may not have been seen.
        let rotation = self.epochs.current();
        let connection = self.connector.connect().await?;
        self.silence.answered();
        let lifetime = self.max_lifetime.map(jittered);
        Ok(PooledClient::new(connection, rotation, lifetime))
    }

    /// Whether the connection may be used again, as far as this side knows.
    pub(crate) fn fit(&self, client: &PooledClient) -> Result<(), Retired> {
        client.fit(&*self.connector, &self.epochs)
    }

    /// The same, with a note in the log.
    pub(crate) fn fit_or_note(&self, client: &mut PooledClient) -> Result<(), Retired> {
        self.fit(client)
            .inspect_err(|why| client.note_retired(*why))
    }

    /// Asks the server whether the connection may be handed out, which it then is. Where this is
    /// dropped before its end, the connection is not fit any more.
    pub(crate) async fn check(&self, client: &mut PooledClient) -> Result<(), Error> {
        if self.check == RecyclingCheck::Fast || client.is_fresh() {
            client.hand_out();
            return Ok(());
        }
        client.begin_check();
        let checked = self.ask(client).await;
        client.end_check(checked.is_ok());
        match &checked {
            Ok(()) => client.hand_out(),
            Err(error) => {
                let pid = client.info().backend_pid();
                tracing::debug!(target: "pgreach", backend_pid = pid, code = error.code().name(), %error, "connection failed the check");
            }
        }
        checked
    }

    async fn ask(&self, client: &PooledClient) -> Result<(), Error> {
        let Some(patience) = self.silence.patience(client.heard(), self.check_timeout) else {
            let message =
                "an idle connection was not asked, since several before it did not answer";
            return Err(Error::new(&codes::TIMEOUT, Stage::QUERY, message));
        };
        match tokio::time::timeout(patience, self.check.run(client)).await {
            Ok(checked) => {
                if checked.is_ok() {
                    self.silence.answered();
                }
                checked
            }
            Err(_) => {
                self.silence.unanswered();
                give_up(client);
                let message = format!(
                    "an idle connection did not answer the pool's check within {patience:?}"
                );
                Err(Error::new(&codes::TIMEOUT, Stage::QUERY, message))
            }
        }
    }
}

/// Cancels what runs on a connection that did not answer: mostly a statement that nobody waits for
/// any more. The connection goes either way; without this, the server would work on.
fn give_up(client: &PooledClient) {
    if client.is_closed() {
        return;
    }
    let cancel = client.cancel_handle();
    tokio::spawn(async move {
        match tokio::time::timeout(CANCEL_TIMEOUT, cancel.cancel()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(target: "pgreach", %error, "the statement that was given up could not be cancelled");
            }
            Err(_) => {
                tracing::debug!(target: "pgreach", "the statement that was given up could not be cancelled in time");
            }
        }
    });
}
