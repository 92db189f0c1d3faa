//! Faults: servers that die, stop, stall, flood or lie.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use pgreach::prelude::*;
use pgreach::{Stage, ssh};
use pgreach_testkit::FaultProxy;
use pgreach_testkit::fault::{Direction, Fault};
use pgreach_testkit::ssh::Sshd;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::text;
use crate::fixture::{PATIENCE, assert_code, bastion, during_a_query, hop, key, over, plain};

/// Finds a silent server soon.
fn attentive(sshd: &Sshd) -> SshHop {
    let hop = hop(sshd).with_auth(key());
    hop.with_keepalive(Duration::from_millis(200), 2)
}

#[tokio::test]
async fn killed_during_a_query() {
    let sshd = bastion(|sshd| sshd);
    let connector = plain(over(attentive(&sshd)).build().unwrap());
    let connector = connector.build().unwrap();
    let connection = connector.connect().await.unwrap();
    let error = during_a_query(&connection, async || sshd.kill_sessions().unwrap()).await;
    assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
    let error = connection.close().await.unwrap_err();
    assert_code(&error, ErrorKind::Closed, "ssh-lost");
    assert!(error.to_string().contains("tunnel@127.0.0.1"), "{error}");
    // The next one works by itself.
    connector.connect().await.unwrap();
}

#[tokio::test]
async fn stopped_during_a_query() {
    let sshd = bastion(|sshd| sshd);
    let connector = plain(over(attentive(&sshd)).build().unwrap());
    let connection = connector.build().unwrap().connect().await.unwrap();
    let error = during_a_query(&connection, async || sshd.pause().unwrap()).await;
    assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
    let error = connection.close().await.unwrap_err();
    assert_code(&error, ErrorKind::Closed, "ssh-silent");
    sshd.unpause().unwrap();
}

/// russh's keepalive waits behind a write that is stuck; this one does not.
#[tokio::test]
async fn stopped_while_writes_are_stuck() {
    let sshd = bastion(|sshd| sshd);
    let connector = plain(over(attentive(&sshd)).build().unwrap());
    let connection = connector.build().unwrap().connect().await.unwrap();
    connection
        .batch_execute("create temporary table sink (line text)")
        .await
        .unwrap();
    let sink = connection.copy_in("copy sink from stdin").await.unwrap();
    let mut sink = Box::pin(sink);
    sshd.pause().unwrap();
    let chunk = bytes::Bytes::from(format!("{}\n", "x".repeat(65_535)));
    let stuck = async {
        loop {
            if let Err(error) = sink.send(chunk.clone()).await {
                return error;
            }
        }
    };
    let error = Error::from(timeout(PATIENCE, stuck).await.unwrap());
    assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
    let error = connection.close().await.unwrap_err();
    assert_code(&error, ErrorKind::Closed, "ssh-silent");
    sshd.unpause().unwrap();
}

/// The network swallows everything, from here on.
#[tokio::test]
async fn a_link_that_goes_down_is_noticed() {
    let sshd = bastion(|sshd| sshd);
    let proxy = FaultProxy::start(sshd.addr()).await.unwrap();
    let hop = attentive(&sshd)
        .with_port(proxy.port())
        .with_host_keys(HostKeyPolicy::fingerprints([sshd.host_key_fingerprint()]).unwrap());
    let connector = plain(over(hop).build().unwrap()).build().unwrap();
    let connection = connector.connect().await.unwrap();
    let blackhole = async || proxy.set(Direction::Both, Fault::Blackhole);
    let error = during_a_query(&connection, blackhole).await;
    assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
    let error = connection.close().await.unwrap_err();
    assert_code(&error, ErrorKind::Closed, "ssh-silent");
}

/// Wherever the stream ends while a connection is made, there is an error that says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_anywhere() {
    let sshd = bastion(|sshd| sshd.with_config("MaxStartups 1000"));
    let proxy = FaultProxy::start(sshd.addr()).await.unwrap();
    let fingerprint = sshd.host_key_fingerprint();
    let mut stages = std::collections::BTreeSet::new();
    for bytes in (0..4000).step_by(97) {
        proxy.clear();
        proxy.set(Direction::ToClient, Fault::CloseAfter(bytes));
        let hop = SshHop::new("127.0.0.1", "tunnel")
            .with_port(proxy.port())
            .with_auth(key())
            .with_host_keys(HostKeyPolicy::fingerprints([&fingerprint]).unwrap());
        let connector = plain(over(hop).build().unwrap()).build().unwrap();
        match timeout(PATIENCE, connector.connect()).await.unwrap() {
            Ok(_) => continue,
            Err(error) => {
                let kinds = [ErrorKind::Transport, ErrorKind::SshAuth, ErrorKind::Closed];
                assert!(kinds.contains(&error.kind()), "{bytes}: {error:?}");
                stages.insert(error.stage().as_str());
            }
        }
    }
    for stage in [ssh::SSH_HANDSHAKE, ssh::SSH_AUTH, Stage::AUTHENTICATION] {
        assert!(stages.contains(stage.as_str()), "{stage} not in {stages:?}");
    }
}

/// A server that says what `script` makes it say, to one client after the other.
async fn impostor<F>(script: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(script(stream));
        }
    });
    address
}

/// Reads until the client has gone.
async fn listen(stream: &mut TcpStream) -> std::io::Result<()> {
    tokio::io::copy(stream, &mut tokio::io::sink()).await?;
    Ok(())
}

