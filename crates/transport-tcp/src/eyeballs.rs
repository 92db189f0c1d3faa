//! Happy eyeballs: several addresses, one connection, little waiting (RFC 8305).

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rand::seq::SliceRandom;
use tokio::time::{Instant, timeout_at};

/// RFC 8305, 5: the recommended Connection Attempt Delay.
pub(crate) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How many addresses of one name are tried. Whoever answers for the name decides how many it has, and
/// each one costs a socket here and a packet to somebody else.
pub(crate) const MAX_ATTEMPTS: usize = 32;

/// The order in which addresses are tried: as the resolver (RFC 6724) or chance has it, but with the
/// families taking turns (RFC 8305, 4), so that one broken family costs one delay and not one per
/// address. Repeated addresses are dropped.
pub(crate) fn order(mut addresses: Vec<SocketAddr>, random: bool) -> Vec<SocketAddr> {
    let mut seen = HashSet::new();
    addresses.retain(|address| seen.insert(*address));
    if random {
        addresses.shuffle(&mut rand::rng());
    }
    let Some(first) = addresses.first().copied() else {
        return addresses;
    };
    let (same, other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first.is_ipv6());
    let mut other = other.into_iter();
    let mut ordered = Vec::with_capacity(same.len() + other.len());
    for address in same {
        ordered.push(address);
        ordered.extend(other.next());
    }
    ordered.extend(other);
    ordered
}

