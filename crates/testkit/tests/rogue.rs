//! The scripted server, against real sockets.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use pgreach_testkit::Error;
use pgreach_testkit::rogue::{Peer, Rogue, Startup};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long something that must happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap()
}

async fn connect(rogue: &Rogue) -> TcpStream {
    TcpStream::connect(rogue.addr()).await.unwrap()
}

fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap();
    [&length.to_be_bytes(), &code.to_be_bytes(), body].concat()
}

async fn read_all(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut received = Vec::new();
    within(stream.read_to_end(&mut received)).await.unwrap();
    received
}

/// What a script reads when a client sends this and stops.
async fn startup_of(sent: &[u8]) -> Result<Startup, Error> {
    let (results, mut seen) = mpsc::unbounded_channel();
    let rogue = Rogue::start(move |mut peer: Peer| {
        let results = results.clone();
        async move {
            results.send(peer.read_startup().await).unwrap();
        }
    })
    .await
    .unwrap();
    let mut client = connect(&rogue).await;
    client.write_all(sent).await.unwrap();
    client.shutdown().await.unwrap();
    within(seen.recv()).await.unwrap()
}

#[tokio::test]
async fn reads_each_first_packet() {
    assert_eq!(startup_of(&SSL_REQUEST).await.unwrap(), Startup::SslRequest);
    let cancel = packet(80_877_102, b"\0\0\x01\x02secret key");
    assert_eq!(
        startup_of(&cancel).await.unwrap(),
        Startup::CancelRequest {
            pid: 258,
            key: b"secret key".to_vec()
        }
    );
    let parameters =
        [("user", "ann"), ("database", "")].map(|(name, value)| (name.into(), value.into()));
    assert_eq!(
        startup_of(&packet(3 << 16, b"user\0ann\0database\0\0\0"))
            .await
            .unwrap(),
        Startup::Startup(parameters.to_vec())
    );
}

#[tokio::test]
async fn other_first_packets_are_kept_whole() {
    let others = [
        // Not terminated, too short for a cancellation, an SSLRequest with something in it, the
        // old protocol, a GSSENCRequest.
        packet(3 << 16, b"user\0ann\0"),
        packet(80_877_102, b"\0\0"),
        packet(80_877_103, b"x"),
        packet(2 << 16, b""),
        packet(80_877_104, b""),
    ];
    for other in others {
        assert_eq!(startup_of(&other).await.unwrap(), Startup::Other(other));
    }
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01";
    assert_eq!(
        startup_of(hello).await.unwrap(),
        Startup::Other(hello.to_vec())
    );
    assert!(matches!(
        startup_of(&SSL_REQUEST[..5]).await,
        Err(Error::Network { .. })
    ));
}

#[tokio::test]
async fn sends_what_the_protocol_says() {
    let rogue = Rogue::start(|mut peer: Peer| async move {
        peer.auth_ok().await?;
        peer.ask_cleartext().await?;
        peer.ask_md5().await?;
        peer.ask_sasl(&["SCRAM-SHA-256", "X"]).await?;
        peer.sasl_continue(b"c").await?;
        peer.sasl_final(b"f").await?;
        peer.ask_code(7).await?;
        peer.error("28P01", "no").await?;
        peer.parameter("a", "b").await?;
        peer.key_data(1, b"keys").await?;
        peer.ready().await?;
        peer.send_message(b'N', b"\0").await?;
        peer.send(b"raw").await?;
        Ok(())
    })
    .await
    .unwrap();
    let expected: [&[u8]; 13] = [
        b"R\0\0\0\x08\0\0\0\0",
        b"R\0\0\0\x08\0\0\0\x03",
        b"R\0\0\0\x0c\0\0\0\x05salt",
        b"R\0\0\0\x19\0\0\0\x0aSCRAM-SHA-256\0X\0\0",
        b"R\0\0\0\x09\0\0\0\x0bc",
        b"R\0\0\0\x09\0\0\0\x0cf",
        b"R\0\0\0\x08\0\0\0\x07",
        b"E\0\0\0\x1eSFATAL\0VFATAL\0C28P01\0Mno\0\0",
        b"S\0\0\0\x08a\0b\0",
        b"K\0\0\0\x0c\0\0\0\x01keys",
        b"Z\0\0\0\x05I",
        b"N\0\0\0\x05\0",
        b"raw",
    ];
    assert_eq!(read_all(connect(&rogue).await).await, expected.concat());
    within(rogue.finished()).await.unwrap();
}

#[tokio::test]
async fn a_client_of_the_driver_gets_in() {
    let rogue = Rogue::start(|mut peer: Peer| async move {
        assert!(matches!(peer.read_startup().await?, Startup::Startup(_)));
        peer.ask_cleartext().await?;
        assert_eq!(
            peer.read_message().await?,
            Some((b'p', b"hunter2\0".to_vec()))
        );
        peer.auth_ok().await?;
        peer.parameter("server_version", "99.1").await?;
        peer.key_data(1, b"keys").await?;
        peer.ready().await?;
        peer.drain().await
    })
    .await
    .unwrap();
    let mut config = tokio_postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(rogue.port())
        .user("ann")
        .password("hunter2");
    let (client, connection) = within(config.connect(tokio_postgres::NoTls)).await.unwrap();
    assert_eq!(connection.parameter("server_version"), Some("99.1"));
    drop(client);
    within(connection).await.unwrap();
    within(rogue.finished()).await.unwrap();
    assert!(rogue.has_received(b"hunter2"));
    assert!(!rogue.has_received(b"hunter3"));
}

