//! What bb8's `get` is polled for, as far as the manager under it has to know.

use std::future::Future;

tokio::task_local! {
    static PURPOSE: Purpose;
}

/// Why the `get` that runs in this task was called. bb8 tells its manager nothing of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// For one who waits, by its number.
    Wait(u64),
    /// Only to have bb8 throw away what is not fit.
    Sweep,
}

impl Purpose {
    /// Runs `get` for this purpose.
    pub(crate) fn scope<F: Future>(self, get: F) -> impl Future<Output = F::Output> {
        PURPOSE.scope(self, get)
    }

    /// The purpose of the call under way: none where bb8's own `get` was called.
    pub(crate) fn current() -> Option<Self> {
        PURPOSE.try_with(|purpose| *purpose).ok()
    }
}
