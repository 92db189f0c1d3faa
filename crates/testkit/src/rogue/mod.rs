//! A server that says what a script tells it to say.

mod peer;
mod stream;
pub(crate) mod wire;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::Error;

pub use peer::Peer;
pub use stream::RawStream;
pub use wire::Startup;

/// How many connections there were, and what became of their scripts.
#[derive(Debug, Default)]
struct Tally {
    accepted: usize,
    ended: usize,
    panics: Vec<String>,
}

/// A scripted server on 127.0.0.1, to try what a client does with a hostile or broken one.
///
/// The script runs once for each connection. All that clients send, decrypted where the script
/// accepted TLS, is kept, so that a test can assert what never left the client. The listener and
/// all scripts end when the value is dropped.
///
/// ```no_run
/// # async fn example() -> Result<(), pgreach_testkit::Error> {
/// use pgreach_testkit::rogue::{Peer, Rogue};
///
/// let rogue = Rogue::start(|mut peer: Peer| async move {
///     peer.read_startup().await?;
///     peer.ask_cleartext().await?;
///     peer.drain().await
/// })
/// .await?;
/// // Let a client connect to rogue.addr() and give up, then:
/// rogue.finished().await?;
/// assert!(!rogue.has_received(b"secret"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Rogue {
    addr: SocketAddr,
    received: watch::Sender<Vec<u8>>,
    tally: watch::Sender<Tally>,
    task: JoinHandle<()>,
}

impl Rogue {
    /// Starts a server on a free port that runs `script` for each connection.
    ///
    /// What the script returns is ignored, so that it can end with `?` when the client has left;
    /// the client's connection is closed when the script drops its [`Peer`]. An assertion that
    /// fails in a script shows up in [`Rogue::finished`].
    pub async fn start<F, S>(script: F) -> Result<Self, Error>
    where
        F: FnMut(Peer) -> S + Send + 'static,
        S: Future<Output: Outcome> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(Error::network("bind the port of a scripted server"))?;
        let addr = listener
            .local_addr()
            .map_err(Error::network("read the address of a scripted server"))?;
        let received = watch::Sender::new(Vec::new());
        let tally = watch::Sender::new(Tally::default());
        let task = tokio::spawn(run(listener, script, received.clone(), tally.clone()));
        Ok(Self {
            addr,
            received,
            tally,
            task,
        })
    }

    /// The address to connect to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The port of [`Rogue::addr`].
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.tally.borrow().accepted
    }

    /// Everything the scripts read so far from all connections, decrypted, in the order of
    /// reading.
    pub fn received(&self) -> Vec<u8> {
        self.received.borrow().clone()
    }

    /// Whether these bytes occur in [`Rogue::received`].
    pub fn has_received(&self, needle: &[u8]) -> bool {
        contains(&self.received.borrow(), needle)
    }

    /// Waits until these bytes occur in [`Rogue::received`], however long that takes.
    pub async fn wait_received(&self, needle: &[u8]) {
        // The sender is in `self`: the wait cannot fail.
        let _ = self
            .received
            .subscribe()
            .wait_for(|received| contains(received, needle))
            .await;
    }

    /// Waits until there was a connection and the script of each has ended, however long that
    /// takes; fails if one of them panicked.
    pub async fn finished(&self) -> Result<(), Error> {
        let mut tally = self.tally.subscribe();
        let panics = match tally
            .wait_for(|tally| tally.accepted > 0 && tally.accepted == tally.ended)
            .await
        {
            Ok(tally) => tally.panics.join("; "),
            Err(_) => String::new(),
        };
        match panics.is_empty() {
            true => Ok(()),
            false => Err(Error::State(format!("a script panicked: {panics}"))),
        }
    }
}

impl Drop for Rogue {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a script can return: nothing, or the result of a [`Peer`]'s methods.
pub trait Outcome: Send + 'static {}

impl Outcome for () {}

impl Outcome for Result<(), Error> {}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    needle.is_empty()
        || haystack
            .windows(needle.len())
            .any(|window| window == needle)
}

/// Accepts connections; the scripts it runs end with it.
async fn run<F, S>(
    listener: TcpListener,
    mut script: F,
    received: watch::Sender<Vec<u8>>,
    tally: watch::Sender<Tally>,
) where
    F: FnMut(Peer) -> S + Send + 'static,
    S: Future<Output: Outcome> + Send + 'static,
{
    let mut scripts = JoinSet::new();
    loop {
        let (stream, address) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(_) => {
                    // Out of descriptors, most likely: let some scripts end.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
            Some(ended) = scripts.join_next() => {
                tally.send_modify(|tally| {
                    tally.ended += 1;
                    if let Err(error) = ended {
                        tally.panics.push(error.to_string());
                    }
                });
                continue;
            }
        };
        // A script writes small messages that the client is to see at once.
        let _ = stream.set_nodelay(true);
        let mut index = 0;
        tally.send_modify(|tally| {
            index = tally.accepted;
            tally.accepted += 1;
        });
        let run = script(Peer::new(stream, address, index, received.clone()));
        scripts.spawn(async move {
            run.await;
        });
    }
}
