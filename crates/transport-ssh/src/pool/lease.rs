//! A place on a session.

use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::Sessions;
use crate::session::Session;

/// A place on a session.
///
/// Dropped without [`give_back`](Self::give_back), the session gets no further connection: what is
/// under way on it is not known.
#[derive(Debug)]
pub(crate) struct Lease {
    session: Arc<Session>,
    pool: Weak<Sessions>,
    good: bool,
    closing: bool,
    beginning: bool,
}

impl Lease {
    /// A place that is already counted.
    pub(super) fn new(session: Arc<Session>, pool: &Arc<Sessions>) -> Self {
        Self {
            session,
            pool: Arc::downgrade(pool),
            good: false,
            closing: false,
            beginning: false,
        }
    }

    /// A session that belongs to no pool.
    pub(crate) fn of(session: Session) -> Self {
        Self {
            session: Arc::new(session),
            pool: Weak::new(),
            good: false,
            closing: false,
            beginning: false,
        }
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Of a new session, which the server may still count as beginning.
    pub(super) fn beginning(mut self) -> Self {
        self.beginning = true;
        self
    }

    /// The server has answered what came after the authentication.
    pub(crate) fn begun(&mut self) {
        if std::mem::take(&mut self.beginning)
            && let Some(pool) = self.pool.upgrade()
        {
            pool.state().beginning -= 1;
            pool.changed.notify_waiters();
        }
    }

    /// The connection is over, and the server's word is awaited.
    pub(crate) fn closing(mut self) -> Self {
        if let Some(pool) = self.pool.upgrade()
            && !self.session.is_closed()
        {
            pool.state().closing += 1;
            self.closing = true;
        }
        self
    }

    /// The server's word takes its time: whoever waits for this place had better not.
    pub(crate) fn not_soon(&mut self) {
        if std::mem::take(&mut self.closing)
            && let Some(pool) = self.pool.upgrade()
        {
            pool.state().closing -= 1;
            pool.changed.notify_waiters();
        }
    }

    /// The place is free, and the session can be used again.
    pub(crate) fn give_back(mut self) {
        self.good = true;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade() else {
            return;
        };
        let mut state = pool.state();
        let good = self.good;
        state.closing -= usize::from(self.closing);
        state.beginning -= usize::from(self.beginning);
        let found = state
            .entries
            .iter_mut()
            .find(|entry| Arc::ptr_eq(&entry.session, &self.session));
        if let Some(entry) = found {
            entry.in_use -= 1;
            entry.retired |= !good;
            entry.since = Instant::now();
        }
        state.purge(Instant::now(), &pool.limits);
        // Outside a runtime there is nobody to reap: the next lease does it.
        if good && tokio::runtime::Handle::try_current().is_ok() {
            pool.reap(&mut state);
        }
        drop(state);
        pool.changed.notify_waiters();
    }
}
