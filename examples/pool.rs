//! A pool under load while its password is rotated and its server is restarted, with a line per second:
//! `cargo run --example pool`.
//!
//! Eight workers take a connection, ask for one row and give the connection back, again and again.
//! No checkout fails when the password changes: every new connection reads the file anew, and those of
//! the old password retire as they come back. A restart cuts what is in use, and nothing else.
#![allow(clippy::print_stdout)]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pgreach::pool::deadpool::{Manager, Pool, PoolExt as _, builder};
use pgreach::prelude::*;
use pgreach_testkit::Postgres;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const WORKERS: usize = 8;

/// What the workers did since somebody last looked.
#[derive(Default)]
struct Tally {
    checkouts: AtomicUsize,
    failed: AtomicUsize,
    cut: AtomicUsize,
    over: AtomicBool,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let server = Postgres::builder()
        .with_hba([
            "local all all trust",
            "host all app 127.0.0.1/32 scram-sha-256",
        ])
        .with_sql("create role app login password 'password 0'")
        .start()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("password");
    write(&file, "password 0")?;

    let connector = PgConnector::builder()
        .with_transport(TcpTransport::new())
        .with_endpoint(Endpoint::tcp("127.0.0.1", server.port()))
        // The server is this machine's own; everywhere else leave this out.
        .with_tls_policy(TlsPolicy::dangerous_plaintext())
        .with_credentials(FilePassword::new(&file).with_user("app"))
        .with_database("postgres")
        .build()?;
    let pool = builder(Manager::new(connector)).max_size(WORKERS).build()?;

    let tally = Arc::new(Tally::default());
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| tokio::spawn(work(pool.clone(), Arc::clone(&tally))))
        .collect();

    let mut lost = 0;
    let began = Instant::now();
    for second in 1..=12 {
        let event = match second {
            3 | 6 => {
                let password = format!("password {second}");
                server.execute(&format!("alter role app password '{password}'"))?;
                write(&file, &password)?;
                pool.rotate();
                "the password was rotated"
            }
            9 => {
                server.restart()?;
                "the server was restarted"
            }
            _ => "",
        };
        tokio::time::sleep_until((began + Duration::from_secs(second)).into()).await;
        let (checkouts, failed, cut) = (
            tally.checkouts.swap(0, Relaxed),
            tally.failed.swap(0, Relaxed),
            tally.cut.swap(0, Relaxed),
        );
        // While the server restarts nobody can connect; that is not the pool's fault.
        if second < 9 {
            lost += failed + cut;
        }
        println!(
            "{second:3} s: {checkouts:6} checkouts, {failed} failed, {cut} cut in use, {} connections  {event}",
            pool.status().size,
        );
    }
    tally.over.store(true, Relaxed);
    for worker in workers {
        worker.await?;
    }
    let works = pool.get().await?;
    let user: String = works
        .query_one("select current_user::text", &[])
        .await?
        .get(0);
    println!("after all of it, {user} still has a working pool");
    if lost > 0 {
        return Err(format!("{lost} checkouts were lost to a rotation").into());
    }
    Ok(())
}

async fn work(pool: Pool, tally: Arc<Tally>) {
    while !tally.over.load(Relaxed) {
        match pool.get().await {
            Ok(client) => match client.query_one("select 1", &[]).await {
                Ok(_) => tally.checkouts.fetch_add(1, Relaxed),
                Err(_) => tally.cut.fetch_add(1, Relaxed),
            },
            Err(_) => {
                // A real program would look at `Error::retry`.
                tokio::time::sleep(Duration::from_millis(20)).await;
                tally.failed.fetch_add(1, Relaxed)
            }
        };
    }
}

/// A file that only its owner reads, put in place in one step.
fn write(path: &Path, password: &str) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let new = path.with_extension("new");
    fs::write(&new, password)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600))?;
    fs::rename(&new, path)
}
