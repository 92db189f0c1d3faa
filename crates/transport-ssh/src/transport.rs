//! The transport itself, and how it is put together.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pgreach_core::{DialContext, Dialed, Endpoint, Error, Stage, Transport};
use tokio::time::timeout;

use crate::channel::{Target, TunnelStream};
use crate::hop::SshHop;
use crate::pool::{Lease, Limits, NEVER, Sessions};
use crate::route::Route;
use crate::{CHANNEL, codes};

/// How long a session that was used before may take to open a channel, and then to give a sign of
/// life, until a new one is made.
const STALE: Duration = Duration::from_secs(2);

/// Dials through SSH servers.
///
/// Every connection gets a channel (`direct-tcpip`, or `direct-streamlocal` when the endpoint is a
/// Unix socket) of a session with the last hop, which resolves the database's name. By default a
/// session carries one live connection at a time and is used again when that ends.
///
/// Cloning is cheap; clones share the sessions. When the last clone is dropped, idle sessions end;
/// connections live on.
#[derive(Debug, Clone)]
pub struct SshTransport {
    sessions: Arc<Sessions>,
    /// The buffer of a channel in a shared session.
    buffer: Option<usize>,
}

impl SshTransport {
    /// Begins a transport whose first hop is dialled by `over`, usually a TCP transport with the
    /// settings for tunnels.
    pub fn builder(over: impl Transport) -> SshTransportBuilder {
        SshTransportBuilder {
            over: Arc::new(over),
            hops: Vec::new(),
            limits: Limits {
                channels: 1,
                idle: 16,
                idle_lifetime: Duration::from_secs(300),
                handshakes: 8,
                auth_pause: Duration::from_secs(20),
            },
            buffer: 4 * 1024 * 1024,
        }
    }

    async fn channel(
        &self,
        target: &Target,
        mut lease: Lease,
        used: bool,
        cx: &DialContext,
    ) -> Result<TunnelStream, (Error, Lease)> {
        let stage = cx.enter(CHANNEL);
        stage.note("target", target);
        if used {
            stage.note("session", "used again");
            stage.note("host key", lease.session().host_key());
        }
        let opened = lease.session().open(target).await;
        lease.begun();
        match opened {
            Ok(channel) => {
                stage.pass();
                Ok(TunnelStream::new(channel, lease, self.buffer))
            }
            Err(error) => Err((stage.fail(error), lease)),
        }
    }
}

#[async_trait]
impl Transport for SshTransport {
    async fn dial(&self, endpoint: &Endpoint, cx: &DialContext) -> Result<Dialed, Error> {
        let target = target(endpoint);
        let last = self.sessions.route().last(cx);
        loop {
            let (lease, new) = self.sessions.lease(cx).await?;
            let session = Arc::clone(lease.session());
            let opening = self.channel(&target, lease, !new, &last);
            tokio::pin!(opening);
            let opened = if new {
                opening.await
            } else {
                match timeout(STALE, &mut opening).await {
                    Ok(opened) => opened,
                    // Nothing has been heard of this session for a while, and the bastion may have
                    // forgotten it; or it is the target that takes its time.
                    Err(_) if session.answers(STALE).await => opening.await,
                    Err(_) => {
                        self.sessions.distrust_idle();
                        continue;
                    }
                }
            };
            match opened {
                Ok(stream) => return Ok(Dialed::new(stream)),
                // No channel was opened: a new session is as good as the first.
                Err((_, lease)) if !new && session.is_closed() => drop(lease),
                Err((error, lease)) => {
                    if !session.is_closed() {
                        lease.give_back();
                    }
                    return Err(error);
                }
            }
        }
    }

    fn describe(&self, endpoint: &Endpoint) -> String {
        let hops: Vec<_> = self
            .sessions
            .route()
            .hops()
            .iter()
            .map(ToString::to_string)
            .collect();
        format!("ssh {} to {endpoint}", hops.join(", "))
    }
}

