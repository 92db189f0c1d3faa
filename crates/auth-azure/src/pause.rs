//! How soon a request may be made again.

use std::sync::Arc;
use std::time::Duration;

use pgreach_core::Error;

/// For this long a failure is told to whoever asks, instead of being repeated: a pool that tries
/// again at once would ask Entra in a loop, and be locked out.
const TOLD_FOR: Duration = Duration::from_secs(1);

/// The pauses between attempts to refresh a token that is still valid.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The pauses between requests that are made because the server refused a token. It may refuse all of
/// them, where the role does not exist.
const FIRST_DEMAND: Duration = Duration::from_secs(5);
const LONGEST_DEMAND: Duration = Duration::from_secs(300);

/// The failures since the last token.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    count: u32,
    last: Option<(Arc<Error>, Duration)>,
    pause: Duration,
}

impl Failures {
    pub(crate) fn note(&mut self, failure: &Arc<Error>, now: Duration) {
        let pause = doubled(FIRST_PAUSE, self.count, LONGEST_PAUSE);
        // Between half of it and all of it, so that many processes do not ask at once.
        self.pause = pause.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        self.count = self.count.saturating_add(1);
        self.last = Some((Arc::clone(failure), now));
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether the pause before the next refresh is over.
    pub(crate) fn may_refresh(&self, now: Duration) -> bool {
        self.last
            .as_ref()
            .is_none_or(|(_, at)| now.saturating_sub(*at) >= self.pause)
    }

    /// Lets the next refresh come at once: there is a new reason for it.
    pub(crate) fn end_pause(&mut self) {
        self.pause = Duration::ZERO;
    }

    /// The failure of a moment ago.
    pub(crate) fn just_now(&self, now: Duration) -> Option<Error> {
        let (failure, at) = self.last.as_ref()?;
        (now.saturating_sub(*at) < TOLD_FOR).then(|| failure.repeat())
    }
}

/// The requests that were made because the server refused a token.
#[derive(Debug, Default)]
pub(crate) struct Demands {
    count: u32,
    last: Option<Duration>,
}

impl Demands {
    /// Whether there may be another one now, which counts.
    pub(crate) fn admit(&mut self, now: Duration) -> bool {
        if let Some(last) = self.last {
            let since = now.saturating_sub(last);
            let pause = doubled(FIRST_DEMAND, self.count.saturating_sub(1), LONGEST_DEMAND);
            if since < pause {
                return false;
            }
            if since >= pause + LONGEST_DEMAND {
                self.count = 0;
            }
        }
        self.count = self.count.saturating_add(1);
        self.last = Some(now);
        true
    }
}

fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes;
    use crate::failure::error;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn pauses_grow_and_are_jittered() {
        let failure = Arc::new(error(&codes::ENTRA_TIMEOUT, "x"));
        let mut failures = Failures::default();
        assert!(failures.may_refresh(s(0)));
        for longest in [2, 4, 8, 16, 32, 60, 60] {
            failures.note(&failure, s(100));
            assert!(failures.pause <= s(longest) && failures.pause * 2 >= s(longest));
            assert!(!failures.may_refresh(s(100)));
            assert!(!failures.may_refresh(s(100) + s(longest) / 2 - Duration::from_millis(1)));
            assert!(failures.may_refresh(s(100 + longest)));
        }
        assert!(failures.just_now(s(100)).is_some());
        assert!(failures.just_now(s(101)).is_none());
        failures.clear();
        assert!(failures.may_refresh(s(100)) && failures.just_now(s(100)).is_none());
    }

    #[test]
    fn demands_are_bounded() {
        let mut demands = Demands::default();
        let admitted: Vec<_> = (0..3600).filter(|now| demands.admit(s(*now))).collect();
        assert_eq!(&admitted[..5], [0, 5, 15, 35, 75]);
        assert!(admitted.len() < 20, "{admitted:?}");
        // After a long peace it is as it was.
        assert!(demands.admit(s(10_000)));
        assert!(!demands.admit(s(10_004)));
        assert!(demands.admit(s(10_005)));
    }
}
