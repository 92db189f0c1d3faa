//! What time it is, by two clocks.

use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime};

/// A moment by both clocks: the wall clock can be set, the monotonic one can stand still while the
/// machine sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) wall: SystemTime,
    /// Since some beginning.
    pub(crate) mono: Duration,
}

/// Where the time comes from.
pub(crate) trait Clock: Debug + Send + Sync {
    fn now(&self) -> Moment;
}

/// The machine's clocks.
#[derive(Debug)]
pub(crate) struct SystemClock {
    began: Instant,
}

impl SystemClock {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment {
            wall: SystemTime::now(),
            mono: self.began.elapsed(),
        }
    }
}
