//! `connect()` beside bare tokio-postgres with the same settings: `cargo xtask bench connect`.
//!
//! Both sides connect to the same server, in turn, over TCP and over TLS with the certificate
//! verified; what is timed is from the call to a client that is ready. The session is closed before
//! the next one begins, outside the clock.

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use pgreach::prelude::*;
use pgreach_benches::{Row, compare, timed, to_json, to_table};
use pgreach_testkit::{Pki, Postgres};

type Failure = Box<dyn Error + Send + Sync>;

const USAGE: &str = "usage: connect [--rounds N] [--json FILE]";

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut rounds = 1000;
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
    let pki = Pki::generate()?;
    let certificate = pki
        .server("localhost")
        .with_ip([127, 0, 0, 1].into())
        .issue()?;
    let server = Postgres::builder()
        .with_tls(certificate.chain_pem(), certificate.key_pem())
        .with_hba([
            "host all trusted 127.0.0.1/32 trust",
            "host all all 127.0.0.1/32 scram-sha-256",
        ])
        .with_sql("create role trusted login")
        .with_sql("create role app login password 'a password'")
        .start()?;

    let mut rows = Vec::new();
    for (name, user, tls) in [
        ("connect TCP, trust", "trusted", false),
        ("connect TCP, SCRAM", "app", false),
        ("connect TLS, trust", "trusted", true),
        ("connect TLS, SCRAM", "app", true),
    ] {
        rows.push(connect(name, rounds, &server, &pki, user, tls).await?);
    }
    let table = to_table(&rows);
    std::io::Write::write_all(&mut std::io::stdout(), format!("{table}\n").as_bytes())?;
    if let Some(file) = json {
        std::fs::write(file, format!("{:#}\n", to_json(&rows)))?;
    }
    Ok(())
}

async fn connect(
    name: &str,
    rounds: usize,
    server: &Postgres,
    pki: &Pki,
    user: &str,
    tls: bool,
) -> Result<Row, Failure> {
    let mut builder = PgConnector::builder()
        .with_transport(TcpTransport::new())
        .with_endpoint(Endpoint::tcp("127.0.0.1", server.port()))
        .with_credentials(FixedPassword::new("a password"))
        .with_user(user)
        .with_database("postgres");
    builder = if tls {
        builder.with_tls(
            NativeTls::builder()
                .with_roots(Roots::from_pem(pki.root_pem()))
                .build()?,
        )
    } else {
        builder.with_tls_policy(TlsPolicy::dangerous_plaintext())
    };
    let ours = builder.build()?;

    let mut bare = tokio_postgres::Config::new();
    bare.host("127.0.0.1")
        .port(server.port())
        .user(user)
        .dbname("postgres")
        .password("a password");
    bare.connect_timeout(Duration::from_secs(30));
    bare.ssl_mode(if tls {
        tokio_postgres::config::SslMode::Require
    } else {
        tokio_postgres::config::SslMode::Disable
    });
    let mut connector = native_tls::TlsConnector::builder();
    connector
        .disable_built_in_roots(true)
        .add_root_certificate(native_tls::Certificate::from_pem(
            pki.root_pem().as_bytes(),
        )?);
    postgres_native_tls::set_postgresql_alpn(&mut connector);
    let connector = postgres_native_tls::MakeTlsConnector::new(connector.build()?);

    compare(
        name,
        rounds,
        || async {
            let (time, connection) = timed(ours.connect()).await?;
            connection.close().await?;
            Ok::<_, Failure>(time)
        },
        || async {
            // The task that drives the connection is part of what a program must do to use it.
            let (time, (client, driver)) = timed(async {
                let (client, connection) = bare.connect(connector.clone()).await?;
                Ok::<_, Failure>((client, tokio::spawn(connection)))
            })
            .await?;
            drop(client);
            driver.await??;
            Ok(time)
        },
    )
    .await
}
