//! A client certificate in place of a password, and one renewed while the program runs:
//! `cargo run --example client_certificate`.
#![allow(clippy::print_stdout)]

use std::fs;
use std::path::Path;

use pgreach::cert::{FileCertificate, FixedCertificate};
use pgreach::prelude::*;
use pgreach_testkit::{Pki, Postgres};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The server's administrator: an authority whose certificates name the role (pg_hba.conf: cert),
    // and a role that needs a certificate and a password.
    let pki = Pki::generate()?;
    let certificate = pki.server("localhost").issue()?;
    let server = Postgres::builder()
        .with_tls(certificate.chain_pem(), certificate.key_pem())
        .with_client_ca(pki.root_pem())
        .with_hba([
            "hostssl all app 127.0.0.1/32 cert",
            "hostssl all careful 127.0.0.1/32 scram-sha-256 clientcert=verify-full",
        ])
        .with_sql("create role app login; create role careful login password 'open sesame'")
        .start()?;
    let tls = NativeTls::builder()
        .with_roots(Roots::from_file(pki.root_file()))
        .build()?;
    let connector = |credentials: std::sync::Arc<dyn pgreach::CredentialProvider>| {
        PgConnector::builder()
            .with_transport(TcpTransport::new())
            .with_endpoint(Endpoint::tcp("localhost", server.port()))
            .with_tls(tls.clone())
            .with_credentials(credentials)
            .with_database("postgres")
            .build()
    };

    // The program: two files, as a mounted secret brings them.
    let folder = tempfile::tempdir()?;
    let (cert, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    let issued = pki.client("app").issue()?;
    renew(&cert, issued.chain_pem(), &key, issued.key_pem())?;
    let files = FileCertificate::new(&cert, &key).with_user_from_subject();
    let app = connector(std::sync::Arc::new(files))?;

    println!("== The certificate names the role");
    show(&app).await?;

    println!("\n== The files are renewed: the next connection presents the new certificate");
    let issued = pki.client("app").issue()?;
    renew(&cert, issued.chain_pem(), &key, issued.key_pem())?;
    show(&app).await?;

    println!("\n== One that has expired is not even presented");
    let expired = pki.client("app").expired().issue()?;
    renew(&cert, expired.chain_pem(), &key, expired.key_pem())?;
    refused(&app, "cert-expired").await?;

    println!("\n== A key that belongs to another certificate");
    let other = pki.client("app").issue()?;
    renew(&cert, issued.chain_pem(), &key, other.key_pem())?;
    refused(&app, "cert-key-mismatch").await?;

    println!("\n== A certificate and a password");
    let issued = pki.client("careful").issue()?;
    let both = FixedCertificate::from_bytes(issued.chain_pem(), issued.key_pem(), None)?
        .with_password_from(FixedPassword::new("open sesame"))
        .with_user("careful");
    show(&connector(std::sync::Arc::new(both))?).await
}

async fn show(connector: &PgConnector) -> Result<(), Box<dyn std::error::Error>> {
    let report = connector.check().await;
    println!("{report}");
    match report.error() {
        Some(error) => Err(error.repeat().into()),
        None => Ok(()),
    }
}

async fn refused(connector: &PgConnector, code: &str) -> Result<(), Box<dyn std::error::Error>> {
    let report = connector.check().await;
    println!("{report}");
    match report.error() {
        Some(error) if error.code().name() == code => Ok(()),
        _ => Err(format!("this must fail with {code}").into()),
    }
}

/// Puts both files in place, the key for its owner only.
fn renew(cert: &Path, chain: &str, key: &Path, key_pem: &str) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(cert, chain)?;
    fs::write(key, key_pem)?;
    fs::set_permissions(key, fs::Permissions::from_mode(0o600))
}
