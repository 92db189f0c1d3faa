//! What ends the life of pooled connections before they break.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Retires the connections of a pool, or of all the pools that share this handle.
///
/// A pooled connection remembers how often [`rotate`](Self::rotate) had been called when it was
/// opened. Once it is called again, the connection is closed instead of handed out, and none that
/// is in use is cut: whoever has it keeps it. Cheap to clone.
///
/// A credential that a server refused, with a fresh one in its place, needs no call: the connector's
/// own [`credential_epoch`](pgreach_core::Connector::credential_epoch) retires the connections of
/// the credential before.
#[derive(Debug, Clone, Default)]
pub struct Epochs(Arc<AtomicU64>);

impl Epochs {
    /// A handle of its own, to share between managers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Retires every connection that was opened, or began to be opened, before now.
    ///
    /// A pool notices when it next takes the connection up. Its own `rotate` also drops the idle
    /// ones at once.
    pub fn rotate(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    /// How often was rotated.
    pub(crate) fn current(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Why a connection is not handed out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retired {
    Closed,
    GivenUp,
    Credential,
    Rotated,
    Aged,
}

impl Retired {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "the connection has ended",
            Self::GivenUp => "nobody waited for the end of the connection's check",
            Self::Credential => "the credential of the connection has been replaced",
            Self::Rotated => "the pool has been rotated",
            Self::Aged => "the connection has reached its maximum lifetime",
        }
    }
}

impl fmt::Display for Retired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Between nine tenths of `lifetime` and all of it, so that connections which were opened together
/// are not opened anew together.
pub(crate) fn jittered(lifetime: Duration) -> Duration {
    // A hasher's random keys are randomness enough, and need no crate.
    let random = RandomState::new().hash_one(());
    let share = 1.0 - (random as f64 / u64::MAX as f64) / 10.0;
    shortened(lifetime, share.clamp(0.9, 1.0))
}

fn shortened(lifetime: Duration, share: f64) -> Duration {
    // The largest ones are rounded up to more than there is.
    Duration::try_from_secs_f64(lifetime.as_secs_f64() * share)
        .map_or(lifetime, |shortened| shortened.min(lifetime))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_their_epoch() {
        let epochs = Epochs::new();
        let clone = epochs.clone();
        clone.rotate();
        assert_eq!(epochs.current(), 1);
        assert_eq!(Epochs::new().current(), 0);
    }

    #[test]
    fn lifetimes_differ_and_are_bounded() {
        let lifetime = Duration::from_secs(1000);
        let drawn: Vec<_> = (0..100).map(|_| jittered(lifetime)).collect();
        assert!(drawn.iter().all(|one| *one <= lifetime));
        assert!(drawn.iter().all(|one| *one >= Duration::from_secs(900)));
        assert!(drawn.iter().any(|one| *one != drawn[0]));
        assert_eq!(jittered(Duration::ZERO), Duration::ZERO);
        // What nobody means as a limit is none that overflows.
        assert_eq!(shortened(Duration::MAX, 1.0), Duration::MAX);
        assert!(jittered(Duration::MAX) <= Duration::MAX);
    }
}
