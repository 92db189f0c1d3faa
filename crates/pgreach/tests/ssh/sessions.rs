//! Sessions: used again, shared, limited, and gone afterwards.

use std::time::Duration;

use futures_util::future::join_all;
use pgreach::prelude::*;
use pgreach_testkit::ssh::{SshKeyType, SshKeypair};
use tokio::time::timeout;

use crate::common::text;
use crate::fixture::{PATIENCE, assert_code, bastion, hop, over, plain, refused, through};

fn logins(sshd: &pgreach_testkit::ssh::Sshd) -> usize {
    sshd.log().matches("Accepted publickey").count()
}

/// This server turns away whoever comes while ten others have not logged in yet.
#[tokio::test(flavor = "multi_thread")]
async fn many_connections_at_once_get_a_session_each() {
    let sshd = bastion(|sshd| sshd.with_config("MaxStartups 10:100:10"));
    let connector = plain(through(&sshd).build().unwrap()).build().unwrap();
    let all = join_all((0..40).map(|_| connector.connect())).await;
    let all: Vec<_> = all.into_iter().map(Result::unwrap).collect();
    assert_eq!(logins(&sshd), all.len());
    let pids: std::collections::BTreeSet<_> =
        all.iter().map(|one| one.info().backend_pid()).collect();
    assert_eq!(pids.len(), all.len());
}

/// Whoever waits for a handshake shares its failure, and it is remembered for a while: a server that
/// sees one wrong key after the other locks this client out.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_key_is_offered_once() {
    let sshd = bastion(|sshd| sshd);
    let stranger = SshKeypair::generate(SshKeyType::Ed25519).unwrap();
    let stranger = SshKey::from_pem(&stranger.private_pem().unwrap(), None).unwrap();
    let hop = || hop(&sshd).with_auth(stranger.clone());
    let connector = plain(over(hop()).build().unwrap()).build().unwrap();
    let failed = join_all((0..20).map(|_| connector.connect())).await;
    for result in failed {
        assert_code(&result.unwrap_err(), ErrorKind::SshAuth, "ssh-auth-refused");
    }
    let error = connector.connect().await.unwrap_err();
    assert_code(&error, ErrorKind::SshAuth, "ssh-auth-refused");
    assert!(error.to_string().contains("not tried again for"), "{error}");
    assert_eq!(sshd.log().matches("Failed publickey").count(), 1);
    // Without the pause, each call is an attempt, and there are no others.
    let transport = over(hop()).with_auth_pause(Duration::ZERO).build().unwrap();
    for attempts in 2..4 {
        refused(plain(transport.clone())).await;
        assert_eq!(sshd.log().matches("Failed publickey").count(), attempts);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_sessions_have_a_maximum_and_a_lifetime() {
    let sshd = bastion(|sshd| sshd);
    let none_kept = through(&sshd).with_idle_sessions(0).build().unwrap();
    let connector = plain(none_kept).build().unwrap();
    for logged_in in 1..4 {
        connector.connect().await.unwrap().close().await.unwrap();
        assert_eq!(logins(&sshd), logged_in);
    }
    let short = through(&sshd).with_idle_lifetime(Duration::from_millis(20));
    let connector = plain(short.build().unwrap()).build().unwrap();
    connector.connect().await.unwrap().close().await.unwrap();
    sshd.wait_for_sessions(0).unwrap();
    connector.connect().await.unwrap();
    assert_eq!(logins(&sshd), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_with_their_transport_and_connections_live_on() {
    let sshd = bastion(|sshd| sshd);
    let connector = plain(through(&sshd).build().unwrap()).build().unwrap();
    let connection = connector.connect().await.unwrap();
    let idle = connector.connect().await.unwrap();
    idle.close().await.unwrap();
    drop(connector);
    // Cancel handles hold the transport, too.
    assert_eq!(text(&connection, "select 1").await, "1");
    drop(connection);
    sshd.wait_for_sessions(0).unwrap();
}

#[tokio::test]
async fn the_next_connection_works_after_the_bastion_was_restarted() {
    let sshd = bastion(|sshd| sshd);
    let connector = plain(through(&sshd).build().unwrap()).build().unwrap();
    for _ in 0..3 {
        connector.connect().await.unwrap().close().await.unwrap();
        sshd.stop().unwrap();
        assert_eq!(
            connector.connect().await.unwrap_err().kind(),
            ErrorKind::Transport
        );
        sshd.start_again().unwrap();
    }
    connector.connect().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn shared_sessions_carry_as_many_connections_as_they_may() {
    let sshd = bastion(|sshd| sshd);
    let shared = through(&sshd).with_channels_per_session(4).build().unwrap();
    let connector = plain(shared).build().unwrap();
    let all = join_all((0..12).map(|_| connector.connect())).await;
    let all: Vec<_> = all.into_iter().map(Result::unwrap).collect();
    for connection in &all {
        assert_eq!(text(connection, "select 1").await, "1");
    }
    assert_eq!(logins(&sshd), 3);
}

/// More than buffers and sockets hold.
const FLOOD: &str = "copy (select repeat('x', 8000) from generate_series(1, 20000)) to stdout";

/// The one that does not read is closed with an error of its own; its neighbour never notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_reader_of_a_shared_session_is_closed_alone() {
    let sshd = bastion(|sshd| sshd);
    let shared = through(&sshd)
        .with_channels_per_session(2)
        .with_channel_buffer(1024 * 1024);
    let connector = plain(shared.build().unwrap()).build().unwrap();
    let stalled = connector.connect().await.unwrap();
    let neighbour = connector.connect().await.unwrap();
    assert_eq!(logins(&sshd), 1);
    let unread = Box::pin(stalled.copy_out(FLOOD).await.unwrap());
    for _ in 0..200 {
        timeout(PATIENCE, text(&neighbour, "select 1"))
            .await
            .unwrap();
    }
    // The driver buffers one chunk, and meets the end behind it.
    let read = timeout(PATIENCE, async {
        let mut unread = unread;
        while let Some(chunk) = futures_util::StreamExt::next(&mut unread).await {
            chunk?;
        }
        Ok::<(), tokio_postgres::Error>(())
    });
    let error = Error::from(read.await.unwrap().unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
    let error = stalled.close().await.unwrap_err();
    assert_code(&error, ErrorKind::Closed, "ssh-channel-overflow");
    assert_eq!(text(&neighbour, "select 1").await, "1");
    // The session that lost a channel this way gets no new connection, and serves the old one.
    connector.connect().await.unwrap();
    assert_eq!(text(&neighbour, "select 1").await, "1");
}

/// One that does not read holds up only itself, and its data is there when it reads on.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_reader_of_its_own_session_resumes() {
    let sshd = bastion(|sshd| sshd);
    let connector = plain(through(&sshd).build().unwrap()).build().unwrap();
    let stalled = connector.connect().await.unwrap();
    let neighbour = connector.connect().await.unwrap();
    let mut unread = Box::pin(stalled.copy_out(FLOOD).await.unwrap());
    for _ in 0..200 {
        timeout(PATIENCE, text(&neighbour, "select 1"))
            .await
            .unwrap();
    }
    let mut bytes = 0;
    while let Some(chunk) = futures_util::StreamExt::next(&mut unread).await {
        bytes += chunk.unwrap().len();
    }
    assert_eq!(bytes, 20_000 * 8001);
}
