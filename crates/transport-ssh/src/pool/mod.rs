//! The sessions of a transport: which are idle, which are shared, and who may begin a new one.

mod failure;
mod lease;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pgreach_core::{DialContext, Error};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until};

use failure::{Failure, is_verdict, pause};
pub(crate) use lease::Lease;

use crate::route::Route;
use crate::session::Session;
use crate::{SSH_SESSION, codes, jitter};

/// How often a server that hangs up before its version line is asked again.
const TURNED_AWAY_RETRIES: u32 = 3;
/// How long a success speaks for the next handshakes: several may then run at once.
const PROVEN: Duration = Duration::from_secs(10);
/// A handshake that takes longer no longer keeps others from trying.
const SLOW: Duration = Duration::from_secs(3);

/// A time that does not come, and can be added to any instant.
pub(crate) const NEVER: Duration = Duration::from_secs(50 * 365 * 24 * 3600);

/// Limits of a pool of sessions.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Live connections per session.
    pub(crate) channels: usize,
    /// Idle sessions that are kept.
    pub(crate) idle: usize,
    /// How long an idle session is kept.
    pub(crate) idle_lifetime: Duration,
    /// Handshakes at a time.
    pub(crate) handshakes: usize,
    /// How long a refused credential is not offered again.
    pub(crate) auth_pause: Duration,
}

/// The sessions of one transport.
#[derive(Debug)]
pub(crate) struct Sessions {
    route: Route,
    limits: Limits,
    state: Mutex<State>,
    changed: Notify,
    /// A server has refused a credential: other handshakes would only repeat that.
    refused: Notify,
}

#[derive(Debug, Default)]
struct State {
    entries: Vec<Entry>,
    /// Callers of [`Sessions::lease`], those that dial included.
    wanting: usize,
    dialing: usize,
    /// Sessions that the server may still count as beginning (`MaxStartups`): it tells a client that it
    /// is in before it takes note of that itself. The answer to a channel comes later.
    beginning: usize,
    /// Places that are about to be free: a server's CLOSE is awaited for a second at most, which is
    /// less than a handshake takes on most ways.
    closing: usize,
    /// When the last attempt succeeded, unless one failed since.
    proven: Option<Instant>,
    /// When the last attempt began.
    last_dial: Option<Instant>,
    failure: Option<Failure>,
    /// Counts the failures that are shared with whoever waits.
    shared_failures: u64,
    failed_in_a_row: u32,
    reaper: Option<AbortHandle>,
}

#[derive(Debug)]
struct Entry {
    session: Arc<Session>,
    in_use: usize,
    /// No new connection gets it.
    retired: bool,
    since: Instant,
}

/// What a caller is to do.
enum Next {
    Turn(Turn),
    /// Until something changes, or at the latest until then.
    Wait(Option<Instant>),
}

/// What a caller that need not wait is to do.
enum Turn {
    Take(Lease),
    Dial(Ticket),
    Fail((Error, usize)),
}

