//! A TCP proxy that makes a network misbehave on demand.

mod connection;
mod line;
mod pump;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::Error;

/// Which way the bytes travel that a fault applies to, or that are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
    /// Either way.
    Both,
}

impl Direction {
    fn includes(self, one_way: Self) -> bool {
        self == Self::Both || self == one_way
    }
}

/// A way in which a network misbehaves.
///
/// A fault holds for live and for new connections, unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Every byte arrives this much later.
    ///
    /// Many bytes can be under way at once, so that the bandwidth stays what it was, up to 64 MiB
    /// under way in each direction of a connection.
    Latency(Duration),
    /// So many bytes per second pass; none do when it is zero.
    Bandwidth(u64),
    /// Connections are accepted, and nothing is read or forwarded, no end of stream either.
    ///
    /// A connection accepted while the way to the server is a black hole reaches the server only
    /// when that ends.
    Blackhole,
    /// Connections are reset.
    ///
    /// The receiver in that direction gets the reset, the sender an ordinary close;
    /// [`Direction::Both`] resets both ends.
    Reset,
    /// Bytes pass in pieces of at most this many, each sent by itself; zero counts as one.
    Slicer(usize),
    /// Nothing passes any more after so many bytes since the connection began, no end of stream
    /// either.
    StopAfter(u64),
    /// The stream ends after so many bytes since the connection began; what follows them is
    /// discarded. Such an end is final: it outlasts the fault.
    CloseAfter(u64),
    /// New connections are accepted and closed at once, whatever the direction; live ones go on.
    Refuse,
}

/// The fault of each direction.
#[derive(Debug, Clone, Copy, Default)]
struct Faults {
    to_server: Option<Fault>,
    to_client: Option<Fault>,
}

impl Faults {
    fn of(&self, direction: Direction) -> Option<Fault> {
        match direction {
            Direction::ToServer => self.to_server,
            Direction::ToClient => self.to_client,
            Direction::Both => None,
        }
    }

    /// The directions that have this fault.
    fn directions(&self, fault: Fault) -> Option<Direction> {
        let fault = Some(fault);
        match (self.to_server == fault, self.to_client == fault) {
            (true, true) => Some(Direction::Both),
            (true, false) => Some(Direction::ToServer),
            (false, true) => Some(Direction::ToClient),
            (false, false) => None,
        }
    }
}

/// What is counted while the proxy runs.
#[derive(Debug, Default)]
struct Traffic {
    connections: AtomicUsize,
    live: AtomicUsize,
    to_server: AtomicU64,
    to_client: AtomicU64,
}

/// A live connection, for as long as the value exists.
struct Live(Arc<Traffic>);

impl Live {
    fn new(traffic: &Arc<Traffic>) -> Self {
        traffic.live.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(traffic))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A TCP proxy on 127.0.0.1 whose faults can be changed while connections are open.
///
/// It forwards everything unchanged, half-closes and resets included, until [`FaultProxy::set`]
/// gives it a [`Fault`]. The listener and all connections end when the value is dropped.
///
/// ```no_run
/// # async fn example(server: std::net::SocketAddr) -> Result<(), pgreach_testkit::Error> {
/// use pgreach_testkit::fault::{Direction, Fault, FaultProxy};
///
/// let proxy = FaultProxy::start(server).await?;
/// proxy.set(Direction::ToClient, Fault::StopAfter(1));
/// // Connect to proxy.addr(): the server's first byte arrives, the second never does.
/// proxy.clear();
/// // Now the rest arrives.
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FaultProxy {
    addr: SocketAddr,
    faults: watch::Sender<Faults>,
    traffic: Arc<Traffic>,
    task: JoinHandle<()>,
}

impl FaultProxy {
    /// Starts a proxy without faults in front of `target`, on a free port.
    ///
    /// The target need not exist yet: it is dialled once for each connection, and a connection
    /// whose target cannot be reached is reset.
    pub async fn start(target: SocketAddr) -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(Error::network("bind the port of a proxy"))?;
        let addr = listener
            .local_addr()
            .map_err(Error::network("read the address of a proxy"))?;
        let faults = watch::Sender::new(Faults::default());
        let traffic = Arc::new(Traffic::default());
        let task = tokio::spawn(run(
            listener,
            target,
            faults.subscribe(),
            Arc::clone(&traffic),
        ));
        Ok(Self {
            addr,
            faults,
            traffic,
            task,
        })
    }

    /// The address to connect to instead of the target's.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The port of [`FaultProxy::addr`].
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// Replaces the fault of a direction, or of both.
    pub fn set(&self, direction: Direction, fault: Fault) {
        self.faults.send_modify(|faults| {
            if direction.includes(Direction::ToServer) {
                faults.to_server = Some(fault);
            }
            if direction.includes(Direction::ToClient) {
                faults.to_client = Some(fault);
            }
        });
    }

    /// Ends the faults of both directions: what was held back is forwarded now.
    pub fn clear(&self) {
        self.faults.send_replace(Faults::default());
    }

    /// How many connections were accepted so far, refused ones included.
    pub fn connections(&self) -> usize {
        self.traffic.connections.load(Ordering::SeqCst)
    }

    /// How many connections are open now.
    pub fn live(&self) -> usize {
        self.traffic.live.load(Ordering::SeqCst)
    }

    /// How many bytes were forwarded so far, over all connections.
    pub fn bytes(&self, direction: Direction) -> u64 {
        let count = |one_way, bytes: &AtomicU64| match direction.includes(one_way) {
            true => bytes.load(Ordering::SeqCst),
            false => 0,
        };
        count(Direction::ToServer, &self.traffic.to_server)
            + count(Direction::ToClient, &self.traffic.to_client)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts connections; those it holds end with it.
async fn run(
    listener: TcpListener,
    target: SocketAddr,
    faults: watch::Receiver<Faults>,
    traffic: Arc<Traffic>,
) {
    let mut connections = JoinSet::new();
    loop {
        let client: TcpStream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => client,
                Err(_) => {
                    // Out of descriptors, most likely: let some connections end.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        let live = Live::new(&traffic);
        traffic.connections.fetch_add(1, Ordering::SeqCst);
        if faults.borrow().directions(Fault::Refuse).is_some() {
            continue;
        }
        connections.spawn(connection::serve(client, target, faults.clone(), live));
    }
}
