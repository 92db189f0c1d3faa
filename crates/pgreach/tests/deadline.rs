//! One deadline over every stage: whatever stalls, the connector says so and names the stage.
//!
//! How exactly the deadline is kept is a figure (`cargo xtask bench deadline`); here only that it is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pgreach::prelude::*;
use pgreach::tcp::Resolver;
use pgreach::{
    Connection, Credential, CredentialProvider, CredentialRequest, DialContext, Dialed,
    PgConnectorBuilder, Stage, TargetSessionAttrs, Transport,
};
use pgreach_testkit::rogue::{Peer, Rogue};
use pgreach_testkit::{Direction, Fault, FaultProxy, Pki, Postgres};

/// The deadline of the connectors that are to run into it.
const DEADLINE: Duration = Duration::from_secs(1);
/// The deadline of those that are to be told before, also by a machine that is busy.
const AMPLE: Duration = Duration::from_secs(20);
/// What a test waits before it calls it a hang.
const HANG: Duration = Duration::from_secs(30);

async fn try_connect(builder: PgConnectorBuilder, deadline: Duration) -> Result<Connection, Error> {
    let connector = builder
        .with_connect_timeout(deadline)
        .with_user("app")
        .build()
        .unwrap();
    tokio::time::timeout(HANG, connector.connect())
        .await
        .expect("it hangs")
}

async fn stage_of_timeout(builder: PgConnectorBuilder) -> Stage {
    let error = try_connect(builder, DEADLINE)
        .await
        .expect_err("it must not connect");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(error.message().contains(error.stage().as_str()), "{error}");
    error.stage()
}

#[derive(Debug)]
struct Never;

#[async_trait]
impl Resolver for Never {
    async fn resolve(&self, _: &str, _: u16) -> Result<Vec<SocketAddr>, Error> {
        pending().await
    }
}

#[async_trait]
impl CredentialProvider for Never {
    async fn credential(&self, _: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        pending().await
    }
}

const CARRIER_PIGEON: Stage = Stage::new("carrier-pigeon");

#[async_trait]
impl Transport for Never {
    async fn dial(&self, _: &Endpoint, cx: &DialContext) -> Result<Dialed, Error> {
        let _stage = cx.enter(CARRIER_PIGEON);
        pending().await
    }

    fn describe(&self, endpoint: &Endpoint) -> String {
        format!("pigeon to {endpoint}")
    }
}

/// How far a server goes before it falls silent.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Until {
    Connected,
    AgreedToTls,
    Startup,
    AskedForScram,
    Authenticated,
    Ready,
}

