//! Several hosts, and which session is acceptable, with a real standby.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use common::connector;
use pgreach::prelude::*;
use pgreach::{Credential, CredentialProvider, CredentialRequest};
use pgreach_testkit::rogue::{Peer, Rogue};
use pgreach_testkit::{Postgres, servers};

/// The port of the server that it connects to.
async fn lands_on(conninfo: &str) -> Result<u16, Error> {
    let connection = connector(conninfo)?.connect().await?;
    let port = connection.info().endpoint().port();
    // The client that it says it is, is the one that answers.
    let row = connection.query_one("show port", &[]).await?;
    assert_eq!(row.get::<_, &str>(0), port.to_string());
    connection.close().await?;
    Ok(port)
}

/// A port that nobody listens on: bound and not listening, so that nobody else gets it.
fn closed_port() -> (socket2::Socket, u16) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: std::net::SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    socket.bind(&any.into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    (socket, port)
}

#[tokio::test]
async fn target_session_attrs_choose_the_server() {
    for binaries in servers::for_tests().unwrap() {
        let primary = Postgres::builder()
            .with_version(binaries.major())
            .start()
            .unwrap();
        let standby = primary.standby().unwrap();
        // A primary whose sessions are read-only all the same.
        let quiet = Postgres::builder()
            .with_version(binaries.major())
            .with_setting("default_transaction_read_only", "on")
            .start()
            .unwrap();
        let (p, s, q) = (primary.port(), standby.port(), quiet.port());
        let table: &[(&str, &[u16], Option<u16>)] = &[
            ("any", &[p, s], Some(p)),
            ("any", &[s, p], Some(s)),
            ("read-write", &[s, q, p], Some(p)),
            ("read-write", &[s, q], None),
            ("read-only", &[p, s], Some(s)),
            ("read-only", &[p, q], Some(q)),
            ("read-only", &[p], None),
            ("primary", &[s, p], Some(p)),
            ("primary", &[s, q], Some(q)),
            ("primary", &[s], None),
            ("standby", &[p, s], Some(s)),
            ("standby", &[p, q], None),
            ("prefer-standby", &[p, s], Some(s)),
            ("prefer-standby", &[p, q], Some(p)),
        ];
        for (attrs, ports, want) in table {
            let hosts = vec!["127.0.0.1"; ports.len()].join(",");
            let list: Vec<String> = ports.iter().map(ToString::to_string).collect();
            let conninfo = format!(
                "host={hosts} port={} user=postgres target_session_attrs={attrs}",
                list.join(",")
            );
            let case = format!(
                "{attrs} of {ports:?} (p {p}, s {s}, q {q}) on {}",
                primary.version()
            );
            match (lands_on(&conninfo).await, want) {
                (Ok(port), Some(want)) => assert_eq!(port, *want, "{case}"),
                (Err(error), None) => {
                    assert_eq!(error.code().name(), "session-attrs", "{case}: {error}");
                    assert_eq!(error.kind(), ErrorKind::Database, "{case}");
                    assert!(error.message().contains(attrs), "{case}: {error}");
                }
                (got, _) => panic!("{case}: {got:?}"),
            }
        }
    }
}

#[tokio::test]
async fn the_next_host_is_tried_unless_a_server_gave_its_verdict() {
    let good = Postgres::start().unwrap();
    let picky = Postgres::builder()
        .with_hba(["host all all all reject"])
        .start()
        .unwrap();
    let (_held, closed) = closed_port();
    // Accepted by the system, and never answered.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let g = good.port();
    let base = "user=postgres sslmode=disable connect_timeout=1";

    for (what, host, port) in [
        ("refused", "127.0.0.1", closed),
        ("unknown name", "no-such-host.invalid", 5432),
        ("silent", "127.0.0.1", silent_port),
        ("no socket", "/nowhere", 5432),
    ] {
        let conninfo = format!("host={host},127.0.0.1 port={port},{g} {base}");
        assert_eq!(lands_on(&conninfo).await.unwrap(), g, "{what}");
    }

    let conninfo = format!("host=127.0.0.1,127.0.0.1 port={},{g} {base}", picky.port());
    let error = lands_on(&conninfo).await.unwrap_err();
    assert_eq!(error.code().name(), "auth-hba", "{error}");

    // Every failure is named, in one line.
    let conninfo = format!("host=127.0.0.1,no-such-host.invalid port={closed},5432 {base}");
    let error = lands_on(&conninfo).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resolve);
    assert!(error.message().contains(&closed.to_string()), "{error}");
    assert!(error.message().contains("no-such-host.invalid"), "{error}");
}

