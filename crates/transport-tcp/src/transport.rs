//! The transport itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pgreach_core::{ActiveStage, DialContext, Dialed, Endpoint, Error, Stage, Transport};
use tokio::net::TcpStream;

use crate::builder::TcpTransportBuilder;
use crate::eyeballs::{ATTEMPT_DELAY, MAX_ATTEMPTS, order, race};
use crate::failure::list;
use crate::options::{SocketError, SocketOptions, open};
use crate::quickack::QuickAck;
use crate::resolve::{check_name, nothing_found};
use crate::{AddressPolicy, Keepalive, Resolver, SystemResolver, codes, failure};

/// Dials TCP and Unix-domain sockets, as the endpoint says.
///
/// One dial over TCP goes like this:
/// 1. The address is where the endpoint is [pinned](Endpoint::pinned), else its
///    [`hostaddr`](Endpoint::hostaddr), else its host if that is an IP address; otherwise the host name
///    is resolved, once.
/// 2. The [`AddressPolicy`] judges every address. **If it refuses one, the whole name is refused**: a
///    name that stands for addresses on both sides of a fence is either a mistake or an attack.
/// 3. The addresses themselves are dialled, never the name again, so an answer that changes later
///    (DNS rebinding) changes nothing. Several addresses race as in RFC 8305: the families take
///    turns, an attempt starts 250 ms after the one before or as soon as that one failed, and the
///    first connection wins. Of a name with more than 32 addresses, the first 32 in this order are
///    dialled and no others; all of them were judged nevertheless. RFC 8305's waiting for a late AAAA
///    answer does not apply, since a [`Resolver`] gives all addresses together.
///
/// Dropping the dial closes the sockets of all attempts; nothing goes on but a lookup in tokio's pool
/// for blocking calls (see [`SystemResolver`]). The dial itself ends no earlier than the operating
/// system's attempts do: the deadline is the connector's to keep.
///
/// Cloning is cheap.
#[derive(Debug, Clone)]
pub struct TcpTransport {
    pub(crate) policy: AddressPolicy,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) options: SocketOptions,
    pub(crate) requirepeer: Option<String>,
}

impl TcpTransport {
    /// A transport with the defaults: every address is allowed, the system resolves names,
    /// keepalive is on with the system's times, `TCP_NODELAY` is set.
    #[must_use]
    pub fn new() -> Self {
        Self {
            policy: AddressPolicy::default(),
            resolver: Arc::new(SystemResolver),
            options: SocketOptions::default(),
            requirepeer: None,
        }
    }

    /// For sessions that stay open and carry others' connections, such as an SSH tunnel's: keepalive
    /// after 5 s idle, 3 probes 5 s apart, on Linux `TCP_USER_TIMEOUT` of 15 s and
    /// [`TCP_QUICKACK`](TcpTransportBuilder::with_quickack). A dead peer is found within 20 s.
    #[must_use]
    pub fn for_tunnels() -> Self {
        let every = Duration::from_secs(5);
        let mut transport = Self::new();
        transport.options = SocketOptions {
            keepalive: Some(
                Keepalive::default()
                    .with_idle(every)
                    .with_interval(every)
                    .with_count(3),
            ),
            user_timeout: cfg!(any(target_os = "linux", target_os = "android"))
                .then_some(Duration::from_secs(15)),
            quickack: true,
            ..transport.options
        };
        transport
    }

    /// Begins with the defaults and changes some.
    pub fn builder() -> TcpTransportBuilder {
        TcpTransportBuilder::new()
    }

    /// Begins with the settings of this one and changes some.
    ///
    /// ```
    /// use pgreach_transport_tcp::{AddressPolicy, TcpTransport};
    ///
    /// # fn example() -> Result<(), pgreach_core::Error> {
    /// let transport = TcpTransport::for_tunnels()
    ///     .into_builder()
    ///     .with_address_policy(AddressPolicy::public_only())
    ///     .build()?;
    /// assert!(transport.quickack());
    /// # Ok(())
    /// # }
    /// # example().unwrap();
    /// ```
    pub fn into_builder(self) -> TcpTransportBuilder {
        TcpTransportBuilder::of(self)
    }

    /// Which addresses may be dialled.
    #[must_use]
    pub fn address_policy(&self) -> &AddressPolicy {
        &self.policy
    }

    /// TCP keepalive; `None` is off.
    #[must_use]
    pub fn keepalive(&self) -> Option<Keepalive> {
        self.options.keepalive
    }

    /// How long sent data may stay unacknowledged; `None` is the system's value.
    #[must_use]
    pub fn tcp_user_timeout(&self) -> Option<Duration> {
        self.options.user_timeout
    }

    /// Whether `TCP_NODELAY` is set.
    #[must_use]
    pub fn nodelay(&self) -> bool {
        self.options.nodelay
    }

    /// Whether `TCP_QUICKACK` is set after each read.
    #[must_use]
    pub fn quickack(&self) -> bool {
        self.options.quickack
    }

    /// The user that the server of a Unix socket must run as.
    #[must_use]
    pub fn requirepeer(&self) -> Option<&str> {
        self.requirepeer.as_deref()
    }

    /// The addresses to dial for a TCP endpoint, every one of them checked.
    pub(crate) async fn addresses(
        &self,
        endpoint: &Endpoint,
        stage: &ActiveStage,
    ) -> Result<Vec<SocketAddr>, Error> {
        let (addresses, from) = self.look_up(endpoint).await?;
        stage.note("addresses", list(addresses.iter(), ", "));
        stage.note("from", from);
        self.check(endpoint, &addresses)?;
        Ok(addresses)
    }

