//! What the tests share: contexts and resolvers that answer as told.

#![allow(dead_code, unreachable_pub)]

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pgreach_core::{DialContext, Error, Stage};
use pgreach_transport_tcp::Resolver;
use tokio::time::Instant;

pub fn context() -> DialContext {
    DialContext::new(Instant::now() + Duration::from_secs(60))
}

/// What was noted as `what` at `stage`.
pub fn seen(cx: &DialContext, stage: Stage, what: &str) -> Vec<String> {
    cx.trace()
        .records()
        .into_iter()
        .filter(|record| record.stage == stage)
        .flat_map(|record| record.seen)
        .filter(|(noted, _)| *noted == what)
        .map(|(_, value)| value)
        .collect()
}

/// Answers the n-th question as the function says.
pub struct Scripted<F> {
    answer: F,
    asked: AtomicUsize,
}

impl<F: Fn(usize) -> Vec<SocketAddr>> Scripted<F> {
    pub fn new(answer: F) -> Self {
        Self {
            answer,
            asked: AtomicUsize::new(0),
        }
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl<F> fmt::Debug for Scripted<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scripted")
    }
}

#[async_trait]
impl<F> Resolver for Scripted<F>
where
    F: Fn(usize) -> Vec<SocketAddr> + Send + Sync + 'static,
{
    async fn resolve(&self, _host: &str, _port: u16) -> Result<Vec<SocketAddr>, Error> {
        Ok((self.answer)(self.asked.fetch_add(1, Ordering::SeqCst)))
    }
}
