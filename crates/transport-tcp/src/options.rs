//! Options of TCP sockets.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use pgreach_core::{Error, Stage};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpSocket;

use crate::{Keepalive, codes};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SocketOptions {
    pub(crate) keepalive: Option<Keepalive>,
    pub(crate) user_timeout: Option<Duration>,
    pub(crate) nodelay: bool,
    pub(crate) quickack: bool,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            keepalive: Some(Keepalive::default()),
            user_timeout: None,
            nodelay: true,
            quickack: false,
        }
    }
}

/// A step that failed on the way to a usable socket.
#[derive(Debug)]
pub(crate) struct SocketError {
    /// The option that could not be set, if it was that.
    pub(crate) option: Option<&'static str>,
    pub(crate) error: io::Error,
}

impl From<io::Error> for SocketError {
    fn from(error: io::Error) -> Self {
        Self {
            option: None,
            error,
        }
    }
}

/// A socket for `address` with every option set. They are set before it connects: the handshake
/// itself then falls under the user timeout, and no connection is ever seen without its options.
pub(crate) fn open(address: SocketAddr, options: &SocketOptions) -> Result<TcpSocket, SocketError> {
    let tcp = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    let socket = SockRef::from(&tcp);
    let named = |option| {
        move |error| SocketError {
            option: Some(option),
            error,
        }
    };

    socket
        .set_tcp_nodelay(options.nodelay)
        .map_err(named("nodelay"))?;
    if let Some(keepalive) = options.keepalive {
        socket.set_keepalive(true).map_err(named("keepalive"))?;
        if keepalive != Keepalive::default() {
            // All at once: on Windows each call sets all of them.
            times(keepalive)
                .and_then(|times| socket.set_tcp_keepalive(&times))
                .map_err(named("keepalive times"))?;
        }
    }
    if let Some(timeout) = options.user_timeout {
        set_user_timeout(&socket, timeout).map_err(named("tcp_user_timeout"))?;
    }
    Ok(tcp)
}

#[cfg(any(
    target_os = "android",
    target_os = "dragonfly",
    target_os = "freebsd",
    target_os = "illumos",
    target_os = "ios",
    target_os = "linux",
    target_os = "macos",
    target_os = "netbsd",
    target_os = "windows",
))]
fn times(keepalive: Keepalive) -> io::Result<TcpKeepalive> {
    let mut times = TcpKeepalive::new();
    if let Some(idle) = keepalive.idle {
        times = times.with_time(idle);
    }
    if let Some(interval) = keepalive.interval {
        times = times.with_interval(interval);
    }
    if let Some(count) = keepalive.count {
        times = times.with_retries(count);
    }
    Ok(times)
}

