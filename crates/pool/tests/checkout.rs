//! What a checkout gives: a connection of a fresh credential, or the reason why there is none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::OnceLock;
use std::time::Duration;

use common::{
    BOTH, Failure, Lib, Pool, Script, builder, pid, sessions, text, trusted, unheard_port, until,
    within,
};
use pgreach_core::{ErrorKind, Stage};
use pgreach_pool::{Manager, RecyclingCheck, bb8};
use pgreach_testkit::Postgres;

fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| {
        Postgres::builder()
            .with_hba([
                "host all app 127.0.0.1/32 scram-sha-256",
                "host all postgres 127.0.0.1/32 trust",
            ])
            .with_setting("password_encryption", "scram-sha-256")
            .with_sql("create role app login password 'right'")
            .start()
            .unwrap()
    })
}

fn app(script: &Script, name: &str) -> Manager {
    let builder = builder(server().port(), name)
        .with_user("app")
        .with_credentials(script.clone());
    Manager::new(builder.build().unwrap())
}

#[tokio::test]
async fn every_connection_asks_for_its_credential() {
    for lib in BOTH {
        let script = Script::passwords(["right"]);
        let pool = lib.pool(app(&script, "fresh"), 3).await;
        let clients = [
            pool.get().await.unwrap(),
            pool.get().await.unwrap(),
            pool.get().await.unwrap(),
        ];
        assert_eq!(script.calls(), 3, "{lib:?}");
        let backends = clients.each_ref().map(|client| pid(client));
        drop(clients);
        let again = pool.get().await.unwrap();
        assert!(backends.contains(&pid(&again)), "{lib:?}");
        assert_eq!(script.calls(), 3, "{lib:?}");
    }
}

#[tokio::test]
async fn a_connection_knows_where_it_came_from_and_can_be_cancelled() {
    for lib in BOTH {
        let pool = lib.pool(Manager::new(trusted(server(), "info")), 1).await;
        let client = pool.get().await.unwrap();
        assert_eq!(client.info().user(), "postgres");
        let own = text(&client, "select pg_backend_pid()").await;
        assert_eq!(own, pid(&client).to_string());
        let cancel = client.cancel_handle();
        let (slept, cancelled) = tokio::join!(client.simple_query("select pg_sleep(60)"), async {
            let sql = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
            until("it sleeps", || common::ask(server(), sql) == "1").await;
            cancel.cancel().await
        });
        cancelled.unwrap();
        assert_eq!(slept.unwrap_err().code().unwrap().code(), "57014");
        // The connection goes on.
        assert_eq!(text(&client, "select 1").await, "1");
    }
}

#[tokio::test]
async fn the_statement_cache_lives_as_long_as_the_connection() {
    for lib in BOTH {
        for check in [
            RecyclingCheck::Fast,
            RecyclingCheck::Verified,
            RecyclingCheck::Clean,
        ] {
            let manager = Manager::new(trusted(server(), "statements")).with_recycling(check);
            let pool = lib.pool(manager, 1).await;
            let backend = pool.backend().await;
            for round in 1..=3_i32 {
                let mut client = pool.get().await.unwrap();
                assert_eq!(pid(&client), backend);
                let statement = client.prepare_cached("select $1::int4 * 2").await.unwrap();
                let row = client.query_one(&statement, &[&round]).await.unwrap();
                assert_eq!(row.get::<_, i32>(0), round * 2);
                assert_eq!(client.statement_cache.size(), 1, "{lib:?} {check:?}");
                let transaction = client.transaction().await.unwrap();
                transaction
                    .prepare_cached("select $1::int4 * 2")
                    .await
                    .unwrap();
                transaction.commit().await.unwrap();
                assert_eq!(client.statement_cache.size(), 1, "{lib:?} {check:?}");
                // The server has it once.
                let prepared = "select count(*) from pg_prepared_statements where not from_sql";
                assert_eq!(text(&client, prepared).await, "1", "{lib:?} {check:?}");
            }
        }
    }
}

