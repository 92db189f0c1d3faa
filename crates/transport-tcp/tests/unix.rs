//! Unix-domain sockets.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use nix::unistd::{Uid, User};
use pgreach_core::{DialContext, Endpoint, Error, ErrorKind, Stage, Transport};
use pgreach_transport_tcp::{AddressPolicy, TcpTransport, codes};
use support::{context, seen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::time::Instant;

fn listen(directory: &Path) -> (UnixListener, Endpoint) {
    let endpoint = Endpoint::unix(directory, 5432);
    let listener = UnixListener::bind(endpoint.socket_path().unwrap()).unwrap();
    (listener, endpoint)
}

fn requiring(user: &str) -> TcpTransport {
    TcpTransport::builder()
        .with_requirepeer(user)
        .build()
        .unwrap()
}

fn me() -> User {
    User::from_uid(Uid::effective()).unwrap().unwrap()
}

async fn refused(transport: &TcpTransport, endpoint: &Endpoint) -> Error {
    transport.dial(endpoint, &context()).await.unwrap_err()
}

#[tokio::test]
async fn a_socket_is_dialled() {
    let directory = tempfile::tempdir().unwrap();
    let (listener, endpoint) = listen(directory.path());
    let cx = context();
    let mut dialled = TcpTransport::new().dial(&endpoint, &cx).await.unwrap();
    assert_eq!(dialled.address, None);
    let path = endpoint.socket_path().unwrap();
    assert_eq!(
        seen(&cx, Stage::TCP, "socket"),
        [path.display().to_string()]
    );

    let (mut server, _) = listener.accept().await.unwrap();
    dialled.stream.write_all(b"ping").await.unwrap();
    drop(dialled);
    let mut received = String::new();
    server.read_to_string(&mut received).await.unwrap();
    assert_eq!(received, "ping");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_abstract_socket_is_dialled() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};

    let name = format!("pgreach-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(format!("{name}/.s.PGSQL.5432")).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    let endpoint = Endpoint::unix(format!("@{name}"), 5432);
    let dialled = requiring(&me().name).dial(&endpoint, &context()).await;
    assert!(dialled.is_ok(), "{dialled:?}");
    listener.accept().unwrap();

    let error = refused(&TcpTransport::new(), &Endpoint::unix(format!("@{name}"), 1)).await;
    assert_eq!(error.code(), &codes::SOCKET_REFUSED, "{error}");
}

#[tokio::test]
async fn the_right_peer_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let (_listener, endpoint) = listen(directory.path());
    let cx = context();
    requiring(&me().name).dial(&endpoint, &cx).await.unwrap();
    assert_eq!(
        seen(&cx, Stage::TCP, "peer uid"),
        [Uid::effective().to_string()]
    );
    // An empty name asks for nothing, as in libpq.
    requiring("").dial(&endpoint, &context()).await.unwrap();
}

#[tokio::test]
async fn another_peer_is_refused_and_both_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let (listener, endpoint) = listen(directory.path());
    // Whoever runs this test, one of the two is somebody else.
    let other = ["root", "nobody"]
        .into_iter()
        .find(|name| *name != me().name)
        .unwrap();
    let error = refused(&requiring(other), &endpoint).await;
    assert_eq!(error.code(), &codes::PEER_MISMATCH);
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.message().contains(&format!("\"{other}\"")), "{error}");
    assert!(
        error.message().contains(&format!("\"{}\"", me().name)),
        "{error}"
    );

    // Nothing was said to it.
    let (mut server, _) = listener.accept().await.unwrap();
    assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
}

#[tokio::test]
async fn an_unknown_user_is_an_error_and_nobody_is_dialled() {
    let directory = tempfile::tempdir().unwrap();
    let (listener, endpoint) = listen(directory.path());
    for user in ["no-such-user-here", "root\0", "\n"] {
        let error = refused(&requiring(user), &endpoint).await;
        assert_eq!(error.code(), &codes::REQUIREPEER_USER);
        assert!(error.message().contains("there is no such user"), "{error}");
    }
    let listener = listener.into_std().unwrap();
    let error = listener.accept().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn requirepeer_is_not_for_tcp() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let endpoint = Endpoint::tcp("127.0.0.1", port);
    let transport = requiring("no-such-user-here");
    transport.dial(&endpoint, &context()).await.unwrap();
}

#[tokio::test]
async fn a_policy_that_restricts_forbids_sockets() {
    let directory = tempfile::tempdir().unwrap();
    let (_listener, endpoint) = listen(directory.path());
    let network: pgreach_transport_tcp::IpNet = "10.0.0.0/8".parse().unwrap();
    let restricting = [
        AddressPolicy::public_only(),
        AddressPolicy::public_only().with_allowed(network),
        AddressPolicy::only([network]),
        AddressPolicy::allow_all().with_denied(network),
    ];
    for policy in restricting {
        let with = |policy| {
            TcpTransport::builder()
                .with_address_policy(policy)
                .build()
                .unwrap()
        };
        let error = refused(&with(policy.clone()), &endpoint).await;
        assert_eq!(error.code(), &codes::SOCKET_DENIED);
        let transport = with(policy.allow_unix_sockets());
        transport.dial(&endpoint, &context()).await.unwrap();
    }
}

#[tokio::test]
async fn failures_say_what_to_look_at() {
    let directory = tempfile::tempdir().unwrap();
    let transport = TcpTransport::new();

    let missing = Endpoint::unix(directory.path().join("nowhere"), 5432);
    let error = refused(&transport, &missing).await;
    assert_eq!(error.code(), &codes::SOCKET_MISSING);
    assert_eq!(
        error.hint(),
        "is the server running locally and accepting connections on that socket?"
    );
    assert!(error.message().contains(".s.PGSQL.5432"), "{error}");

    let (listener, stale) = listen(directory.path());
    drop(listener);
    let error = refused(&transport, &stale).await;
    assert_eq!(error.code(), &codes::SOCKET_REFUSED);

    let long = Endpoint::unix("/tmp/".to_owned() + &"x".repeat(200), 5432);
    for wrong in [long, Endpoint::unix("/tmp/\0", 5432)] {
        let error = refused(&transport, &wrong).await;
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(!error.message().contains('\0'));
    }

    // The superuser may connect to anything.
    if !Uid::effective().is_root() {
        let (_listener, closed) = {
            let inner = directory.path().join("closed");
            std::fs::create_dir(&inner).unwrap();
            let pair = listen(&inner);
            std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(0o000)).unwrap();
            pair
        };
        let error = refused(&transport, &closed).await;
        assert_eq!(error.code(), &codes::SOCKET_PERMISSION);
    }
}

/// Linux answers `EAGAIN` when the backlog is full, where it would make a blocking client wait.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_backlog_is_waited_out() {
    use socket2::{Domain, SockAddr, Socket, Type};

    let directory = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::unix(directory.path(), 5432);
    let path = endpoint.socket_path().unwrap();
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    socket.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    let transport = TcpTransport::new();
    let first = transport.dial(&endpoint, &context()).await.unwrap();

    let past = DialContext::new(Instant::now());
    let error = transport.dial(&endpoint, &past).await.unwrap_err();
    assert_eq!(error.code(), &codes::SOCKET_FAILED);
    assert!(
        error.message().contains("queue of connections is full"),
        "{error}"
    );

    let cx = context();
    let mut second = std::pin::pin!(transport.dial(&endpoint, &cx));
    let waited = tokio::time::timeout(Duration::from_millis(50), second.as_mut()).await;
    assert!(waited.is_err(), "there is no place yet");
    let (_server, _) = socket.accept().unwrap();
    second.await.unwrap();
    drop(first);
}
