//! Accepting connections, and ending them.

use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use russh::server::{Config, run_stream};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::handler::{Handler, Logins};
use super::{ChannelAnswer, Counted, Counts};

/// What all connections of a server have in common.
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    pub(super) logins: Logins,
    pub(super) delay: Duration,
    pub(super) counts: Arc<Counts>,
    pub(super) channels: Arc<AtomicU8>,
    pub(super) ended: watch::Sender<()>,
}

impl Shared {
    pub(super) fn answer(&self) -> ChannelAnswer {
        let answers = [
            ChannelAnswer::Serve,
            ChannelAnswer::Refuse,
            ChannelAnswer::Busy,
            ChannelAnswer::Never,
        ];
        let number = self.channels.load(Ordering::SeqCst);
        answers
            .into_iter()
            .find(|answer| *answer as u8 == number)
            .unwrap_or_default()
    }
}

/// Another handle of a connection's socket: russh runs a session in a task of its own, which is
/// reached by the end of its stream only.
struct Hold(std::net::TcpStream);

impl Drop for Hold {
    fn drop(&mut self) {
        // One that has ended already says so, and nobody minds.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Accepts connections; those it holds end with it.
pub(super) async fn run(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    // Out of descriptors, most likely: let some connections end.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        shared.counts.connections.fetch_add(1, Ordering::SeqCst);
        let (handshake, now) = Counted::new(&shared.counts, |counts| &counts.handshakes);
        shared
            .counts
            .most_handshakes
            .fetch_max(now, Ordering::SeqCst);
        connections.spawn(serve(stream, Arc::clone(&shared), handshake));
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>, handshake: Counted) {
    let mut ended = shared.ended.subscribe();
    let Ok(other) = SockRef::from(&stream).try_clone() else {
        return;
    };
    let _hold = Hold(other.into());
    let session = async {
        let _ = stream.set_nodelay(true);
        tokio::time::sleep(shared.delay).await;
        let config = Arc::clone(&shared.config);
        let handler = Handler::new(Arc::clone(&shared), handshake);
        // How a session ends is the client's to judge.
        if let Ok(running) = run_stream(config, stream, handler).await {
            let _ = running.await;
        }
    };
    tokio::select! {
        biased;
        // An error is the end of the server.
        _ = ended.changed() => {}
        () = session => {}
    }
}
