//! One connection whose reader stands still, and its neighbours.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use pgreach::prelude::*;
use pgreach_benches::quantile;
use tokio_postgres::Statement;

use crate::Failure;
use crate::copy;
use crate::figure::{Figure, milliseconds};
use crate::memory::Peak;
use crate::world::World;

const NEIGHBOURS: usize = 3;
/// How long the neighbours are watched, before and during.
const WHILE: Duration = Duration::from_secs(1);
/// The default of `with_channel_buffer`.
const BUFFER: f64 = 4.0 * 1024.0 * 1024.0;
/// What the neighbours' p99 may become.
const BOUND: f64 = 1.2;

pub(crate) async fn neighbours(world: &World, rounds: usize) -> Result<Vec<Figure>, Failure> {
    let own = world.transport(world.sshd.port()).build()?;
    let shared = world
        .transport(world.sshd.port())
        .with_channels_per_session(8)
        .build()?;
    let mut figures = Vec::new();
    for (name, transport) in [("own session", own), ("shared session", shared)] {
        let connector = world.connector(transport)?;
        let mut watched = Watched::default();
        for round in 0..=rounds {
            let seen = watch(&connector).await?;
            // The first one warms up.
            if round > 0 {
                watched.add(seen);
            }
        }
        figures.extend(watched.figures(name));
    }
    Ok(figures)
}

#[derive(Default)]
struct Watched {
    before: Vec<Duration>,
    during: Vec<Duration>,
    growth: u64,
    /// How the stalled connection's COPY went on.
    ends: Vec<String>,
}

impl Watched {
    fn add(&mut self, other: Self) {
        self.before.extend(other.before);
        self.during.extend(other.during);
        self.growth = self.growth.max(other.growth);
        self.ends.extend(other.ends);
        self.ends.dedup();
    }

    fn figures(self, name: &str) -> [Figure; 2] {
        let worst = self.during.iter().max().copied().unwrap_or_default();
        let before = milliseconds(quantile(self.before, 0.99));
        let during = milliseconds(quantile(self.during, 0.99));
        [
            Figure::limit(
                &format!("stalled reader, {name}, neighbours' p99"),
                during / before,
                BOUND,
                "x before",
            )
            .with_note(format!(
                "{before:.3} ms before, {during:.3} ms during, {:.3} ms the worst; the COPY that stood still then {}",
                milliseconds(worst),
                self.ends.join(" or ")
            )),
            Figure::limit(
                &format!("stalled reader, {name}, memory"),
                self.growth as f64 / 1e6,
                BUFFER / 1e6,
                "MB",
            )
            .with_note("the most that VmRSS grew while it stood still"),
        ]
    }
}

/// The neighbours before, and while one more connection does not read its COPY.
async fn watch(connector: &PgConnector) -> Result<Watched, Failure> {
    const BYTES: u64 = 100_000_000;
    let mut neighbours = Vec::new();
    for _ in 0..NEIGHBOURS {
        let connection = connector.connect().await?;
        let statement = connection.prepare("select 1").await?;
        neighbours.push((connection, statement));
    }
    let reader = connector.connect().await?;
    let before = ask(&neighbours).await?;
    let peak = Peak::watch()?;
    let mut stream = pin!(reader.copy_out(&copy::statement(BYTES)).await?);
    let during = ask(&neighbours).await?;
    let growth = peak.growth()?;
    let mut bytes = 0;
    let end = loop {
        match stream.try_next().await {
            Ok(Some(chunk)) => bytes += chunk.len() as u64,
            Ok(None) if bytes >= BYTES => break "came whole".to_owned(),
            Ok(None) => break "came in part".to_owned(),
            Err(_) => break "failed".to_owned(),
        }
    };
    // The driver knows why.
    let end = match reader.close().await {
        Ok(()) => end,
        Err(error) => format!("{end} ({})", error.code().name()),
    };
    for (connection, _) in neighbours {
        connection.close().await?;
    }
    Ok(Watched {
        before,
        during,
        growth,
        ends: vec![end],
    })
}

/// `select 1` of all in turn, for a while.
async fn ask(neighbours: &[(Connection, Statement)]) -> Result<Vec<Duration>, Failure> {
    let began = Instant::now();
    let mut times = Vec::new();
    while began.elapsed() < WHILE {
        for (connection, statement) in neighbours {
            let asked = Instant::now();
            connection.query(statement, &[]).await?;
            times.push(asked.elapsed());
        }
    }
    Ok(times)
}
