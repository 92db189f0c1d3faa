//! The side-by-side harness: two ways to do the same thing, in turn, in one run.
//!
//! The figures of one run are comparable with each other and with nothing else: machines drift.

use std::future::Future;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

/// What comes of a comparison.
#[derive(Debug)]
pub struct Row {
    name: String,
    ours: Duration,
    peer: Duration,
}

impl Row {
    /// The peer's median over ours: above 1, ours is faster.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.peer.as_secs_f64() / self.ours.as_secs_f64()
    }
}

/// Runs `ours` and `peer` in turn, `rounds` times each after a tenth as many to warm up, and takes
/// the medians. Which goes first changes with every round.
///
/// # Errors
/// The first error of either.
pub async fn compare<E, A, B>(
    name: &str,
    rounds: usize,
    ours: impl FnMut() -> A,
    peer: impl FnMut() -> B,
) -> Result<Row, E>
where
    A: Future<Output = Result<Duration, E>>,
    B: Future<Output = Result<Duration, E>>,
{
    let (ours, peer) = alternate(rounds / 10, rounds, ours, peer).await?;
    Ok(Row {
        name: name.to_owned(),
        ours: median(ours),
        peer: median(peer),
    })
}

/// What `ours` and `peer` come to when they run in turn, `rounds` times each after `warm_up` times
/// that do not count. Which goes first changes with every round.
///
/// # Errors
/// The first error of either.
pub async fn alternate<T, E, A, B>(
    warm_up: usize,
    rounds: usize,
    mut ours: impl FnMut() -> A,
    mut peer: impl FnMut() -> B,
) -> Result<(Vec<T>, Vec<T>), E>
where
    A: Future<Output = Result<T, E>>,
    B: Future<Output = Result<T, E>>,
{
    let mut done = (Vec::with_capacity(rounds), Vec::with_capacity(rounds));
    for round in 0..warm_up + rounds {
        let (a, b) = if round % 2 == 0 {
            let a = ours().await?;
            (a, peer().await?)
        } else {
            let b = peer().await?;
            (ours().await?, b)
        };
        if round >= warm_up {
            done.0.push(a);
            done.1.push(b);
        }
    }
    Ok(done)
}

/// Times one future.
///
/// # Errors
/// The future's.
pub async fn timed<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<(Duration, T), E> {
    let began = Instant::now();
    let done = work.await?;
    Ok((began.elapsed(), done))
}

/// The one in the middle; zero of none.
#[must_use]
pub fn median(times: Vec<Duration>) -> Duration {
    quantile(times, 0.5)
}

/// The one that this share of all is below; zero of none.
#[must_use]
pub fn quantile(mut times: Vec<Duration>, share: f64) -> Duration {
    times.sort_unstable();
    let index = (times.len() as f64 * share) as usize;
    let index = index.min(times.len().saturating_sub(1));
    times.get(index).copied().unwrap_or_default()
}

/// The rows as `{"<name>": {"ours", "peer", "unit", "ratio"}}`; a ratio above 1 means that ours is
/// better.
#[must_use]
pub fn to_json(rows: &[Row]) -> Value {
    let rows = rows.iter().map(|row| {
        let value = json!({
            "ours": round(row.ours.as_secs_f64() * 1e6),
            "peer": round(row.peer.as_secs_f64() * 1e6),
            "unit": "us",
            "ratio": round(row.ratio()),
        });
        (row.name.clone(), value)
    });
    Value::Object(rows.collect::<Map<_, _>>())
}

/// The rows as a table for people.
#[must_use]
pub fn to_table(rows: &[Row]) -> String {
    let mut out = String::from(
        "| | ours | peer | ratio (above 1: ours is faster) |\n| --- | ---: | ---: | ---: |",
    );
    for row in rows {
        out.push_str(&format!(
            "\n| {} | {:.0} us | {:.0} us | {:.3} |",
            row.name,
            row.ours.as_secs_f64() * 1e6,
            row.peer.as_secs_f64() * 1e6,
            row.ratio()
        ));
    }
    out
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
