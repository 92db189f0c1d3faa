//! Credentials that change under load: no checkout fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use common::{BOTH, Lib, ask, builder, load, pid, text, until};
use pgreach_auth_password::{FilePassword, FixedPassword};
use pgreach_core::{
    Connector as _, Credential, CredentialProvider, CredentialRequest, Error, PgConnector,
};
use pgreach_pool::Manager;
use pgreach_testkit::Postgres;
use tokio::sync::RwLock;

fn server(sql: &str) -> Postgres {
    Postgres::builder()
        // Hundreds of connections, and SCRAM is slow where nothing is optimised.
        .with_hba(["host all app 127.0.0.1/32 password"])
        .with_setting("password_encryption", "scram-sha-256")
        // Twice the pool, for the old ones that take leave while the new ones come.
        .with_setting("max_connections", "150")
        .with_sql(sql)
        .start()
        .unwrap()
}

fn connector(server: &Postgres, source: impl CredentialProvider) -> PgConnector {
    let builder = builder(server.port(), "app").with_user("app");
    builder.with_credentials(source).build().unwrap()
}

/// A file of mode 0600, put in place in one step.
fn write(path: &Path, password: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let new = path.with_extension("new");
    fs::write(&new, password).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&new, path).unwrap();
}

const BUSY: usize = 50;
const CHECKOUTS: usize = 6000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_rotated_under_fifty_busy_connections() {
    for lib in BOTH {
        rotate_under_load(lib).await;
    }
}

async fn rotate_under_load(lib: Lib) {
    let server = server("create role app login password 'password 0'");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    write(&file, "password 0");
    let connector = connector(&server, FilePassword::new(&file));
    // One more place, for the transaction that spans it all.
    let pool = lib
        .pool(Manager::new(connector.clone()), BUSY as u32 + 1)
        .await;
    // All places are taken once, so that there are fifty sessions to retire.
    let mut clients = Vec::new();
    for _ in 0..BUSY {
        clients.push(pool.get().await.unwrap());
    }
    let mut spanning = pool.get().await.unwrap();
    drop(clients);
    let transaction = spanning.transaction().await.unwrap();
    let insert = "create temp table spans as select 1 as one";
    transaction.batch_execute(insert).await.unwrap();

    let tally = {
        let done = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&done);
        let loaded = load(&pool, BUSY, move |checkouts| {
            seen.store(checkouts, SeqCst);
            checkouts >= CHECKOUTS
        });
        let rotated = async {
            for rotation in 1..=3 {
                until("the load goes on", || {
                    done.load(SeqCst) >= rotation * CHECKOUTS / 4
                })
                .await;
                let password = format!("password {rotation}");
                let sql = format!("alter role app password '{password}'");
                server.execute(&sql).unwrap();
                write(&file, &password);
                let before = ask(&server, "select clock_timestamp()::text");
                pool.rotate().await;
                let old = format!(
                    "select count(*) from pg_stat_activity where application_name = 'app' and backend_start < '{before}'"
                );
                // But for the one that has a transaction open.
                until("the old ones have retired", || ask(&server, &old) == "1").await;
            }
        };
        let (tally, ()) = tokio::join!(loaded, rotated);
        tally
    };
    assert_eq!(tally.failures, Vec::<String>::new(), "{lib:?}");
    assert!(tally.checkouts >= CHECKOUTS);

    // None in use was cut.
    transaction.commit().await.unwrap();
    assert_eq!(text(&spanning, "select one from spans").await, "1");
    let old = pid(&spanning);
    drop(spanning);
    pool.rotate().await;
    let sql = format!("select count(*) from pg_stat_activity where pid = {old}");
    until("it has gone as well", || ask(&server, &sql) == "0").await;
    // The passwords before are really of no use any more.
    write(&file, "password 0");
    let refused = connector.connect().await.unwrap_err();
    assert_eq!(refused.code().name(), "auth-refused");
}

/// Passwords that live for a while, as tokens do: whoever asks after that makes the next one in the
/// database, which ends the one before.
#[derive(Debug, Clone)]
struct ShortLived {
    server: Arc<Postgres>,
    life: Duration,
    current: Arc<RwLock<Token>>,
    made: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Token {
    credential: Arc<Credential>,
    born: Option<Instant>,
}

impl ShortLived {
    fn new(server: Arc<Postgres>, life: Duration) -> Self {
        Self {
            server,
            life,
            current: Arc::new(RwLock::new(Token {
                credential: Arc::new(Credential::none()),
                born: None,
            })),
            made: Arc::default(),
        }
    }
}

#[async_trait]
impl CredentialProvider for ShortLived {
    async fn credential(&self, _: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        let is_fresh = |token: &Token| token.born.is_some_and(|at| at.elapsed() < self.life);
        {
            let token = self.current.read().await;
            if is_fresh(&token) {
                return Ok(Arc::clone(&token.credential));
            }
        }
        let mut token = self.current.write().await;
        if !is_fresh(&token) {
            let password = format!("token {}", self.made.fetch_add(1, SeqCst));
            // The limit is no part of the race: the next password ends this one long before.
            let sql = format!(
                "do $$ begin execute format('alter role app password %L valid until %L', '{password}', clock_timestamp() + interval '{} s'); end $$",
                common::PATIENCE.as_secs()
            );
            // Not on a worker: the attempts go on meanwhile.
            let server = Arc::clone(&self.server);
            let altered = tokio::task::spawn_blocking(move || server.execute(&sql));
            altered.await.unwrap().unwrap();
            token.credential = Arc::new(Credential::password(password));
            token.born = Some(Instant::now());
        }
        Ok(Arc::clone(&token.credential))
    }

    fn invalidate(&self, _: &Credential) -> bool {
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_that_live_two_seconds_carry_a_pool_for_longer() {
    // An attempt that was refused, since the next password came meanwhile, has two seconds for the
    // renewed one.
    let life = Duration::from_secs(2);
    tokio::join!(outlive(Lib::Deadpool, life, 6), outlive(Lib::Bb8, life, 6));
}

/// Keeps a pool under load until it has used up `passwords` that live for `life`, and asserts that
/// nobody noticed.
async fn outlive(lib: Lib, life: Duration, passwords: usize) {
    let server = Arc::new(server("create role app login"));
    let source = ShortLived::new(Arc::clone(&server), life);
    // Opened anew all the time, or no password would ever be asked for again.
    let manager = Manager::new(connector(&server, source.clone())).with_max_lifetime(life / 4);
    let pool = lib.pool(manager, 8).await;
    let made = Arc::clone(&source.made);
    let tally = load(&pool, 16, move |_| made.load(SeqCst) >= passwords).await;
    assert_eq!(tally.failures, Vec::<String>::new(), "{lib:?}");
    // The one before is really of no use any more.
    let stale = connector(&server, FixedPassword::new("token 0"));
    let refused = stale.connect().await.unwrap_err();
    assert_eq!(refused.code().name(), "auth-refused");
}