async fn met_by(address: SocketAddr) -> Error {
    let hop = SshHop::new("127.0.0.1", "tunnel")
        .with_port(address.port())
        .with_auth(SshAuth::password("a secret"));
    let connector = plain(over(hop).build().unwrap())
        .with_connect_timeout(Duration::from_secs(1))
        .build()
        .unwrap();
    let error = timeout(PATIENCE, connector.connect()).await.unwrap();
    error.unwrap_err()
}

#[tokio::test]
async fn a_version_that_never_comes_or_drips() {
    let silent = impostor(async |mut stream| listen(&mut stream).await).await;
    let dripping = impostor(async |mut stream: TcpStream| {
        for byte in b"SSH-2.0-OpenSSH_9.9\r\n".iter().cycle() {
            stream.write_all(&[*byte]).await?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    })
    .await;
    for address in [silent, dripping] {
        let error = met_by(address).await;
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
        assert_eq!(error.stage(), ssh::SSH_HANDSHAKE);
    }
}

#[tokio::test]
async fn what_is_no_ssh_server_or_lies_about_it() {
    let binary: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let huge = b"SSH-2.0-Huge\r\n\xff\xff\xff\xff\x04\x14".to_vec();
    let nonsense = b"SSH-2.0-Nonsense\r\n\x00\x00\x00\x0c\x0a\x14hello".to_vec();
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        (
            "an HTTP server",
            b"HTTP/1.1 400 Bad Request\r\n\r\n".repeat(2),
            &["ssh-not-ssh"],
        ),
        ("binary garbage", binary, &["ssh-not-ssh"]),
        ("an endless line", b"x".repeat(10_000_000), &["ssh-not-ssh"]),
        (
            "endless lines",
            b"hello\r\n".repeat(1_000_000),
            &["ssh-not-ssh"],
        ),
        (
            "SSH 1",
            b"SSH-1.5-OpenSSH_1.2\r\n".repeat(100),
            &["ssh-not-ssh"],
        ),
        ("an oversize packet", huge, &["ssh-handshake"]),
        ("a packet that is none", nonsense, &["ssh-handshake"]),
    ];
    for (name, says, codes) in cases {
        let address = impostor(move |mut stream: TcpStream| {
            let says = says.clone();
            async move {
                stream.write_all(&says).await?;
                stream.shutdown().await?;
                listen(&mut stream).await
            }
        })
        .await;
        let error = met_by(address).await;
        assert_eq!(error.kind(), ErrorKind::Transport, "{name}: {error:?}");
        assert!(codes.contains(&error.code().name()), "{name}: {error:?}");
        let text = format!("{error} {error:?}");
        assert!(!text.contains("a secret"), "{text}");
    }
}

/// A server may say why it hangs up before anything is encrypted.
#[tokio::test]
async fn a_server_s_last_words_are_escaped() {
    let words = b"go \x1b[31maway\r\n";
    let mut payload = vec![1, 0, 0, 0, 2];
    payload.extend(u32::try_from(words.len()).unwrap().to_be_bytes());
    payload.extend(words);
    payload.extend([0, 0, 0, 0]);
    let padding = 8 - (payload.len() + 5) % 8 + 8;
    let length = u32::try_from(payload.len() + padding + 1).unwrap();
    let mut says = b"SSH-2.0-Rude\r\n".to_vec();
    says.extend(length.to_be_bytes());
    says.push(u8::try_from(padding).unwrap());
    says.extend(payload);
    says.extend(vec![0; padding]);
    let address = impostor(move |mut stream: TcpStream| {
        let says = says.clone();
        async move {
            let mut version = [0; 64];
            let _ = stream.read(&mut version).await?;
            stream.write_all(&says).await?;
            listen(&mut stream).await
        }
    })
    .await;
    let error = met_by(address).await;
    assert_eq!(error.kind(), ErrorKind::Transport, "{error:?}");
    let text = format!("{error}");
    assert!(text.contains("away") && !text.contains('\x1b'), "{text:?}");
}

/// Both sides want new keys all the time, while data flows; the bytes stay what they were.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_exchanged_anew_during_copies() {
    let cases = [
        ("", 256 * 1024),
        ("RekeyLimit 300K", 1 << 30),
        ("RekeyLimit 500K", 700_000),
    ];
    for (config, limit) in cases {
        let sshd = bastion(|sshd| sshd.with_config(config));
        let hop = hop(&sshd).with_auth(key()).with_rekey_limit(limit);
        let connector = plain(over(hop).build().unwrap()).build().unwrap();
        let connection = connector.connect().await.unwrap();
        connection
            .batch_execute("create temporary table sink (n int, line text)")
            .await
            .unwrap();
        let mut sent = Sha256::new();
        let mut sink = Box::pin(connection.copy_in("copy sink from stdin").await.unwrap());
        for n in 0..400 {
            let line = format!("{n}\t{}\n", format!("{n:x}").repeat(10_000));
            sent.update(&line);
            sink.send(bytes::Bytes::from(line)).await.unwrap();
        }
        sink.close().await.unwrap();
        drop(sink);
        let mut received = Sha256::new();
        let out = "copy (select * from sink order by n) to stdout";
        let mut stream = Box::pin(connection.copy_out(out).await.unwrap());
        while let Some(chunk) = stream.next().await {
            received.update(chunk.unwrap());
        }
        assert_eq!(sent.finalize(), received.finalize(), "{config} {limit}");
        assert_eq!(text(&connection, "select 1").await, "1");
        let rekeys = sshd.log().matches("SSH2_MSG_KEXINIT received").count();
        assert!(rekeys > 10, "{config} {limit}: {rekeys}");
    }
}
