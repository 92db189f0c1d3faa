//! One request for a token, from its beginning to its end.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError};

use futures_util::FutureExt as _;
use pgreach_core::{Credential, Error};
use tokio::runtime::{self, Handle};
use tokio::sync::watch;

use super::{Held, Shared, Slot, State};
use crate::clock::Moment;
use crate::codes;
use crate::failure::error;
use crate::freshness::Next;

pub(super) type Outcome = Result<Arc<Held>, Arc<Error>>;

/// A request that is entered among those that are under way, and is taken out again however it ends.
pub(super) struct Flight {
    shared: Arc<Shared>,
    runtime: runtime::Id,
    /// How many tokens had come when it began.
    tokens: u64,
    /// Whether there was a valid token when it began.
    has_valid: bool,
    tell: watch::Sender<Option<Outcome>>,
    landed: bool,
}

impl Flight {
    /// It has to be [begun](Self::begin) once the lock is released.
    pub(super) fn enter(
        shared: &Arc<Shared>,
        state: &mut State,
        runtime: &Handle,
        now: Moment,
    ) -> (Self, watch::Receiver<Option<Outcome>>) {
        let (tell, waits) = watch::channel(None);
        state.flights.insert(runtime.id(), waits.clone());
        let flight = Self {
            shared: Arc::clone(shared),
            runtime: runtime.id(),
            tokens: state.tokens,
            has_valid: shared
                .look(now)
                .is_some_and(|look| look.next != Next::Expired),
            tell,
            landed: false,
        };
        (flight, waits)
    }

    /// The request is a task of its own, so that it outlives whoever began it. A runtime that has
    /// ended drops it at once, within this call.
    pub(super) fn begin(self, runtime: &Handle) {
        runtime.spawn(async move {
            let shared = &self.shared;
            let fetch = async {
                let fetched = shared
                    .source
                    .fetch(shared.fetch_timeout, self.has_valid)
                    .await?;
                let now = shared.clock.now();
                let held = shared.mint.mint(fetched, now);
                match shared.next(&held, now) {
                    Next::Expired => Err(error(
                        &codes::ENTRA_TOKEN,
                        "the token had expired, or was about to, when it came",
                    )),
                    _ => Ok(held),
                }
            };
            // What panics must wait as long as what fails before it is tried again.
            let fetched = AssertUnwindSafe(fetch).catch_unwind().await;
            let fetched = fetched.unwrap_or_else(|_| {
                Err(error(
                    &codes::ENTRA_SOURCE,
                    "the source of tokens panicked: the request for a token was cut off",
                ))
            });
            self.land(fetched);
        });
    }

    fn land(mut self, fetched: Result<Held, Error>) {
        let now = self.shared.clock.now();
        let (outcome, warned) = self.settle(fetched.map(Arc::new), now);
        self.landed = true;
        if let (true, Err(failure)) = (warned, &outcome) {
            tracing::warn!(
                target: "pgreach",
                code = failure.code().name(),
                error = %failure,
                "the token could not be refreshed ahead of its end"
            );
        }
        self.tell.send_replace(Some(outcome));
    }

    /// Keeps what came. True if a token that is there goes on with a warning.
    fn settle(&self, fetched: Result<Arc<Held>, Error>, now: Moment) -> (Outcome, bool) {
        let shared = &self.shared;
        let mut state = shared.lock();
        // Whoever comes from now on does not join: what this brought may be refused meanwhile.
        state.flights.remove(&self.runtime);
        let mut slot = shared.slot.write().unwrap_or_else(PoisonError::into_inner);
        // On another runtime, which went on meanwhile.
        let overtaken_by = slot
            .as_ref()
            .filter(|slot| self.tokens != state.tokens && !slot.refused)
            .filter(|slot| {
                let next = shared.next(&slot.held, now);
                matches!(next, Next::Use | Next::RefreshAhead)
            })
            .map(|slot| Arc::clone(&slot.held));
        match (fetched, overtaken_by) {
            (Ok(held), Some(newer)) if newer.ends_after(&held) => (Ok(newer), false),
            (Ok(held), _) => {
                state.failures.clear();
                state.tokens += 1;
                *slot = Some(Slot {
                    came: Arc::clone(&held),
                    held: Arc::clone(&held),
                    refused: false,
                });
                (Ok(held), false)
            }
            (Err(_), Some(newer)) => (Ok(newer), false),
            (Err(failure), None) => {
                let failure = Arc::new(failure);
                state.failures.note(&failure, now.mono);
                if let Some(slot) = slot.as_mut() {
                    slot.held = Arc::new(slot.came.warned(&failure));
                }
                (Err(failure), slot.is_some())
            }
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.landed {
            // The runtime ended, which says nothing about the source: others may ask at once.
            self.shared.lock().flights.remove(&self.runtime);
            self.tell.send_replace(Some(Err(Arc::new(cut_off()))));
        }
    }
}

/// How a request ends.
pub(super) async fn wait_for(
    mut flight: watch::Receiver<Option<Outcome>>,
) -> Result<Arc<Held>, Error> {
    let outcome = flight.wait_for(Option::is_some).await;
    match outcome.ok().as_deref() {
        Some(Some(Ok(held))) => Ok(Arc::clone(held)),
        Some(Some(Err(failure))) => Err(failure.repeat()),
        _ => Err(cut_off()),
    }
}

fn cut_off() -> Error {
    error(&codes::ENTRA_SOURCE, "the request for a token was cut off")
}

impl Held {
    /// The same with a warning for reports.
    fn warned(&self, failure: &Error) -> Self {
        let warning = format!("the next token could not be fetched: {failure}");
        Self {
            token: self.token.clone(),
            times: self.times,
            credential: Arc::new(Credential::clone(&self.credential).with_warning(warning)),
            nameless: self.nameless.as_ref().map(Error::repeat),
        }
    }

    fn ends_after(&self, other: &Self) -> bool {
        match (self.times.expires_at, other.times.expires_at) {
            (Some(own), Some(other)) => own > other,
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }
}
