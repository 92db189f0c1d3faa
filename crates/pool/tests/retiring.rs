//! Connections that have had their day are closed, and none that is in use.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use common::{BOTH, Lib, Pool, Script, builder, pid, sessions, text, trusted, until};
use pgreach_core::Connector as _;
use pgreach_pool::deadpool::PoolExt as _;
use pgreach_pool::{Epochs, Manager, RecyclingCheck};
use pgreach_testkit::Postgres;
use tracing::field::Field;
use tracing::{Event, Metadata, Subscriber, span};

fn server() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| {
        Postgres::builder()
            .with_hba([
                "host all deadpool_app,bb8_app 127.0.0.1/32 scram-sha-256",
                "host all postgres 127.0.0.1/32 trust",
            ])
            .with_setting("password_encryption", "scram-sha-256")
            .with_sql(
                "create role deadpool_app login password 'old';
                 create role bb8_app login password 'old'",
            )
            .start()
            .unwrap()
    })
}

#[tokio::test]
async fn rotating_retires_what_there_is_and_cuts_nothing_in_use() {
    for lib in BOTH {
        let name = "rotated";
        let manager = Manager::new(trusted(server(), name)).with_recycling(RecyclingCheck::Fast);
        let pool = lib.pool(manager, 4).await;
        let mut clients = vec![
            pool.get().await.unwrap(),
            pool.get().await.unwrap(),
            pool.get().await.unwrap(),
        ];
        let mut used = clients.pop().unwrap();
        let old: Vec<_> = clients.iter().map(|client| pid(client)).collect();
        drop(clients);
        let transaction = used.transaction().await.unwrap();
        transaction
            .batch_execute("create table if not exists spans ()")
            .await
            .unwrap();

        pool.rotate().await;
        // The idle ones go at once, without anybody taking them.
        let gone = format!(
            "select count(*) from pg_stat_activity where pid in ({}, {})",
            old[0], old[1]
        );
        until("the idle ones are gone", || {
            common::ask(server(), &gone) == "0"
        })
        .await;
        // The one in use is left alone, and its transaction commits.
        assert_eq!(
            transaction
                .query_one("select 1::int4", &[])
                .await
                .unwrap()
                .get::<_, i32>(0),
            1
        );
        transaction.commit().await.unwrap();
        let spanned = pid(&used);
        drop(used);
        for _ in 0..4 {
            let client = pool.get().await.unwrap();
            assert_ne!(pid(&client), spanned, "{lib:?}");
            assert!(!old.contains(&pid(&client)), "{lib:?}");
        }
        // What came after the rotation stays.
        let client = pool.get().await.unwrap();
        let new = pid(&client);
        drop(client);
        assert_eq!(pool.backend().await, new, "{lib:?}");
    }
}

#[tokio::test]
async fn one_handle_rotates_the_pools_that_share_it() {
    let epochs = Epochs::new();
    let mut pools = Vec::new();
    for lib in BOTH {
        let manager = Manager::new(trusted(server(), "shared")).with_epochs(epochs.clone());
        let pool = lib.pool(manager, 1).await;
        let backend = pool.backend().await;
        assert_eq!(pool.backend().await, backend);
        pools.push((pool, backend));
    }
    epochs.rotate();
    for (pool, backend) in pools {
        assert_ne!(pool.backend().await, backend);
    }
}

