//! Several identities, one after the other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pgreach_core::{Error, Retry};
use tokio::time::Instant;

use crate::codes;
use crate::failure::error;
use crate::source::{Fetched, Source};

/// The links in order, and which one answered last.
pub(crate) struct Chain {
    links: Vec<Box<dyn Source>>,
    preferred: AtomicUsize,
}

impl Chain {
    pub(crate) fn new(links: Vec<Box<dyn Source>>) -> Self {
        Self {
            links,
            preferred: AtomicUsize::new(0),
        }
    }
}

#[async_trait]
impl Source for Chain {
    async fn fetch(&self, budget: Duration) -> Result<Fetched, Error> {
        let end = Instant::now() + budget;
        let preferred = self.preferred.load(Ordering::Relaxed);
        let others = (0..self.links.len()).filter(|index| *index != preferred);
        let order: Vec<_> = std::iter::once(preferred).chain(others).collect();
        let mut failures = Vec::new();
        for (done, index) in order.iter().enumerate() {
            let Some(link) = self.links.get(*index) else {
                continue;
            };
            let left = end.saturating_duration_since(Instant::now());
            let waiting = u32::try_from(order.len() - done).unwrap_or(1).max(1);
            match link.fetch(left / waiting).await {
                Ok(fetched) => {
                    self.preferred.store(*index, Ordering::Relaxed);
                    return Ok(fetched);
                }
                Err(failure) => failures.push((*index, failure)),
            }
        }
        // As the application listed them.
        failures.sort_by_key(|(index, _)| *index);
        let said: Vec<_> = failures
            .iter()
            .map(|(_, failure)| failure.message())
            .collect();
        let hopeless = failures
            .iter()
            .all(|(_, failure)| failure.retry() == Retry::Never);
        let all = error(
            &codes::ENTRA_CHAIN,
            format!("no identity of the chain gave a token: {}", said.join("; ")),
        );
        Err(if hopeless {
            all.with_retry(Retry::Never)
        } else {
            all
        })
    }

    fn is_renewable(&self) -> bool {
        self.links.iter().any(|link| link.is_renewable())
    }
}
