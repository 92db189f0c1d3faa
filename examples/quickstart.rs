//! Every route that exists so far, against a PostgreSQL server that is thrown away afterwards:
//! `cargo run --example quickstart`.
//!
//! It ends with how many routes connected, and fails if one that must work does not, or if one that
//! must be refused is not.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::time::Duration;

use pgreach::prelude::*;
use pgreach_testkit::{Pki, Postgres};

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    match tour().await {
        Ok(connected) => {
            println!("\n{connected} routes connected");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("\nfailed: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn tour() -> Result<usize, Failure> {
    heading("A PostgreSQL server with TLS, for this run only; the first run may have to fetch it");
    let pki = Pki::generate()?;
    let certificate = pki.server("db.internal").issue()?;
    let server = Postgres::builder()
        .with_tls(certificate.chain_pem(), certificate.key_pem())
        .with_hba([
            "local all app scram-sha-256",
            "hostssl all app 127.0.0.1/32 scram-sha-256",
        ])
        .with_sql("create role app login password 'open sesame'")
        .start()?;
    println!("PostgreSQL {} on port {}", server.version(), server.port());

    // What all routes share: the identity, and whose certificates are trusted. The default is
    // verify-full: chain and name.
    let roots = Roots::from_file(pki.root_file());
    let tls = NativeTls::builder().with_roots(roots).build()?;
    let to = |endpoint: Endpoint| {
        PgConnector::builder()
            .with_endpoint(endpoint)
            .with_transport(TcpTransport::new())
            .with_tls(tls.clone())
            .with_credentials(FixedPassword::new("open sesame").with_user("app"))
            .with_database("postgres")
    };
    let by_address = Endpoint::tcp("127.0.0.1", server.port());
    let by_name = Endpoint::tcp("db.internal", server.port()).with_hostaddr([127, 0, 0, 1]);
    let socket = Endpoint::unix(server.socket_dir(), server.port());

    heading("TCP without TLS: refused, this server's pg_hba.conf has only hostssl");
    let plaintext = TlsPolicy::dangerous_plaintext();
    let plain = to(by_address.clone()).with_tls_policy(plaintext).build()?;
    refused(&plain, ErrorKind::Authentication, "sslmode=verify-full").await?;

    heading("TCP with TLS, under a name that the certificate is not for: refused");
    let wrong_name = to(by_address.clone()).build()?;
    refused(&wrong_name, ErrorKind::Tls, "db.internal").await?;

    let tcp = to(by_name).build()?;
    let conninfo = format!(
        "host=db.internal hostaddr=127.0.0.1 port={} dbname=postgres user=app \
         password='open sesame' sslmode=verify-full sslrootcert={}",
        server.port(),
        pki.root_file().display(),
    );
    let routes = [
        (
            "As the hint says: host is the name to verify, hostaddr the address to dial",
            tcp.clone(),
        ),
        (
            "The same as a connection string",
            pgreach::connector(&conninfo)?,
        ),
        ("A Unix socket", to(socket).build()?),
    ];
    for (title, connector) in &routes {
        heading(title);
        works(connector).await?;
    }

    heading("An address that somebody else chose, under a policy against SSRF: refused");
    let public = TcpTransport::builder().with_address_policy(AddressPolicy::public_only());
    let fenced = to(by_address).with_transport(public.build()?).build()?;
    refused(&fenced, ErrorKind::Denied, "").await?;

    heading("A query, and a statement that is cancelled over the same route");
    query(&tcp).await?;

    Ok(routes.len())
}

/// "Save & Test": walks the way and must arrive.
async fn works(connector: &PgConnector) -> Result<(), Failure> {
    let report = connector.check().await;
    println!("{report}");
    report.is_ok().then_some(()).ok_or("this must work".into())
}

/// Walks the way and must be stopped with an error of this kind, whose hint says `hint`.
async fn refused(connector: &PgConnector, kind: ErrorKind, hint: &str) -> Result<(), Failure> {
    let report = connector.check().await;
    println!("{report}");
    match report.error() {
        Some(error) if error.kind() == kind && error.hint().contains(hint) => Ok(()),
        Some(_) => Err(format!("this must fail with {kind} and a hint at \"{hint}\"").into()),
        None => Err("this must be refused".into()),
    }
}

async fn query(connector: &PgConnector) -> Result<(), Failure> {
    let client = connector.connect().await?;
    let row = client
        .query_one("select current_user::text, version()", &[])
        .await?;
    println!("{}: {}", row.get::<_, &str>(0), row.get::<_, &str>(1));

    let cancel = client.cancel_handle();
    let sleeping = client.simple_query("select pg_sleep(60)");
    tokio::pin!(sleeping);
    let slept = loop {
        tokio::select! {
            slept = &mut sleeping => break slept,
            () = tokio::time::sleep(Duration::from_millis(200)) => cancel.cancel().await?,
        }
    };
    let error = Error::from(slept.err().ok_or("pg_sleep was not cancelled")?);
    println!("{error} (SQLSTATE {})", error.sqlstate().unwrap_or("none"));
    if error.sqlstate() != Some("57014") {
        return Err("the statement must fail with SQLSTATE 57014".into());
    }
    Ok(())
}

fn heading(text: &str) {
    println!("\n== {text}");
}
