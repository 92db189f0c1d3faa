//! What a test can change while the fake runs, and what it can wait for.

use std::time::Duration;

use tokio::sync::watch;

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `POST /{tenant}/oauth2/v2.0/token`.
    Token,
    /// `GET /{tenant}/discovery/v2.0/keys`.
    Keys,
    /// `GET /metadata/identity/oauth2/token`, which a virtual machine asks.
    Imds,
    /// `GET /msi/token`, which App Service and Functions ask.
    AppService,
    /// `POST /oidctoken`, which a pipeline's job asks for the assertion it shows to
    /// [`Endpoint::Token`].
    Pipelines,
}

const ENDPOINTS: usize = 5;

/// How the fake is out of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Outage {
    /// It is not.
    #[default]
    None,
    /// Every request is answered with status 503.
    Unavailable,
    /// Connections are closed without an answer: those that are open, and new ones at once.
    Closed,
}

#[derive(Debug, Clone)]
struct State {
    lifetime: Duration,
    latency: Duration,
    outage: Outage,
    /// So many answers to come fail with this status.
    failing: (usize, u16),
    held: bool,
    requests: [usize; ENDPOINTS],
}

/// The state, with word of every change.
#[derive(Debug)]
pub(super) struct Knobs(watch::Sender<State>);

impl Knobs {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self(watch::Sender::new(State {
            lifetime,
            latency: Duration::ZERO,
            outage: Outage::None,
            failing: (0, 0),
            held: false,
            requests: [0; ENDPOINTS],
        }))
    }

    pub(super) fn lifetime(&self) -> Duration {
        self.0.borrow().lifetime
    }

    pub(super) fn set_lifetime(&self, lifetime: Duration) {
        self.0.send_modify(|state| state.lifetime = lifetime);
    }

    pub(super) fn set_latency(&self, latency: Duration) {
        self.0.send_modify(|state| state.latency = latency);
    }

    pub(super) fn set_outage(&self, outage: Outage) {
        self.0.send_modify(|state| state.outage = outage);
    }

    pub(super) fn fail_next(&self, count: usize, status: u16) {
        self.0.send_modify(|state| state.failing = (count, status));
    }

    pub(super) fn set_held(&self, held: bool) {
        self.0.send_modify(|state| state.held = held);
    }

    pub(super) fn requests(&self, endpoint: Endpoint) -> usize {
        self.0.borrow().requests[endpoint as usize]
    }

    pub(super) async fn wait_requests(&self, endpoint: Endpoint, count: usize) {
        // The sender is in `self`: the wait cannot fail.
        let _ = self
            .0
            .subscribe()
            .wait_for(|state| state.requests[endpoint as usize] >= count)
            .await;
    }

    /// Returns when connections are to be closed.
    pub(super) async fn closing(&self) {
        let _ = self
            .0
            .subscribe()
            .wait_for(|state| state.outage == Outage::Closed)
            .await;
    }

    /// Counts a request, holds it as long as it is to be held, and says how it is to fail, if it is.
    pub(super) async fn admit(&self, endpoint: Endpoint) -> Result<(), u16> {
        let mut latency = Duration::ZERO;
        self.0.send_modify(|state| {
            state.requests[endpoint as usize] += 1;
            latency = state.latency;
        });
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let _ = self.0.subscribe().wait_for(|state| !state.held).await;
        let mut verdict = Ok(());
        self.0.send_if_modified(|state| {
            let (left, status) = state.failing;
            if state.outage != Outage::None {
                verdict = Err(503);
            } else if left > 0 {
                state.failing.0 -= 1;
                verdict = Err(status);
            }
            false
        });
        verdict
    }
}
