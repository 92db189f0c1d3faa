//! Many connects at once, with no session to begin with.

use std::time::{Duration, Instant};

use pgreach::prelude::*;
use pgreach_benches::median;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Failure;
use crate::figure::Figure;
use crate::memory::resident;
use crate::world::World;

const CROWD: usize = 100;
/// As many come first: threads, allocator and code pages are there afterwards.
const WARM_UP: usize = 16;
const ROUNDS: usize = 3;

pub(crate) async fn cold_connects(world: &World) -> Result<Vec<Figure>, Failure> {
    let connector = || world.connector(world.transport(world.sshd.port()).build()?);
    drop(connect_all(connector()?, WARM_UP).await?.0);
    emptied(world).await?;
    let logged = world.sshd.log().len();
    let mut times = Vec::new();
    let mut growth = 0;
    let mut failures = Vec::new();
    for _ in 0..ROUNDS {
        let before = resident()?;
        let began = Instant::now();
        let (connections, failed) = connect_all(connector()?, CROWD).await?;
        failures.extend(failed);
        times.push(began.elapsed());
        // What only the handshakes needed is given back.
        sleep(Duration::from_millis(200)).await;
        growth = growth.max(resident()?.saturating_sub(before));
        drop(connections);
        emptied(world).await?;
    }
    let log = world.sshd.log();
    let log = log.get(logged..).unwrap_or_default();
    let worst = times.iter().max().copied().unwrap_or_default();
    let mut time = Figure::limit(
        "100 cold connects, time",
        median(times).as_secs_f64(),
        3.0,
        "s",
    )
    .with_note(format!(
        "to the first row of each; the worst of {ROUNDS} rounds took {:.2} s",
        worst.as_secs_f64()
    ));
    if let Some(first) = failures.first() {
        time = time.with_failure(format!(
            "{} of {} connects failed, and were repeated by the caller: {first}",
            failures.len(),
            CROWD * ROUNDS
        ));
    }
    Ok(vec![
        time,
        Figure::limit(
            "100 cold connects, handshakes at a time",
            handshakes_at_a_time(log) as f64,
            10.0,
            "handshakes",
        )
        .with_note(format!(
            "as sshd logs connections and logins; it turned {} away",
            log.matches("drop connection").count()
        )),
        Figure::limit(
            "100 cold connects, memory each",
            growth as f64 / CROWD as f64 / 1e3,
            150.0,
            "kB",
        )
        .with_note(format!(
            "growth of VmRSS with all of them open, the most of {ROUNDS} rounds after {WARM_UP} connections that were closed again"
        )),
    ])
}

/// So many connections at once, each of which has got a row, and the failures on the way.
async fn connect_all(
    connector: PgConnector,
    count: usize,
) -> Result<(Vec<Connection>, Vec<String>), Failure> {
    let mut connects = JoinSet::new();
    for _ in 0..count {
        let connector = connector.clone();
        connects.spawn(async move {
            let mut failures = Vec::new();
            loop {
                match connector.connect().await {
                    Ok(connection) => {
                        connection.simple_query("select 1").await?;
                        return Ok::<_, Failure>((connection, failures));
                    }
                    Err(error) if failures.len() < 10 => failures.push(error.to_string()),
                    Err(error) => return Err(error.into()),
                }
            }
        });
    }
    let mut connections = Vec::with_capacity(count);
    let mut failures = Vec::new();
    while let Some(connected) = connects.join_next().await {
        let (connection, failed) = connected??;
        connections.push(connection);
        failures.extend(failed);
    }
    Ok((connections, failures))
}

/// Waits until every session that sshd let in has ended.
async fn emptied(world: &World) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        let log = world.sshd.log();
        let count = |what: &str| log.matches(what).count();
        if count("Closing connection to") >= count("Accepted publickey for") {
            return Ok(());
        }
        if began.elapsed() > Duration::from_secs(10) {
            return Err("sessions do not end".into());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// How many connections had not logged in yet, at most.
fn handshakes_at_a_time(log: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for line in log.lines() {
        if line.starts_with("Connection from ") {
            now += 1;
            most = most.max(now);
        } else if line.starts_with("Accepted ") {
            now = now.saturating_sub(1);
        }
    }
    most
}
