//! How often the credential has been replaced.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the credentials that were refused and replaced by one that was not.
#[derive(Debug, Default)]
pub(super) struct Epoch(AtomicU64);

impl Epoch {
    pub(super) fn current(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// A credential of the epoch `seen` was refused, and a fresh one admitted: the epoch that the
    /// fresh one belongs to. Connections that find out at the same time end the epoch once, so that
    /// none of them is retired for the discovery of another.
    pub(super) fn ended(&self, seen: u64) -> u64 {
        let next = seen.wrapping_add(1);
        match self
            .0
            .compare_exchange(seen, next, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => next,
            Err(current) => current,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_ends_once() {
        let epoch = Epoch::default();
        let (first, second) = (epoch.current(), epoch.current());
        assert_eq!(epoch.ended(first), 1);
        assert_eq!(epoch.ended(second), 1);
        assert_eq!(epoch.ended(1), 2);
        assert_eq!(epoch.current(), 2);
    }
}
