//! A name whose addresses change between the check and the connection leads nowhere new.
//! Linux only: elsewhere 127.0.0.1 is the one loopback address.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use pgreach_core::{Endpoint, ErrorKind, Stage, Transport};
use pgreach_transport_tcp::{AddressPolicy, IpNet, TcpTransport, codes};
use support::{Scripted, context, seen};
use tokio::net::TcpListener;

const TRIES: usize = 1_000;

/// Stands for a public server: the one loopback address that the policy allows.
const ALLOWED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn policy() -> AddressPolicy {
    AddressPolicy::public_only().with_allowed(IpNet::from(IpAddr::from(ALLOWED)))
}

/// Two listeners on one port: the server that may be reached, and the one that must not be.
async fn listeners() -> (TcpListener, TcpListener) {
    loop {
        let allowed = TcpListener::bind((ALLOWED, 0)).await.unwrap();
        let port = allowed.local_addr().unwrap().port();
        if let Ok(forbidden) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            return (allowed, forbidden);
        }
    }
}

/// A connection waits in the backlog even if nobody accepts it, so looking at the end is enough.
async fn nobody_came(listener: &TcpListener) -> bool {
    // A connection of our own is behind any other in the queue.
    let address = listener.local_addr().unwrap();
    let ours = tokio::net::TcpStream::connect(address).await.unwrap();
    let (_, first) = listener.accept().await.unwrap();
    first == ours.local_addr().unwrap()
}

#[tokio::test]
async fn an_answer_that_changes_is_never_dialled() {
    let (allowed, forbidden) = listeners().await;
    let (good, bad) = (
        allowed.local_addr().unwrap(),
        forbidden.local_addr().unwrap(),
    );
    // Allowed at the first look, forbidden at the second: who resolves twice is led astray.
    let resolver = Arc::new(Scripted::new(move |n| {
        vec![if n % 2 == 0 { good } else { bad }]
    }));
    let transport = TcpTransport::builder()
        .with_address_policy(policy())
        .with_resolver(resolver.clone())
        .build()
        .unwrap();
    let endpoint = Endpoint::tcp("rebind.example.com", good.port());

    let mut reached = 0;
    for n in 0..TRIES {
        match transport.dial(&endpoint, &context()).await {
            Ok(dialled) => {
                assert_eq!(n % 2, 0);
                assert_eq!(dialled.address, Some(good));
                let (_server, _) = allowed.accept().await.unwrap();
                reached += 1;
            }
            Err(error) => assert_eq!(error.code(), &codes::ADDRESS_DENIED, "{error}"),
        }
    }
    assert_eq!(reached, TRIES / 2);
    assert_eq!(resolver.asked(), TRIES, "one question per dial");
    assert!(nobody_came(&forbidden).await);
}

#[tokio::test]
async fn an_answer_with_one_forbidden_address_is_refused_as_a_whole() {
    let (allowed, forbidden) = listeners().await;
    let (good, bad) = (
        allowed.local_addr().unwrap(),
        forbidden.local_addr().unwrap(),
    );
    let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), bad.port());
    let mixtures = [
        vec![good, bad],
        vec![bad, good],
        vec![good, mapped],
        vec![good, good, good, mapped, good],
    ];
    let transport = TcpTransport::builder()
        .with_address_policy(policy())
        .with_resolver(Scripted::new(move |n| mixtures[n % mixtures.len()].clone()))
        .build()
        .unwrap();
    let endpoint = Endpoint::tcp("mixed.example.com", good.port());

    for n in 0..TRIES {
        let cx = context().with_random_order(n % 3 == 0);
        let error = transport.dial(&endpoint, &cx).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert_eq!(error.stage(), Stage::RESOLVE);
        assert!(error.message().contains("mixed.example.com"), "{error}");
        assert!(error.message().contains("loopback"), "{error}");
        assert!(seen(&cx, Stage::TCP, "trying").is_empty());
    }
    assert!(nobody_came(&allowed).await);
    assert!(nobody_came(&forbidden).await);
}

#[tokio::test]
async fn a_pinned_endpoint_is_dialled_without_a_question_and_checked_again() {
    let (allowed, forbidden) = listeners().await;
    let (good, bad) = (
        allowed.local_addr().unwrap(),
        forbidden.local_addr().unwrap(),
    );
    let resolver = Arc::new(Scripted::new(move |_| vec![bad]));
    let transport = TcpTransport::builder()
        .with_address_policy(policy())
        .with_resolver(resolver.clone())
        .build()
        .unwrap();
    let name = Endpoint::tcp("rebind.example.com", 1);

    let pinned = name.clone().pinned_to(good);
    let dialled = transport.dial(&pinned, &context()).await.unwrap();
    assert_eq!(dialled.address, pinned.pinned());
    allowed.accept().await.unwrap();

    let pinned = name.pinned_to(bad);
    let error = transport.dial(&pinned, &context()).await.unwrap_err();
    assert_eq!(error.code(), &codes::ADDRESS_DENIED);
    assert_eq!(resolver.asked(), 0);
    assert!(nobody_came(&forbidden).await);
}