async fn silent_server(until: Until) -> Rogue {
    Rogue::start(move |mut peer: Peer| async move {
        if until == Until::Connected {
            peer.stall().await;
            return Ok(());
        }
        peer.read_startup().await?;
        match until {
            Until::AgreedToTls => peer.send(b"S").await?,
            Until::AskedForScram => {
                peer.ask_sasl(&["SCRAM-SHA-256"]).await?;
                peer.read_message().await?;
            }
            Until::Authenticated => peer.auth_ok().await?,
            Until::Ready => {
                peer.auth_ok().await?;
                peer.ready().await?;
            }
            Until::Connected | Until::Startup => {}
        }
        peer.stall().await;
        Ok::<_, pgreach_testkit::Error>(())
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn every_stage_can_stall_and_is_named() {
    let base = || {
        PgConnector::builder()
            .with_endpoint(Endpoint::tcp("localhost", 5432))
            .with_tls_policy(TlsPolicy::dangerous_plaintext())
    };
    let stalled_name = TcpTransport::builder()
        .with_resolver(Never)
        .build()
        .unwrap();
    assert_eq!(
        stage_of_timeout(base().with_transport(stalled_name)).await,
        Stage::RESOLVE
    );
    assert_eq!(
        stage_of_timeout(base().with_transport(Never)).await,
        CARRIER_PIGEON
    );

    for (until, tls, stage) in [
        (Until::Connected, true, Stage::TLS),
        (Until::AgreedToTls, true, Stage::TLS),
        (Until::Connected, false, Stage::AUTHENTICATION),
        (Until::Startup, false, Stage::AUTHENTICATION),
        (Until::AskedForScram, false, Stage::AUTHENTICATION),
        (Until::Authenticated, false, Stage::AUTHENTICATION),
        (Until::Ready, false, Stage::SESSION),
    ] {
        let rogue = silent_server(until).await;
        let policy = if tls {
            TlsPolicy::verify_full()
        } else {
            TlsPolicy::dangerous_plaintext()
        };
        let builder = PgConnector::builder()
            .with_endpoint(Endpoint::tcp("localhost", rogue.port()).with_hostaddr([127, 0, 0, 1]))
            .with_transport(TcpTransport::new())
            .with_credentials(FixedPassword::new("a password"))
            .with_tls(NativeTls::new())
            .with_tls_policy(policy)
            .with_target_session_attrs(TargetSessionAttrs::ReadWrite);
        assert_eq!(stage_of_timeout(builder).await, stage, "{until:?}");
    }
}

#[tokio::test]
async fn a_credential_source_that_hangs_is_named() {
    let server = Postgres::start().unwrap();
    let builder = PgConnector::builder()
        .with_endpoint(Endpoint::tcp("127.0.0.1", server.port()))
        .with_transport(TcpTransport::new())
        .with_credentials(Never)
        .with_tls_policy(TlsPolicy::dangerous_plaintext());
    assert_eq!(stage_of_timeout(builder).await, Stage::CREDENTIAL);
}

/// How long an attempt may take that is to fail with one of `kinds`.
fn until(kinds: &[ErrorKind]) -> Duration {
    match kinds {
        [ErrorKind::Timeout] => DEADLINE,
        _ => AMPLE,
    }
}

/// A real server behind a network that misbehaves, with TLS and SCRAM.
struct Faulty {
    proxy: FaultProxy,
    roots: Roots,
    _server: Postgres,
    _pki: Pki,
}

impl Faulty {
    async fn start() -> Self {
        let pki = Pki::generate().unwrap();
        let certificate = pki.server("localhost").issue().unwrap();
        let server = Postgres::builder()
            .with_tls(certificate.chain_pem(), certificate.key_pem())
            .with_hba(["hostssl all all 127.0.0.1/32 scram-sha-256"])
            .with_sql("create role app login password 'a password'")
            .start()
            .unwrap();
        let proxy = FaultProxy::start(server.addr()).await.unwrap();
        Self {
            proxy,
            roots: Roots::from_pem(pki.root_pem()),
            _server: server,
            _pki: pki,
        }
    }

    fn builder(&self) -> PgConnectorBuilder {
        let tls = NativeTls::builder()
            .with_roots(self.roots.clone())
            .build()
            .unwrap();
        PgConnector::builder()
            .with_endpoint(
                Endpoint::tcp("localhost", self.proxy.port()).with_hostaddr([127, 0, 0, 1]),
            )
            .with_transport(TcpTransport::new())
            .with_tls(tls)
            .with_credentials(FixedPassword::new("a password"))
            .with_database("postgres")
    }

    /// The bytes that a whole connection takes from the server.
    async fn whole(&self) -> u64 {
        let before = self.proxy.bytes(Direction::ToClient);
        let connector = self.builder().with_user("app").build().unwrap();
        connector.connect().await.unwrap().close().await.unwrap();
        self.proxy.bytes(Direction::ToClient) - before
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_stops_or_ends_after_any_byte_is_an_error() {
    let faulty = Faulty::start().await;
    let whole = faulty.whole().await;
    // The session is ready some bytes before the last: stay clear of the end.
    let points = (0..whole - 120).step_by(53);
    for (fault, kinds) in [
        (
            Fault::StopAfter as fn(u64) -> Fault,
            [ErrorKind::Timeout].as_slice(),
        ),
        (Fault::CloseAfter, &[ErrorKind::Closed, ErrorKind::Tls]),
    ] {
        for n in points.clone() {
            faulty.proxy.set(Direction::ToClient, fault(n));
            // A server that falls silent costs the deadline each time: a few points are enough.
            if kinds == [ErrorKind::Timeout] && n % 7 != 0 {
                continue;
            }
            let error = try_connect(faulty.builder(), until(kinds))
                .await
                .expect_err("it must not connect");
            assert!(
                kinds.contains(&error.kind()),
                "after {n} of {whole} bytes: {error}"
            );
        }
    }
    faulty.proxy.clear();
    faulty.whole().await;
}

#[tokio::test]
async fn a_network_that_drips_resets_or_swallows_is_an_error_and_one_that_slices_is_not() {
    let faulty = Faulty::start().await;
    for (direction, fault, kinds) in [
        (
            Direction::ToClient,
            Fault::Bandwidth(1),
            [ErrorKind::Timeout].as_slice(),
        ),
        (
            Direction::ToServer,
            Fault::Bandwidth(1),
            &[ErrorKind::Timeout],
        ),
        (Direction::Both, Fault::Blackhole, &[ErrorKind::Timeout]),
        (
            Direction::Both,
            Fault::Reset,
            &[ErrorKind::Closed, ErrorKind::Transport],
        ),
        (Direction::Both, Fault::Refuse, &[ErrorKind::Closed]),
    ] {
        faulty.proxy.set(direction, fault);
        let error = try_connect(faulty.builder(), until(kinds))
            .await
            .expect_err("it must not connect");
        assert!(
            kinds.contains(&error.kind()),
            "{direction:?} {fault:?}: {error}"
        );
        faulty.proxy.clear();
    }
    faulty.proxy.set(Direction::Both, Fault::Slicer(1));
    let connector = faulty.builder().with_user("app").build().unwrap();
    let connection = connector.connect().await.unwrap();
    assert_eq!(
        connection
            .query_one("select 42", &[])
            .await
            .unwrap()
            .get::<_, i32>(0),
        42
    );
}

/// A source that has a second password, too, and a route that opens once.
#[derive(Debug, Default)]
struct Twice(std::sync::atomic::AtomicUsize);

#[async_trait]
impl CredentialProvider for Twice {
    async fn credential(&self, _: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        let n = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(Arc::new(Credential::password(format!("wrong {n}"))))
    }

    fn invalidate(&self, _: &Credential) -> bool {
        true
    }
}

#[derive(Debug)]
struct Once(TcpTransport, std::sync::atomic::AtomicBool);

#[async_trait]
impl Transport for Once {
    async fn dial(&self, endpoint: &Endpoint, cx: &DialContext) -> Result<Dialed, Error> {
        if self.1.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return Never.dial(endpoint, cx).await;
        }
        self.0.dial(endpoint, cx).await
    }

    fn describe(&self, endpoint: &Endpoint) -> String {
        self.0.describe(endpoint)
    }
}

/// A refusal is what the user must see, not that a second attempt ran out of time.
#[tokio::test]
async fn a_verdict_outlives_a_second_attempt_that_stalls() {
    let rogue = Rogue::start(|mut peer: Peer| async move {
        peer.read_startup().await?;
        peer.error("28P01", "wrong password").await
    })
    .await
    .unwrap();
    let builder = PgConnector::builder()
        .with_endpoint(Endpoint::tcp("127.0.0.1", rogue.port()))
        .with_endpoint(Endpoint::tcp("127.0.0.1", rogue.port()))
        .with_transport(Once(TcpTransport::new(), false.into()))
        .with_credentials(Twice::default())
        .with_tls_policy(TlsPolicy::dangerous_plaintext());
    let error = try_connect(builder, DEADLINE).await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("28P01"), "{error}");
    // Nor is another host asked after a verdict.
    assert_eq!(rogue.connections(), 1);
}

/// What is verified is the endpoint's name, wherever the route says that it went.
#[tokio::test]
async fn a_route_has_no_say_in_what_is_verified() {
    #[derive(Debug)]
    struct Tunnel(SocketAddr);

    #[async_trait]
    impl Transport for Tunnel {
        async fn dial(&self, _: &Endpoint, _: &DialContext) -> Result<Dialed, Error> {
            let stream = tokio::net::TcpStream::connect(self.0).await.unwrap();
            Ok(Dialed::new(stream).with_address(self.0))
        }

        fn describe(&self, endpoint: &Endpoint) -> String {
            format!("tunnel to {endpoint}")
        }
    }

    let faulty = Faulty::start().await;
    let tls = NativeTls::builder()
        .with_roots(faulty.roots.clone())
        .build()
        .unwrap();
    for (host, works) in [
        ("localhost", true),
        ("elsewhere.invalid", false),
        ("127.0.0.1", false),
    ] {
        let connector = PgConnector::builder()
            .with_endpoint(Endpoint::tcp(host, 5432))
            .with_transport(Tunnel(faulty.proxy.addr()))
            .with_tls(tls.clone())
            .with_credentials(FixedPassword::new("a password"))
            .with_user("app")
            .with_database("postgres")
            .build()
            .unwrap();
        match connector.connect().await {
            Ok(connection) => {
                assert!(works, "{host}");
                assert_eq!(connection.info().endpoint().host(), host);
                connection.cancel_handle().cancel().await.unwrap();
            }
            Err(error) => assert!(!works && error.kind() == ErrorKind::Tls, "{host}: {error}"),
        }
    }
}

#[tokio::test]
async fn any_timeout_is_a_moment() {
    let server = Postgres::start().unwrap();
    let connector = PgConnector::builder()
        .with_endpoint(Endpoint::tcp("127.0.0.1", server.port()))
        .with_transport(TcpTransport::new())
        .with_tls_policy(TlsPolicy::dangerous_plaintext())
        .with_user("postgres")
        .with_connect_timeout(Duration::MAX)
        .build()
        .unwrap();
    let connection = connector.connect().await.unwrap();
    connection.cancel_handle().cancel().await.unwrap();
}
