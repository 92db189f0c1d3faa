//! Dialling over TCP, on the loopback network.
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use pgreach_core::{DialContext, Dialed, Endpoint, Error, ErrorKind, Outcome, Stage, Transport};
use pgreach_transport_tcp::{Keepalive, Resolver, SystemResolver, TcpTransport, codes};
use support::{Scripted, context, seen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address that refuses: its port is taken by a socket that does not listen.
fn refusing() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

fn to(addresses: Vec<SocketAddr>) -> TcpTransport {
    TcpTransport::builder()
        .with_resolver(Scripted::new(move |_| addresses.clone()))
        .build()
        .unwrap()
}

async fn echo(listener: &TcpListener, mut dialled: Dialed) {
    let (mut server, _) = listener.accept().await.unwrap();
    dialled.stream.write_all(b"ping").await.unwrap();
    let mut buffer = [0; 4];
    server.read_exact(&mut buffer).await.unwrap();
    server.write_all(b"pong").await.unwrap();
    dialled.stream.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"pong");
}

#[tokio::test]
async fn a_name_is_resolved_dialled_and_pinned() {
    let (listener, address) = listen().await;
    let transport = TcpTransport::new();
    let endpoint = Endpoint::tcp("localhost", address.port());
    let cx = context();
    let dialled = transport.dial(&endpoint, &cx).await.unwrap();
    assert_eq!(dialled.address, Some(address));

    let records = cx.trace().records();
    let stages: Vec<_> = records.iter().map(|r| (r.stage, r.outcome)).collect();
    assert_eq!(
        stages,
        [
            (Stage::RESOLVE, Outcome::Passed),
            (Stage::TCP, Outcome::Passed)
        ]
    );
    let addresses = seen(&cx, Stage::RESOLVE, "addresses").join("");
    assert!(addresses.contains(&address.to_string()), "{addresses}");
    assert_eq!(seen(&cx, Stage::TCP, "address"), [address.to_string()]);
    let local = seen(&cx, Stage::TCP, "local");
    assert!(local[0].starts_with("127.0.0.1:"), "{local:?}");
    echo(&listener, dialled).await;
}

#[tokio::test]
async fn hostaddr_is_dialled_and_the_name_is_kept() {
    let (listener, address) = listen().await;
    let resolver = Scripted::new(|_| panic!("nothing is to be resolved"));
    let transport = TcpTransport::builder()
        .with_resolver(resolver)
        .build()
        .unwrap();
    for (endpoint, from) in [
        (
            Endpoint::tcp("db.example.com", address.port()).with_hostaddr(address.ip()),
            "hostaddr",
        ),
        (
            Endpoint::tcp("", address.port()).with_hostaddr(address.ip()),
            "hostaddr",
        ),
        (Endpoint::tcp("127.0.0.1", address.port()), "host"),
    ] {
        let cx = context();
        let dialled = transport.dial(&endpoint, &cx).await.unwrap();
        assert_eq!(dialled.address, Some(address));
        assert_eq!(seen(&cx, Stage::RESOLVE, "from"), [from]);
        echo(&listener, dialled).await;
    }
}

#[tokio::test]
async fn all_options_together_work_on_a_live_connection() {
    let (listener, address) = listen().await;
    let keepalive = Keepalive::default()
        .with_idle(Duration::from_secs(60))
        .with_interval(Duration::from_secs(10))
        .with_count(6);
    let mut builder = TcpTransport::builder()
        .with_keepalive(Some(keepalive))
        .with_nodelay(false);
    if cfg!(target_os = "linux") {
        builder = builder.with_tcp_user_timeout(Some(Duration::from_secs(30)));
    }
    let transport = builder.build().unwrap();
    assert_eq!(transport.keepalive(), Some(keepalive));
    assert!(!transport.nodelay());
    let endpoint = Endpoint::tcp("127.0.0.1", address.port());
    echo(
        &listener,
        transport.dial(&endpoint, &context()).await.unwrap(),
    )
    .await;
}

#[tokio::test]
async fn a_refused_address_gives_way_to_the_next() {
    let (listener, good) = listen().await;
    let (_taken, bad) = refusing();
    let cx = context();
    let endpoint = Endpoint::tcp("db", good.port());
    let dialled = to(vec![bad, good]).dial(&endpoint, &cx).await.unwrap();
    assert_eq!(dialled.address, Some(good));
    assert_eq!(
        seen(&cx, Stage::TCP, "trying"),
        [bad.to_string(), good.to_string()]
    );
    echo(&listener, dialled).await;
}

#[tokio::test]
async fn the_other_family_is_tried_second() {
    let (listener, good) = listen().await;
    let (_taken, bad) = refusing();
    let absent = SocketAddr::new("::1".parse().unwrap(), bad.port());
    let cx = context();
    let transport = to(vec![absent, absent, bad, good]);
    let dialled = transport.dial(&Endpoint::tcp("db", 1), &cx).await.unwrap();
    assert_eq!(dialled.address, Some(good));
    let tried = [absent, bad, good].map(|address| address.to_string());
    assert_eq!(seen(&cx, Stage::TCP, "trying"), tried);
    echo(&listener, dialled).await;
}

