//! A dial that is dropped half-way leaves nothing behind. Alone in its file, hence its own process:
//! it counts the process's sockets.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;

use pgreach_core::{Endpoint, Outcome, Stage, Transport};
use pgreach_transport_tcp::TcpTransport;
use support::{Scripted, context, seen};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

fn sockets() -> usize {
    std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

/// An address that never answers: its backlog is full.
async fn silent() -> (TcpListener, TcpStream, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let only_place = TcpStream::connect(address).await.unwrap();
    (listener, only_place, address)
}

#[tokio::test]
async fn sockets_and_tasks_are_gone() {
    let (first, second, third) = (silent().await, silent().await, silent().await);
    let addresses = vec![first.2, second.2, third.2];
    let transport = TcpTransport::builder()
        .with_resolver(Scripted::new(move |_| addresses.clone()))
        .build()
        .unwrap();
    let endpoint = Endpoint::tcp("db", 5432);
    let before = sockets();
    let tasks = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();

    let cx = context();
    {
        let mut dial = pin!(transport.dial(&endpoint, &cx));
        // Until the second attempt is under way; its delay wakes this.
        std::future::poll_fn(|task| {
            assert!(dial.as_mut().poll(task).is_pending());
            if seen(&cx, Stage::TCP, "trying").len() >= 2 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        assert!(sockets() >= before + 2, "the attempts are under way");
    }
    assert_eq!(sockets(), before);
    let metrics = tokio::runtime::Handle::current().metrics();
    assert_eq!(metrics.num_alive_tasks(), tasks);
    let last = cx.trace().records().pop().unwrap();
    assert_eq!((last.stage, last.outcome), (Stage::TCP, Outcome::CutOff));
}
