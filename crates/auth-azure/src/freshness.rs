//! How long a token may be used, and when the next one is due. Pure: the moment is an argument.

use std::time::{Duration, SystemTime};

use crate::clock::Moment;

/// A token must outlive the connection attempt that it is given to. Of a life of less than two minutes
/// this is a quarter.
const MARGIN: Duration = Duration::from_secs(30);

/// However short its life is: the way to the server takes time too.
const FLOOR: Duration = Duration::from_secs(5);

/// How far the two clocks may drift apart before it counts as a jump: NTP slews by at most 500 ppm,
/// which is 43 seconds a day.
const TOLERANCE: Duration = Duration::from_secs(60);

/// When a token came, and when it ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) fetched: Moment,
    /// None where nobody said.
    pub(crate) expires_at: Option<SystemTime>,
}

/// What is to be done with the token that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Use it.
    Use,
    /// Use it, and fetch the next one meanwhile.
    RefreshAhead,
    /// Both clocks say that it is valid, but one of them jumped by more than what is left: fetch, and
    /// use it only if that fails.
    Doubtful,
    /// Fetch.
    Expired,
}

/// What to do at `now` with a token of these times.
pub(crate) fn next_refresh(now: Moment, times: &Times, refresh_ahead: Duration) -> Next {
    let Some(expires_at) = times.expires_at else {
        return Next::Use;
    };
    let until = |wall| expires_at.duration_since(wall).unwrap_or_default();
    let lifetime = until(times.fetched.wall);
    let by_wall = until(now.wall);
    let by_mono = lifetime.saturating_sub(now.mono.saturating_sub(times.fetched.mono));
    let left = by_wall.min(by_mono);
    // A tenth of its life, but five seconds at least where that leaves most of it.
    let margin = MARGIN.min((lifetime / 10).max(FLOOR.min(lifetime / 4)));
    if left <= margin {
        return Next::Expired;
    }
    // Neither is cut off at zero here, so this is how much further one clock went than the other.
    let jump = by_wall.abs_diff(by_mono);
    if jump > TOLERANCE && left <= jump.saturating_add(margin) {
        return Next::Doubtful;
    }
    if left <= refresh_ahead.min(lifetime / 2) {
        return Next::RefreshAhead;
    }
    Next::Use
}

#[cfg(test)]
mod tests {
    use super::*;

    const AHEAD: Duration = Duration::from_secs(300);

    fn at(wall: i64, mono: u64) -> Moment {
        let base = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let wall = match u64::try_from(wall) {
            Ok(wall) => base + Duration::from_secs(wall),
            Err(_) => base - Duration::from_secs(wall.unsigned_abs()),
        };
        Moment {
            wall,
            mono: Duration::from_secs(mono),
        }
    }

    #[test]
    fn table() {
        // Fetched at zero by both clocks. The lifetime, seconds since by each clock, the answer.
        let table = [
            // An hour's token.
            (3600, 0, 0, Next::Use),
            (3600, 3299, 3299, Next::Use),
            (3600, 3300, 3300, Next::RefreshAhead),
            (3600, 3569, 3569, Next::RefreshAhead),
            (3600, 3570, 3570, Next::Expired),
            (3600, 9999, 9999, Next::Expired),
            // A user's token of five minutes: half its life comes before five minutes ahead.
            (300, 149, 149, Next::Use),
            (300, 150, 150, Next::RefreshAhead),
            (300, 269, 269, Next::RefreshAhead),
            (300, 270, 270, Next::Expired),
            // The margin shrinks with the life.
            (60, 29, 29, Next::Use),
            (60, 53, 53, Next::RefreshAhead),
            (60, 54, 54, Next::Expired),
            // Down to five seconds.
            (30, 24, 24, Next::RefreshAhead),
            (30, 25, 25, Next::Expired),
            // Unless that were most of its life.
            (2, 0, 0, Next::Use),
            (2, 1, 1, Next::RefreshAhead),
            (2, 2, 2, Next::Expired),
            // The machine slept: the monotonic clock stood still.
            (3600, 3600, 10, Next::Expired),
            (3600, 3000, 10, Next::Doubtful),
            (86400, 28800, 100, Next::Use),
            (86400, 60000, 100, Next::Doubtful),
            // The wall clock was set back: by it alone the token would live for ever.
            (3600, -7200, 3600, Next::Expired),
            (3600, -7200, 1800, Next::Doubtful),
            (86400, -3600, 60, Next::Use),
            // The wall clock was set forward.
            (3600, 1900, 100, Next::Doubtful),
            // Drift is no jump.
            (3600, 3200, 3160, Next::Use),
            // Expired on arrival.
            (0, 0, 0, Next::Expired),
        ];
        for (lifetime, wall, mono, expected) in table {
            let times = Times {
                fetched: at(0, 0),
                expires_at: Some(at(lifetime, 0).wall),
            };
            let next = next_refresh(at(wall, mono), &times, AHEAD);
            assert_eq!(next, expected, "{lifetime} {wall} {mono}");
        }
    }

    #[test]
    fn what_nobody_ends_is_used() {
        let times = Times {
            fetched: at(0, 0),
            expires_at: None,
        };
        assert_eq!(next_refresh(at(1, 1_000_000), &times, AHEAD), Next::Use);
    }

    #[test]
    fn half_a_life_at_most_is_ahead() {
        let times = Times {
            fetched: at(0, 0),
            expires_at: Some(at(3600, 0).wall),
        };
        let day = Duration::from_secs(86400);
        assert_eq!(next_refresh(at(1799, 1799), &times, day), Next::Use);
        assert_eq!(
            next_refresh(at(1800, 1800), &times, day),
            Next::RefreshAhead
        );
        assert_eq!(
            next_refresh(at(3400, 3400), &times, Duration::ZERO),
            Next::Use
        );
    }
}