    async fn look_up(&self, endpoint: &Endpoint) -> Result<(Vec<SocketAddr>, &'static str), Error> {
        let port = endpoint.port();
        if let Some(address) = endpoint.pinned() {
            return Ok((vec![address], "an earlier connection"));
        }
        if let Some(address) = endpoint.hostaddr() {
            return Ok((vec![SocketAddr::new(address, port)], "hostaddr"));
        }
        let host = endpoint.host();
        check_name(host)?;
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok((vec![SocketAddr::new(address, port)], "host"));
        }
        let addresses = self.resolver.resolve(host, port).await?;
        if addresses.is_empty() {
            return Err(nothing_found(host));
        }
        Ok((addresses, "the resolver"))
    }

    fn check(&self, endpoint: &Endpoint, addresses: &[SocketAddr]) -> Result<(), Error> {
        let refusals: Vec<_> = addresses
            .iter()
            .filter_map(|address| self.policy.check(address.ip()).err())
            .collect();
        let Some(first) = refusals.first() else {
            return Ok(());
        };
        let mut message = format!(
            "the address policy forbids {endpoint}: {}",
            list(refusals.iter(), "; ")
        );
        if refusals.len() < addresses.len() {
            message.push_str("; its other addresses are not used either");
        }
        Err(
            Error::new(&codes::ADDRESS_DENIED, Stage::RESOLVE, message)
                .with_hint(format!(
                    "use a host whose addresses the policy allows, or allow {} if this destination is meant",
                    first.address()
                ))
                .with_source(first.clone()),
        )
    }

    async fn dial_tcp(&self, endpoint: &Endpoint, cx: &DialContext) -> Result<Dialed, Error> {
        let stage = cx.enter(Stage::RESOLVE);
        let addresses = self.addresses(endpoint, &stage).await;
        let mut addresses = order(stage.end(addresses)?, cx.random_order());

        let stage = cx.enter(Stage::TCP);
        let left_out = addresses.len().saturating_sub(MAX_ATTEMPTS);
        if left_out > 0 {
            addresses.truncate(MAX_ATTEMPTS);
            stage.note("left out", format_args!("{left_out} addresses"));
        }
        let connected = race(addresses, ATTEMPT_DELAY, |address| {
            // Noted as it begins, so that a report of a deadline tells what was waited for.
            stage.note("trying", address);
            connect(address, &self.options)
        });
        match connected.await {
            Ok((stream, address)) => {
                stage.note("address", address);
                if let Ok(local) = stream.local_addr() {
                    stage.note("local", local);
                }
                stage.pass();
                let dialed = if self.options.quickack {
                    Dialed::new(QuickAck::new(stream))
                } else {
                    Dialed::new(stream)
                };
                Ok(dialed.with_address(address))
            }
            Err(failures) => Err(stage.fail(failure::tcp(endpoint, failures))),
        }
    }

    async fn dial_unix(&self, endpoint: &Endpoint, cx: &DialContext) -> Result<Dialed, Error> {
        let stage = cx.enter(Stage::TCP);
        if !self.policy.allows_unix_sockets() {
            return Err(stage.fail(Error::new(
                &codes::SOCKET_DENIED,
                Stage::TCP,
                format!("the address policy forbids the Unix socket {endpoint}"),
            )));
        }
        #[cfg(unix)]
        let stream = crate::unix::connect(endpoint, self.requirepeer.as_deref(), cx, &stage).await;
        #[cfg(not(unix))]
        let stream = Err(Error::new(
            &pgreach_core::codes::CONFIG_UNSUPPORTED,
            Stage::TCP,
            format!("the Unix socket {endpoint} is not supported on this system"),
        )
        .with_hint("give a TCP host"));
        Ok(Dialed::new(stage.end(stream)?))
    }
}

async fn connect(
    address: SocketAddr,
    options: &SocketOptions,
) -> Result<(TcpStream, SocketAddr), SocketError> {
    let stream = open(address, options)?.connect(address).await?;
    // A port of this machine's ephemeral range that nobody listens on can be drawn as the local port
    // of the very attempt; TCP then connects the socket to itself (RFC 793, simultaneous open).
    if stream.local_addr()? == address {
        return Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into());
    }
    Ok((stream, address))
}

impl Default for TcpTransport {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Transport for TcpTransport {
    async fn dial(&self, endpoint: &Endpoint, cx: &DialContext) -> Result<Dialed, Error> {
        if endpoint.is_unix() {
            self.dial_unix(endpoint, cx).await
        } else {
            self.dial_tcp(endpoint, cx).await
        }
    }

    fn describe(&self, endpoint: &Endpoint) -> String {
        let kind = if endpoint.is_unix() {
            "unix socket"
        } else {
            "tcp to"
        };
        format!("{kind} {endpoint}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The SSH transport's promise to find a dead peer within 20 s rests on these.
    #[test]
    fn tunnels_find_a_dead_peer_soon() {
        let tunnel = TcpTransport::for_tunnels();
        tunnel.options.validate().unwrap();
        let keepalive = tunnel.keepalive().unwrap();
        let silence =
            keepalive.idle.unwrap() + keepalive.interval.unwrap() * keepalive.count.unwrap();
        assert!(silence <= Duration::from_secs(20), "{silence:?}");
        assert!(tunnel.nodelay() && tunnel.quickack());
        if cfg!(target_os = "linux") {
            assert!(tunnel.tcp_user_timeout().unwrap() <= silence);
        }
    }
}
