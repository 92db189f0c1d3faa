//! The stand-ins for Microsoft Entra, asked over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod authority;
mod gateway;
mod http;
mod knobs;
mod machine;
mod stub_az;

use std::time::Duration;

use tokio::time::timeout;

/// How long something that must happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap()
}

/// Whether the text of a value shows one of these secrets.
fn shows(value: &impl std::fmt::Debug, secrets: &[&str]) -> bool {
    let text = format!("{value:?} {value:#?}");
    secrets.iter().any(|secret| text.contains(secret))
}
