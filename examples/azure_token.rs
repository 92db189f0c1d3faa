//! A service principal that logs in to Azure Database for PostgreSQL with a Microsoft Entra token:
//! `cargo run --example azure_token`.
//!
//! Microsoft is played by two stand-ins on this machine: a token authority, and a gateway that verifies
//! tokens as Azure does, in front of a real PostgreSQL. Everything else is what runs in production: in
//! Azure, leave out `with_cloud` and `with_root_certificate`, and take the identity that fits, such as
//! `EntraIdentity::system_assigned()` or `EntraIdentity::azure_cli()`.
#![allow(clippy::print_stdout)]

use std::time::Duration;

use pgreach::azure::Cloud;
use pgreach::prelude::*;
use pgreach_testkit::Postgres;
use pgreach_testkit::entra::{Endpoint as Asked, EntraGateway, FakeEntra, OSS_RDBMS, RoleKind};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The tenant: an application with a secret. Its tokens live for four seconds, an hour in real life.
    let entra = FakeEntra::builder().with_lifetime(Duration::from_secs(4));
    let entra = entra.start().await?;
    let app = entra.add_application("orders", "the application's secret");

    // The server: a role for the application's object id. In Azure an Entra administrator runs
    // select * from pgaadauth_create_principal_with_oid('orders', '<object id>', 'service', false, false);
    let server = Postgres::builder().with_sql("create role orders login");
    let server = server.start()?;
    let gateway = EntraGateway::start(&entra, &server).await?;
    gateway.add_role("orders", RoleKind::Service, app.object_id());

    // What a program writes.
    let identity = EntraIdentity::client_secret(
        entra.tenant(),
        app.client_id(),
        Secret::new("the application's secret"),
    );
    let credentials = EntraCredentials::builder(identity)
        .with_cloud(Cloud::custom(
            entra.authority_host(),
            format!("{OSS_RDBMS}/.default"),
        ))
        .with_root_certificate(entra.root_pem())
        // A service principal's token does not hold the name of its role.
        .with_user("orders")
        .build()?;
    let connector = |policy: TlsPolicy| {
        PgConnector::builder()
            .with_transport(TcpTransport::new())
            .with_endpoint(Endpoint::tcp("localhost", gateway.port()))
            .with_tls(tls(&entra)?)
            .with_tls_policy(policy)
            .with_credentials(credentials.clone())
            .with_database("postgres")
            .build()
    };

    println!("== \"Save & Test\"");
    let verified = connector(TlsPolicy::verify_full())?;
    let report = verified.check().await;
    println!("{report}");
    if let Some(error) = report.error() {
        return Err(error.repeat().into());
    }

    println!("\n== Encrypted, but the server's name is not verified: the token is not sent");
    let report = connector(TlsPolicy::from_sslmode(pgreach::SslMode::Require))?
        .check()
        .await;
    println!("{report}");
    if report.is_ok() {
        return Err("a token must not be sent to a server that is not verified".into());
    }

    println!("\n== A connection every half second: tokens are replaced before they end");
    for _ in 0..12 {
        let client = verified.connect().await?;
        let row = client
            .query_one("select current_user::text, now()::time(0)::text", &[])
            .await?;
        println!(
            "{} at {}: {} tokens so far",
            row.get::<_, &str>(0),
            row.get::<_, &str>(1),
            entra.requests(Asked::Token),
        );
        client.close().await?;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

/// Trusts the authority of the stand-ins; Azure's own is among the system's roots.
fn tls(entra: &FakeEntra) -> Result<NativeTls, Error> {
    let roots = Roots::from_file(entra.root_file());
    NativeTls::builder().with_roots(roots).build()
}