/// Interval and count cannot be set on this system: asking for them is an error.
#[cfg(not(any(
    target_os = "android",
    target_os = "dragonfly",
    target_os = "freebsd",
    target_os = "illumos",
    target_os = "ios",
    target_os = "linux",
    target_os = "macos",
    target_os = "netbsd",
    target_os = "windows",
)))]
fn times(keepalive: Keepalive) -> io::Result<TcpKeepalive> {
    match keepalive {
        Keepalive {
            idle: Some(idle),
            interval: None,
            count: None,
        } => Ok(TcpKeepalive::new().with_time(idle)),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn set_user_timeout(socket: &SockRef<'_>, timeout: Duration) -> io::Result<()> {
    socket.set_tcp_user_timeout(Some(timeout))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn set_user_timeout(_: &SockRef<'_>, _: Duration) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The largest values that Linux takes: `MAX_TCP_KEEPIDLE`, `MAX_TCP_KEEPINTVL` and
/// `MAX_TCP_KEEPCNT` in its `include/net/tcp.h`. Other systems take at least as much, or refuse it
/// themselves.
const MAX_KEEPALIVE: Duration = Duration::from_secs(32_767);
const MAX_COUNT: u32 = 127;

impl SocketOptions {
    /// Refuses what the system would refuse at every connection, or would cut off silently.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        if let Some(keepalive) = self.keepalive {
            for (what, value) in [
                ("keepalive idle time", keepalive.idle),
                ("keepalive interval", keepalive.interval),
            ] {
                if let Some(value) = value
                    && (value.is_zero()
                        || value.subsec_nanos() != 0
                        || (cfg!(target_os = "linux") && value > MAX_KEEPALIVE))
                {
                    return Err(invalid(
                        what,
                        &format!("{value:?}"),
                        "give whole seconds from 1 to 32767, or None for the system's value",
                    ));
                }
            }
            if let Some(count) = keepalive.count
                && (count == 0 || (cfg!(target_os = "linux") && count > MAX_COUNT))
            {
                return Err(invalid(
                    "keepalive count",
                    &count.to_string(),
                    "give a number from 1 to 127, or None for the system's value",
                ));
            }
        }
        if let Some(timeout) = self.user_timeout {
            if !cfg!(any(target_os = "linux", target_os = "android")) {
                return Err(Error::new(
                    &codes::TCP_OPTION,
                    Stage::CONFIG,
                    "tcp_user_timeout is not supported on this system",
                )
                .with_hint("leave tcp_user_timeout unset on systems other than Linux"));
            }
            // The kernel counts milliseconds in a signed 32-bit integer, and takes 0 for "unset".
            if timeout.is_zero()
                || timeout.subsec_nanos() % 1_000_000 != 0
                || i32::try_from(timeout.as_millis()).is_err()
            {
                return Err(invalid(
                    "tcp_user_timeout",
                    &format!("{timeout:?}"),
                    "give whole milliseconds from 1 to 2147483647, or None for the system's value",
                ));
            }
        }
        Ok(())
    }
}

fn invalid(what: &str, value: &str, hint: &str) -> Error {
    Error::new(
        &codes::TCP_OPTION,
        Stage::CONFIG,
        format!("{what} of {value} is out of range"),
    )
    .with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: SocketOptions = SocketOptions {
        keepalive: Some(Keepalive {
            idle: Some(Duration::from_secs(61)),
            interval: Some(Duration::from_secs(11)),
            count: Some(7),
        }),
        user_timeout: None,
        nodelay: true,
        quickack: false,
    };

    fn opened(options: &SocketOptions) -> [TcpSocket; 2] {
        ["127.0.0.1:1", "[::1]:1"].map(|address| open(address.parse().unwrap(), options).unwrap())
    }

    #[tokio::test]
    async fn every_option_is_set_before_the_connection() {
        for tcp in opened(&ALL) {
            let socket = SockRef::from(&tcp);
            assert!(socket.tcp_nodelay().unwrap());
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap().as_secs(), 61);
            assert_eq!(socket.tcp_keepalive_interval().unwrap().as_secs(), 11);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 7);
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_user_timeout_is_set() {
        let timeout = Some(Duration::from_millis(12_345));
        let options = SocketOptions {
            user_timeout: timeout,
            ..ALL
        };
        options.validate().unwrap();
        for tcp in opened(&options) {
            assert_eq!(SockRef::from(&tcp).tcp_user_timeout().unwrap(), timeout);
        }
    }

    #[tokio::test]
    async fn options_can_be_off() {
        let options = SocketOptions {
            keepalive: None,
            user_timeout: None,
            nodelay: false,
            quickack: false,
        };
        for tcp in opened(&options) {
            assert!(!SockRef::from(&tcp).keepalive().unwrap());
            assert!(!SockRef::from(&tcp).tcp_nodelay().unwrap());
        }
    }

    #[tokio::test]
    async fn the_defaults_leave_the_times_to_the_system() {
        let system = TcpSocket::new_v4().unwrap();
        let system = SockRef::from(&system);
        for tcp in opened(&SocketOptions::default()) {
            let socket = SockRef::from(&tcp);
            assert!(socket.keepalive().unwrap());
            assert!(socket.tcp_nodelay().unwrap());
            assert_eq!(
                socket.tcp_keepalive_time().unwrap(),
                system.tcp_keepalive_time().unwrap()
            );
        }
    }

    /// A value that `validate` would have refused: the system's refusal names the option.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_option_that_cannot_be_set_is_an_error() {
        let with = |keepalive| SocketOptions {
            keepalive: Some(keepalive),
            ..ALL
        };
        let cases = [
            (
                with(Keepalive {
                    idle: Some(Duration::ZERO),
                    ..Keepalive::default()
                }),
                "keepalive idle time",
                "keepalive times",
            ),
            (
                with(Keepalive {
                    interval: Some(Duration::from_secs(32_768)),
                    ..Keepalive::default()
                }),
                "keepalive interval",
                "keepalive times",
            ),
            (
                with(Keepalive {
                    count: Some(128),
                    ..Keepalive::default()
                }),
                "keepalive count",
                "keepalive times",
            ),
            (
                SocketOptions {
                    user_timeout: Some(Duration::from_millis(1 << 31)),
                    ..ALL
                },
                "tcp_user_timeout",
                "tcp_user_timeout",
            ),
        ];
        for (options, option, set) in cases {
            let error = open("127.0.0.1:1".parse().unwrap(), &options).unwrap_err();
            assert_eq!(error.option, Some(set));
            let refused = options.validate().unwrap_err();
            assert_eq!(refused.code(), &codes::TCP_OPTION);
            assert!(refused.message().starts_with(option), "{refused}");
        }
    }

    #[test]
    fn values_that_would_be_cut_off_are_refused() {
        let refused = |options: SocketOptions| options.validate().unwrap_err().to_string();
        let fraction = Some(Duration::from_millis(1_500));
        assert_eq!(
            refused(SocketOptions {
                keepalive: Some(Keepalive {
                    idle: fraction,
                    ..Keepalive::default()
                }),
                ..ALL
            }),
            "keepalive idle time of 1.5s is out of range"
        );
        for timeout in [Duration::ZERO, Duration::from_micros(900)] {
            let message = refused(SocketOptions {
                user_timeout: Some(timeout),
                ..ALL
            });
            assert!(message.starts_with("tcp_user_timeout"), "{message}");
        }
    }
}
