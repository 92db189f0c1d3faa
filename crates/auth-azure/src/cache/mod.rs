//! One token for all connections, and one request for it at a time.

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use pgreach_core::{Credential, Error, Secret};
use tokio::runtime::{self, Handle};
use tokio::sync::watch;

use crate::clock::{Clock, Moment};
use crate::codes;
use crate::failure::error;
use crate::freshness::{Next, Times, next_refresh};
use crate::pause::{Demands, Failures};
use crate::source::{Fetched, Source};

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
    held: RwLock<Option<Arc<Held>>>,
    state: Mutex<State>,
}

type Outcome = Option<Result<Arc<Held>, Arc<Error>>>;

/// What is under way, and what was. It is locked before `held` where both are.
#[derive(Default)]
struct State {
    /// For each runtime: the requests of one stand still while it is not driven.
    flights: HashMap<runtime::Id, watch::Receiver<Outcome>>,
    failures: Failures,
    demands: Demands,
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
            held: RwLock::default(),
            state: Mutex::default(),
        }))
    }

    /// The token that is there, or the next one.
    ///
    /// Dropping the future leaves the request alone: others wait for it, or will.
    pub(crate) async fn get(&self) -> Result<Arc<Held>, Error> {
        let shared = &self.0;
        let now = shared.clock.now();
        if let Some((held, next)) = shared.look(now) {
            match next {
                Next::Use => return Ok(held),
                Next::RefreshAhead => {
                    self.refresh(now);
                    return Ok(held);
                }
                // It was tried a moment ago.
                Next::Doubtful if !shared.lock().failures.may_refresh(now.mono) => {
                    return Ok(held);
                }
                Next::Doubtful => {
                    let fetched = self.fetch(now).await;
                    let now = shared.clock.now();
                    // The server is a better judge of it than an authority that does not answer.
                    return fetched.or_else(|failure| match shared.next(&held, now) {
                        Next::Expired => Err(failure),
                        _ => Ok(held),
                    });
                }
                Next::Expired => {}
            }
        }
        self.fetch(now).await
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
        let mut state = shared.lock();
        let mut held = shared.held.write().unwrap_or_else(PoisonError::into_inner);
        match &*held {
            Some(current) if current.token.same_as(rejected) => {
                if !state.demands.admit(shared.clock.now().mono) {
                    return false;
                }
                *held = None;
                true
            }
            // A newer one is there, or is being fetched since somebody else was refused.
            _ => true,
        }
    }

    /// Begins a request, unless one is under way or failed a short while ago.
    fn refresh(&self, now: Moment) {
        let mut state = self.0.lock();
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if state.failures.may_refresh(now.mono) && !state.flights.contains_key(&runtime.id()) {
            self.start(&mut state, &runtime);
        }
    }

    /// Waits for the request that is under way, or for a new one.
    async fn fetch(&self, now: Moment) -> Result<Arc<Held>, Error> {
        let mut flight = {
            let mut state = self.0.lock();
            // Another call may have come first.
            if let Some((held, Next::Use | Next::RefreshAhead)) = self.0.look(now) {
                return Ok(held);
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
            match state.flights.get(&runtime.id()) {
                Some(flight) => flight.clone(),
                None => self.start(&mut state, &runtime),
            }
        };
        // The error means that the task is gone: it panicked, or its runtime ended.
        let outcome = flight.wait_for(Option::is_some).await;
        match outcome.ok().as_deref() {
            Some(Some(Ok(held))) => Ok(Arc::clone(held)),
            Some(Some(Err(failure))) => Err(failure.repeat()),
            _ => Err(error(
                &codes::ENTRA_SOURCE,
                "the request for a token was cut off",
            )),
        }
    }

    /// The request is a task of its own, so that it outlives whoever began it.
    fn start(&self, state: &mut State, runtime: &Handle) -> watch::Receiver<Outcome> {
        let (tell, flight) = watch::channel(None);
        state.flights.insert(runtime.id(), flight.clone());
        let landing = Landing {
            shared: Arc::clone(&self.0),
            runtime: runtime.id(),
            tell,
            landed: false,
        };
        runtime.spawn(async move {
            let shared = &landing.shared;
            let fetched = shared.source.fetch(shared.fetch_timeout).await;
            landing.land(fetched);
        });
        flight
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under this lock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, now: Moment) -> Option<(Arc<Held>, Next)> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let held = held.as_ref()?;
        Some((Arc::clone(held), self.next(held, now)))
    }

    fn next(&self, held: &Held, now: Moment) -> Next {
        next_refresh(now, &held.times, self.refresh_ahead)
    }
}

/// The end of a request, however it comes.
struct Landing {
    shared: Arc<Shared>,
    runtime: runtime::Id,
    tell: watch::Sender<Outcome>,
    landed: bool,
}

impl Landing {
    fn land(mut self, fetched: Result<Fetched, Error>) {
        let shared = &self.shared;
        let now = shared.clock.now();
        let outcome = fetched.and_then(|fetched| {
            let held = shared.mint.mint(fetched, now);
            match shared.next(&held, now) {
                Next::Expired => Err(error(
                    &codes::ENTRA_TOKEN,
                    "the token had expired, or was about to, when it came",
                )),
                _ => Ok(Arc::new(held)),
            }
        });
        let mut state = shared.lock();
        // Whoever comes from now on does not join: what this brought may be refused meanwhile.
        state.flights.remove(&self.runtime);
        self.landed = true;
        let mut current = shared.held.write().unwrap_or_else(PoisonError::into_inner);
        let outcome = match outcome {
            Ok(held) => {
                state.failures.clear();
                *current = Some(Arc::clone(&held));
                Ok(held)
            }
            Err(failure) => {
                let failure = Arc::new(failure);
                state.failures.note(&failure, now.mono);
                if let Some(held) = current.as_mut() {
                    tracing::warn!(
                        code = failure.code().name(),
                        error = %failure,
                        "the token could not be refreshed ahead of its end"
                    );
                    *held = Arc::new(held.warned(&failure));
                }
                Err(failure)
            }
        };
        self.tell.send_replace(Some(outcome));
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if !self.landed {
            self.shared.lock().flights.remove(&self.runtime);
        }
    }
}

impl Held {
    /// The same with a warning for reports.
    fn warned(&self, failure: &Error) -> Self {
        let credential = if self.credential.warnings().is_empty() {
            let warning = format!("the next token could not be fetched: {failure}");
            Arc::new(Credential::clone(&self.credential).with_warning(warning))
        } else {
            Arc::clone(&self.credential)
        };
        Self {
            token: self.token.clone(),
            times: self.times,
            credential,
            nameless: self.nameless.as_ref().map(Error::repeat),
        }
    }
}

impl Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cache")
    }
}

#[cfg(test)]
mod tests;