#[tokio::test]
async fn the_reason_reaches_the_caller() {
    for lib in BOTH {
        let script = Script::passwords(["wrong"]);
        let pool = lib.pool(app(&script, "wrong"), 4).await;
        for _ in 0..2 {
            let error = within(pool.get()).await.unwrap_err().error();
            assert_eq!(error.code().name(), "auth-refused", "{lib:?}");
            assert_eq!(error.sqlstate(), Some("28P01"), "{lib:?}");
            assert_eq!(error.stage(), Stage::AUTHENTICATION, "{lib:?}");
        }
        // A password that was refused is offered once for each who asks: the second call of each is
        // the look for another one.
        assert_eq!(script.calls(), 4, "{lib:?}");
        assert_eq!(sessions(server(), "wrong"), 0);

        let (_taken, port) = unheard_port();
        let connector = builder(port, "nobody").with_user("app").build().unwrap();
        let pool = lib.pool(Manager::new(connector), 4).await;
        let error = within(pool.get()).await.unwrap_err().error();
        assert_eq!(error.kind(), ErrorKind::Transport, "{lib:?}");

        let connector = builder(port, "nowhere")
            .with_user("app")
            .with_endpoint(pgreach_core::Endpoint::tcp("db.invalid", 5432));
        let pool = lib.pool(Manager::new(connector.build().unwrap()), 4).await;
        let error = within(pool.get()).await.unwrap_err().error();
        assert_eq!(error.stage(), Stage::RESOLVE, "{lib:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_reaches_all_who_wait_for_a_place_as_well() {
    for lib in BOTH {
        let script = Script::passwords(["wrong"]);
        // Far fewer places than there are who ask, and far more patience than the test has.
        let pool = lib
            .pool_with_wait(app(&script, "crowd"), 2, Duration::from_secs(3600))
            .await;
        let tasks: Vec<_> = (0..40)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move { pool.get().await.unwrap_err().code() })
            })
            .collect();
        for task in tasks {
            assert_eq!(within(task).await.unwrap(), "auth-refused", "{lib:?}");
        }
    }
}

#[tokio::test]
async fn a_full_pool_makes_wait_and_says_so() {
    for lib in BOTH {
        let manager = Manager::new(trusted(server(), "full"));
        let pool = lib
            .pool_with_wait(manager, 1, Duration::from_millis(100))
            .await;
        let held = pool.get().await.unwrap();
        let failure = within(pool.get()).await.unwrap_err();
        assert!(matches!(failure, Failure::TimedOut), "{lib:?}: {failure:?}");
        drop(held);
        pool.get().await.unwrap();
    }
}

#[tokio::test]
async fn a_pool_that_is_closed_gives_no_connection_and_takes_none_back() {
    let pool = Lib::Deadpool
        .pool(Manager::new(trusted(server(), "closed")), 2)
        .await;
    let (held, idle) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    drop(idle);
    let Pool::Deadpool(inner) = &pool else {
        unreachable!()
    };
    inner.close();
    assert!(matches!(pool.get().await.unwrap_err(), Failure::Closed));
    until("the idle one is gone", || sessions(server(), "closed") == 1).await;
    assert_eq!(text(&held, "select 1").await, "1");
    drop(held);
    until("the other one is gone", || {
        sessions(server(), "closed") == 0
    })
    .await;
}

#[tokio::test]
async fn the_first_connections_of_bb8_fail_where_the_pool_is_built() {
    let script = Script::passwords(["wrong"]);
    let builder = bb8::builder().max_size(3).min_idle(2);
    let error = within(bb8::Pool::build(builder, app(&script, "first")))
        .await
        .unwrap_err();
    assert_eq!(error.code().name(), "auth-refused");
}

#[tokio::test]
async fn dropping_the_pool_says_goodbye() {
    let server = Postgres::builder()
        // At this level the server notes who vanishes instead of taking leave.
        .with_setting("log_min_messages", "debug1")
        .with_setting("log_line_prefix", "%a ")
        .start()
        .unwrap();
    for lib in BOTH {
        let name = "goodbye";
        let pool = lib.pool(Manager::new(trusted(&server, name)), 3).await;
        let clients = [pool.get().await.unwrap(), pool.get().await.unwrap()];
        drop(clients);
        // One that is in use is not cut.
        let held = pool.get().await.unwrap();
        drop(pool);
        assert_eq!(text(&held, "select 1").await, "1", "{lib:?}");
        drop(held);
        until("no session is left", || sessions(&server, name) == 0).await;
        let log = server.log();
        let vanished: Vec<_> = log
            .lines()
            .filter(|line| line.starts_with(name) && line.contains("unexpected EOF"))
            .collect();
        assert_eq!(vanished, Vec::<&str>::new(), "{lib:?}");
    }
}
