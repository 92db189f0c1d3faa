//! Who waits for a connection hears of what concerns them, and nobody waits for what is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use common::{BOTH, Failure, Lib, Pool, Script, builder, pid, text, trusted, unheard_port, within};
use pgreach_core::{Connection, Connector, Error, PgConnector, Report};
use pgreach_pool::{Manager, RecyclingCheck};
use pgreach_testkit::{Direction, Fault, FaultProxy, Postgres};

/// A process that is stopped until this is dropped: the server could not shut down before.
struct Frozen(i32);

impl Frozen {
    fn new(pid: i32) -> Self {
        signal("STOP", pid);
        Self(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        signal("CONT", self.0);
    }
}

fn signal(name: &str, pid: i32) {
    let command = format!("kill -{name} {pid}");
    let status = Command::new("sh").args(["-c", &command]).status();
    assert!(status.unwrap().success());
}

/// Counts what is opened, and panics instead for the first ones.
#[derive(Debug, Clone)]
struct Counting {
    inner: PgConnector,
    opened: Arc<AtomicUsize>,
    panics: usize,
}

impl Counting {
    fn new(inner: PgConnector, panics: usize) -> Self {
        Self {
            inner,
            opened: Arc::default(),
            panics,
        }
    }
}

#[async_trait]
impl Connector for Counting {
    async fn connect(&self) -> Result<Connection, Error> {
        let before = self.opened.fetch_add(1, SeqCst);
        assert!(before >= self.panics, "the connector has a defect");
        self.inner.connect().await
    }

    async fn check(&self) -> Report {
        self.inner.check().await
    }

