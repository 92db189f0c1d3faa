//! One connection through the proxy.

use std::io;
use std::net::SocketAddr;
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
    let server = tokio::select! {
        biased;
        reset = ordered_reset(faults.clone()) => {
            if reset.includes(Direction::ToClient) {
                abort_on_close(&client);
            }
            return;
        }
        server = dial(target, faults.clone()) => server,
    };
    let mut server = match server.and_then(|server| client.set_nodelay(true).map(|()| server)) {
        Ok(server) => server,
        Err(_) => {
            abort_on_close(&client);
            return;
        }
    };
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
    if reset.includes(Direction::ToClient) {
        abort_on_close(&client);
    }
    if reset.includes(Direction::ToServer) {
        abort_on_close(&server);
    }
}

/// Connects to the server, once the way to it is no black hole.
async fn dial(target: SocketAddr, mut faults: watch::Receiver<Faults>) -> io::Result<TcpStream> {
    faults
        .wait_for(|faults| faults.to_server != Some(Fault::Blackhole))
        .await
        .map_err(io::Error::other)?;
    let server = TcpStream::connect(target).await?;
    server.set_nodelay(true)?;
    Ok(server)
}

/// Waits until the proxy is told to reset its connections, and returns whose receivers.
async fn ordered_reset(mut faults: watch::Receiver<Faults>) -> Direction {
    let told = match faults
        .wait_for(|faults| faults.directions(Fault::Reset).is_some())
        .await
    {
        Ok(faults) => faults.directions(Fault::Reset),
        // The proxy is gone, and this task about to be.
        Err(_) => None,
    };
    told.unwrap_or(Direction::Both)
}

/// Makes the close of a socket a reset.
fn abort_on_close(stream: &TcpStream) {
    // A socket that rejects the option is closed all the same.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}
