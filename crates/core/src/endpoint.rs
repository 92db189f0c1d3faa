//! Where a server is, and the name by which it is verified.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::text::escape_control;

/// PostgreSQL's default port.
pub const DEFAULT_PORT: u16 = 5432;

/// A PostgreSQL server: the name that is verified and, when it differs, the address that is dialled.
///
/// The two differ behind a tunnel or a private endpoint: `host` is then the database's own name,
/// which its certificate carries, and `hostaddr` is where the packets go. This is libpq's split of
/// `host` and `hostaddr`.
///
/// ```
/// use pgreach_core::Endpoint;
///
/// let endpoint = Endpoint::tcp("db.internal", 5432).with_hostaddr([10, 1, 2, 3]);
/// assert_eq!(endpoint.to_string(), "db.internal:5432 (10.1.2.3)");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    target: Target,
    port: u16,
    pinned: Option<SocketAddr>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Target {
    Tcp {
        host: String,
        hostaddr: Option<IpAddr>,
    },
    Unix {
        directory: PathBuf,
    },
}

impl Endpoint {
    /// A server that is reached over TCP. `host` is a DNS name or an IP address.
    #[must_use]
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self {
            target: Target::Tcp {
                host: host.into(),
                hostaddr: None,
            },
            port,
            pinned: None,
        }
    }

    /// A server that is reached through the Unix socket `.s.PGSQL.<port>` in `directory`. A
    /// directory that begins with `@` is in Linux' abstract namespace, as in libpq.
    #[must_use]
    pub fn unix(directory: impl Into<PathBuf>, port: u16) -> Self {
        Self {
            target: Target::Unix {
                directory: directory.into(),
            },
            port,
            pinned: None,
        }
    }

    /// The address to dial instead of resolving the host name. It has no effect on a Unix socket.
    #[must_use]
    pub fn with_hostaddr(mut self, address: impl Into<IpAddr>) -> Self {
        if let Target::Tcp { hostaddr, .. } = &mut self.target {
            *hostaddr = Some(address.into());
        }
        self
    }

    /// Pins the endpoint to the address that was dialled, so that a cancel request goes to the very
    /// same server. For implementations of [`Transport`](crate::Transport).
    #[must_use]
    pub fn pinned_to(mut self, address: SocketAddr) -> Self {
        if let Target::Tcp { hostaddr, .. } = &mut self.target {
            *hostaddr = Some(address.ip());
            self.pinned = Some(address);
        }
        self
    }

    /// The name that is verified: a DNS name, an IP address, or the directory of a Unix socket.
    ///
    /// It is empty when only an address was given; verify-full then has nothing to verify.
    #[must_use]
    pub fn host(&self) -> &str {
        match &self.target {
            Target::Tcp { host, .. } => host,
            Target::Unix { directory } => directory.to_str().unwrap_or_default(),
        }
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address that is dialled instead of resolving the host.
    #[must_use]
    pub fn hostaddr(&self) -> Option<IpAddr> {
        match &self.target {
            Target::Tcp { hostaddr, .. } => *hostaddr,
            Target::Unix { .. } => None,
        }
    }

    /// The full socket address (with an IPv6 scope, where there is one) once it was dialled.
    #[must_use]
    pub fn pinned(&self) -> Option<SocketAddr> {
        self.pinned
    }

    /// Whether this is a Unix socket.
    #[must_use]
    pub fn is_unix(&self) -> bool {
        matches!(self.target, Target::Unix { .. })
    }

    /// The directory of the Unix socket.
    #[must_use]
    pub fn socket_directory(&self) -> Option<&Path> {
        match &self.target {
            Target::Unix { directory } => Some(directory),
            Target::Tcp { .. } => None,
        }
    }

    /// The path of the Unix socket: `<directory>/.s.PGSQL.<port>`.
    #[must_use]
    pub fn socket_path(&self) -> Option<PathBuf> {
        self.socket_directory()
            .map(|directory| directory.join(format!(".s.PGSQL.{}", self.port)))
    }
}

impl fmt::Display for Endpoint {
    /// With control characters escaped: a host can come from a stranger.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.target {
            Target::Unix { directory } => {
                let path = directory.join(format!(".s.PGSQL.{}", self.port));
                f.write_str(&escape_control(&path.display().to_string()))
            }
            Target::Tcp { host, hostaddr } => {
                let address = hostaddr.map(|address| address.to_string());
                let name = match (host.as_str(), &address) {
                    ("", Some(address)) => address.clone(),
                    (host, _) => escape_control(host),
                };
                if name.contains(':') {
                    write!(f, "[{name}]:{}", self.port)?;
                } else {
                    write!(f, "{name}:{}", self.port)?;
                }
                match address {
                    Some(address) if address != name => write!(f, " ({address})"),
                    _ => Ok(()),
                }
            }
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

impl Serialize for Endpoint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_name_and_the_address() {
        let cases = [
            (Endpoint::tcp("db", 5432), "db:5432"),
            (Endpoint::tcp("::1", 5433), "[::1]:5433"),
            (
                Endpoint::tcp("db", 1).with_hostaddr([10, 0, 0, 1]),
                "db:1 (10.0.0.1)",
            ),
            (
                Endpoint::tcp("10.0.0.1", 1).with_hostaddr([10, 0, 0, 1]),
                "10.0.0.1:1",
            ),
            (
                Endpoint::tcp("", 1).with_hostaddr([10, 0, 0, 1]),
                "10.0.0.1:1",
            ),
            (Endpoint::tcp("a\u{1b}[31m\nb", 1), "a\\u{1b}[31m\\nb:1"),
            (
                Endpoint::unix("/run/postgresql", 5432),
                "/run/postgresql/.s.PGSQL.5432",
            ),
        ];
        for (endpoint, text) in cases {
            assert_eq!(endpoint.to_string(), text);
        }
    }
}
