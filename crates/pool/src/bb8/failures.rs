//! How those who wait for a connection hear that one could not be opened.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use pgreach_core::Error;

/// Who waits for a connection, and what they have not heard yet.
///
/// bb8 makes one attempt for each one who waits, as far as there is room, so each failure ends one
/// wait: the longest of those that had begun. It does not look again whether there is room after an
/// attempt failed: the others are told to ask it again. Who has a connection already, and waits for
/// the answer to its check, is told nothing.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    begun: u64,
    /// In the order in which they began.
    waiting: BTreeMap<u64, Waiter>,
}

#[derive(Debug, Default)]
struct Waiter {
    checking: bool,
    news: Option<News>,
    waker: Option<Waker>,
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
    /// An attempt failed, and bb8 has taken note of it.
    pub(crate) fn tell(&self, error: Error) {
        let mut error = Some(error);
        let mut wakers = Vec::new();
        for waiter in self.lock().waiting.values_mut() {
            if waiter.checking || matches!(waiter.news, Some(News::Failed(_))) {
                continue;
            }
            waiter.news = Some(error.take().map_or(News::AskAgain, News::Failed));
            wakers.extend(waiter.waker.take());
        }
        // Without the lock: a waker runs code of the runtime's.
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Begins to wait: a failure from now on counts.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        let mut state = self.lock();
        let id = state.begun;
        state.begun += 1;
        state.waiting.insert(id, Waiter::default());
        Waiting { failures: self, id }
    }

    /// Tells nothing to that one until what this returns is dropped, and takes back what it has not
    /// heard yet: it has a connection. Where that turns out to be of no use, bb8 makes an attempt.
    pub(crate) fn check(&self, id: u64) -> Checking<'_> {
        if let Some(waiter) = self.lock().waiting.get_mut(&id) {
            waiter.checking = true;
            waiter.news = None;
        }
        Checking { failures: self, id }
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
    id: u64,
}

impl Waiting<'_> {
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The next failure, or that there was one.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<News> {
        match self.failures.lock().waiting.get_mut(&self.id) {
            Some(waiter) => match waiter.news.take() {
                Some(news) => Poll::Ready(news),
                None => {
                    waiter.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            },
            // It is there for as long as this is.
            None => Poll::Pending,
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.failures.lock().waiting.remove(&self.id);
    }
}

/// One who waits for the answer to a check.
#[derive(Debug)]
pub(crate) struct Checking<'a> {
    failures: &'a Failures,
    id: u64,
}

impl Drop for Checking<'_> {
    fn drop(&mut self) {
        if let Some(waiter) = self.failures.lock().waiting.get_mut(&self.id) {
            waiter.checking = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use pgreach_core::{Stage, codes};

    use super::*;

    fn error() -> Error {
        Error::new(&codes::CLOSED, Stage::TCP, "it broke")
    }

    fn news(waiting: &mut Waiting<'_>) -> Option<News> {
        match waiting.poll(&Context::from_waker(Waker::noop())) {
            Poll::Ready(news) => Some(news),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_failure_ends_the_longest_wait_and_stirs_the_others() {
        let failures = Failures::default();
        failures.tell(error());
        let (mut one, mut two) = (failures.wait(), failures.wait());
        assert!(news(&mut one).is_none(), "that was before");
        failures.tell(error());
        // Whoever looks first.
        assert!(matches!(news(&mut two), Some(News::AskAgain)));
        assert!(matches!(news(&mut one), Some(News::Failed(_))));
        assert!(news(&mut two).is_none());
        assert!(news(&mut one).is_none());
    }

    #[test]
    fn what_one_was_told_is_no_news_for_who_comes_later() {
        let failures = Failures::default();
        let one = failures.wait();
        failures.tell(error());
        let mut two = failures.wait();
        assert!(news(&mut two).is_none());
        drop(one);
        assert!(news(&mut two).is_none());
        drop(two);
        assert!(failures.lock().waiting.is_empty());
    }

    #[test]
    fn two_failures_end_two_waits() {
        let failures = Failures::default();
        let (mut one, mut two) = (failures.wait(), failures.wait());
        failures.tell(error());
        failures.tell(error());
        assert!(matches!(news(&mut one), Some(News::Failed(_))));
        assert!(matches!(news(&mut two), Some(News::Failed(_))));
    }

    #[test]
    fn who_is_in_a_check_hears_nothing() {
        let failures = Failures::default();
        let (mut one, mut two) = (failures.wait(), failures.wait());
        failures.tell(error());
        let checking = failures.check(one.id());
        assert!(news(&mut one).is_none(), "it got a connection first");
        failures.tell(error());
        assert!(news(&mut one).is_none());
        assert!(matches!(news(&mut two), Some(News::Failed(_))));
        drop(checking);
        assert!(news(&mut one).is_none());
        failures.tell(error());
        assert!(matches!(news(&mut one), Some(News::Failed(_))));
    }
}
