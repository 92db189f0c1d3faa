//! Servers other than OpenSSH: Dropbear, and one that behaves as it is told to.

use std::time::Duration;

use pgreach::prelude::*;
use pgreach::ssh::{self, Algorithms};
use pgreach_testkit::Bastion;
use pgreach_testkit::bastion::{BastionBuilder, ChannelAnswer};
use pgreach_testkit::ssh::{Dropbear, SshKeyType, SshKeypair, SshUser};

use crate::common::text;
use crate::fixture::{assert_code, key, over, plain, public_line, refused};

async fn scripted(f: impl FnOnce(BastionBuilder) -> BastionBuilder) -> Bastion {
    let builder = Bastion::builder()
        .with_user("tunnel")
        .with_authorized_key(public_line());
    f(builder).start().await.unwrap()
}

fn hop(bastion: &Bastion) -> SshHop {
    SshHop::new("127.0.0.1", "tunnel")
        .with_port(bastion.port())
        .with_host_keys(HostKeyPolicy::known_hosts_text(bastion.known_hosts()))
}

#[tokio::test(flavor = "multi_thread")]
async fn dropbear() {
    if !pgreach_testkit::ssh::has_namespaces() {
        return;
    }
    let started = Dropbear::builder()
        .with_user(SshUser::new("tunnel").with_authorized_key(public_line()))
        .start();
    let dropbear = match started {
        Ok(dropbear) => dropbear,
        Err(_) if !pgreach_testkit::ssh::dropbear_is_packaged() => return,
        Err(error) => panic!("{error}"),
    };
    let hop = || {
        SshHop::new("127.0.0.1", "tunnel")
            .with_port(dropbear.port())
            .with_auth(key())
            .with_host_keys(HostKeyPolicy::known_hosts_text(dropbear.known_hosts_line()))
    };
    let connector = plain(over(hop()).build().unwrap()).build().unwrap();
    for _ in 0..3 {
        let connection = connector.connect().await.unwrap();
        assert_eq!(text(&connection, "select 1").await, "1");
        let rows = "copy (select repeat('x', 1000) from generate_series(1, 20000)) to stdout";
        let mut stream = Box::pin(connection.copy_out(rows).await.unwrap());
        let mut bytes = 0;
        while let Some(chunk) = futures_util::StreamExt::next(&mut stream).await {
            bytes += chunk.unwrap().len();
        }
        assert_eq!(bytes, 20_000 * 1001);
        connection.close().await.unwrap();
    }
    let stranger = SshKeypair::generate(SshKeyType::Ed25519).unwrap();
    let stranger = HostKeyPolicy::fingerprints([stranger.fingerprint()]).unwrap();
    let error = refused(plain(over(hop().with_host_keys(stranger)).build().unwrap())).await;
    assert_eq!(error.kind(), ErrorKind::HostKey, "{error:?}");
}

/// CVE-2023-48795: without strict key exchange, only AES-GCM is safe.
#[tokio::test]
async fn without_strict_key_exchange_only_aes_gcm_will_do() {
    for (cipher, safe) in [
        ("aes256-gcm@openssh.com", true),
        ("aes128-gcm@openssh.com", true),
        ("chacha20-poly1305@openssh.com", false),
        ("aes256-ctr", false),
    ] {
        let bastion = scripted(|b| b.without_strict_kex().with_ciphers(&[cipher])).await;
        let connector = plain(over(hop(&bastion).with_auth(key())).build().unwrap());
        if safe {
            connector.build().unwrap().connect().await.unwrap();
            continue;
        }
        let error = refused(connector).await;
        assert_code(&error, ErrorKind::Transport, "ssh-terrapin");
        assert_eq!(error.stage(), ssh::SSH_HANDSHAKE);
        assert_eq!(bastion.sessions(), 0, "it was not told who we are");
    }
}

