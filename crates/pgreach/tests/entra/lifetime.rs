//! Tokens with a very short life, under load. The wall clock is the subject here.

use std::time::{Duration, Instant};

use pgreach::pool::deadpool::{Manager, Pool, PoolError, builder};
use pgreach_testkit::entra::Endpoint;

use crate::shown;
use crate::within;
use crate::world::World;

const LIFETIME: Duration = Duration::from_secs(2);
const LOAD: Duration = Duration::from_secs(60);
const TASKS: usize = 8;

/// Takes a connection, asks and gives it back, until the time is over.
async fn work(pool: Pool, end: Instant) -> Result<usize, PoolError> {
    let mut sessions = 0;
    while Instant::now() < end {
        let client = pool.get().await?;
        let row = client.query_one("select current_user", &[]).await;
        assert_eq!(row.unwrap().get::<_, String>(0), "orders");
        sessions += 1;
    }
    Ok(sessions)
}

#[test]
fn no_connection_fails_while_tokens_come_and_go() {
    // Threads of its own: what the other tests of this process log is looked at, this is too much.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .on_thread_start(shown::mute)
        .build()
        .unwrap();
    let load = runtime.spawn(load());
    runtime.block_on(load).unwrap();
}

#[expect(clippy::print_stdout, reason = "the figures are worth knowing")]
async fn load() {
    let (world, identity) = World::with_orders().await;
    world.entra.set_lifetime(LIFETIME);
    let connector = world.orders(identity);
    // Every connection is handed out once, so that each checkout logs in with the token of the moment.
    let manager = Manager::new(connector).with_max_lifetime(Duration::ZERO);
    let pool = builder(manager).max_size(TASKS).build().unwrap();
    let end = Instant::now() + LOAD;
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| tokio::spawn(work(pool.clone(), end)))
        .collect();
    let mut sessions = 0;
    for task in tasks {
        sessions += within(task).await.unwrap().unwrap();
    }
    let logins = world.gateway.logins();
    let refused = logins.iter().filter(|login| !login.accepted()).count();
    let requests = world.entra.requests(Endpoint::Token);
    println!(
        "{sessions} sessions, {refused} of {} logins refused, {requests} tokens",
        logins.len()
    );
    // Where this process stood still between fetch and login, a token may be late; the connector
    // then shows a fresh one, and no connection fails.
    assert_eq!(logins.len(), sessions + refused);
    assert!(refused * 100 <= sessions, "{refused} of {sessions}");
    // Each token lives for two seconds at most, and the next one is fetched in its second half.
    let lives = (LOAD.as_secs() / LIFETIME.as_secs()) as usize;
    assert!((lives..4 * lives + 2).contains(&requests), "{requests}");
}