/// The first attempt that succeeds, or every failure in the order in which they happened.
///
/// Attempts start one after the other, `delay` apart, and the next one at once when one fails. They
/// all live inside this future: dropping it, or a success, drops the rest.
pub(crate) async fn race<T, E, F>(
    addresses: Vec<SocketAddr>,
    delay: Duration,
    attempt: impl Fn(SocketAddr) -> F,
) -> Result<T, Vec<(SocketAddr, E)>>
where
    F: Future<Output = Result<T, E>>,
{
    let mut waiting = addresses.into_iter();
    let mut running = FuturesUnordered::new();
    let mut failures = Vec::new();
    let attempt = &attempt;
    let start = |address| async move { (address, attempt(address).await) };

    running.extend(waiting.next().map(start));
    let mut next_start = Instant::now() + delay;
    loop {
        let ended = if waiting.len() == 0 {
            running.next().await
        } else {
            match timeout_at(next_start, running.next()).await {
                Ok(ended) => ended,
                Err(_elapsed) => {
                    running.extend(waiting.next().map(start));
                    next_start = Instant::now() + delay;
                    continue;
                }
            }
        };
        match ended {
            Some((_, Ok(connected))) => return Ok(connected),
            Some((address, Err(error))) => {
                failures.push((address, error));
                running.extend(waiting.next().map(start));
                next_start = Instant::now() + delay;
            }
            None => return Err(failures),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use tokio::time::{sleep, timeout};

    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn v4(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 1))
    }

    #[test]
    fn families_take_turns_beginning_with_the_first() {
        assert_eq!(
            order(
                addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "[::1]:1"]),
                false
            ),
            addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"])
        );
        assert_eq!(
            order(
                addresses(&["1.1.1.1:1", "[::1]:1", "[::2]:1", "[::3]:1"]),
                false
            ),
            addresses(&["1.1.1.1:1", "[::1]:1", "[::2]:1", "[::3]:1"])
        );
        assert_eq!(order(Vec::new(), true), []);
    }

    #[test]
    fn a_random_order_begins_everywhere_and_loses_nothing() {
        let all: Vec<_> = (1..=4).map(v4).collect();
        let mut firsts = HashSet::new();
        while firsts.len() < all.len() {
            let mut shuffled = order(all.clone(), true);
            firsts.insert(shuffled.first().copied());
            shuffled.sort_unstable();
            assert_eq!(shuffled, all);
        }
    }

    /// What an attempt to each address does: succeed or fail after so many milliseconds, or neither.
    type Script = [Option<(u64, Result<(), ()>)>];

    struct Raced {
        winner: Option<SocketAddr>,
        failures: Vec<SocketAddr>,
        /// When each attempt began, in milliseconds.
        starts: Vec<u128>,
        ended: u128,
        alive: usize,
    }

    struct Alive<'a>(&'a Cell<usize>);

    impl Drop for Alive<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() - 1);
        }
    }

    /// Runs a race on a paused clock, which moves by exactly what is waited for.
    async fn run(script: &Script) -> Raced {
        let began = Instant::now();
        let starts = RefCell::new(Vec::new());
        let alive = Cell::new(0);
        let addresses: Vec<_> = (0..script.len()).map(|n| v4(n as u8)).collect();
        let race = race(addresses.clone(), ATTEMPT_DELAY, |address| {
            let place = addresses.iter().position(|a| *a == address).unwrap();
            let (starts, alive) = (&starts, &alive);
            async move {
                alive.set(alive.get() + 1);
                let _alive = Alive(alive);
                starts.borrow_mut().push(began.elapsed().as_millis());
                match script[place] {
                    Some((after, result)) => {
                        sleep(Duration::from_millis(after)).await;
                        result.map(|()| address)
                    }
                    None => std::future::pending().await,
                }
            }
        });
        // A race that would wait for ever is a failure, not a hanging test.
        let result = timeout(Duration::from_secs(3600), race).await.unwrap();
        let (winner, failures) = match result {
            Ok(winner) => (Some(winner), Vec::new()),
            Err(failures) => (None, failures.into_iter().map(|(a, ())| a).collect()),
        };
        Raced {
            winner,
            failures,
            starts: starts.take(),
            ended: began.elapsed().as_millis(),
            alive: alive.get(),
        }
    }

    const OK: Result<(), ()> = Ok(());
    const NO: Result<(), ()> = Err(());

    #[tokio::test(start_paused = true)]
    async fn a_black_hole_costs_one_delay() {
        let raced = run(&[None, Some((10, OK))]).await;
        assert_eq!(raced.winner, Some(v4(1)));
        assert_eq!(raced.starts, [0, 250]);
        assert_eq!(raced.ended, 260);
        assert_eq!(raced.alive, 0, "the loser is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_starts_the_next_at_once() {
        let raced = run(&[Some((3, NO)), Some((4, NO)), Some((5, OK))]).await;
        assert_eq!(raced.winner, Some(v4(2)));
        assert_eq!(raced.starts, [0, 3, 7]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_restarts_the_delay() {
        let raced = run(&[Some((200, NO)), None, Some((1, OK))]).await;
        assert_eq!(raced.starts, [0, 200, 450]);
        assert_eq!(raced.winner, Some(v4(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_first_attempt_still_wins_over_a_slower_second() {
        let raced = run(&[Some((300, OK)), Some((100, OK)), None]).await;
        assert_eq!(raced.winner, Some(v4(0)));
        assert_eq!(raced.starts, [0, 250]);
    }

    #[tokio::test(start_paused = true)]
    async fn every_failure_is_kept() {
        let raced = run(&[Some((600, NO)), Some((10, NO)), Some((10, NO))]).await;
        assert_eq!(raced.winner, None);
        assert_eq!(raced.failures, [v4(1), v4(2), v4(0)]);
        assert_eq!(raced.starts, [0, 250, 260]);
        assert_eq!(raced.ended, 600);
        let none = run(&[]).await;
        assert_eq!((none.winner, none.failures.len()), (None, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_the_race_drops_every_attempt() {
        let alive = Cell::new(0);
        let race = race((0..5).map(v4).collect(), ATTEMPT_DELAY, |_| async {
            alive.set(alive.get() + 1);
            let _alive = Alive(&alive);
            std::future::pending::<Result<(), ()>>().await
        });
        let cut = timeout(Duration::from_secs(60), race).await;
        assert!(cut.is_err());
        assert_eq!(alive.get(), 0);
    }
}