#[tokio::test]
async fn a_credential_that_was_replaced_retires_its_connections_without_a_call() {
    for (lib, role) in BOTH.into_iter().zip(["deadpool_app", "bb8_app"]) {
        let script = Script::passwords(["old", "old", "old", "new"]);
        let connector = builder(server().port(), role)
            .with_user(role)
            .with_credentials(script.clone())
            .build()
            .unwrap();
        let pool = lib.pool(Manager::new(connector.clone()), 3).await;
        let (held, idle) = (pool.get().await.unwrap(), pool.get().await.unwrap());
        let (in_use, was_idle) = (pid(&held), pid(&idle));
        server()
            .execute(&format!("alter role {role} password 'new'"))
            .unwrap();
        // The password is only asked for where a connection is opened.
        let fresh = pool.get().await.unwrap();
        assert_eq!(script.calls(), 4, "{lib:?}");
        assert_eq!(connector.credential_epoch(), 1, "{lib:?}");
        let opened = pid(&fresh);
        drop((idle, fresh));
        for _ in 0..4 {
            let (one, two) = (pool.get().await.unwrap(), pool.get().await.unwrap());
            let pids = [pid(&one), pid(&two)];
            assert!(!pids.contains(&was_idle), "{lib:?}");
            assert!(pids.contains(&opened), "{lib:?}");
        }
        // Nobody took it away from who has it.
        assert_eq!(text(&held, "select 1").await, "1");
        drop(held);
        // bb8 closes it as it comes back, deadpool when it takes it up.
        if let Pool::Deadpool(pool) = &pool {
            assert_eq!(pool.retire(), 1);
        }
        let sql = format!("select count(*) from pg_stat_activity where pid = {in_use}");
        until("it has gone", || common::ask(server(), &sql) == "0").await;
    }
}

#[tokio::test]
async fn a_connection_that_is_too_old_is_not_handed_out() {
    for lib in BOTH {
        let name = "aged";
        let manager =
            Manager::new(trusted(server(), name)).with_max_lifetime(Duration::from_millis(300));
        let pool = lib.pool(manager, 1).await;
        let held = pool.get().await.unwrap();
        let first = pid(&held);
        let age = format!(
            "select count(*) from pg_stat_activity where pid = {first} and backend_start < clock_timestamp() - interval '1 s'"
        );
        until("it is too old", || common::ask(server(), &age) == "1").await;
        // Not while it is in use.
        assert_eq!(text(&held, "select 1").await, "1");
        drop(held);
        assert_ne!(pool.backend().await, first, "{lib:?}");
        // A limit that nothing reaches retires nothing.
        let manager = Manager::new(trusted(server(), name)).with_max_lifetime(Duration::MAX);
        let pool = lib.pool(manager, 1).await;
        assert_eq!(pool.backend().await, pool.backend().await);
    }
}

#[tokio::test]
async fn idle_connections_can_be_swept() {
    let name = "swept";
    let manager =
        Manager::new(trusted(server(), name)).with_max_lifetime(Duration::from_millis(200));
    let pool = Lib::Deadpool.pool(manager, 2).await;
    let clients = (pool.get().await.unwrap(), pool.get().await.unwrap());
    drop(clients);
    let Pool::Deadpool(inner) = &pool else {
        unreachable!()
    };
    let mut swept = 0;
    until("both are too old", || {
        swept += inner.retire();
        swept == 2
    })
    .await;
    until("no session is left", || sessions(server(), name) == 0).await;
    assert_eq!(inner.status().size, 0);
    pool.get().await.unwrap();
}

/// Counts the notes about connections that were retired.
#[derive(Debug, Clone, Default)]
struct Notes(Arc<AtomicUsize>);

impl Subscriber for Notes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "pgreach"
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut |_: &Field, value: &dyn fmt::Debug| {
            if format!("{value:?}") == "connection retired" {
                self.0.fetch_add(1, SeqCst);
            }
        });
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn the_log_has_one_note_of_each_connection_that_was_retired() {
    for lib in BOTH {
        let epochs = Epochs::new();
        let manager = Manager::new(trusted(server(), "noted")).with_epochs(epochs.clone());
        let pool = lib.pool(manager, 1).await;
        let notes = Notes::default();
        let _noting = tracing::subscriber::set_default(notes.clone());
        // Taken while idle, retired by a call, and, with bb8, retired as it comes back.
        pool.get().await.unwrap();
        epochs.rotate();
        let held = pool.get().await.unwrap();
        assert_eq!(notes.0.load(SeqCst), 1, "{lib:?}");
        drop(held);
        pool.rotate().await;
        assert_eq!(notes.0.load(SeqCst), 2, "{lib:?}");
        let held = pool.get().await.unwrap();
        epochs.rotate();
        drop(held);
        pool.get().await.unwrap();
        assert_eq!(notes.0.load(SeqCst), 3, "{lib:?}");
    }
}
