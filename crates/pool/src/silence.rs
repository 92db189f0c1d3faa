//! What the checks before have shown: whether connections answer at all.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a connection may take that was idle while another one did not answer.
const SHORT: Duration = Duration::from_millis(250);

/// After so many in a row that did not answer, the others are not asked any more.
const ENOUGH: u32 = 4;

/// The checks in a row that nobody answered.
///
/// A network that is gone takes all idle connections with it, and each of them would cost whoever
/// asks for a connection the whole deadline of a check.
#[derive(Debug, Default)]
pub(crate) struct Silence(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    count: u32,
    last: Option<Instant>,
}

impl Silence {
    /// How long a connection may take that was last heard of at `heard`, where `full` is usual; none:
    /// it need not be asked.
    pub(crate) fn patience(&self, heard: Instant, full: Duration) -> Option<Duration> {
        let state = self.lock();
        match state.last {
            Some(last) if heard <= last => (state.count < ENOUGH).then(|| full.min(SHORT)),
            _ => Some(full),
        }
    }

    /// One did not answer.
    pub(crate) fn unanswered(&self) {
        let mut state = self.lock();
        state.count = state.count.saturating_add(1);
        state.last = Some(Instant::now());
    }

    /// One did, or a new one was opened: the network is there.
    pub(crate) fn answered(&self) {
        *self.lock() = State::default();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_shrinks_for_those_that_were_idle_meanwhile() {
        let full = Duration::from_secs(3);
        let (silence, heard) = (Silence::default(), Instant::now());
        assert_eq!(silence.patience(heard, full), Some(full));
        for _ in 1..ENOUGH {
            silence.unanswered();
            assert_eq!(silence.patience(heard, full), Some(SHORT));
        }
        // A shorter deadline is not made longer.
        let shorter = Duration::from_millis(1);
        assert_eq!(silence.patience(heard, shorter), Some(shorter));
        silence.unanswered();
        assert_eq!(silence.patience(heard, full), None);
        // What was heard of since is not suspected.
        let since = Instant::now() + Duration::from_secs(1);
        assert_eq!(silence.patience(since, full), Some(full));
        silence.answered();
        assert_eq!(silence.patience(heard, full), Some(full));
    }
}