impl Sessions {
    pub(crate) fn new(route: Route, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            route,
            limits,
            state: Mutex::default(),
            changed: Notify::new(),
            refused: Notify::new(),
        })
    }

    pub(crate) fn route(&self) -> &Route {
        &self.route
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place on a session: an idle or shared one, else a new one. Says whether it is a new one.
    ///
    /// Cancel-safe: a handshake under way ends, and the next caller begins one.
    pub(crate) async fn lease(self: &Arc<Self>, cx: &DialContext) -> Result<(Lease, bool), Error> {
        let wanting = Wanting::new(self);
        // From before the look at the failures: a refusal is seen there, or heard here.
        let mut refused = std::pin::pin!(self.refused.notified());
        refused.as_mut().enable();
        let seen = self.state().shared_failures;
        // So that a caller whose time runs out here can be told what it waited for.
        let mut waiting = None;
        let turn = loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Before the look at the state: what changes in between is not missed.
            changed.as_mut().enable();
            let until = match self.next(seen, cx.deadline()) {
                Next::Turn(turn) => break turn,
                Next::Wait(until) => until,
            };
            waiting.get_or_insert_with(|| self.route.last(cx).enter(SSH_SESSION));
            match until {
                None => changed.await,
                Some(until) => tokio::select! {
                    () = sleep_until(until) => {}
                    () = changed => {}
                },
            }
        };
        if let Some(waiting) = waiting {
            waiting.pass();
        }
        let ticket = match turn {
            Turn::Take(lease) => return Ok((lease, false)),
            Turn::Fail((error, hop)) => return Err(self.route.enter_failed(error, hop, cx)),
            Turn::Dial(ticket) => ticket,
        };
        let result = tokio::select! {
            result = self.dial(cx) => result,
            () = refused => {
                drop(ticket);
                let failure = self.state().failure.as_ref().map(Failure::repeat);
                let Some((error, hop)) = failure else {
                    return Box::pin(self.lease(cx)).await;
                };
                return Err(self.route.enter_failed(error, hop, cx));
            }
        };
        let lease = ticket.finish(result);
        drop(wanting);
        lease.map(|lease| (lease, true))
    }

    async fn dial(&self, cx: &DialContext) -> Result<Session, (Error, usize)> {
        let mut retries = 0;
        loop {
            match self.route.connect(cx).await {
                Err((error, _))
                    if error.code().name() == codes::SSH_TURNED_AWAY.name()
                        && retries < TURNED_AWAY_RETRIES =>
                {
                    sleep(jitter(pause(retries + 1))).await;
                    retries += 1;
                }
                other => return other,
            }
        }
    }

    fn next(self: &Arc<Self>, seen: u64, deadline: Instant) -> Next {
        let mut state = self.state();
        let now = Instant::now();
        state.purge(now, &self.limits);
        let channels = self.limits.channels;
        // The one used last: the others may then age out.
        let free = state
            .entries
            .iter_mut()
            .filter(|entry| !entry.retired && entry.in_use < channels)
            .max_by_key(|entry| entry.since);
        if let Some(entry) = free {
            entry.in_use += 1;
            entry.since = now;
            return Next::Turn(Turn::Take(Lease::new(Arc::clone(&entry.session), self)));
        }
        if let Some(failure) = &state.failure {
            let pausing = now < failure.until;
            let shared = state.shared_failures != seen;
            // Whoever cannot wait for the next attempt is told how the last one went.
            if shared || (pausing && failure.is_verdict()) || failure.until >= deadline {
                return Next::Turn(Turn::Fail(failure.repeat()));
            }
            if pausing && state.dialing == 0 {
                return Next::Wait(Some(failure.until));
            }
        }
        let proven = state
            .proven
            .is_some_and(|at| now.duration_since(at) < PROVEN);
        // One at a time, unless the one before takes long.
        let next_at = state
            .last_dial
            .map(|at| at + SLOW)
            .filter(|_| !proven && state.beginning > 0);
        let may = state.beginning < self.limits.handshakes && next_at.is_none_or(|at| at <= now);
        if may && state.dialing * channels + state.closing < state.wanting {
            state.dialing += 1;
            state.beginning += 1;
            state.last_dial = Some(now);
            return Next::Turn(Turn::Dial(Ticket(Some(Arc::clone(self)))));
        }
        Next::Wait(next_at.filter(|at| *at > now))
    }

    /// One idle session turned out to be dead: the others, idle for as long, are no better.
    pub(crate) fn distrust_idle(&self) {
        self.state().entries.retain(|entry| entry.in_use > 0);
    }

    /// Ends idle sessions when their time is up. Called within a runtime.
    fn reap(self: &Arc<Self>, state: &mut State) {
        if state
            .reaper
            .as_ref()
            .is_some_and(|reaper| !reaper.is_finished())
        {
            return;
        }
        let Some(mut next) = state.next_to_go(&self.limits) else {
            return;
        };
        let weak = Arc::downgrade(self);
        let task = tokio::spawn(async move {
            loop {
                sleep_until(next).await;
                let Some(sessions) = weak.upgrade() else {
                    return;
                };
                let mut state = sessions.state();
                state.purge(Instant::now(), &sessions.limits);
                match state.next_to_go(&sessions.limits) {
                    Some(instant) => next = instant,
                    None => {
                        // Under the lock: whoever comes next starts another one.
                        state.reaper = None;
                        return;
                    }
                }
            }
        });
        state.reaper = Some(task.abort_handle());
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        if let Some(reaper) = self.state().reaper.take() {
            reaper.abort();
        }
    }
}

