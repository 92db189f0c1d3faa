//! The proxy, between real sockets.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::ErrorKind;
use std::time::Duration;

use pgreach_testkit::fault::{Direction, Fault, FaultProxy};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long something that must happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long something that must not happen is waited for. Shorter makes a test blind, not wrong.
const GLANCE: Duration = Duration::from_millis(100);

struct Network {
    listener: TcpListener,
    proxy: FaultProxy,
}

impl Network {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = FaultProxy::start(listener.local_addr().unwrap())
            .await
            .unwrap();
        Self { listener, proxy }
    }

    async fn client(&self) -> TcpStream {
        TcpStream::connect(self.proxy.addr()).await.unwrap()
    }

    async fn pair(&self) -> (TcpStream, TcpStream) {
        let client = self.client().await;
        let (server, _) = within(self.listener.accept()).await.unwrap();
        (client, server)
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap()
}

async fn until(condition: impl Fn() -> bool) {
    within(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

async fn assert_nothing_comes(stream: &mut TcpStream) {
    let read = timeout(GLANCE, stream.read(&mut [0; 16])).await;
    assert!(read.is_err(), "{read:?}");
}

async fn assert_comes(stream: &mut TcpStream, expected: &[u8]) {
    let mut received = vec![0; expected.len()];
    within(stream.read_exact(&mut received)).await.unwrap();
    assert_eq!(received, expected);
}

async fn assert_ends(stream: &mut TcpStream) {
    assert_eq!(within(stream.read(&mut [0; 16])).await.unwrap(), 0);
}

async fn assert_reset(stream: &mut TcpStream) {
    let error = within(stream.read(&mut [0; 16])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn forwards_both_ways_and_half_closes() {
    let network = Network::start().await;
    let (mut client, mut server) = network.pair().await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    assert_comes(&mut server, b"question").await;
    assert_ends(&mut server).await;
    server.write_all(b"the answer").await.unwrap();
    drop(server);
    assert_comes(&mut client, b"the answer").await;
    assert_ends(&mut client).await;
    let proxy = &network.proxy;
    until(|| proxy.live() == 0).await;
    assert_eq!(proxy.connections(), 1);
    assert_eq!(proxy.bytes(Direction::ToServer), 8);
    assert_eq!(proxy.bytes(Direction::ToClient), 10);
    assert_eq!(proxy.bytes(Direction::Both), 18);
    assert_eq!(proxy.port(), proxy.addr().port());
}

#[tokio::test]
async fn large_transfers_arrive_whole_through_a_slicer() {
    let network = Network::start().await;
    network.proxy.set(Direction::Both, Fault::Slicer(1000));
    let (mut client, mut server) = network.pair().await;
    let data: Vec<u8> = (0..=255).cycle().take(3_000_001).collect();
    let sent = data.clone();
    let sending = tokio::spawn(async move {
        server.write_all(&sent).await.unwrap();
    });
    let mut received = Vec::new();
    within(client.read_to_end(&mut received)).await.unwrap();
    assert!(received == data, "{} bytes", received.len());
    sending.await.unwrap();
}

#[tokio::test]
async fn a_black_hole_holds_live_connections_until_it_is_cleared() {
    let network = Network::start().await;
    let (mut client, mut server) = network.pair().await;
    network.proxy.set(Direction::Both, Fault::Blackhole);
    client.write_all(b"up").await.unwrap();
    server.write_all(b"down").await.unwrap();
    server.shutdown().await.unwrap();
    assert_nothing_comes(&mut server).await;
    assert_nothing_comes(&mut client).await;
    assert_eq!(network.proxy.bytes(Direction::Both), 0);
    network.proxy.clear();
    assert_comes(&mut server, b"up").await;
    assert_comes(&mut client, b"down").await;
    assert_ends(&mut client).await;
}

#[tokio::test]
async fn a_black_hole_accepts_new_connections() {
    let network = Network::start().await;
    network.proxy.set(Direction::Both, Fault::Blackhole);
    let mut client = network.client().await;
    client.write_all(b"hello").await.unwrap();
    until(|| network.proxy.live() == 1).await;
    assert_nothing_comes(&mut client).await;
    network.proxy.clear();
    let (mut server, _) = within(network.listener.accept()).await.unwrap();
    assert_comes(&mut server, b"hello").await;
}

#[tokio::test]
async fn a_fault_leaves_the_other_direction_alone() {
    let network = Network::start().await;
    network.proxy.set(Direction::ToClient, Fault::Blackhole);
    let (mut client, mut server) = network.pair().await;
    client.write_all(b"up").await.unwrap();
    assert_comes(&mut server, b"up").await;
    server.write_all(b"down").await.unwrap();
    assert_nothing_comes(&mut client).await;
}

#[tokio::test]
async fn resets_live_and_new_connections() {
    let network = Network::start().await;
    let (mut client, mut server) = network.pair().await;
    network.proxy.set(Direction::Both, Fault::Reset);
    assert_reset(&mut client).await;
    assert_reset(&mut server).await;
    // The reset may come before the connect call has returned.
    match TcpStream::connect(network.proxy.addr()).await {
        Ok(mut client) => assert_reset(&mut client).await,
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    until(|| network.proxy.live() == 0).await;
    assert_eq!(network.proxy.connections(), 2);
    network.proxy.clear();
    let (mut client, mut server) = network.pair().await;
    client.write_all(b"again").await.unwrap();
    assert_comes(&mut server, b"again").await;
}

#[tokio::test]
async fn a_reset_of_one_direction_closes_the_other() {
    let network = Network::start().await;
    let (mut client, mut server) = network.pair().await;
    network.proxy.set(Direction::ToClient, Fault::Reset);
    assert_reset(&mut client).await;
    assert_ends(&mut server).await;
}

#[tokio::test]
async fn a_reset_is_forwarded() {
    let network = Network::start().await;
    let (mut client, server) = network.pair().await;
    socket2::SockRef::from(&server)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(server);
    assert_reset(&mut client).await;
    until(|| network.proxy.live() == 0).await;
}

#[tokio::test]
async fn an_absent_server_is_a_reset() {
    let Network { listener, proxy } = Network::start().await;
    drop(listener);
    match TcpStream::connect(proxy.addr()).await {
        Ok(mut client) => assert_reset(&mut client).await,
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
}

#[tokio::test]
async fn stops_after_so_many_bytes_of_each_connection() {
    let network = Network::start().await;
    network.proxy.set(Direction::ToClient, Fault::StopAfter(3));
    for _ in 0..2 {
        let (mut client, mut server) = network.pair().await;
        server.write_all(b"abcdef").await.unwrap();
        server.shutdown().await.unwrap();
        assert_comes(&mut client, b"abc").await;
        assert_nothing_comes(&mut client).await;
        client.write_all(b"still here").await.unwrap();
        assert_comes(&mut server, b"still here").await;
    }
    assert_eq!(network.proxy.bytes(Direction::ToClient), 6);
    network.proxy.set(Direction::ToClient, Fault::StopAfter(0));
    let (mut client, mut server) = network.pair().await;
    server.write_all(b"abcdef").await.unwrap();
    assert_nothing_comes(&mut client).await;
    network.proxy.clear();
    assert_comes(&mut client, b"abcdef").await;
}

#[tokio::test]
async fn closes_after_so_many_bytes() {
    let network = Network::start().await;
    network.proxy.set(Direction::ToClient, Fault::CloseAfter(2));
    let (mut client, mut server) = network.pair().await;
    server.write_all(b"abcdef").await.unwrap();
    assert_comes(&mut client, b"ab").await;
    assert_ends(&mut client).await;
    client.write_all(b"up").await.unwrap();
    assert_comes(&mut server, b"up").await;
    drop((client, server));
    until(|| network.proxy.live() == 0).await;

    network.proxy.set(Direction::ToClient, Fault::CloseAfter(0));
    let (mut client, _server) = network.pair().await;
    assert_ends(&mut client).await;
}

#[tokio::test]
async fn refuses_new_connections_only() {
    let network = Network::start().await;
    let (mut client, mut server) = network.pair().await;
    network.proxy.set(Direction::Both, Fault::Refuse);
    let mut refused = network.client().await;
    assert_ends(&mut refused).await;
    client.write_all(b"live").await.unwrap();
    assert_comes(&mut server, b"live").await;
    assert_eq!((network.proxy.connections(), network.proxy.live()), (2, 1));
}

#[tokio::test]
async fn everything_ends_with_the_proxy() {
    let network = Network::start().await;
    let (mut client, mut server) = network.pair().await;
    let addr = network.proxy.addr();
    drop(network.proxy);
    assert_ends(&mut client).await;
    assert_ends(&mut server).await;
    let error = TcpStream::connect(addr).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}
