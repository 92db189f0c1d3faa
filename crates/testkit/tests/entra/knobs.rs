//! What a test changes while the fake runs.

use std::sync::Arc;
use std::time::Duration;

use pgreach_testkit::FakeEntra;
use pgreach_testkit::entra::{Endpoint, Outage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::authority::claims;
use crate::http::{encrypted, get, with_secret};
use crate::within;

#[tokio::test]
async fn the_lifetime_holds_from_the_next_token_on() {
    let entra = FakeEntra::builder()
        .with_lifetime(Duration::from_secs(60))
        .start()
        .await
        .unwrap();
    let app = entra.add_application("orders", "secret");
    for (set, seconds) in [(None, 60), (Some(7200), 7200), (Some(2), 2)] {
        if let Some(set) = set {
            entra.set_lifetime(Duration::from_secs(set));
        }
        let reply = with_secret(&entra, &app, "secret").await.unwrap();
        assert_eq!(reply.body["expires_in"], seconds);
        if seconds > 2 {
            let claims = claims(&entra, reply.token()).await;
            let (exp, iat) = (claims["exp"].as_i64(), claims["iat"].as_i64());
            assert_eq!(exp.unwrap() - iat.unwrap(), seconds);
        }
    }
}

#[tokio::test]
async fn so_many_answers_fail() {
    let entra = FakeEntra::start().await.unwrap();
    let app = entra.add_application("orders", "secret");
    entra.fail_next(2, 429);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let reply = with_secret(&entra, &app, "secret").await.unwrap();
        statuses.push(reply.status);
        if reply.status == 429 {
            assert_eq!(reply.text("error"), "temporarily_unavailable");
        }
    }
    assert_eq!(statuses, [429, 429, 200]);
    assert_eq!(entra.requests(Endpoint::Token), 3);
    entra.fail_next(1, 500);
    let reply = get(&entra, entra.imds_url(), &[]).await;
    assert_eq!(reply.status, 500);
    assert_eq!(entra.requests(Endpoint::Imds), 1);
    assert_eq!(entra.requests(Endpoint::AppService), 0);
}

#[tokio::test]
async fn an_outage_begins_and_ends() {
    let entra = FakeEntra::start().await.unwrap();
    let app = entra.add_application("orders", "secret");
    let socket = TcpStream::connect(entra.addr()).await.unwrap();
    let mut open = encrypted(entra.root_pem(), socket).await.unwrap();

    entra.set_outage(Outage::Unavailable);
    let reply = with_secret(&entra, &app, "secret").await.unwrap();
    assert_eq!(reply.status, 503);

    entra.set_outage(Outage::Closed);
    assert!(with_secret(&entra, &app, "secret").await.is_err());
    let ended = within(open.read(&mut [0])).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    assert_eq!(entra.requests(Endpoint::Token), 1);

    entra.set_outage(Outage::None);
    let reply = with_secret(&entra, &app, "secret").await.unwrap();
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn held_answers_wait_for_their_release() {
    let entra = Arc::new(FakeEntra::start().await.unwrap());
    let app = entra.add_application("orders", "secret");
    entra.hold();
    let asking: Vec<_> = (0..3)
        .map(|_| {
            let (entra, app) = (Arc::clone(&entra), app.clone());
            tokio::spawn(async move { with_secret(&entra, &app, "secret").await.unwrap() })
        })
        .collect();
    within(entra.wait_requests(Endpoint::Token, 3)).await;
    assert!(asking.iter().all(|task| !task.is_finished()));
    // What is changed meanwhile holds for the answers to come.
    entra.fail_next(1, 500);
    entra.release();
    let mut statuses = Vec::new();
    for task in asking {
        statuses.push(within(task).await.unwrap().status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 500]);
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_the_latency() {
    let entra = FakeEntra::start().await.unwrap();
    let app = entra.add_application("orders", "secret");
    let hour = Duration::from_secs(3600);
    entra.set_latency(hour);
    let before = Instant::now();
    assert_eq!(
        with_secret(&entra, &app, "secret").await.unwrap().status,
        200
    );
    // The clock of the runtime jumps to what somebody waits for.
    assert!(before.elapsed() >= hour);
}

#[tokio::test]
async fn only_its_own_root_makes_it_trusted() {
    let entra = FakeEntra::start().await.unwrap();
    let socket = TcpStream::connect(entra.addr()).await.unwrap();
    assert!(
        encrypted(entra.pki().other_root_pem(), socket)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn all_ends_with_the_value() {
    let entra = FakeEntra::start().await.unwrap();
    let socket = TcpStream::connect(entra.addr()).await.unwrap();
    let mut open = encrypted(entra.root_pem(), socket).await.unwrap();
    drop(entra);
    let ended = within(async {
        let _ = open.write_all(b"GET / HTTP/1.1\r\n").await;
        open.read(&mut [0]).await
    })
    .await;
    // What held the connection held the listener too.
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}