fn target(endpoint: &Endpoint) -> Target {
    if let Some(path) = endpoint.socket_path() {
        return Target::Socket(path.display().to_string());
    }
    let host = match (endpoint.pinned(), endpoint.hostaddr()) {
        (Some(address), _) => address.ip().to_string(),
        (None, Some(address)) => address.to_string(),
        (None, None) => endpoint.host().to_owned(),
    };
    Target::Tcp {
        host,
        port: endpoint.port(),
    }
}

/// Builds an [`SshTransport`]; begin with [`SshTransport::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct SshTransportBuilder {
    over: Arc<dyn Transport>,
    hops: Vec<SshHop>,
    limits: Limits,
    buffer: usize,
}

impl SshTransportBuilder {
    /// Adds an SSH server. The first one is dialled by the transport below, each further one through
    /// the one before; the last one dials the database.
    pub fn with_hop(mut self, hop: SshHop) -> Self {
        self.hops.push(hop);
        self
    }

    /// How many live connections may share a session. Default: 1.
    ///
    /// More than one saves handshakes, and has a price: SSH has no way to slow one connection of a
    /// session down without the others, so each gets a [buffer](Self::with_channel_buffer), and a
    /// connection that lets it fill is closed.
    pub fn with_channels_per_session(mut self, channels: usize) -> Self {
        self.limits.channels = channels;
        self
    }

    /// How many unread bytes a connection may have where sessions are shared. Default: 4 MiB. It has
    /// no effect with one channel per session.
    pub fn with_channel_buffer(mut self, bytes: usize) -> Self {
        self.buffer = bytes;
        self
    }

    /// How many idle sessions are kept for later connections. Default: 16; 0 keeps none.
    pub fn with_idle_sessions(mut self, sessions: usize) -> Self {
        self.limits.idle = sessions;
        self
    }

    /// How long a session is kept idle. Default: 5 minutes.
    pub fn with_idle_lifetime(mut self, lifetime: Duration) -> Self {
        self.limits.idle_lifetime = lifetime;
        self
    }

    /// How many handshakes run at a time. Default: 8; OpenSSH's server begins to turn clients away at
    /// 10 (`MaxStartups`).
    pub fn with_max_handshakes(mut self, handshakes: usize) -> Self {
        self.limits.handshakes = handshakes;
        self
    }

    /// How long a refused credential is not offered again: dials fail at once with the same error.
    /// Default: 20 s; OpenSSH's server locks clients out that keep trying (`PerSourcePenalties`).
    pub fn with_auth_pause(mut self, pause: Duration) -> Self {
        self.limits.auth_pause = pause.min(NEVER);
        self
    }

    /// The transport. Nothing is dialled yet.
    ///
    /// # Errors
    /// [`SSH_CONFIG_INVALID`](codes::SSH_CONFIG_INVALID) without a hop, for a hop without a host,
    /// user or way to authenticate, and for limits of zero.
    pub fn build(self) -> Result<SshTransport, Error> {
        let invalid = |message: &str| {
            Err(Error::new(
                &codes::SSH_CONFIG_INVALID,
                Stage::CONFIG,
                message,
            ))
        };
        if self.hops.is_empty() {
            return invalid("an SSH transport needs at least one hop");
        }
        for hop in &self.hops {
            hop.validate()?;
        }
        if self.limits.channels == 0 || self.limits.handshakes == 0 {
            return invalid("channels per session and handshakes at a time must be at least 1");
        }
        if self.limits.channels > 1 && self.buffer < MIN_BUFFER {
            return invalid("the buffer of a channel must hold at least 64 KiB");
        }
        let shared = self.limits.channels > 1;
        Ok(SshTransport {
            sessions: Sessions::new(Route::new(self.over, self.hops), self.limits),
            buffer: shared.then_some(self.buffer),
        })
    }
}

/// A few of the largest messages.
const MIN_BUFFER: usize = 64 * 1024;
