//! Names that stand for more addresses than anybody needs.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use pgreach_core::{Endpoint, ErrorKind, Stage, Transport};
use pgreach_transport_tcp::{AddressPolicy, IpNet, TcpTransport, codes};
use support::{Scripted, context, seen};
use tokio::net::{TcpListener, TcpSocket};

/// A socket that takes its port on all IPv4 addresses, and does not listen.
fn refusing() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("0.0.0.0:0".parse().unwrap()).unwrap();
    socket
}

/// 4,000 addresses on the loopback network, all of which Linux answers for.
fn many(port: u16) -> Vec<SocketAddr> {
    (1..=4000)
        .map(|n| {
            let address = Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 0).to_bits() + n);
            SocketAddr::from((address, port))
        })
        .collect()
}

fn to(addresses: Vec<SocketAddr>, policy: AddressPolicy) -> TcpTransport {
    TcpTransport::builder()
        .with_resolver(Scripted::new(move |_| addresses.clone()))
        .with_address_policy(policy)
        .build()
        .unwrap()
}

#[tokio::test]
async fn some_are_dialled_and_few_are_listed() {
    let taken = refusing();
    let port = taken.local_addr().unwrap().port();
    let cx = context();
    let error = to(many(port), AddressPolicy::allow_all())
        .dial(&Endpoint::tcp("db", port), &cx)
        .await
        .unwrap_err();
    assert_eq!(error.code(), &codes::TCP_REFUSED);
    assert_eq!(seen(&cx, Stage::TCP, "trying").len(), 32);
    assert_eq!(seen(&cx, Stage::TCP, "left out"), ["3968 addresses"]);
    let addresses = seen(&cx, Stage::RESOLVE, "addresses").join("");
    let all = [addresses.as_str(), error.message()];
    for (text, end) in all.iter().zip([", and 3992 more", ", and 24 more"]) {
        assert!(text.ends_with(end), "{text}");
        assert_eq!(text.matches("127.1.0.").count(), 8, "{text}");
    }
}

#[tokio::test]
async fn every_one_is_checked_and_few_refusals_are_listed() {
    let net = |text: &str| text.parse::<IpNet>().unwrap();
    let all = many(1);
    let last = all.last().unwrap().ip();
    for (policy, end) in [
        (
            AddressPolicy::allow_all().with_denied(IpNet::from(last)),
            "its other addresses are not used either",
        ),
        (
            AddressPolicy::allow_all().with_denied(net("127.0.0.0/8")),
            "; and 3992 more",
        ),
    ] {
        let cx = context();
        let error = to(all.clone(), policy)
            .dial(&Endpoint::tcp("db", 1), &cx)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.message().ends_with(end), "{error}");
        let listed = error.message().matches(" is on the deny list").count();
        assert!(listed <= 8, "{error}");
        assert_eq!(seen(&cx, Stage::TCP, "trying").len(), 0);
    }
}

/// Those of the other family are not all behind the first one's.
#[tokio::test]
async fn the_limit_comes_after_the_families_take_turns() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let good = listener.local_addr().unwrap();
    // Ports that are nobody's on IPv6 either.
    let taken: Vec<_> = (0..40).map(|_| refusing()).collect();
    let absent = taken
        .iter()
        .map(|socket| (Ipv6Addr::LOCALHOST, socket.local_addr().unwrap().port()).into());
    let addresses: Vec<_> = absent.chain([good]).collect();
    let dialled = to(addresses, AddressPolicy::allow_all())
        .dial(&Endpoint::tcp("db", 1), &context())
        .await
        .unwrap();
    assert_eq!(dialled.address, Some(good));
}
