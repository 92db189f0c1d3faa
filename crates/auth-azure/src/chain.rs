//! Several identities, one after the other.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pgreach_core::{Error, Retry};
use tokio::time::Instant;

use crate::codes;
use crate::failure::error;
use crate::source::{Fetched, Source};

/// The links in order, and which one answered last.
///
/// Links are different identities: a role that one may log in as is not the other's. So a link whose
/// token is still valid is not left because one request failed.
pub(crate) struct Chain {
    links: Vec<Box<dyn Source>>,
    current: Mutex<Option<Link>>,
}

/// A link that gave a token.
#[derive(Debug, Clone, Copy)]
struct Link {
    index: usize,
    of: &'static str,
}

impl Chain {
    pub(crate) fn new(links: Vec<Box<dyn Source>>) -> Self {
        Self {
            links,
            current: Mutex::default(),
        }
    }

    fn current(&self) -> Option<Link> {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self, link: Link) {
        let last = self
            .current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(link);
        if let Some(last) = last
            && last.index != link.index
        {
            tracing::warn!(
                target: "pgreach",
                from = last.of,
                from_place = last.index + 1,
                to = link.of,
                to_place = link.index + 1,
                "the chain went on to another identity"
            );
        }
    }
}

#[async_trait]
impl Source for Chain {
    async fn fetch(&self, budget: Duration, has_valid: bool) -> Result<Fetched, Error> {
        if has_valid
            && let Some(current) = self.current()
            && let Some(link) = self.links.get(current.index)
        {
            let fetched = link.fetch(budget, true).await?;
            self.answered(Link {
                index: current.index,
                of: fetched.of,
            });
            return Ok(fetched);
        }
        let end = Instant::now() + budget;
        let mut failures = Vec::new();
        for (index, link) in self.links.iter().enumerate() {
            let left = end.saturating_duration_since(Instant::now());
            let waiting = u32::try_from(self.links.len() - index).unwrap_or(1).max(1);
            match link.fetch(left / waiting, false).await {
                Ok(fetched) => {
                    self.answered(Link {
                        index,
                        of: fetched.of,
                    });
                    return Ok(fetched);
                }
                Err(failure) => failures.push(failure),
            }
        }
        let said: Vec<_> = failures.iter().map(Error::message).collect();
        let hopeless = failures
            .iter()
            .all(|failure| failure.retry() == Retry::Never);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pgreach_core::Secret;

    use super::*;
    use crate::ear::Ear;

    /// Two links, of which some work.
    #[derive(Default)]
    struct Two {
        work: Mutex<[bool; 2]>,
        asked: Mutex<Vec<usize>>,
    }

    struct Place(usize, Arc<Two>);

    #[async_trait]
    impl Source for Place {
        async fn fetch(&self, _: Duration, _: bool) -> Result<Fetched, Error> {
            let Self(index, two) = self;
            two.asked.lock().unwrap().push(*index);
            if !two.work.lock().unwrap()[*index] {
                return Err(error(&codes::ENTRA_SOURCE, format!("link {index} is down")));
            }
            Ok(Fetched {
                token: Secret::new("t"),
                expires_at: None,
                of: ["first", "second"][*index],
            })
        }

        fn is_renewable(&self) -> bool {
            true
        }
    }

    #[tokio::test]
    async fn it_keeps_its_identity_while_the_token_is_valid() {
        const NONE: [&str; 0] = [];
        let two = Arc::<Two>::default();
        let chain = Chain::new(vec![
            Box::new(Place(0, Arc::clone(&two))),
            Box::new(Place(1, Arc::clone(&two))),
        ]);
        let warned = Arc::<Mutex<Vec<String>>>::default();
        let hears = Arc::clone(&warned);
        let ear = Ear::new(move |target| hears.lock().unwrap().push(target));
        let _heard = tracing::subscriber::set_default(ear);
        // Which links work, whether there is a valid token; whose token comes, and who was asked.
        let table = [
            ([true, true], false, Some("first"), &[0][..], &NONE[..]),
            // The reverse of what a chain is for: the second would be somebody else.
            ([false, true], true, None, &[0], &NONE),
            ([true, true], true, Some("first"), &[0], &NONE),
            ([false, true], false, Some("second"), &[0, 1], &["pgreach"]),
            ([true, true], true, Some("second"), &[1], &NONE),
            ([true, false], true, None, &[1], &NONE),
            // In the order of the list.
            ([true, true], false, Some("first"), &[0], &["pgreach"]),
            ([false, false], false, None, &[0, 1], &NONE),
            ([false, true], true, None, &[0], &NONE),
        ];
        for (place, (work, has_valid, of, asked, log)) in table.into_iter().enumerate() {
            *two.work.lock().unwrap() = work;
            let fetched = chain.fetch(Duration::from_secs(1), has_valid).await;
            assert_eq!(fetched.ok().map(|fetched| fetched.of), of, "{place}");
            assert_eq!(std::mem::take(&mut *two.asked.lock().unwrap()), asked);
            assert_eq!(std::mem::take(&mut *warned.lock().unwrap()), log, "{place}");
        }
    }
}