impl State {
    /// When the first idle session has been idle for long enough.
    fn next_to_go(&self, limits: &Limits) -> Option<Instant> {
        let idle = self.entries.iter().filter(|entry| entry.in_use == 0);
        let oldest = idle.map(|entry| entry.since).min()?;
        // Half a century is never, and can be added.
        oldest.checked_add(limits.idle_lifetime.min(NEVER))
    }

    /// Lets go of what cannot be used: sessions that ended, and idle ones that are too old or too
    /// many.
    fn purge(&mut self, now: Instant, limits: &Limits) {
        self.entries.retain(|entry| {
            entry.in_use > 0
                || (!entry.retired
                    && !entry.session.is_closed()
                    && now.saturating_duration_since(entry.since) < limits.idle_lifetime)
        });
        for entry in &mut self.entries {
            entry.retired |= entry.session.is_closed();
        }
        let idle = self.entries.iter().filter(|e| e.in_use == 0).count();
        for _ in limits.idle..idle {
            let oldest = (0..self.entries.len())
                .filter(|index| self.entries[*index].in_use == 0)
                .min_by_key(|index| self.entries[*index].since);
            if let Some(oldest) = oldest {
                self.entries.swap_remove(oldest);
            }
        }
    }
}

/// A caller that waits for a session, or makes one.
struct Wanting<'a>(&'a Sessions);

impl<'a> Wanting<'a> {
    fn new(sessions: &'a Sessions) -> Self {
        sessions.state().wanting += 1;
        Self(sessions)
    }
}

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        self.0.state().wanting -= 1;
    }
}

/// The right to run a handshake. Dropped, it passes to the next caller.
struct Ticket(Option<Arc<Sessions>>);

impl Ticket {
    fn finish(mut self, result: Result<Session, (Error, usize)>) -> Result<Lease, Error> {
        let Some(sessions) = self.0.take() else {
            return result.map(Lease::of).map_err(|(error, _)| error);
        };
        let mut state = sessions.state();
        state.dialing -= 1;
        let lease = match result {
            Ok(session) => {
                let session = Arc::new(session);
                state.entries.push(Entry {
                    session: Arc::clone(&session),
                    in_use: 1,
                    retired: false,
                    since: Instant::now(),
                });
                state.proven = Some(Instant::now());
                state.failure = None;
                state.failed_in_a_row = 0;
                Ok(Lease::new(session, &sessions).beginning())
            }
            Err((error, hop)) => {
                state.beginning -= 1;
                state.failed_in_a_row = state.failed_in_a_row.saturating_add(1);
                let verdict = is_verdict(&error);
                let wait = if verdict {
                    sessions.limits.auth_pause
                } else {
                    jitter(pause(state.failed_in_a_row))
                };
                // One that went alone failed for all who waited for it. Among several, it may have
                // been this one's bad luck.
                if verdict || state.proven.is_none() {
                    state.shared_failures += 1;
                }
                state.proven = None;
                state.failure = Some(Failure {
                    error: error.repeat(),
                    hop,
                    until: Instant::now() + wait,
                });
                Err(error)
            }
        };
        drop(state);
        if lease.as_ref().is_err_and(is_verdict) {
            sessions.refused.notify_waiters();
        }
        sessions.changed.notify_waiters();
        lease
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(sessions) = self.0.take() {
            let mut state = sessions.state();
            state.dialing -= 1;
            state.beginning -= 1;
            drop(state);
            sessions.changed.notify_waiters();
        }
    }
}
