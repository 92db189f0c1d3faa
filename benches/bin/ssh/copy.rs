//! COPY OUT, here and 100 ms away.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use pgreach_benches::{alternate, median};
use tokio_postgres::{Client, NoTls};

use crate::Failure;
use crate::figure::{Better, Figure};
use crate::world::World;

const ROW: u64 = 8000;

/// Rows that cost the server next to nothing to make: those of a table, or in the text format, cost
/// more, and nothing is to be slower than the tunnel.
pub(crate) fn statement(bytes: u64) -> String {
    let rows = bytes / ROW;
    format!(
        "copy (select repeat('x', {ROW}) from generate_series(1, {rows})) to stdout (format binary)"
    )
}

/// 500 MB over loopback.
pub(crate) async fn loopback(world: &World, rounds: usize) -> Result<Vec<Figure>, Failure> {
    const BYTES: u64 = 500_000_000;
    let (ours, peer) = world.both(world.sshd.port()).await?;
    let (ours, peer) =
        alternate(1, rounds, || copied(&ours, BYTES), || copied(&peer, BYTES)).await?;
    let (direct, driver) = direct(world, world.postgres.port()).await?;
    let mut times = Vec::new();
    for _ in 0..3 {
        times.push(copied(&direct, BYTES).await?);
    }
    drop(direct);
    driver.await??;
    Ok(vec![
        Figure::new("COPY OUT of 500 MB, loopback", "MB/s", Better::Higher, 1.4)
            .with(rate(BYTES, ours), rate(BYTES, peer))
            .with_note(format!("without a tunnel: {:.0} MB/s", rate(BYTES, times))),
    ])
}

/// With a round trip of 100 ms.
pub(crate) async fn far(world: &World, rounds: usize) -> Result<Vec<Figure>, Failure> {
    // Several seconds of each.
    const OURS: u64 = 300_000_000;
    const PEER: u64 = 60_000_000;
    let (ours, peer) = world.both(world.far_sshd).await?;
    let (ours, peer) = alternate(0, rounds, || copied(&ours, OURS), || copied(&peer, PEER)).await?;
    let (direct, driver) = direct(world, world.far_postgres).await?;
    let plain = rate(OURS, vec![copied(&direct, OURS).await?]);
    drop(direct);
    driver.await??;
    Ok(vec![
        Figure::new("COPY OUT at 100 ms", "MB/s", Better::Higher, 4.0)
            .with(rate(OURS, ours), rate(PEER, peer))
            .with_note(format!(
                "through the delay without a tunnel: {plain:.0} MB/s"
            )),
    ])
}

fn rate(bytes: u64, times: Vec<Duration>) -> f64 {
    bytes as f64 / median(times).as_secs_f64() / 1e6
}

async fn copied(client: &Client, bytes: u64) -> Result<Duration, Failure> {
    let began = Instant::now();
    let mut stream = pin!(client.copy_out(&statement(bytes)).await?);
    let mut seen = 0;
    while let Some(chunk) = stream.try_next().await? {
        seen += chunk.len() as u64;
    }
    let took = began.elapsed();
    if seen < bytes {
        return Err(format!("only {seen} of {bytes} bytes came").into());
    }
    Ok(took)
}

type Driver = tokio::task::JoinHandle<Result<(), tokio_postgres::Error>>;

/// A connection without a tunnel.
async fn direct(world: &World, port: u16) -> Result<(Client, Driver), Failure> {
    let config = format!(
        "host=127.0.0.1 port={port} user={} dbname=postgres sslmode=disable",
        world.postgres.superuser()
    );
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
    Ok((client, tokio::spawn(connection)))
}
