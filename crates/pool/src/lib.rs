//! Connection pools for pgreach: deadpool and bb8 over any [`Connector`](pgreach_core::Connector).
//!
//! | feature | module | the pool |
//! | --- | --- | --- |
//! | `deadpool` | `deadpool` | deadpool's own `Pool`; connections are opened by whoever asks |
//! | `bb8` | `bb8` | bb8's `Pool` in a wrapper that says why a connection could not be opened |
//!
//! Neither is a default. With both pools, a pooled connection is a `PooledClient`: a
//! `tokio_postgres` client with deadpool-postgres' statement cache, the
//! [`ConnectionInfo`](pgreach_core::ConnectionInfo) and the
//! [`CancelHandle`](pgreach_core::CancelHandle) of its connection.
//!
//! - **Every connection asks for its credential**, so a password that is rotated or a token that
//!   expires while the program runs needs nothing from the pool.
//! - **Errors reach the caller** as [`pgreach_core::Error`], with code, stage and hint.
//! - **What is handed out again was checked** (`RecyclingCheck`), within a deadline.
//! - **Old connections retire** when the server refused their credential and took another, when
//!   `Epochs::rotate` was called, and at their maximum lifetime. None in use is cut.
//! - **Closing says goodbye**: a connection that the pool drops ends its session at the server.
//!
#![cfg_attr(
    feature = "deadpool",
    doc = "
```no_run
use std::time::Duration;

use pgreach_core::Connector;
use pgreach_pool::deadpool::{Manager, builder};

async fn work(connector: impl Connector) -> Result<(), Box<dyn std::error::Error>> {
    let manager = Manager::new(connector).with_max_lifetime(Duration::from_secs(3600));
    let pool = builder(manager).max_size(16).build()?;
    let client = pool.get().await?;
    let statement = client.prepare_cached(\"select current_user::text\").await?;
    let user: String = client.query_one(&statement, &[]).await?.get(0);
    assert_eq!(user, client.info().user());
    Ok(())
}
```
"
)]
//!
//! `docs/pools.md` has what to set, and what failures look like.

#[cfg(feature = "bb8")]
pub mod bb8;
#[cfg(feature = "deadpool")]
pub mod deadpool;

#[cfg(any(feature = "deadpool", feature = "bb8"))]
mod check;
#[cfg(any(feature = "deadpool", feature = "bb8"))]
mod client;
#[cfg(any(feature = "deadpool", feature = "bb8"))]
mod epochs;
#[cfg(any(feature = "deadpool", feature = "bb8"))]
mod manager;
#[cfg(any(feature = "deadpool", feature = "bb8"))]
mod silence;

#[cfg(any(feature = "deadpool", feature = "bb8"))]
pub use self::{
    check::RecyclingCheck,
    client::PooledClient,
    epochs::Epochs,
    manager::{DEFAULT_CHECK_TIMEOUT, Manager},
};
/// What a [`PooledClient`] is made of.
#[cfg(any(feature = "deadpool", feature = "bb8"))]
pub use deadpool_postgres::{ClientWrapper, StatementCache, Transaction, TransactionBuilder};
