//! How a transport is put together.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use pgreach_core::Error;
#[cfg(not(unix))]
use pgreach_core::Stage;

use crate::options::SocketOptions;
use crate::{AddressPolicy, Keepalive, Resolver, SystemResolver, TcpTransport};

/// Builds a [`TcpTransport`]; begin with [`TcpTransport::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct TcpTransportBuilder {
    policy: AddressPolicy,
    resolver: Arc<dyn Resolver>,
    options: SocketOptions,
    requirepeer: Option<String>,
}

impl TcpTransportBuilder {
    pub(crate) fn new() -> Self {
        Self {
            policy: AddressPolicy::default(),
            resolver: Arc::new(SystemResolver),
            options: SocketOptions::default(),
            requirepeer: None,
        }
    }

    pub(crate) fn of(transport: TcpTransport) -> Self {
        let TcpTransport {
            policy,
            resolver,
            options,
            requirepeer,
        } = transport;
        Self {
            policy,
            resolver,
            options,
            requirepeer,
        }
    }

    /// Which addresses may be dialled. Default: [`AddressPolicy::allow_all`].
    pub fn with_address_policy(mut self, policy: AddressPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Who translates host names to addresses. Default: [`SystemResolver`].
    pub fn with_resolver(mut self, resolver: impl Resolver) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// TCP keepalive, or `None` to turn it off (libpq's `keepalives`). Default: on, with the
    /// system's times, as in libpq. It has no effect on Unix sockets.
    pub fn with_keepalive(mut self, keepalive: Option<Keepalive>) -> Self {
        self.options.keepalive = keepalive;
        self
    }

    /// How long sent data may stay unacknowledged before the connection is given up (libpq's
    /// `tcp_user_timeout`; `TCP_USER_TIMEOUT`, RFC 5482), in whole milliseconds from 1 to
    /// 2,147,483,647. Default: `None`, the system's, about 15 minutes on Linux.
    ///
    /// Linux only: elsewhere [`build`](Self::build) refuses it, where libpq would ignore it. It has
    /// no effect on Unix sockets.
    pub fn with_tcp_user_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.options.user_timeout = timeout;
        self
    }

    /// Whether small packets are sent at once (`TCP_NODELAY`) rather than collected. Default: `true`,
    /// as in libpq. It has no effect on Unix sockets.
    pub fn with_nodelay(mut self, nodelay: bool) -> Self {
        self.options.nodelay = nodelay;
        self
    }

    /// Whether what arrives is acknowledged at once (`TCP_QUICKACK`, tcp(7)) rather than up to 40 ms
    /// later. Default: `false`.
    ///
    /// A server that leaves Nagle's algorithm on, as OpenSSH does for forwarded ports, holds a small
    /// packet back until the one before is acknowledged: without this, each short answer through such
    /// a server can take 40 ms. Linux forgets the option as it goes, so it is set again after each
    /// read, which costs one system call. Elsewhere it has no effect; nor has it on Unix sockets.
    pub fn with_quickack(mut self, quickack: bool) -> Self {
        self.options.quickack = quickack;
        self
    }

    /// The operating-system user that the server of a Unix socket must run as (libpq's
    /// `requirepeer`). Default: any; an empty name means any too.
    ///
    /// The user ids are compared, so several names of one id are the same. It has no effect on TCP,
    /// as in libpq.
    pub fn with_requirepeer(mut self, user: impl Into<String>) -> Self {
        self.requirepeer = Some(user.into()).filter(|user| !user.is_empty());
        self
    }

    /// The transport.
    ///
    /// # Errors
    /// [`TCP_OPTION`](crate::codes::TCP_OPTION) when a keepalive setting or `tcp_user_timeout` is out
    /// of range or not supported on this system;
    /// [`REQUIREPEER_UNSUPPORTED`](crate::codes::REQUIREPEER_UNSUPPORTED) on systems without Unix
    /// sockets.
    pub fn build(self) -> Result<TcpTransport, Error> {
        self.options.validate()?;
        #[cfg(not(unix))]
        if self.requirepeer.is_some() {
            return Err(Error::new(
                &crate::codes::REQUIREPEER_UNSUPPORTED,
                Stage::CONFIG,
                "requirepeer is not supported on this system",
            ));
        }
        Ok(TcpTransport {
            policy: self.policy,
            resolver: self.resolver,
            options: self.options,
            requirepeer: self.requirepeer,
        })
    }
}
