//! From nothing, or from a session that is there, to the first row.

use std::time::{Duration, Instant};

use pgreach::Connector as _;
use pgreach_benches::{alternate, median};
use tokio::sync::Mutex;
use tokio::time::sleep;
use tokio_postgres::Client;

use crate::Failure;
use crate::figure::{Better, Figure, milliseconds};
use crate::peer::Forward;
use crate::world::World;

/// How long it took until the connection was there, and until it had given a row.
#[derive(Clone, Copy)]
struct Times {
    connected: Duration,
    first_row: Duration,
}

/// The row comes as most programs ask for one: an unprepared statement with parameters.
async fn first_row(began: Instant, client: &Client) -> Result<Times, Failure> {
    let connected = began.elapsed();
    client.query_one("select 1", &[]).await?;
    Ok(Times {
        connected,
        first_row: began.elapsed(),
    })
}

fn figure(name: &str, ours: Vec<Times>, peer: Vec<Times>) -> Figure {
    let of = |times: &[Times], which: fn(&Times) -> Duration| {
        milliseconds(median(times.iter().map(which).collect()))
    };
    let connected = |times: &Times| times.connected;
    let row = |times: &Times| times.first_row;
    let (a, b) = (of(&ours, connected), of(&peer, connected));
    Figure::new(name, "ms", Better::Lower, 1.3)
        .with(of(&ours, row), of(&peer, row))
        .with_note(format!(
            "until connected: {a:.1} ms, the peer {b:.1} ms, ratio {:.2}",
            b / a
        ))
}

/// An idle session is there, and `ssh -L` is up.
pub(crate) async fn warm(world: &World, rounds: usize) -> Result<Vec<Figure>, Failure> {
    let connector = world.connector(world.transport(world.sshd.port()).build()?)?;
    let forward = Mutex::new(Forward::ready(world, world.sshd.port()).await?);
    let ours = || async {
        let began = Instant::now();
        let connection = connector.connect().await?;
        let times = first_row(began, &connection).await?;
        connection.close().await?;
        settle().await;
        Ok::<_, Failure>(times)
    };
    let peer = || async {
        let mut forward = forward.lock().await;
        let began = Instant::now();
        let (client, driver) = forward.connect(world).await?;
        let times = first_row(began, &client).await?;
        drop(client);
        driver.await??;
        settle().await;
        Ok(times)
    };
    let (ours, peer) = alternate(3, rounds * 10, ours, peer).await?;
    Ok(vec![figure("warm connect to the first row", ours, peer)])
}

/// A new transport each time, and a new `ssh -L`, at a round trip of 100 ms.
pub(crate) async fn cold(world: &World, rounds: usize) -> Result<Vec<Figure>, Failure> {
    let ours = || async {
        let began = Instant::now();
        let connector = world.connector(world.transport(world.far_sshd).build()?)?;
        let connection = connector.connect().await?;
        let times = first_row(began, &connection).await?;
        connection.close().await?;
        Ok::<_, Failure>(times)
    };
    let peer = || async {
        let began = Instant::now();
        let mut forward = Forward::start(world, world.far_sshd)?;
        let (client, driver) = forward.connect(world).await?;
        let times = first_row(began, &client).await?;
        drop(client);
        driver.await??;
        drop(forward);
        Ok(times)
    };
    let (ours, peer) = alternate(1, rounds, ours, peer).await?;
    Ok(vec![figure(
        "cold connect to the first row at 100 ms",
        ours,
        peer,
    )])
}

/// Until what a connection leaves behind is done, on both sides.
async fn settle() {
    sleep(Duration::from_millis(20)).await;
}