    fn route(&self) -> String {
        self.inner.route()
    }
}

#[tokio::test]
async fn a_wait_that_ends_within_the_check_throws_the_connection_away() {
    let server = Postgres::start().unwrap();
    let manager = Manager::new(trusted(&server, "frozen")).with_check_timeout(common::PATIENCE);
    let wait = Duration::from_secs(2);
    let pool = Lib::Bb8.pool_with_wait(manager, 1, wait).await;
    let backend = pool.backend().await;
    let _frozen = Frozen::new(backend);
    let failure = within(pool.get()).await.unwrap_err();
    assert!(matches!(failure, Failure::TimedOut), "{failure:?}");
    assert_ne!(pool.backend().await, backend);
}

#[tokio::test]
async fn a_sweep_keeps_what_is_fit() {
    let server = Postgres::start().unwrap();
    let pool = Lib::Bb8
        .pool(Manager::new(trusted(&server, "kept")), 1)
        .await;
    let backend = pool.backend().await;
    let Pool::Bb8(inner) = &pool else {
        unreachable!()
    };
    for _ in 0..3 {
        inner.retire().await;
        assert_eq!(inner.as_bb8().state().idle_connections, 1);
    }
    assert_eq!(pool.backend().await, backend);
    assert_eq!(inner.as_bb8().state().statistics.connections_created, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_a_good_connection_does_not_fail_by_the_attempts_of_others() {
    let server = Postgres::builder()
        .with_sql("create role app login connection limit 1")
        .start()
        .unwrap();
    let connector = builder(server.port(), "limited").with_user("app").build();
    let pool = Lib::Bb8.pool(Manager::new(connector.unwrap()), 8).await;
    let backend = pool.backend().await;
    for round in 0..300 {
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move { pool.get().await.map(|client| pid(&client)) })
            })
            .collect();
        let mut served = 0;
        for task in tasks {
            match within(task).await.unwrap() {
                Ok(pid) => {
                    assert_eq!(pid, backend, "round {round}");
                    served += 1;
                }
                Err(failure) => assert_eq!(failure.code(), "server-busy", "round {round}"),
            }
        }
        assert!(served > 0, "round {round}: all failed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_asks_again_after_a_failure_is_not_forgotten() {
    let (_taken, port) = unheard_port();
    for lib in BOTH {
        let connector = builder(port, "nobody").with_user("app").build().unwrap();
        let wait = Duration::from_secs(5);
        let pool = lib.pool_with_wait(Manager::new(connector), 1, wait).await;
        for round in 0..500 {
            let failure = within(pool.get()).await.unwrap_err();
            assert!(
                matches!(failure, Failure::Backend(_)),
                "{lib:?} {round}: {failure:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_dedicated_connection_that_fails_ends_nobodys_wait() {
    let server = Postgres::builder()
        .with_hba([
            "host all app 127.0.0.1/32 password",
            "host all postgres 127.0.0.1/32 trust",
        ])
        .with_sql("create role app login password 'right'")
        .start()
        .unwrap();
    let script = Script::passwords(["right", "wrong"]);
    let connector = builder(server.port(), "apart")
        .with_user("app")
        .with_credentials(script.clone());
    let manager = Manager::new(connector.build().unwrap());
    let pool = Lib::Bb8.pool(manager, 1).await;
    let held = pool.get().await.unwrap();
    let Pool::Bb8(inner) = &pool else {
        unreachable!()
    };
    let (got, ()) = within(async {
        tokio::join!(pool.get(), async {
            let refused = inner.as_bb8().dedicated_connection().await.unwrap_err();
            assert_eq!(refused.code().name(), "auth-refused");
            drop(held);
        })
    })
    .await;
    got.unwrap();
}

#[tokio::test]
async fn a_connector_that_panics_costs_no_place() {
    let server = Postgres::start().unwrap();
    let connector = Counting::new(trusted(&server, "panics"), 2);
    let wait = Duration::from_secs(5);
    let pool = Lib::Bb8
        .pool_with_wait(Manager::new(connector), 1, wait)
        .await;
    for _ in 0..2 {
        let error = within(pool.get()).await.unwrap_err().error();
        assert!(error.to_string().contains("panicked"), "{error}");
    }
    within(pool.get()).await.unwrap();
}

#[tokio::test]
async fn limits_that_nothing_can_keep_give_a_connection_each_time() {
    let server = Postgres::start().unwrap();
    let tiny = [
        |manager: Manager| manager.with_max_lifetime(Duration::ZERO),
        |manager: Manager| manager.with_max_lifetime(Duration::from_nanos(1)),
        |manager: Manager| manager.with_check_timeout(Duration::ZERO),
    ];
    for lib in BOTH {
        for limit in tiny {
            let connector = Counting::new(trusted(&server, "tiny"), 0);
            let opened = Arc::clone(&connector.opened);
            let manager = limit(Manager::new(connector));
            let pool = lib.pool_with_wait(manager, 1, Duration::from_secs(5)).await;
            for _ in 0..3 {
                let client = within(pool.get()).await.unwrap();
                assert_eq!(text(&client, "select 1").await, "1", "{lib:?}");
            }
            assert!(opened.load(SeqCst) <= 3, "{lib:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_that_are_all_lost_do_not_add_up() {
    const LOST: u32 = 24;
    let server = Postgres::start().unwrap();
    for lib in BOTH {
        let proxy = FaultProxy::start(server.addr()).await.unwrap();
        let connector = builder(proxy.port(), "sunk")
            .with_user("postgres")
            .with_connect_timeout(Duration::from_secs(1))
            .build()
            .unwrap();
        let manager = Manager::new(connector).with_check_timeout(Duration::from_secs(1));
        let pool = lib
            .pool_with_wait(manager, LOST, 2 * common::PATIENCE)
            .await;
        let mut clients = Vec::new();
        for _ in 0..LOST {
            clients.push(pool.get().await.unwrap());
        }
        drop(clients);
        proxy.set(Direction::Both, Fault::Blackhole);
        let began = Instant::now();
        let error = pool.get().await.unwrap_err().error();
        assert_eq!(error.kind(), pgreach_core::ErrorKind::Timeout, "{lib:?}");
        // All of them in full would take at least this long.
        let took = began.elapsed();
        assert!(
            took < Duration::from_secs(u64::from(LOST) / 2),
            "{lib:?} {took:?}"
        );
    }
}

#[tokio::test]
async fn a_check_that_the_server_refuses_is_not_passed() {
    let server = Postgres::builder()
        .with_sql(
            "create role other;
             revoke execute on function pg_catalog.statement_timestamp() from public",
        )
        .start()
        .unwrap();
    for lib in BOTH {
        let manager =
            Manager::new(trusted(&server, "refused")).with_recycling(RecyclingCheck::Verified);
        let pool = lib.pool(manager, 1).await;
        let backend = pool.backend().await;
        assert_eq!(pool.backend().await, backend);
        let client = pool.get().await.unwrap();
        client.batch_execute("set role other").await.unwrap();
        drop(client);
        assert_ne!(pool.backend().await, backend, "{lib:?}");
    }
}
