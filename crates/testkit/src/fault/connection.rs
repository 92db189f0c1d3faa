//! One connection through the proxy.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::pump::{self, SourceReset};
use super::{Direction, Fault, Faults, Live};

/// Forwards one connection until both ways have ended or it is reset.
pub(super) async fn serve(
    mut client: TcpStream,
    target: SocketAddr,
    faults: watch::Receiver<Faults>,
    live: Live,
) {
    tokio::select! {
        biased;
        reset = ordered_reset(faults.clone()) => {
            close(client, Direction::ToClient, reset);
            return;
        }
        () = way_to_server(faults.clone()) => {}
    }
    let mut dial = pin!(TcpStream::connect(target));
    let server = tokio::select! {
        biased;
        reset = ordered_reset(faults.clone()) => {
            close(client, Direction::ToClient, reset);
            // The server may have accepted the connection already, and is to see its end.
            if let Ok(server) = dial.await {
                close(server, Direction::ToServer, reset);
            }
            return;
        }
        server = &mut dial => server,
    };
    let Ok(mut server) = server else {
        close(client, Direction::ToClient, Direction::Both);
        return;
    };
    // A socket that rejects the option has just been closed by its peer, which the pumps see.
    let _ = client
        .set_nodelay(true)
        .and_then(|()| server.set_nodelay(true));
    let reset = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let traffic = &live.0;
        let both_ways = async {
            tokio::try_join!(
                pump::run(
                    from_client,
                    to_server,
                    faults.clone(),
                    Direction::ToServer,
                    &traffic.to_server,
                ),
                pump::run(
                    from_server,
                    to_client,
                    faults.clone(),
                    Direction::ToClient,
                    &traffic.to_client,
                ),
            )
        };
        tokio::select! {
            biased;
            reset = ordered_reset(faults.clone()) => reset,
            ended = both_ways => match ended {
                Ok(_) => return,
                Err(SourceReset) => Direction::Both,
            },
        }
    };
    close(client, Direction::ToClient, reset);
    close(server, Direction::ToServer, reset);
}

/// Waits until the way to the server is no black hole.
async fn way_to_server(mut faults: watch::Receiver<Faults>) {
    let open = faults
        .wait_for(|faults| faults.to_server != Some(Fault::Blackhole))
        .await
        .is_ok();
    if !open {
        gone().await;
    }
}

/// Waits until the proxy is told to reset its connections, and returns whose receivers.
async fn ordered_reset(mut faults: watch::Receiver<Faults>) -> Direction {
    loop {
        if let Some(direction) = faults.borrow_and_update().directions(Fault::Reset) {
            return direction;
        }
        if faults.changed().await.is_err() {
            gone().await;
        }
    }
}

/// The proxy was dropped, and its connections are about to be.
async fn gone() {
    std::future::pending().await
}

/// Closes the connection to the receiver in a direction, with a reset if that direction has one.
fn close(stream: TcpStream, direction: Direction, reset: Direction) {
    if reset.includes(direction) {
        // A socket that rejects the option is closed all the same.
        let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    }
}
