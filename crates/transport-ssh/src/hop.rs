//! One SSH server on the way.

use std::fmt;
use std::time::Duration;

use pgreach_core::{Error, Stage};

use crate::{Algorithms, HostKeyPolicy, SshAuth, codes};

const MAX_INTERVAL: Duration = Duration::from_secs(24 * 3600);
/// Keys that are exchanged all the time leave no time for data.
const MIN_REKEY: usize = 64 * 1024;
/// RFC 4253, section 9.
const MAX_REKEY: usize = 1 << 30;
/// The port of SSH.
const SSH_PORT: u16 = 22;

/// One SSH server on the way: the bastion, or a jump host before it.
///
/// Each hop has its own user, credentials, host key policy and algorithms.
///
/// ```
/// use pgreach_core::Secret;
/// use pgreach_transport_ssh::{HostKeyPolicy, SshAuth, SshHop};
///
/// let hop = SshHop::new("bastion.example.com", "tunnel")
///     .with_port(2222)
///     .with_auth(SshAuth::password("correct horse"))
///     .with_host_keys(HostKeyPolicy::fingerprints([
///         "SHA256:p3dsUAyHsdgu4ysNY5xyZ5eLfWDRNcTZKrO/k2QJ9zQ",
///     ])?);
/// assert_eq!(hop.to_string(), "tunnel@bastion.example.com:2222");
/// # Ok::<(), pgreach_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SshHop {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) auth: Vec<SshAuth>,
    pub(crate) host_keys: HostKeyPolicy,
    pub(crate) algorithms: Algorithms,
    pub(crate) keepalive: Keepalive,
    pub(crate) rekey_limit: Option<usize>,
}

/// When a silent peer is given up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keepalive {
    pub(crate) interval: Duration,
    pub(crate) max_unanswered: u32,
}

impl Keepalive {
    /// How long a write may make no progress.
    pub(crate) fn patience(self) -> Duration {
        self.interval
            .saturating_mul(self.max_unanswered.saturating_add(1))
    }
}

impl SshHop {
    /// The SSH server at `host`, port 22, to be logged in to as `user`; host keys are verified
    /// against the user's and the system's `known_hosts`.
    ///
    /// `host` is a name or an address, without a port. The first hop's is resolved here, that of
    /// any other on the hop before. It is also the name that the host key is verified for.
    #[must_use]
    pub fn new(host: impl Into<String>, user: impl Into<String>) -> Self {
        Self {
            host: host.into(),
            port: SSH_PORT,
            user: user.into(),
            auth: Vec::new(),
            host_keys: HostKeyPolicy::default(),
            algorithms: Algorithms::default(),
            keepalive: Keepalive {
                interval: Duration::from_secs(5),
                max_unanswered: 2,
            },
            rekey_limit: None,
        }
    }

    /// The port of the SSH server. Default: 22.
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Adds a way to authenticate. They are tried in the order in which they were added, as far as
    /// the server allows their methods; where the server demands several, all that fit are used.
    #[must_use]
    pub fn with_auth(mut self, auth: impl Into<SshAuth>) -> Self {
        self.auth.push(auth.into());
        self
    }

    /// Which host keys are trusted. Default: those in `~/.ssh/known_hosts` and
    /// `/etc/ssh/ssh_known_hosts`, strictly.
    #[must_use]
    pub fn with_host_keys(mut self, policy: HostKeyPolicy) -> Self {
        self.host_keys = policy;
        self
    }

    /// Which algorithms may be negotiated.
    #[must_use]
    pub fn with_algorithms(mut self, algorithms: Algorithms) -> Self {
        self.algorithms = algorithms;
        self
    }

    /// After how much silence the server is asked for a sign of life, and how many such questions
    /// may stay unanswered (OpenSSH's `ServerAliveInterval`, `ServerAliveCountMax`). Default: 5 s
    /// and 2, which finds a dead peer after 15 s. A write that makes no progress for as long ends the
    /// session, too. The interval is a day at most, and both must be above zero.
    #[must_use]
    pub fn with_keepalive(mut self, interval: Duration, max_unanswered: u32) -> Self {
        self.keepalive = Keepalive {
            interval,
            max_unanswered,
        };
        self
    }

    /// After how many bytes in either direction the keys are exchanged anew (OpenSSH's
    /// `RekeyLimit`): from 64 KiB to 1 GiB. Default: 1 GiB (RFC 4253, section 9).
    #[must_use]
    pub fn with_rekey_limit(mut self, bytes: usize) -> Self {
        self.rekey_limit = Some(bytes);
        self
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The user.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// `host:port`, an IPv6 address in brackets.
    pub(crate) fn address(&self) -> String {
        address(&self.host, self.port)
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        let invalid = |message: String| {
            Err(Error::new(
                &codes::SSH_CONFIG_INVALID,
                Stage::CONFIG,
                message,
            ))
        };
        let text = |what: &str, value: &str| {
            if value.is_empty() {
                invalid(format!("the {what} of an SSH hop is empty"))
            } else if value.chars().any(|c| c.is_control() || c.is_whitespace()) {
                invalid(format!(
                    "the {what} of an SSH hop, \"{value}\", holds spaces"
                ))
            } else {
                Ok(())
            }
        };
        text("host", &self.host)?;
        if self.user.is_empty() || self.user.chars().any(char::is_control) {
            return invalid(format!(
                "the user of the SSH hop {} is empty or holds control characters",
                self.address()
            ));
        }
        if self.port == 0 {
            return invalid(format!("the port of the SSH hop {} is 0", self.host));
        }
        if self.auth.is_empty() {
            return invalid(format!("the SSH hop {self} has no way to authenticate"));
        }
        if self.keepalive.interval.is_zero() || self.keepalive.interval > MAX_INTERVAL {
            let message = format!("the keepalive interval of {self} is not within a day");
            return invalid(message);
        }
        if self.keepalive.max_unanswered == 0 {
            let message = format!("the keepalive of {self} must be unanswered once at least");
            return invalid(message);
        }
        let limits = MIN_REKEY..=MAX_REKEY;
        if self
            .rekey_limit
            .is_some_and(|limit| !limits.contains(&limit))
        {
            let message = format!("the rekey limit of {self} is not between 64 KiB and 1 GiB");
            return invalid(message);
        }
        Ok(())
    }
}

pub(crate) fn address(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

impl fmt::Display for SshHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.user, self.address())
    }
}