#[tokio::test]
async fn messages_end_with_the_client() {
    let rogue = Rogue::start(|mut peer: Peer| async move {
        assert_eq!(
            peer.read_message().await.unwrap(),
            Some((b'Q', b"x\0".to_vec()))
        );
        assert_eq!(peer.read_message().await.unwrap(), Some((b'S', Vec::new())));
        assert_eq!(peer.read_message().await.unwrap(), None);
        assert_eq!(peer.received(), b"Q\0\0\0\x06x\0S\0\0\0\x04");
    })
    .await
    .unwrap();
    let mut client = connect(&rogue).await;
    client
        .write_all(b"Q\0\0\0\x06x\0S\0\0\0\x04")
        .await
        .unwrap();
    drop(client);
    within(rogue.finished()).await.unwrap();
}

#[tokio::test]
async fn an_impossible_length_is_an_error() {
    let rogue = Rogue::start(|mut peer: Peer| async move {
        let error = peer.read_message().await.unwrap_err();
        assert!(matches!(error, Error::Protocol(_)), "{error}");
    })
    .await
    .unwrap();
    for length in [3u32, u32::MAX] {
        let mut client = connect(&rogue).await;
        client.write_all(b"Q").await.unwrap();
        client.write_all(&length.to_be_bytes()).await.unwrap();
        assert_eq!(read_all(client).await, b"");
    }
    within(rogue.finished()).await.unwrap();
    assert_eq!(rogue.connections(), 2);
}

#[tokio::test]
async fn a_panic_in_a_script_is_reported() {
    let rogue = Rogue::start(|mut peer: Peer| async move {
        assert_eq!(peer.read_message().await?, Some((b'X', Vec::new())));
        Ok(())
    })
    .await
    .unwrap();
    drop(connect(&rogue).await);
    let error = within(rogue.finished()).await.unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
}

#[tokio::test]
async fn counts_connections_and_joins_what_they_sent() {
    let rogue = Rogue::start(|mut peer: Peer| async move {
        let mut word = [0; 3];
        peer.raw().read_exact(&mut word).await.unwrap();
        peer.send([b'0' + u8::try_from(peer.index()).unwrap()])
            .await?;
        peer.close().await
    })
    .await
    .unwrap();
    assert_eq!(rogue.connections(), 0);
    for (word, answer) in [(b"one", b"0"), (b"two", b"1")] {
        let mut client = connect(&rogue).await;
        client.write_all(word).await.unwrap();
        within(rogue.wait_received(word)).await;
        assert_eq!(read_all(client).await, answer);
    }
    assert_eq!(rogue.received(), b"onetwo");
    assert_eq!(rogue.connections(), 2);
}

#[tokio::test]
async fn a_stall_holds_until_the_server_is_dropped() {
    let rogue = Rogue::start(|mut peer: Peer| async move {
        peer.send(b"x").await?;
        peer.stall().await;
        Ok(())
    })
    .await
    .unwrap();
    let mut client = connect(&rogue).await;
    assert_eq!(within(client.read_u8()).await.unwrap(), b'x');
    // Shorter makes this blind, not wrong.
    let read = timeout(Duration::from_millis(100), client.read_u8()).await;
    assert!(read.is_err(), "{read:?}");
    let addr = rogue.addr();
    drop(rogue);
    assert_eq!(read_all(client).await, b"");
    TcpStream::connect(addr).await.unwrap_err();
}

/// A certificate for localhost and its key, both as PEM.
fn certificate() -> (String, String) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (certified.cert.pem(), certified.signing_key.serialize_pem())
}

async fn client_tls(tcp: TcpStream, trusted: &str) -> impl AsyncRead + AsyncWrite + Unpin {
    let connector = native_tls::TlsConnector::builder()
        .add_root_certificate(native_tls::Certificate::from_pem(trusted.as_bytes()).unwrap())
        .build()
        .unwrap();
    let connector = tokio_native_tls::TlsConnector::from(connector);
    within(connector.connect("localhost", tcp)).await.unwrap()
}

#[tokio::test]
async fn asks_for_things_within_tls() {
    let (chain, key) = certificate();
    let trusted = chain.clone();
    let rogue = Rogue::start(move |mut peer: Peer| {
        let (chain, key) = (chain.clone(), key.clone());
        async move {
            assert_eq!(peer.read_startup().await?, Startup::SslRequest);
            peer.accept_tls(chain, key).await?;
            peer.ask_cleartext().await?;
            assert_eq!(peer.read_message().await?, Some((b'p', b"pw\0".to_vec())));
            peer.close().await
        }
    })
    .await
    .unwrap();
    let mut tcp = connect(&rogue).await;
    tcp.write_all(&SSL_REQUEST).await.unwrap();
    assert_eq!(within(tcp.read_u8()).await.unwrap(), b'S');
    let mut tls = client_tls(tcp, &trusted).await;
    tls.write_all(b"p\0\0\0\x07pw\0").await.unwrap();
    tls.flush().await.unwrap();
    assert_eq!(read_all(tls).await, b"R\0\0\0\x08\0\0\0\x03");
    within(rogue.finished()).await.unwrap();
    // Nothing of the handshake, and what was encrypted in the clear.
    assert_eq!(
        rogue.received(),
        [&SSL_REQUEST[..], b"p\0\0\0\x07pw\0"].concat()
    );
}

#[tokio::test]
async fn a_failed_handshake_is_reported() {
    let (chain, key) = certificate();
    let rogue = Rogue::start(move |mut peer: Peer| {
        let (chain, key) = (chain.clone(), key.clone());
        async move {
            let error = peer.handshake_tls(chain, key).await.unwrap_err();
            assert!(error.to_string().contains("handshake"), "{error}");
        }
    })
    .await
    .unwrap();
    let mut client = connect(&rogue).await;
    client
        .write_all(b"this is no ClientHello at all")
        .await
        .unwrap();
    client.shutdown().await.unwrap();
    within(rogue.finished()).await.unwrap();
}
