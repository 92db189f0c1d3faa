//! A checkout and a statement beside plain deadpool-postgres: `cargo xtask bench pool`.
//!
//! Both pools hold one connection to the same server over TCP, without TLS; what is timed is from
//! the call to `get` to the answer of a prepared `select 1`, for each of the recycling checks.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use deadpool_postgres::RecyclingMethod;
use pgreach::pool::RecyclingCheck;
use pgreach::pool::deadpool::{Manager, Pool, builder};
use pgreach::prelude::*;
use pgreach_benches::{compare, timed, to_json, to_table};
use pgreach_testkit::Postgres;
use tokio_postgres::NoTls;

type Failure = Box<dyn Error + Send + Sync>;

const USAGE: &str = "usage: pool [--rounds N] [--json FILE]";

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut rounds = 5000;
    let mut json: Option<PathBuf> = None;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or(USAGE)?;
        match arg.as_str() {
            "--rounds" => rounds = value.parse()?,
            "--json" => json = Some(value.into()),
            _ => return Err(USAGE.into()),
        }
    }
    let server = Postgres::start()?;
    let mut rows = Vec::new();
    for (name, check, method) in [
        (
            "checkout, nothing asked",
            RecyclingCheck::Fast,
            RecyclingMethod::Fast,
        ),
        (
            "checkout, verified",
            RecyclingCheck::Verified,
            RecyclingMethod::Verified,
        ),
        (
            "checkout, cleaned",
            RecyclingCheck::Clean,
            RecyclingMethod::Clean,
        ),
    ] {
        let (ours, peer) = (ours(&server, check)?, peer(&server, method)?);
        let row = compare(name, rounds, || use_ours(&ours), || use_peer(&peer)).await?;
        rows.push(row);
    }
    let table = format!("{}\n", to_table(&rows));
    std::io::Write::write_all(&mut std::io::stdout(), table.as_bytes())?;
    if let Some(file) = json {
        std::fs::write(file, format!("{:#}\n", to_json(&rows)))?;
    }
    Ok(())
}

fn ours(server: &Postgres, check: RecyclingCheck) -> Result<Pool, Failure> {
    let connector = PgConnector::builder()
        .with_transport(TcpTransport::new())
        .with_endpoint(Endpoint::tcp(server.host(), server.port()))
        .with_tls_policy(TlsPolicy::dangerous_plaintext())
        .with_user(server.superuser())
        .with_database("postgres")
        .build()?;
    let manager = Manager::new(connector).with_recycling(check);
    Ok(builder(manager).max_size(1).build()?)
}

fn peer(server: &Postgres, method: RecyclingMethod) -> Result<deadpool_postgres::Pool, Failure> {
    let manager = deadpool_postgres::Manager::from_config(
        server.conninfo().parse()?,
        NoTls,
        deadpool_postgres::ManagerConfig {
            recycling_method: method,
        },
    );
    let pool = deadpool_postgres::Pool::builder(manager).max_size(1);
    Ok(pool.build()?)
}

async fn use_ours(pool: &Pool) -> Result<Duration, Failure> {
    let (elapsed, ()) = timed(async {
        let client = pool.get().await?;
        let statement = client.prepare_cached("select 1").await?;
        client.query_one(&statement, &[]).await?;
        Ok::<_, Failure>(())
    })
    .await?;
    Ok(elapsed)
}

async fn use_peer(pool: &deadpool_postgres::Pool) -> Result<Duration, Failure> {
    let (elapsed, ()) = timed(async {
        let client = pool.get().await?;
        let statement = client.prepare_cached("select 1").await?;
        client.query_one(&statement, &[]).await?;
        Ok::<_, Failure>(())
    })
    .await?;
    Ok(elapsed)
}
