//! What one user leaves behind does not reach the next.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use common::{BOTH, Lib, PATIENCE, Pool, ask, builder, pid, text, trusted, until, within};
use pgreach_core::{DialContext, Dialed, Endpoint, Error, Transport};
use pgreach_pool::{Manager, RecyclingCheck};
use pgreach_testkit::Postgres;
use pgreach_transport_tcp::TcpTransport;

fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| {
        Postgres::builder()
            .with_sql("create table notes (word text); create role other")
            .start()
            .unwrap()
    })
}

const ASKING: [RecyclingCheck; 2] = [RecyclingCheck::Verified, RecyclingCheck::Clean];

/// A pool of one place, so that the next user gets what the one before had.
async fn pool(lib: Lib, check: RecyclingCheck, name: &str) -> Pool {
    let manager = Manager::new(trusted(server(), name)).with_recycling(check);
    lib.pool(manager, 1).await
}

fn notes(word: &str) -> String {
    ask(
        server(),
        &format!("select count(*) from notes where word = '{word}'"),
    )
}

#[tokio::test]
async fn an_open_transaction_does_not_reach_the_next_user() {
    // What is sent, and whether the transaction has failed by it.
    let table = [
        ("begin; insert into notes values ('open')", false),
        ("begin isolation level serializable read only", false),
        (
            "begin; savepoint a; insert into notes values ('open')",
            false,
        ),
        ("begin; select 1 / 0", true),
    ];
    for lib in BOTH {
        for check in ASKING {
            let pool = pool(lib, check, "open").await;
            let backend = pool.backend().await;
            for (sql, fails) in table {
                let client = pool.get().await.unwrap();
                assert_eq!(client.batch_execute(sql).await.is_err(), fails, "{sql}");
                drop(client);
                let client = pool.get().await.unwrap();
                // It was rolled back, and nothing had to be opened anew for that.
                assert_eq!(pid(&client), backend, "{lib:?} {check:?} {sql}");
                client
                    .batch_execute("insert into notes values ('next')")
                    .await
                    .unwrap();
                assert_eq!(notes("open"), "0", "{lib:?} {check:?} {sql}");
                assert_eq!(notes("next"), "1", "{lib:?} {check:?} {sql}");
                client.batch_execute("delete from notes").await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_transaction_that_was_dropped_is_rolled_back_first() {
    for lib in BOTH {
        for check in [RecyclingCheck::Fast, RecyclingCheck::Verified] {
            let pool = pool(lib, check, "dropped").await;
            let mut client = pool.get().await.unwrap();
            let backend = pid(&client);
            let transaction = client.transaction().await.unwrap();
            let insert = "insert into notes values ('dropped')";
            transaction.batch_execute(insert).await.unwrap();
            drop(transaction);
            drop(client);
            let client = pool.get().await.unwrap();
            assert_eq!(pid(&client), backend);
            let inside = "select now() <> statement_timestamp()";
            assert_eq!(text(&client, inside).await, "f", "{lib:?} {check:?}");
            assert_eq!(notes("dropped"), "0", "{lib:?} {check:?}");
        }
    }
}

#[tokio::test]
async fn an_ordinary_checkout_leaves_no_trace_in_the_log() {
    // Of its own, for its log.
    let server = Postgres::start().unwrap();
    for lib in BOTH {
        for check in ASKING {
            let manager = Manager::new(trusted(&server, "quiet")).with_recycling(check);
            let pool = lib.pool(manager, 1).await;
            for _ in 0..5 {
                let mut client = pool.get().await.unwrap();
                client.simple_query("select 1").await.unwrap();
                client.transaction().await.unwrap().commit().await.unwrap();
            }
        }
    }
    let log = server.log();
    for trouble in ["WARNING", "ERROR"] {
        assert!(!log.contains(trouble), "{log}");
    }
}

#[tokio::test]
async fn clean_makes_a_session_as_new() {
    // What one user does, and what the next one sees without a cleaning and with one.
    let table = [
        (
            "set search_path to nowhere",
            "show search_path",
            "nowhere",
            "\"$user\", public",
        ),
        ("set role other", "select current_user", "other", "postgres"),
        (
            "set session authorization other",
            "select session_user",
            "other",
            "postgres",
        ),
        (
            "listen news",
            "select count(*) from pg_listening_channels()",
            "1",
            "0",
        ),
        (
            "create temp table scratch ()",
            "select count(*) from pg_class where relname = 'scratch' and pg_table_is_visible(oid)",
            "1",
            "0",
        ),
        (
            "select pg_advisory_lock_shared(7)",
            "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()",
            "1",
            "0",
        ),
        (
            "declare c cursor with hold for select 1",
            "select count(*) from pg_cursors",
            "1",
            "0",
        ),
    ];
    for lib in BOTH {
        let verified = pool(lib, RecyclingCheck::Verified, "kept").await;
        let clean = pool(lib, RecyclingCheck::Clean, "cleaned").await;
        for (sql, question, kept, cleaned) in table {
            for (pool, expected) in [(&verified, kept), (&clean, cleaned)] {
                let backend = pool.backend().await;
                pool.get().await.unwrap().batch_execute(sql).await.unwrap();
                let client = pool.get().await.unwrap();
                assert_eq!(text(&client, question).await, expected, "{lib:?} {sql}");
                assert_eq!(pid(&client), backend);
            }
            // For the next row, which begins with a new session.
            verified.rotate().await;
        }
        // The name that the session was opened with is not a setting of a user's.
        let client = clean.get().await.unwrap();
        assert_eq!(text(&client, "show application_name").await, "cleaned");
    }
}

#[tokio::test]
async fn what_was_open_is_cleaned_as_well() {
    for lib in BOTH {
        let pool = pool(lib, RecyclingCheck::Clean, "both").await;
        for sql in [
            "begin; set role other",
            "begin; select 1 / 0",
            "begin read only",
        ] {
            let backend = pool.backend().await;
            let client = pool.get().await.unwrap();
            // On its own: before a `begin` in the same message it would be a part of the transaction.
            let set = client.batch_execute("set work_mem to '1MB'").await;
            set.unwrap();
            let _ = client.batch_execute(sql).await;
            drop(client);
            let client = pool.get().await.unwrap();
            assert_eq!(pid(&client), backend, "{sql}");
            assert_eq!(text(&client, "show work_mem").await, "4MB", "{sql}");
            assert_eq!(text(&client, "select current_user").await, "postgres");
        }
    }
}

#[tokio::test]
async fn a_statement_that_was_given_up_does_not_harm_the_next_user() {
    let holder = pool(Lib::Deadpool, RecyclingCheck::Fast, "holder").await;
    for lib in BOTH {
        for check in ASKING {
            let manager = Manager::new(trusted(server(), "given_up"))
                .with_recycling(check)
                .with_check_timeout(PATIENCE);
            let pool = lib.pool(manager, 1).await;
            // It lasts for as long as the test says.
            let holder = holder.get().await.unwrap();
            text(&holder, "select pg_advisory_lock(42)").await;
            let client = pool.get().await.unwrap();
            let backend = pid(&client);
            // The future is dropped while the server is at work.
            let slow = client.query("select 42, pg_advisory_xact_lock(42)", &[]);
            tokio::select! {
                _ = slow => panic!("it is done"),
                () = until("it runs", || is_waiting("given_up")) => {}
            }
            drop(client);
            // It is waited for, and its answer is not taken for that of another.
            let (client, ()) = within(async {
                tokio::join!(pool.get(), async {
                    text(&holder, "select pg_advisory_unlock(42)").await;
                })
            })
            .await;
            let client = client.unwrap();
            assert_eq!(pid(&client), backend, "{lib:?} {check:?}");
            assert_eq!(text(&client, "select 1").await, "1", "{lib:?} {check:?}");
        }
    }
}

#[tokio::test]
async fn one_that_takes_too_long_is_cancelled_and_its_connection_closed() {
    for lib in BOTH {
        let manager = Manager::new(trusted(server(), "endless"))
            .with_check_timeout(Duration::from_millis(100));
        let pool = lib.pool(manager, 1).await;
        let client = pool.get().await.unwrap();
        let backend = pid(&client);
        tokio::select! {
            _ = client.query("select pg_sleep(3600)", &[]) => panic!("it is done"),
            () = until("it runs", || is_sleeping("endless")) => {}
        }
        drop(client);
        let client = within(pool.get()).await.unwrap();
        assert_ne!(pid(&client), backend, "{lib:?}");
        until("the server has given it up as well", || {
            !is_sleeping("endless")
        })
        .await;
        let sql = format!("select count(*) from pg_stat_activity where pid = {backend}");
        until("its session has ended", || ask(server(), &sql) == "0").await;
    }
}

/// Dials once; after that, nothing comes of it.
#[derive(Debug, Clone)]
struct Once {
    inner: TcpTransport,
    begun: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

/// Counts when it is dropped.
struct Ends(Arc<AtomicUsize>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[async_trait]
impl Transport for Once {
    async fn dial(&self, endpoint: &Endpoint, cx: &DialContext) -> Result<Dialed, Error> {
        let _ends = Ends(Arc::clone(&self.ended));
        if self.begun.fetch_add(1, SeqCst) > 0 {
            std::future::pending::<()>().await;
        }
        self.inner.dial(endpoint, cx).await
    }

    fn describe(&self, endpoint: &Endpoint) -> String {
        self.inner.describe(endpoint)
    }
}

#[tokio::test]
async fn a_request_to_cancel_that_gets_nowhere_ends() {
    let transport = Once {
        inner: TcpTransport::new(),
        begun: Arc::default(),
        ended: Arc::default(),
    };
    let connector = builder(server().port(), "cut_off")
        .with_transport(transport.clone())
        .with_user("postgres")
        .with_connect_timeout(Duration::from_secs(3600))
        .build()
        .unwrap();
    let manager = Manager::new(connector).with_check_timeout(Duration::from_millis(100));
    let pool = Lib::Deadpool.pool(manager, 1).await;
    let client = pool.get().await.unwrap();
    tokio::select! {
        _ = client.query("select pg_sleep(3600)", &[]) => panic!("it is done"),
        () = until("it runs", || is_sleeping("cut_off")) => {}
    }
    drop(client);
    // The request, and the attempt at another connection.
    tokio::select! {
        _ = pool.get() => panic!("there is none"),
        () = until("both are under way", || transport.begun.load(SeqCst) == 3) => {}
    }
    until("both have ended", || transport.ended.load(SeqCst) == 3).await;
}

fn is_sleeping(name: &str) -> bool {
    waits_for(name, "PgSleep")
}

fn is_waiting(name: &str) -> bool {
    waits_for(name, "advisory")
}

fn waits_for(name: &str, event: &str) -> bool {
    let sql = format!(
        "select count(*) from pg_stat_activity where application_name = '{name}' and wait_event = '{event}'"
    );
    ask(server(), &sql) != "0"
}