#[tokio::test]
async fn weak_algorithms_are_not_used_even_if_there_is_nothing_else() {
    for bastion in [
        scripted(|b| b.with_ciphers(&["aes256-cbc"])).await,
        scripted(|b| b.with_kex(&["diffie-hellman-group14-sha1"])).await,
        scripted(|b| b.with_ciphers(&["aes256-ctr"]).with_macs(&["hmac-sha1"])).await,
        scripted(|b| {
            b.with_host_key(SshKeyType::Rsa)
                .with_key_algorithms(&["ssh-rsa"])
        })
        .await,
    ] {
        let error = refused(plain(over(hop(&bastion).with_auth(key())).build().unwrap())).await;
        assert_code(&error, ErrorKind::Transport, "ssh-no-common-algorithm");
    }
    // Unless it is named.
    let bastion = scripted(|b| b.with_ciphers(&["aes256-cbc"])).await;
    let algorithms = Algorithms::default().with_ciphers(["aes256-cbc"]).unwrap();
    let hop = hop(&bastion).with_auth(key()).with_algorithms(algorithms);
    plain(over(hop).build().unwrap())
        .build()
        .unwrap()
        .connect()
        .await
        .unwrap();
}

/// A server that says so is spared a refusal, and no SHA-1 signature is made.
#[tokio::test]
async fn rsa_keys_do_not_sign_with_sha_1() {
    let pair = SshKeypair::generate(SshKeyType::Rsa).unwrap();
    let bastion = Bastion::builder()
        .with_user("tunnel")
        .with_authorized_key(pair.public_line())
        .with_host_key(SshKeyType::Ed25519)
        .with_key_algorithms(&["ssh-ed25519", "ssh-rsa"])
        .start()
        .await
        .unwrap();
    let rsa = SshKey::from_pem(&pair.private_pem().unwrap(), None).unwrap();
    let error = refused(plain(over(hop(&bastion).with_auth(rsa)).build().unwrap())).await;
    assert_code(&error, ErrorKind::SshAuth, "ssh-auth-sha1-only");
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_at_a_time_are_limited() {
    let bastion = scripted(|b| b).await;
    let transport = over(hop(&bastion).with_auth(key())).with_max_handshakes(3);
    let connector = plain(transport.build().unwrap()).build().unwrap();
    let all = futures_util::future::join_all((0..24).map(|_| connector.connect())).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert!(bastion.max_concurrent_handshakes() <= 3);
    assert_eq!(bastion.channels(), 24);
    drop(all);
}

#[tokio::test]
async fn channels_that_are_refused_or_never_answered() {
    let bastion = scripted(|b| b).await;
    let transport = over(hop(&bastion).with_auth(key())).build().unwrap();
    for (answer, kind, code) in [
        (
            ChannelAnswer::Refuse,
            ErrorKind::Transport,
            "ssh-channel-prohibited",
        ),
        (
            ChannelAnswer::Busy,
            ErrorKind::Transport,
            "ssh-channel-failed",
        ),
        (ChannelAnswer::Never, ErrorKind::Timeout, "timeout"),
    ] {
        bastion.answer_channels(answer);
        let connector = plain(transport.clone()).with_connect_timeout(Duration::from_secs(1));
        let error = refused(connector).await;
        assert_code(&error, kind, code);
        assert_eq!(error.stage(), ssh::CHANNEL);
    }
    bastion.answer_channels(ChannelAnswer::Serve);
    plain(transport).build().unwrap().connect().await.unwrap();
}

#[tokio::test]
async fn a_password_does_not_answer_other_questions() {
    let questions = [("Password: ", "right"), ("Code: ", "123456")];
    let bastion = Bastion::builder()
        .with_user("tunnel")
        .with_keyboard_interactive("tunnel", &questions)
        .start()
        .await
        .unwrap();
    let hop = hop(&bastion).with_auth(SshAuth::password("right"));
    let error = refused(plain(over(hop).build().unwrap())).await;
    assert_code(&error, ErrorKind::SshAuth, "ssh-auth-incomplete");
    assert!(error.to_string().contains("Code:"), "{error}");
}
