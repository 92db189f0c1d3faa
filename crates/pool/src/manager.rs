//! What opens, checks and retires the connections of a pool, whichever pool that is.

use std::sync::Arc;
use std::time::Duration;

use pgreach_core::{Connector, Error, Stage, codes};

use crate::RecyclingCheck;
use crate::client::PooledClient;
use crate::epochs::{Epochs, Retired, jittered};

/// How long a recycling check may take, where nothing else is said.
pub const DEFAULT_CHECK_TIMEOUT: Duration = Duration::from_secs(3);

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
    #[cfg(feature = "bb8")]
    pub(crate) failures: Arc<crate::bb8::Failures>,
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
            #[cfg(feature = "bb8")]
            failures: Arc::default(),
        }
    }

    /// How a connection is checked before it is handed out again. Default:
    /// [`RecyclingCheck::Verified`].
    #[must_use]
    pub fn with_recycling(mut self, check: RecyclingCheck) -> Self {
        self.check = check;
        self
    }

    /// How long that may take. Default: [`DEFAULT_CHECK_TIMEOUT`]. It is also how long somebody may
    /// wait for each idle connection that the network has lost, and for a statement that the user
    /// before gave up: that one is then cancelled, and its connection closed.
    #[must_use]
    pub fn with_check_timeout(mut self, timeout: Duration) -> Self {
        self.check_timeout = timeout;
        self
    }

    /// How old a connection may become; it is closed when it is next taken up after that. Each one
    /// gets up to a tenth less, so that those which were opened together do not end together.
    /// Default: no limit.
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

    /// Where the connections come from.
    #[must_use]
    pub fn connector(&self) -> &Arc<dyn Connector> {
        &self.connector
    }

    pub(crate) async fn open(&self) -> Result<PooledClient, Error> {
        // Before the credential is fetched: a rotation meanwhile may or may not have been seen.
        let rotation = self.epochs.current();
        let connection = self.connector.connect().await?;
        let lifetime = self.max_lifetime.map(jittered);
        Ok(PooledClient::new(connection, rotation, lifetime))
    }

    /// Whether the connection may be used again, as far as this side knows.
    pub(crate) fn fit(&self, client: &PooledClient) -> Result<(), Retired> {
        let fit = client.fit(&*self.connector, &self.epochs);
        if let Err(why) = fit {
            let pid = client.info().backend_pid();
            tracing::debug!(target: "pgreach", backend_pid = pid, %why, "connection retired");
        }
        fit
    }

    /// Asks the server whether the connection may be used again.
    pub(crate) async fn check(&self, client: &PooledClient) -> Result<(), Error> {
        let checked = match tokio::time::timeout(self.check_timeout, self.check.run(client)).await {
            Ok(checked) => checked,
            Err(_) => {
                // Mostly a statement that nobody waits for any more. The connection goes either
                // way; without this, the server would work on.
                let cancel = client.cancel_handle();
                tokio::spawn(async move {
                    if let Err(error) = cancel.cancel().await {
                        tracing::debug!(target: "pgreach", %error, "the statement that was given up could not be cancelled");
                    }
                });
                Err(Error::new(
                    &codes::TIMEOUT,
                    Stage::QUERY,
                    format!(
                        "an idle connection did not answer the pool's check within {:?}",
                        self.check_timeout
                    ),
                ))
            }
        };
        if let Err(error) = &checked {
            let pid = client.info().backend_pid();
            tracing::debug!(target: "pgreach", backend_pid = pid, code = error.code().name(), %error, "connection failed the check");
        }
        checked
    }
}
