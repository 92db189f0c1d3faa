//! Pools of bb8.
//!
//! ```no_run
//! use pgreach_core::Connector;
//! use pgreach_pool::bb8::{Manager, Pool, RunError, builder};
//!
//! async fn work(connector: impl Connector) -> Result<(), Box<dyn std::error::Error>> {
//!     let pool = Pool::build(builder().max_size(16), Manager::new(connector)).await?;
//!     let client = match pool.get().await {
//!         Ok(client) => client,
//!         // Why no connection could be opened: `error.code()`, `error.hint()`.
//!         Err(RunError::User(error)) => return Err(error.into()),
//!         Err(RunError::TimedOut) => return Err("all connections are in use".into()),
//!     };
//!     let statement = client.prepare_cached("select $1::int4 + 1").await?;
//!     let row = client.query_one(&statement, &[&1_i32]).await?;
//!     assert_eq!(row.get::<_, i32>(0), 2);
//!     drop(client);
//!
//!     // The password was changed: no connection of the old one is handed out again.
//!     pool.rotate().await;
//!     Ok(())
//! }
//! ```
//!
//! # Why there is a `Pool` here
//!
//! The `get` of bb8 0.9 has no way to say why a connection could not be opened: the attempt runs in
//! a task of its own, whose errors go to an `ErrorSink`, and who waits is told `TimedOut` after
//! `connection_timeout`, whether bb8 tries again meanwhile (its default) or not. [`Pool`] is bb8's
//! pool with an `ErrorSink` that brings the failures to those who wait: each failed attempt ends one
//! wait, at once, and none of somebody who has a connection already and waits for its check. With a
//! bare `bb8::Pool<Manager>` everything else works, too, and the reasons are only in its `ErrorSink`.

mod failures;
mod pool;
mod purpose;
mod sink;

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use pgreach_core::{Error, Stage, codes};

pub use bb8::{ErrorSink, QueueStrategy, State, Statistics};

pub(crate) use self::failures::Failures;
pub use self::pool::Pool;
use self::purpose::Purpose;
use self::sink::Unfit;
use crate::PooledClient;
pub use crate::manager::Manager;

/// What builds a pool; begin with [`builder`].
pub type Builder = bb8::Builder<Manager>;

/// A connection that was taken out of a pool, and goes back when it is dropped.
pub type Client<'a> = bb8::PooledConnection<'a, Manager>;

/// Why a pool gave no connection. [`User`](bb8::RunError::User) holds the reason why none could be
/// opened.
pub type RunError = bb8::RunError<Error>;

/// Begins a pool: bb8's defaults, but for its maximum lifetime. The manager has one of its own, which
/// does not end at the same time for all.
#[must_use]
pub fn builder() -> Builder {
    Builder::new().max_lifetime(None)
}

impl bb8::ManageConnection for Manager {
    type Connection = PooledClient;
    type Error = Error;

    async fn connect(&self) -> Result<PooledClient, Error> {
        // bb8 counts an attempt that unwinds as under way for ever: its place would be lost.
        let opened = match AssertUnwindSafe(self.open()).catch_unwind().await {
            Ok(opened) => opened,
            // What it says has gone to the panic hook, and may hold what is in no error.
            Err(_) => Err(Error::new(
                &codes::IO,
                Stage::TCP,
                "the connector panicked while it opened a connection",
            )
            .with_hint("look for the panic's own message, and report it as a defect")),
        };
        if let Err(error) = &opened {
            tracing::debug!(target: "pgreach", code = error.code().name(), %error, "no connection for the pool");
        }
        opened
    }

    async fn is_valid(&self, client: &mut PooledClient) -> Result<(), Error> {
        self.fit_or_note(client)
            .map_err(|why| Unfit::mark(Error::new(&codes::CLOSED, Stage::QUERY, why.as_str())))?;
        let checking = match Purpose::current() {
            // This far and no further: an end of the sweep is no end of a check.
            Some(Purpose::Sweep) => std::future::pending().await,
            Some(Purpose::Wait(id)) => Some(self.failures.check(id)),
            None => None,
        };
        let checked = self.check(client).await.map_err(Unfit::mark);
        drop(checking);
        checked
    }

    fn has_broken(&self, client: &mut PooledClient) -> bool {
        self.fit_or_note(client).is_err()
    }
}
