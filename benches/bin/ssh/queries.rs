//! `select 1`, prepared and not.

use std::time::{Duration, Instant};

use pgreach_benches::{alternate, median};
use tokio_postgres::{Client, Statement};

use crate::Failure;
use crate::figure::{Better, Figure, milliseconds};
use crate::world::World;

/// No answer takes that long which is not held up.
const HELD_UP: Duration = Duration::from_millis(5);

/// Parse and Describe, then Bind and Execute: two round trips, the first of two packets each way.
///
/// Each round has connections of its own: whether the peer's answers wait for a delayed acknowledgement
/// is decided early in the life of a connection, and then stays so.
pub(crate) async fn unprepared(world: &World, rounds: usize) -> Result<Vec<Figure>, Failure> {
    let block = async |client: &Client| {
        let mut times = Vec::new();
        for _ in 0..40 {
            let began = Instant::now();
            client.query("select 1", &[]).await?;
            times.push(began.elapsed());
        }
        Ok::<_, Failure>(times)
    };
    let (mut all_ours, mut all_peer) = (Vec::new(), Vec::new());
    let mut held_up = 0;
    for _ in 0..rounds {
        let (ours, peer) = world.both(world.sshd.port()).await?;
        all_ours.push(block(&ours).await?);
        let times = block(&peer).await?;
        held_up += usize::from(median(times.clone()) > HELD_UP);
        all_peer.push(times);
    }
    Ok(vec![
        Figure::new("unprepared select 1, p50", "ms", Better::Lower, 20.0)
            .with(p50(all_ours), p50(all_peer))
            .with_note(format!(
                "{held_up} of {rounds} connections of the peer were held up by delayed acknowledgements"
            )),
    ])
}

/// One round trip. The blocks are short, so that both sides see the machine in the same states.
pub(crate) async fn prepared(world: &World, rounds: usize) -> Result<Vec<Figure>, Failure> {
    let (ours, peer) = world.both(world.sshd.port()).await?;
    let statements = (
        ours.prepare("select 1").await?,
        peer.prepare("select 1").await?,
    );
    let block = async |client: &Client, statement: &Statement| {
        let mut times = Vec::new();
        for _ in 0..500 {
            let began = Instant::now();
            client.query(statement, &[]).await?;
            times.push(began.elapsed());
        }
        Ok::<_, Failure>(times)
    };
    let (ours, peer) = alternate(
        6,
        rounds * 8,
        || block(&ours, &statements.0),
        || block(&peer, &statements.1),
    )
    .await?;
    Ok(vec![
        Figure::new("prepared select 1, p50", "ms", Better::Lower, 1.3).with(p50(ours), p50(peer)),
    ])
}

fn p50(blocks: Vec<Vec<Duration>>) -> f64 {
    milliseconds(median(blocks.concat()))
}
