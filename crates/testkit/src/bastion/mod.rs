//! An SSH server inside the test's process, that forwards and does nothing else.

mod builder;
mod forward;
mod handler;
mod serve;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::ssh::fingerprint;

pub use builder::BastionBuilder;

/// What becomes of a request for a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ChannelAnswer {
    /// The target is connected to; where that fails, the client is told so.
    #[default]
    Serve,
    /// Refused as administratively prohibited.
    Refuse,
    /// Refused for a shortage of resources.
    Busy,
    /// Never answered while the session lives.
    Never,
}

/// What is counted while the server runs.
#[derive(Debug, Default)]
struct Counts {
    connections: AtomicUsize,
    handshakes: AtomicUsize,
    most_handshakes: AtomicUsize,
    sessions: AtomicUsize,
    channels: AtomicUsize,
    opened: AtomicUsize,
}

/// One more of something, for as long as the value exists.
#[derive(Debug)]
struct Counted {
    counts: Arc<Counts>,
    which: fn(&Counts) -> &AtomicUsize,
}

impl Counted {
    fn new(counts: &Arc<Counts>, which: fn(&Counts) -> &AtomicUsize) -> (Self, usize) {
        let now = which(counts).fetch_add(1, Ordering::SeqCst) + 1;
        let counts = Arc::clone(counts);
        (Self { counts, which }, now)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        (self.which)(&self.counts).fetch_sub(1, Ordering::SeqCst);
    }
}

/// An SSH server on 127.0.0.1 for `direct-tcpip` and `direct-streamlocal` channels, which needs
/// neither root nor anything installed. The listener and all sessions end when the value is dropped.
///
/// It is russh's, and so no judge of what OpenSSH would do: that is [`Sshd`](crate::Sshd). What it
/// has over that are counters, algorithms that OpenSSH has given up, and channels that are never
/// answered.
///
/// ```no_run
/// # async fn example(key: &str) -> Result<(), pgreach_testkit::Error> {
/// use pgreach_testkit::Bastion;
///
/// let bastion = Bastion::builder().with_authorized_key(key).start().await?;
/// println!("{}@127.0.0.1:{}", bastion.user(), bastion.port());
/// println!("known_hosts: {}", bastion.known_hosts_line());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Bastion {
    addr: SocketAddr,
    user: String,
    host_keys: Vec<String>,
    counts: Arc<Counts>,
    channels: Arc<AtomicU8>,
    /// Each new value ends the sessions that there are.
    ended: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Bastion {
    /// Begins a server.
    pub fn builder() -> BastionBuilder {
        BastionBuilder::default()
    }

    /// The address to connect to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The port of [`Bastion::addr`].
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// The user whom the keys let in.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The first host key as a line of `known_hosts`.
    pub fn known_hosts_line(&self) -> String {
        let line = self.host_key_public_line();
        format!("[127.0.0.1]:{} {line}", self.port())
    }

    /// All host keys as lines of `known_hosts`.
    pub fn known_hosts(&self) -> String {
        self.host_keys
            .iter()
            .map(|line| format!("[127.0.0.1]:{} {line}\n", self.port()))
            .collect()
    }

    /// The first host key: type and base64.
    pub fn host_key_public_line(&self) -> &str {
        self.host_keys.first().map_or("", String::as_str)
    }

    /// The fingerprint of the first host key: `SHA256:…`.
    pub fn host_key_fingerprint(&self) -> String {
        fingerprint(self.host_key_public_line())
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// How many connections have not logged in yet.
    pub fn handshakes(&self) -> usize {
        self.counts.handshakes.load(Ordering::SeqCst)
    }

    /// The largest number of connections so far that had not logged in at the same time.
    pub fn max_concurrent_handshakes(&self) -> usize {
        self.counts.most_handshakes.load(Ordering::SeqCst)
    }

    /// How many connections are logged in.
    pub fn sessions(&self) -> usize {
        self.counts.sessions.load(Ordering::SeqCst)
    }

    /// How many channels are open.
    pub fn channels(&self) -> usize {
        self.counts.channels.load(Ordering::SeqCst)
    }

    /// How many channels were opened so far.
    pub fn opened_channels(&self) -> usize {
        self.counts.opened.load(Ordering::SeqCst)
    }

    /// Decides about the channels that are asked for from now on, also on live sessions.
    pub fn answer_channels(&self, answer: ChannelAnswer) {
        self.channels.store(answer as u8, Ordering::SeqCst);
    }

    /// Ends all connections without a word of SSH; new ones are accepted.
    pub fn kill_sessions(&self) {
        self.ended.send_replace(());
    }
}

impl Drop for Bastion {
    fn drop(&mut self) {
        self.task.abort();
    }
}
