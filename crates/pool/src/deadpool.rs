//! Pools of deadpool.
//!
//! ```no_run
//! use pgreach_core::Connector;
//! use pgreach_pool::deadpool::{Manager, PoolError, PoolExt, builder};
//!
//! async fn work(connector: impl Connector) -> Result<(), Box<dyn std::error::Error>> {
//!     let pool = builder(Manager::new(connector)).max_size(16).build()?;
//!     let mut client = match pool.get().await {
//!         Ok(client) => client,
//!         // Why no connection could be opened: `error.code()`, `error.hint()`.
//!         Err(PoolError::Backend(error)) => return Err(error.into()),
//!         Err(other) => return Err(other.into()),
//!     };
//!     let transaction = client.transaction().await?;
//!     let statement = transaction.prepare_cached("select $1::int4 + 1").await?;
//!     let row = transaction.query_one(&statement, &[&1_i32]).await?;
//!     assert_eq!(row.get::<_, i32>(0), 2);
//!     transaction.commit().await?;
//!     drop(client);
//!
//!     // The password was changed: no connection of the old one is handed out again.
//!     pool.rotate();
//!     Ok(())
//! }
//! ```

use std::time::Duration;

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use pgreach_core::Error;

pub use deadpool::Runtime;
pub use deadpool::managed::{PoolConfig, QueueMode, Status, TimeoutType, Timeouts};

use crate::PooledClient;
pub use crate::manager::Manager;

/// A pool.
pub type Pool = managed::Pool<Manager>;

/// What builds a pool; begin with [`builder`].
pub type PoolBuilder = managed::PoolBuilder<Manager>;

/// A connection that was taken out of a pool, and goes back when it is dropped.
pub type Client = managed::Object<Manager>;

/// Why a pool gave no connection. [`Backend`](managed::PoolError::Backend) holds the reason why none
/// could be opened.
pub type PoolError = managed::PoolError<Error>;

/// How long somebody waits for a connection of a pool whose connections are all in use, where
/// nothing else is said.
pub const DEFAULT_WAIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Begins a pool in which nobody waits for ever: for a connection that others have,
/// [`DEFAULT_WAIT_TIMEOUT`]. Opening one ends by the connector's `connect_timeout`, which says at
/// which stage it stopped, and the check of an idle one by the manager's; deadpool's own timeouts for
/// these two stay unset.
pub fn builder(manager: Manager) -> PoolBuilder {
    Pool::builder(manager)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(DEFAULT_WAIT_TIMEOUT))
}

impl managed::Manager for Manager {
    type Type = PooledClient;
    type Error = Error;

    async fn create(&self) -> Result<PooledClient, Error> {
        let mut client = self.open().await?;
        // Without a look at it.
        client.hand_out();
        Ok(client)
    }

    async fn recycle(&self, client: &mut PooledClient, _: &Metrics) -> RecycleResult<Error> {
        self.fit_or_note(client)
            .map_err(|why| RecycleError::message(why.as_str()))?;
        Ok(self.check(client).await?)
    }
}

/// What a pool over a [`Manager`] can do in addition.
pub trait PoolExt {
    /// Retires every connection that there is: see [`Epochs::rotate`](crate::Epochs::rotate). Idle
    /// ones are closed now, those in use when they would be handed out again.
    ///
    /// Returns how many were idle.
    fn rotate(&self) -> usize;

    /// Closes the idle connections that would not be handed out again anyway: those of a credential
    /// that was replaced, too old, or closed by the server. deadpool by itself looks at an idle
    /// connection only when it takes it; a program with idle times may call this now and then.
    ///
    /// Returns how many there were.
    fn retire(&self) -> usize;
}

impl PoolExt for Pool {
    fn rotate(&self) -> usize {
        self.manager().epochs().rotate();
        self.retire()
    }

    fn retire(&self) -> usize {
        let manager = self.manager();
        let mut reasons = Vec::new();
        let retained = self.retain(|client, _| match manager.fit(client) {
            Ok(()) => true,
            Err(why) => {
                reasons.push(why);
                false
            }
        });
        // Not in there: the whole pool waits for that, and a log may take its time.
        let mut removed = retained.removed;
        for (client, why) in removed.iter_mut().zip(reasons) {
            client.note_retired(why);
        }
        removed.len()
    }
}