/// A listener with a full backlog: Linux drops further attempts without a word.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_address_that_does_not_answer_gives_way_to_the_next() {
    let full = TcpSocket::new_v4().unwrap();
    full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = full.listen(0).unwrap();
    let silent = full.local_addr().unwrap();
    let _only_place = tokio::net::TcpStream::connect(silent).await.unwrap();

    let (listener, good) = listen().await;
    let cx = context();
    let endpoint = Endpoint::tcp("db", good.port());
    let dialled = to(vec![silent, good]).dial(&endpoint, &cx).await.unwrap();
    assert_eq!(dialled.address, Some(good));
    assert_eq!(seen(&cx, Stage::TCP, "trying").len(), 2);
    echo(&listener, dialled).await;
}

#[tokio::test]
async fn every_address_is_named_when_all_fail() {
    let (_taken, first) = refusing();
    let (_taken_too, second) = refusing();
    let cx = context();
    let error = to(vec![first, second])
        .dial(&Endpoint::tcp("db", 5432), &cx)
        .await
        .unwrap_err();
    assert_eq!(error.code(), &codes::TCP_REFUSED);
    assert_eq!(error.stage(), Stage::TCP);
    assert_eq!(
        error.to_string(),
        format!(
            "could not connect to db:5432: {first} (connection refused), {second} (connection refused)"
        )
    );
    assert!(std::error::Error::source(&error).is_some());
    assert_eq!(cx.trace().records()[1].outcome, Outcome::Failed);
}

#[tokio::test]
async fn a_random_order_is_asked_for_by_the_context() {
    let (listener, first) = listen().await;
    let (_second_listener, second) = listen().await;
    let transport = to(vec![first, second]);
    let mut seen = std::collections::HashSet::new();
    while seen.len() < 2 {
        let cx = context().with_random_order(true);
        let dialled = transport.dial(&Endpoint::tcp("db", 1), &cx).await.unwrap();
        seen.insert(dialled.address.unwrap());
    }
    drop(listener);
}

#[tokio::test]
async fn an_answer_without_addresses_is_an_error() {
    let error = to(Vec::new())
        .dial(&Endpoint::tcp("db", 1), &context())
        .await
        .unwrap_err();
    assert_eq!(error.code(), &codes::RESOLVE_FAILED);
    assert_eq!(error.kind(), ErrorKind::Resolve);
    assert_eq!(
        error.to_string(),
        "could not translate host name \"db\" to address: it has none"
    );
}

/// A resolver of somebody else's keeps its own error.
#[tokio::test]
async fn the_resolvers_error_is_the_dials() {
    #[derive(Debug)]
    struct Broken;
    #[async_trait]
    impl Resolver for Broken {
        async fn resolve(&self, host: &str, _port: u16) -> Result<Vec<SocketAddr>, Error> {
            Err(Error::new(
                &codes::RESOLVE_FAILED,
                Stage::RESOLVE,
                format!("no such service: {host}"),
            ))
        }
    }
    let transport = TcpTransport::builder()
        .with_resolver(Broken)
        .build()
        .unwrap();
    let cx = context();
    let error = transport
        .dial(&Endpoint::tcp("db", 1), &cx)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "no such service: db");
    assert_eq!(cx.trace().records()[0].outcome, Outcome::Failed);
}

#[tokio::test]
async fn the_system_keeps_a_scope() {
    let addresses = SystemResolver.resolve("fe80::1%1", 5432).await.unwrap();
    match addresses.as_slice() {
        [SocketAddr::V6(address)] => {
            assert_eq!(address.scope_id(), 1);
            assert_eq!(address.port(), 5432);
            assert_eq!(
                IpAddr::V6(*address.ip()),
                "fe80::1".parse::<IpAddr>().unwrap()
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn settings_are_checked_when_built() {
    let keepalive = Keepalive::default().with_idle(Duration::from_millis(1));
    let error = TcpTransport::builder()
        .with_keepalive(Some(keepalive))
        .build()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert_eq!(
        error.to_string(),
        "keepalive idle time of 1ms is out of range"
    );
    assert_eq!(TcpTransport::new().keepalive(), Some(Keepalive::default()));
}

#[test]
fn the_route_is_described() {
    let transport: &dyn Transport = &TcpTransport::new();
    assert_eq!(
        transport.describe(&Endpoint::tcp("db", 5432)),
        "tcp to db:5432"
    );
    assert_eq!(
        transport.describe(&Endpoint::unix("/tmp", 5432)),
        "unix socket /tmp/.s.PGSQL.5432"
    );
}

#[tokio::test]
async fn dials_are_send() {
    fn send<T: Send>(_: &T) {}
    let (transport, cx) = (
        TcpTransport::new(),
        DialContext::new(tokio::time::Instant::now()),
    );
    let endpoint = Endpoint::tcp("", 1);
    let dial = transport.dial(&endpoint, &cx);
    send(&dial);
    assert_eq!(dial.await.unwrap_err().code(), &codes::HOST_INVALID);
}
