//! TCP keepalive.

use std::time::Duration;

/// TCP keepalive: probes on an idle connection, so that a dead peer is noticed and a firewall does
/// not forget the connection.
///
/// What is `None` is left to the operating system; Linux waits two hours, then probes every 75
/// seconds, 9 times. Load balancers and NAT gateways forget idle connections much sooner (AWS after
/// 350 seconds), so `idle` should be shorter than the shortest limit on the way.
///
/// ```
/// use std::time::Duration;
/// use pgreach_transport_tcp::Keepalive;
///
/// let keepalive = Keepalive::default()
///     .with_idle(Duration::from_secs(60))
///     .with_interval(Duration::from_secs(10))
///     .with_count(6);
/// assert_eq!(keepalive.count, Some(6));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Keepalive {
    /// How long a connection is idle before the first probe, in whole seconds from 1, on Linux to
    /// 32,767 (libpq's `keepalives_idle`). Default: the system's.
    pub idle: Option<Duration>,
    /// How long after an unanswered probe the next one follows, in whole seconds from 1, on Linux
    /// to 32,767 (libpq's `keepalives_interval`). Default: the system's.
    pub interval: Option<Duration>,
    /// How many probes may be lost before the connection is given up: from 1, on Linux to 127
    /// (libpq's `keepalives_count`). Default: the system's.
    pub count: Option<u32>,
}

impl Keepalive {
    /// Sets [`idle`](Self::idle).
    #[must_use]
    pub fn with_idle(mut self, idle: impl Into<Option<Duration>>) -> Self {
        self.idle = idle.into();
        self
    }

    /// Sets [`interval`](Self::interval).
    #[must_use]
    pub fn with_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.interval = interval.into();
        self
    }

    /// Sets [`count`](Self::count).
    #[must_use]
    pub fn with_count(mut self, count: impl Into<Option<u32>>) -> Self {
        self.count = count.into();
        self
    }
}
