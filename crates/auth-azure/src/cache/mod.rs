//! One token for all connections, and one request for it at a time.

mod flight;

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use pgreach_core::{Credential, Error, Secret};
use tokio::runtime::{self, Handle};
use tokio::sync::watch;

use self::flight::{Flight, Outcome, wait_for};
use crate::clock::{Clock, Moment};
use crate::codes;
use crate::failure::error;
use crate::freshness::{Next, Times, next_refresh};
use crate::pause::{Demands, Failures};
use crate::source::{Fetched, Source};

/// How long a call waits for the next token while it is in doubt whether the one that is there is
/// still valid: the server is asked sooner than an authority that does not answer gives up.
const DOUBT: Duration = Duration::from_secs(3);

/// A token with all that is made of it once.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) token: Secret,
    pub(crate) times: Times,
    pub(crate) credential: Arc<Credential>,
    /// Why there is no user in the credential, where there is none.
    pub(crate) nameless: Option<Error>,
}

/// What makes a credential of a token.
pub(crate) trait Mint: Send + Sync + 'static {
    fn mint(&self, fetched: Fetched, at: Moment) -> Held;
}

/// The cache. Clones share it.
#[derive(Clone)]
pub(crate) struct Cache(Arc<Shared>);

struct Shared {
    source: Box<dyn Source>,
    mint: Box<dyn Mint>,
    clock: Arc<dyn Clock>,
    refresh_ahead: Duration,
    fetch_timeout: Duration,
    slot: RwLock<Option<Slot>>,
    state: Mutex<State>,
}

/// The token that is there.
struct Slot {
    /// As it came.
    came: Arc<Held>,
    /// With the warning of the last failure since.
    held: Arc<Held>,
    /// A server refused it. It may be one that refuses every token, so it stays until the next one
    /// is there.
    refused: bool,
}

struct Look {
    held: Arc<Held>,
    refused: bool,
    next: Next,
}

/// What is under way, and what was. It is locked before `slot` where both are, and neither while
/// anything is called that is not of this crate: a log, a waker or a runtime may call back.
#[derive(Default)]
struct State {
    /// For each runtime: the requests of one stand still while it is not driven.
    flights: HashMap<runtime::Id, watch::Receiver<Option<Outcome>>>,
    /// How many tokens came. A request that began before the last one is late.
    tokens: u64,
    failures: Failures,
    demands: Demands,
}

/// What a call for a token comes to.
enum Joined {
    Held(Arc<Held>),
    Waits(watch::Receiver<Option<Outcome>>),
}

impl Cache {
    pub(crate) fn new(
        source: Box<dyn Source>,
        mint: Box<dyn Mint>,
        clock: Arc<dyn Clock>,
        refresh_ahead: Duration,
        fetch_timeout: Duration,
    ) -> Self {
        Self(Arc::new(Shared {
            source,
            mint,
            clock,
            refresh_ahead,
            fetch_timeout,
            slot: RwLock::default(),
            state: Mutex::default(),
        }))
    }

    /// The token that is there, or the next one.
    ///
    /// Dropping the future leaves the request alone: others wait for it, or will.
    pub(crate) async fn get(&self) -> Result<Arc<Held>, Error> {
        let shared = &self.0;
        let now = shared.clock.now();
        let Some(Look {
            held,
            refused,
            next,
        }) = shared.look(now)
        else {
            return self.fetch(now).await;
        };
        match (next, refused) {
            (Next::Expired, _) => return self.fetch(now).await,
            (Next::Use, false) => return Ok(held),
            (Next::RefreshAhead, false) => {
                self.refresh(now);
                return Ok(held);
            }
            (Next::Doubtful, _) | (_, true) => {}
        }
        // It was tried a moment ago.
        if !shared.lock().failures.may_refresh(now.mono) {
            return Ok(held);
        }
        let fetched = if refused {
            self.fetch(now).await
        } else {
            self.fetch_in_doubt(now).await
        };
        // The server is a better judge of it than an authority that does not answer.
        fetched.or_else(|failure| match shared.look(shared.clock.now()) {
            Some(look) if look.next != Next::Expired => Ok(look.held),
            _ => Err(failure),
        })
    }

    /// See [`CredentialProvider::invalidate`](pgreach_core::CredentialProvider::invalidate).
    pub(crate) fn invalidate(&self, rejected: &Credential) -> bool {
        let shared = &self.0;
        let Some(rejected) = rejected.secret() else {
            return false;
        };
        if !shared.source.is_renewable() {
            return false;
        }
        let now = shared.clock.now();
        let mut state = shared.lock();
        let mut slot = shared.slot.write().unwrap_or_else(PoisonError::into_inner);
        match &mut *slot {
            Some(current) if !current.refused && current.held.token.same_as(rejected) => {
                if !state.demands.admit(now.mono) {
                    return false;
                }
                current.refused = true;
                state.failures.end_pause();
                true
            }
            // A newer one is there, or is being fetched since somebody else was refused.
            _ => true,
        }
    }

    /// Begins a request, unless one is under way or failed a short while ago.
    fn refresh(&self, now: Moment) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let flight = {
            let mut state = self.0.lock();
            if !state.failures.may_refresh(now.mono) || state.flights.contains_key(&runtime.id()) {
                return;
            }
            Flight::enter(&self.0, &mut state, &runtime, now).0
        };
        flight.begin(&runtime);
    }

    /// Waits for the request that is under way, or for a new one.
    async fn fetch(&self, now: Moment) -> Result<Arc<Held>, Error> {
        match self.join(now)? {
            Joined::Held(held) => Ok(held),
            Joined::Waits(flight) => wait_for(flight).await,
        }
    }

    /// The same, but not for long.
    async fn fetch_in_doubt(&self, now: Moment) -> Result<Arc<Held>, Error> {
        match self.join(now)? {
            Joined::Held(held) => Ok(held),
            Joined::Waits(flight) => match tokio::time::timeout(DOUBT, wait_for(flight)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(error(
                    &codes::ENTRA_TIMEOUT,
                    format!("no token came within {DOUBT:?}"),
                )),
            },
        }
    }

    fn join(&self, now: Moment) -> Result<Joined, Error> {
        let (flight, runtime, waits) = {
            let mut state = self.0.lock();
            // Another call may have come first.
            if let Some(look) = self.0.look(now)
                && matches!(look.next, Next::Use | Next::RefreshAhead)
                && !look.refused
            {
                return Ok(Joined::Held(look.held));
            }
            if let Some(failure) = state.failures.just_now(now.mono) {
                return Err(failure);
            }
            let runtime = Handle::try_current().map_err(|_| {
                error(
                    &codes::ENTRA_CONFIG,
                    "a token can only be fetched inside a Tokio runtime",
                )
            })?;
            if let Some(waits) = state.flights.get(&runtime.id()) {
                return Ok(Joined::Waits(waits.clone()));
            }
            let (flight, waits) = Flight::enter(&self.0, &mut state, &runtime, now);
            (flight, runtime, waits)
        };
        flight.begin(&runtime);
        Ok(Joined::Waits(waits))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, now: Moment) -> Option<Look> {
        let slot = self.slot.read().unwrap_or_else(PoisonError::into_inner);
        let slot = slot.as_ref()?;
        Some(Look {
            held: Arc::clone(&slot.held),
            refused: slot.refused,
            next: self.next(&slot.held, now),
        })
    }

    fn next(&self, held: &Held, now: Moment) -> Next {
        next_refresh(now, &held.times, self.refresh_ahead)
    }
}

impl Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cache")
    }
}

#[cfg(test)]
mod tests;
