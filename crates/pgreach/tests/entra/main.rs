//! Entra credentials over the whole way: azure_identity's own code, HTTPS to a token authority, the
//! token, TLS verified in full to a gateway that judges tokens as Azure does, and PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod child;
#[path = "../common/mod.rs"]
mod common;
mod kinds;
mod lifetime;
mod machine;
mod outage;
mod refresh;
mod refusals;
mod session;
mod shown;
mod tls_rule;
mod users;
mod world;

use std::time::Duration;

use tokio::time::timeout;

/// How long something that must happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it hangs")
}
