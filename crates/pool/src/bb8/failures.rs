//! How those who wait for a connection hear that one could not be opened.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pgreach_core::Error;
use tokio::sync::Notify;

/// The failed attempts that nobody has been told of, and how many are waiting to be told.
///
/// bb8 makes one attempt for each one who waits, as far as there is room, so each failure ends one
/// wait. It does not look again whether there is room after an attempt failed: the others are told to
/// ask it again.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: usize,
    /// Never more than are waiting: a failure of the past is nobody's.
    errors: VecDeque<Error>,
    /// How many there have been.
    count: u64,
}

/// What came of a wait.
#[derive(Debug)]
pub(crate) enum News {
    /// The attempt failed.
    Failed(Error),
    /// Somebody else's did: there may be room for another attempt now.
    AskAgain,
}

impl Failures {
    /// An attempt failed.
    pub(crate) fn tell(&self, error: &Error) {
        let mut state = self.lock();
        state.count += 1;
        if state.waiting > state.errors.len() {
            state.errors.push_back(error.repeat());
        }
        drop(state);
        self.news.notify_waiters();
    }

    /// Begins to wait: a failure from now on counts.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        let mut state = self.lock();
        state.waiting += 1;
        Waiting {
            failures: self,
            seen: state.count,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits for a connection.
#[derive(Debug)]
pub(crate) struct Waiting<'a> {
    failures: &'a Failures,
    seen: u64,
}

impl Waiting<'_> {
    /// The next failure, or that there was one. Cancel-safe.
    pub(crate) async fn next(&mut self) -> News {
        loop {
            let mut notified = pin!(self.failures.news.notified());
            // Before the look: news that come after it must not be missed.
            notified.as_mut().enable();
            {
                let mut state = self.failures.lock();
                if let Some(error) = state.errors.pop_front() {
                    return News::Failed(error);
                }
                if self.seen != state.count {
                    self.seen = state.count;
                    return News::AskAgain;
                }
            }
            notified.await;
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.failures.lock();
        state.waiting -= 1;
        let waiting = state.waiting;
        state.errors.truncate(waiting);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use pgreach_core::{Stage, codes};

    use super::*;

    fn error() -> Error {
        Error::new(&codes::CLOSED, Stage::TCP, "it broke")
    }

    #[test]
    fn a_failure_ends_one_wait_and_stirs_the_others() {
        let failures = Failures::default();
        failures.tell(&error());
        let (mut one, mut two) = (failures.wait(), failures.wait());
        assert!(one.next().now_or_never().is_none(), "that was before");
        failures.tell(&error());
        assert!(matches!(one.next().now_or_never(), Some(News::Failed(_))));
        assert!(matches!(two.next().now_or_never(), Some(News::AskAgain)));
        assert!(two.next().now_or_never().is_none());
    }

    #[test]
    fn what_nobody_waits_for_is_not_kept() {
        let failures = Failures::default();
        let one = failures.wait();
        failures.tell(&error());
        failures.tell(&error());
        assert_eq!(failures.lock().errors.len(), 1);
        drop(one);
        assert_eq!(failures.lock().errors.len(), 0);
        assert_eq!(failures.lock().waiting, 0);
    }
}