#[tokio::test]
async fn random_order_reaches_every_host_and_every_address() {
    let servers: Vec<Postgres> = (0..3).map(|_| Postgres::start().unwrap()).collect();
    let ports: Vec<String> = servers
        .iter()
        .map(|server| server.port().to_string())
        .collect();
    let conninfo = format!(
        "host=127.0.0.1,127.0.0.1,127.0.0.1 port={} user=postgres sslmode=disable load_balance_hosts=random",
        ports.join(",")
    );
    let mut seen = BTreeSet::new();
    // The chance that one of three stays unseen in 200 tries is below 1e-34.
    for _ in 0..200 {
        seen.insert(lands_on(&conninfo).await.unwrap());
        if seen.len() == servers.len() {
            return;
        }
    }
    panic!("only {seen:?} of {ports:?} were reached");
}

/// What the first host's server says before it closes, and whether the second host is asked.
#[tokio::test]
async fn what_a_server_says_decides_whether_the_next_one_is_asked() {
    let good = Postgres::start().unwrap();
    for (says, next) in [
        ("57P03", true),
        ("", true),
        ("28000", false),
        ("53300", false),
        ("3D000", false),
        ("not PostgreSQL", false),
    ] {
        let rogue = Rogue::start(move |mut peer: Peer| async move {
            peer.read_startup().await?;
            match says {
                "" => peer.close().await,
                "not PostgreSQL" => peer.send(says).await,
                state => peer.error(state, "no").await,
            }
        })
        .await
        .unwrap();
        let conninfo = format!(
            "host=127.0.0.1,127.0.0.1 port={},{} user=postgres sslmode=disable",
            rogue.port(),
            good.port()
        );
        let landed = lands_on(&conninfo).await;
        assert_eq!(landed.is_ok(), next, "{says:?}: {landed:?}");
    }
}

/// A refusal is final, even if a further attempt at the same host breaks: no other host sees the
/// credential, and the user sees the refusal.
#[tokio::test]
async fn a_verdict_is_final_though_another_attempt_breaks() {
    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    #[async_trait]
    impl CredentialProvider for Counting {
        async fn credential(&self, _: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
            let n = self.0.fetch_add(1, Ordering::Relaxed);
            Ok(Arc::new(Credential::password(format!("wrong {n}"))))
        }

        fn invalidate(&self, _: &Credential) -> bool {
            true
        }
    }

    let rogue = Rogue::start(|mut peer: Peer| async move {
        peer.read_startup().await?;
        if peer.index() == 0 {
            peer.error("28P01", "wrong password").await
        } else {
            peer.close().await
        }
    })
    .await
    .unwrap();
    let good = Postgres::start().unwrap();
    let connector = PgConnector::builder()
        .with_transport(TcpTransport::new())
        .with_endpoint(Endpoint::tcp("127.0.0.1", rogue.port()))
        .with_endpoint(Endpoint::tcp("127.0.0.1", good.port()))
        .with_tls_policy(TlsPolicy::dangerous_plaintext())
        .with_user("postgres")
        .with_credentials(Counting::default())
        .build()
        .unwrap();
    let error = connector.connect().await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("28P01"), "{error}");
    assert_eq!(rogue.connections(), 2);
}
