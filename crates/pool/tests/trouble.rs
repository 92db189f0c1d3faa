//! The server goes away, or the network does: the pool finds its way back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{BOTH, Pool, Script, builder, pid, terminate, text, trusted, until, within};
use pgreach_pool::{Manager, RecyclingCheck};
use pgreach_testkit::{Direction, Fault, FaultProxy, Postgres};

const CHECKS: [RecyclingCheck; 3] = [
    RecyclingCheck::Fast,
    RecyclingCheck::Verified,
    RecyclingCheck::Clean,
];

/// From when the server accepts connections.
const RECOVERED_WITHIN: Duration = Duration::from_secs(5);

/// Leaves `count` idle connections in the pool.
async fn fill(pool: &Pool, count: usize) {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(pool.get().await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_server_is_survived() {
    let server = Postgres::start().unwrap();
    for lib in BOTH {
        for check in CHECKS {
            let manager = Manager::new(trusted(&server, "restarted")).with_recycling(check);
            let pool = lib.pool(manager, 8).await;
            fill(&pool, 8).await;
            let in_use = pool.get().await.unwrap();
            server.stop().unwrap();
            // Those who ask meanwhile are told why, and not to wait.
            let failure = within(async {
                loop {
                    match pool.get().await {
                        Err(failure) => return failure,
                        // Not yet known to have ended.
                        Ok(client) => assert!(client.simple_query("select 1").await.is_err()),
                    }
                }
            })
            .await;
            let kind = failure.error().kind();
            assert_eq!(
                kind,
                pgreach_core::ErrorKind::Transport,
                "{lib:?} {check:?}"
            );
            server.start_again().unwrap();
            let deadline = Instant::now() + RECOVERED_WITHIN;
            loop {
                if let Ok(client) = pool.get().await
                    && client.simple_query("select 1").await.is_ok()
                {
                    break;
                }
                assert!(Instant::now() < deadline, "{lib:?} {check:?}");
            }
            // Every place is of use again.
            drop(in_use);
            fill(&pool, 8).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_the_server_ended_are_replaced() {
    let server = Postgres::start().unwrap();
    for lib in BOTH {
        let pool = lib.pool(Manager::new(trusted(&server, "ended")), 8).await;
        fill(&pool, 8).await;
        assert_eq!(terminate(&server, "ended"), 8);
        // Also by those who ask before this side has noticed: the check notices.
        for _ in 0..16 {
            let client = within(pool.get()).await.unwrap();
            assert_eq!(text(&client, "select 1").await, "1", "{lib:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ended_in_use_is_replaced_when_it_comes_back() {
    let server = Postgres::start().unwrap();
    for lib in BOTH {
        for check in CHECKS {
            let manager = Manager::new(trusted(&server, "used")).with_recycling(check);
            let pool = lib.pool(manager, 1).await;
            let client = pool.get().await.unwrap();
            let backend = pid(&client);
            assert_eq!(terminate(&server, "used"), 1);
            assert!(client.simple_query("select 1").await.is_err());
            // The driver ends a little after the answer that said so.
            until("it is noticed", || client.is_closed()).await;
            drop(client);
            assert_ne!(pool.backend().await, backend, "{lib:?} {check:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_the_network_lost_holds_nobody_up_for_long() {
    let server = Postgres::start().unwrap();
    for lib in BOTH {
        let proxy = FaultProxy::start(server.addr()).await.unwrap();
        let connector = builder(proxy.port(), "lost")
            .with_user("postgres")
            .with_credentials(Script::passwords(["unused"]))
            // For the attempt that cannot succeed, and for the one that has to.
            .with_connect_timeout(Duration::from_secs(2))
            .build()
            .unwrap();
        let manager = Manager::new(connector).with_check_timeout(Duration::from_millis(200));
        let pool = lib.pool(manager, 2).await;
        let backend = pool.backend().await;
        // Nothing tells this side: only the check does, and then the attempt at a new one.
        proxy.set(Direction::Both, Fault::Blackhole);
        let error = within(pool.get()).await.unwrap_err().error();
        assert_eq!(error.kind(), pgreach_core::ErrorKind::Timeout, "{lib:?}");
        proxy.clear();
        let client = within(pool.get()).await.unwrap();
        assert_ne!(pid(&client), backend, "{lib:?}");
        assert_eq!(text(&client, "select 1").await, "1");
    }
}
