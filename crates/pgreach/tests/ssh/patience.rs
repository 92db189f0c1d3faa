//! Attempts: when they are made, repeated, shared and not made.

use std::time::Duration;

use futures_util::future::join_all;
use pgreach::prelude::*;
use pgreach::ssh;
use pgreach_testkit::ssh::{SshAgent, SshKeyType, SshKeypair};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fixture::{PATIENCE, assert_code, bastion, hop, key, over, plain, refused, through};

fn stranger() -> SshKey {
    let pair = SshKeypair::generate(SshKeyType::Ed25519).unwrap();
    SshKey::from_pem(&pair.private_pem().unwrap(), None).unwrap()
}

/// This server serves one client at a time that has not logged in, and tells the others so.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_turns_away_is_asked_again() {
    let sshd = bastion(|sshd| sshd.with_config("MaxStartups 1:100:1"));
    let held = TcpStream::connect(sshd.addr()).await.unwrap();
    sshd.wait_for_sessions(1).unwrap();
    let error = refused(plain(through(&sshd).build().unwrap())).await;
    assert_code(&error, ErrorKind::Transport, "ssh-turned-away");
    // Of four attempts, the last ones succeed.
    let connector = plain(through(&sshd).build().unwrap()).build().unwrap();
    let connecting = connector.connect();
    tokio::pin!(connecting);
    while sshd.log().matches("Connection from").count()
        + sshd.log().matches("drop connection").count()
        < 6
    {
        match timeout(Duration::from_millis(5), &mut connecting).await {
            Ok(result) => panic!("{result:?}"),
            Err(_) => continue,
        }
    }
    drop(held);
    timeout(PATIENCE, connecting).await.unwrap().unwrap();
}

/// After a success, several handshakes run at once; when the key is withdrawn, they do not all
/// present it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_was_withdrawn_is_not_offered_by_all() {
    let sshd = bastion(|sshd| sshd);
    let transport = through(&sshd).with_idle_sessions(0).build().unwrap();
    let connector = plain(transport).build().unwrap();
    connector.connect().await.unwrap().close().await.unwrap();
    let none: [&str; 0] = [];
    sshd.set_authorized_keys("tunnel", none).unwrap();
    let all = join_all((0..20).map(|_| connector.connect())).await;
    for result in all {
        let error = result.unwrap_err();
        assert_code(&error, ErrorKind::SshAuth, "ssh-auth-refused");
    }
    let offered = sshd.log().matches("Failed publickey").count();
    // As many as run at once by default, at the very most; none of the others.
    assert!((1..=8).contains(&offered), "{offered}");
    assert!(connector.connect().await.is_err());
    assert_eq!(sshd.log().matches("Failed publickey").count(), offered);
}

/// Whoever has no time to wait for the next attempt hears how the last one went, not that time ran out.
#[tokio::test]
async fn a_bastion_that_is_down_is_not_a_timeout() {
    let sshd = bastion(|sshd| sshd);
    let transport = through(&sshd).build().unwrap();
    sshd.stop().unwrap();
    for _ in 0..10 {
        let connector = plain(transport.clone());
        let error = refused(connector.with_connect_timeout(Duration::from_millis(400))).await;
        assert_code(&error, ErrorKind::Transport, "ssh-unreachable");
    }
}

#[tokio::test]
async fn who_shares_a_failure_sees_the_right_hop() {
    let (first, second) = (bastion(|sshd| sshd), bastion(|sshd| sshd));
    let transport = over(hop(&first).with_auth(stranger())).with_hop(hop(&second).with_auth(key()));
    let connector = plain(transport.build().unwrap()).build().unwrap();
    for _ in 0..2 {
        let report = connector.check().await;
        let failed = report
            .stages()
            .iter()
            .find(|record| record.stage == ssh::SSH_AUTH);
        let failed = failed.unwrap_or_else(|| panic!("{report}"));
        assert_eq!(
            failed.hop,
            Some(format!("127.0.0.1:{}", first.port())),
            "{report}"
        );
    }
}

#[tokio::test]
async fn an_agent_without_keys_says_so_and_is_asked_again() {
    let agent = SshAgent::start().unwrap();
    let sshd = bastion(|sshd| sshd);
    let transport = over(hop(&sshd).with_auth(SshAuth::agent_at(agent.socket())));
    let connector = plain(transport.build().unwrap());
    let error = refused(connector.clone()).await;
    assert_code(&error, ErrorKind::SshAuth, "ssh-agent");
    let pair = SshKeypair::generate(SshKeyType::Ed25519).unwrap();
    sshd.set_authorized_keys("tunnel", [pair.public_line()])
        .unwrap();
    agent.add(&pair.private_file()).unwrap();
    connector.build().unwrap().connect().await.unwrap();
}

/// Nothing that is set makes anything panic.
#[tokio::test]
async fn settings_out_of_range() {
    let sshd = bastion(|sshd| sshd);
    let hop = || hop(&sshd).with_auth(key());
    for hop in [
        hop().with_rekey_limit(2 << 30),
        hop().with_rekey_limit(1),
        hop().with_keepalive(Duration::MAX, 2),
        hop().with_keepalive(Duration::ZERO, 2),
        hop().with_keepalive(Duration::from_secs(1), 0),
        hop().with_port(0),
    ] {
        let error = over(hop).build().unwrap_err();
        assert_code(&error, ErrorKind::Config, "ssh-config-invalid");
    }
    for transport in [
        over(hop()).with_channels_per_session(0),
        over(hop()).with_max_handshakes(0),
        over(hop())
            .with_channels_per_session(2)
            .with_channel_buffer(1),
    ] {
        assert_code(
            &transport.build().unwrap_err(),
            ErrorKind::Config,
            "ssh-config-invalid",
        );
    }
    let forever = over(hop().with_auth(stranger()))
        .with_auth_pause(Duration::MAX)
        .with_idle_lifetime(Duration::MAX);
    let connector = plain(forever.build().unwrap()).build().unwrap();
    connector.connect().await.unwrap().close().await.unwrap();
    let refused = over(crate::fixture::hop(&sshd).with_auth(stranger()));
    let connector = plain(refused.with_auth_pause(Duration::MAX).build().unwrap())
        .build()
        .unwrap();
    for _ in 0..2 {
        assert_eq!(
            connector.connect().await.unwrap_err().kind(),
            ErrorKind::SshAuth
        );
    }
}
