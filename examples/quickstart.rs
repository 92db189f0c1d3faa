//! Every route and every identity that exists so far, against a PostgreSQL server that is thrown away afterwards:
//! `cargo run --example quickstart`.
//!
//! It ends with how many routes connected, and fails if one that must work does not, or if one that
//! must be refused is not.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::time::Duration;

use pgreach::azure::Cloud;
use pgreach::cert::FixedCertificate;
use pgreach::prelude::*;
use pgreach::ssh::{SshKeyPair, SshTransportBuilder};
use pgreach_testkit::entra::{OSS_RDBMS, RoleKind};
use pgreach_testkit::{Bastion, EntraGateway, FakeEntra, Pki, Postgres};

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
        .with_client_ca(pki.root_pem())
        .with_hba([
            // The gateway below.
            "host all orders 127.0.0.1/32 trust",
            "local all app scram-sha-256",
            "hostssl all app 127.0.0.1/32 scram-sha-256",
            "hostssl all robot 127.0.0.1/32 cert",
        ])
        .with_sql("create role app login password 'open sesame'")
        .with_sql("create role robot login; create role orders login")
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

    heading(
        "Two SSH servers, in this process: a bastion that takes a key, a jump host that takes a password",
    );
    let pair = SshKeyPair::generate_ed25519()?;
    let bastion = Bastion::builder().with_authorized_key(pair.public_line());
    let bastion = bastion.start().await?;
    let jump = Bastion::builder().with_password("guest", "let me through");
    let jump = jump.start().await?;
    println!(
        "bastion on port {}, jump host on port {}",
        bastion.port(),
        jump.port()
    );
    let to_bastion = hop(&bastion, bastion.user())?.with_auth(pair.key());
    let to_jump = hop(&jump, "guest")?.with_auth(SshAuth::password("let me through"));
    // The first server is dialled over TCP, each further one through the one before.
    let through = |hops: &[&SshHop]| {
        let route = SshTransport::builder(TcpTransport::for_tunnels());
        let add = |route: SshTransportBuilder, hop: &&SshHop| route.with_hop((*hop).clone());
        hops.iter().fold(route, add).build()
    };

    heading("A stand-in for Microsoft Entra, and one for Azure in front of the server");
    let entra = FakeEntra::start().await?;
    let gateway = EntraGateway::start(&entra, &server).await?;
    let principal = entra.add_application("orders", "the application's secret");
    gateway.add_role("orders", RoleKind::Service, principal.object_id());
    println!(
        "token authority {}, gateway on port {}",
        entra.authority_host(),
        gateway.port()
    );

    heading("TCP without TLS: refused, this server's pg_hba.conf has only hostssl");
    let plaintext = TlsPolicy::dangerous_plaintext();
    let plain = to(by_address.clone()).with_tls_policy(plaintext).build()?;
    refused(&plain, ErrorKind::Authentication, "sslmode=verify-full").await?;

    heading("TCP with TLS, under a name that the certificate is not for: refused");
    let wrong_name = to(by_address.clone()).build()?;
    refused(&wrong_name, ErrorKind::Tls, "db.internal").await?;

    heading("An SSH server with another host key than the one that is pinned: refused");
    let pinned = HostKeyPolicy::fingerprints([jump.host_key_fingerprint()])?;
    let forged = through(&[&to_bastion.clone().with_host_keys(pinned)])?;
    let forged = to(by_name.clone()).with_transport(forged).build()?;
    refused(&forged, ErrorKind::HostKey, "administrator").await?;

    heading("A key that the SSH server does not know: refused");
    let strange = SshKeyPair::generate_ed25519()?.key();
    let strange = through(&[&hop(&bastion, bastion.user())?.with_auth(strange)])?;
    let strange = to(by_name.clone()).with_transport(strange).build()?;
    refused(&strange, ErrorKind::SshAuth, "authorized_keys").await?;

    let tcp = to(by_name.clone()).build()?;
    let tunnel = through(&[&to_bastion])?;
    let ssh = to(by_name.clone()).with_transport(tunnel.clone()).build()?;
    let conninfo = format!(
        "host=db.internal hostaddr=127.0.0.1 port={} dbname=postgres user=app \
         password='open sesame' sslmode=verify-full sslrootcert={}",
        server.port(),
        pki.root_file().display(),
    );
    let issued = pki.client("robot").issue()?;
    let certificate = FixedCertificate::from_bytes(issued.chain_pem(), issued.key_pem(), None)?
        .with_user_from_subject();
    let secret = Secret::new("the application's secret");
    let identity = EntraIdentity::client_secret(entra.tenant(), principal.client_id(), secret);
    let scope = format!("{OSS_RDBMS}/.default");
    let tokens = EntraCredentials::builder(identity)
        .with_cloud(Cloud::custom(entra.authority_host(), scope))
        .with_root_certificate(entra.root_pem())
        .with_user("orders")
        .build()?;
    let azure_roots = Roots::from_file(entra.root_file());
    let azure_tls = NativeTls::builder().with_roots(azure_roots).build()?;
    let azure = to(Endpoint::tcp("localhost", gateway.port()))
        .with_tls(azure_tls)
        .with_credentials(tokens);

    heading("A token for a server that is encrypted and not verified: refused, and not sent");
    let require = TlsPolicy::from_sslmode(pgreach::SslMode::Require);
    let unverified = azure.clone().with_tls_policy(require).build()?;
    refused(&unverified, ErrorKind::Authentication, "verify-full").await?;

    let routes = [
        (
            "As the hint says: host is the name to verify, hostaddr the address to dial",
            tcp.clone(),
        ),
        (
            "The same as a connection string",
            pgreach::connector(&conninfo)?,
        ),
        ("A Unix socket", to(socket.clone()).build()?),
        (
            "A key, through an SSH bastion; TLS is verified inside the tunnel, end to end",
            ssh.clone(),
        ),
        (
            "A password, through an SSH jump host to the bastion",
            to(by_name.clone())
                .with_transport(through(&[&to_jump, &to_bastion])?)
                .build()?,
        ),
        (
            "A Unix socket of the bastion's",
            to(socket).with_transport(tunnel).build()?,
        ),
        (
            "A client certificate in place of a password",
            to(by_name).with_credentials(certificate).build()?,
        ),
        (
            "A Microsoft Entra token in place of a password",
            azure.build()?,
        ),
    ];
    for (title, connector) in &routes {
        heading(title);
        works(connector).await?;
    }

    heading("An address that somebody else chose, under a policy against SSRF: refused");
    let public = TcpTransport::builder().with_address_policy(AddressPolicy::public_only());
    let fenced = to(by_address).with_transport(public.build()?).build()?;
    refused(&fenced, ErrorKind::Denied, "").await?;

    heading(
        "A query, and a statement that is cancelled over the same route; then the same through SSH",
    );
    query(&tcp).await?;
    query(&ssh).await?;

    Ok(routes.len())
}

/// The way to log in to `server`, whose administrator told us the fingerprint of its host key.
fn hop(server: &Bastion, user: &str) -> Result<SshHop, Failure> {
    let pinned = HostKeyPolicy::fingerprints([server.host_key_fingerprint()])?;
    Ok(SshHop::new("127.0.0.1", user)
        .with_port(server.port())
        .with_host_keys(pinned))
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
