//! Servers that are hostile or are no PostgreSQL: a typed error, and no secret has left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::refused;
use pgreach::{Error, ErrorKind};
use pgreach_testkit::rogue::{Peer, Rogue, Startup};
use pgreach_testkit::{Error as KitError, Pki};

const SECRET: &str = "correct-horse-battery";

async fn connect(rogue: &Rogue, extra: &str) -> Error {
    refused(&format!(
        "host=localhost hostaddr=127.0.0.1 port={} user=app dbname=app password={SECRET} connect_timeout=20 {extra}",
        rogue.port()
    ))
    .await
}

/// What a rogue does once the startup message was read.
#[derive(Debug, Clone, Copy)]
enum Ask {
    Cleartext,
    Md5,
    Nothing,
    Sasl(&'static [&'static str]),
    Code(u32),
    /// SCRAM, with this as the server's first message.
    Scram(&'static [u8]),
    Raw(&'static [u8]),
    /// SCRAM that ends without the server's proof.
    Unproved,
}

async fn ask(mut peer: Peer, what: Ask) -> Result<(), KitError> {
    peer.read_startup().await?;
    match what {
        Ask::Cleartext => peer.ask_cleartext().await?,
        Ask::Md5 => peer.ask_md5().await?,
        Ask::Nothing => peer.auth_ok().await?,
        Ask::Sasl(mechanisms) => peer.ask_sasl(mechanisms).await?,
        Ask::Code(code) => peer.ask_code(code).await?,
        Ask::Raw(bytes) => peer.send(bytes).await?,
        Ask::Scram(first) => {
            peer.ask_sasl(&["SCRAM-SHA-256"]).await?;
            peer.read_message().await?;
            peer.sasl_continue(first).await?;
        }
        Ask::Unproved => {
            peer.ask_sasl(&["SCRAM-SHA-256"]).await?;
            let (_, first) = peer.read_message().await?.unwrap_or_default();
            let text = String::from_utf8_lossy(&first).into_owned();
            let nonce = text.split("r=").nth(1).unwrap_or_default();
            peer.sasl_continue(format!("r={nonce}x,s=c2FsdA==,i=4096").as_bytes())
                .await?;
            peer.read_message().await?;
            peer.auth_ok().await?;
            peer.ready().await?;
        }
    }
    peer.drain().await
}

#[tokio::test]
async fn nothing_leaves_for_a_server_that_asks_for_the_wrong_thing() {
    const SCRAM: &[&str] = &["SCRAM-SHA-256"];
    const PLUS: &[&str] = &["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"];
    let table: &[(Ask, &str, &str)] = &[
        (Ask::Cleartext, "require_auth=scram-sha-256", "auth-method"),
        (Ask::Cleartext, "require_auth=!password", "auth-method"),
        (Ask::Cleartext, "require_auth=md5,none", "auth-method"),
        (Ask::Cleartext, "channel_binding=require", "channel-binding"),
        (Ask::Md5, "require_auth=scram-sha-256", "auth-method"),
        (Ask::Md5, "require_auth=!md5,!password", "auth-method"),
        (Ask::Md5, "channel_binding=require", "channel-binding"),
        (Ask::Nothing, "require_auth=scram-sha-256", "auth-method"),
        (Ask::Nothing, "require_auth=!none", "auth-method"),
        (Ask::Nothing, "channel_binding=require", "channel-binding"),
        (Ask::Sasl(SCRAM), "require_auth=md5", "auth-method"),
        (Ask::Sasl(SCRAM), "require_auth=none", "auth-method"),
        (
            Ask::Sasl(SCRAM),
            "require_auth=!scram-sha-256",
            "auth-method",
        ),
        // Offered outside TLS, there is nothing to bind to.
        (
            Ask::Sasl(PLUS),
            "channel_binding=require",
            "channel-binding",
        ),
        (Ask::Sasl(&["OAUTHBEARER"]), "", "auth-unsupported"),
        (
            Ask::Sasl(&["OAUTHBEARER"]),
            "require_auth=scram-sha-256",
            "auth-method",
        ),
        (Ask::Sasl(&["PLAIN"]), "", "auth-unsupported"),
        (Ask::Code(2), "", "auth-unsupported"),
        (Ask::Code(6), "", "auth-unsupported"),
        (Ask::Code(7), "", "auth-unsupported"),
        (Ask::Code(7), "require_auth=scram-sha-256", "auth-method"),
        (Ask::Code(9), "", "auth-unsupported"),
        (Ask::Code(4711), "", "auth-unsupported"),
        (
            Ask::Scram(b"r=x,s=c2FsdA==,i=2147483647"),
            "",
            "auth-failed",
        ),
        (Ask::Scram(b"r=x,s=c2FsdA==,i=4096"), "", "auth-failed"),
        (Ask::Scram(b"nonsense"), "", "auth-failed"),
        (Ask::Unproved, "", "protocol"),
        (Ask::Raw(b"R\x7f\xff\xff\xff\0\0\0\x03"), "", "protocol"),
        (Ask::Raw(b"E\x7f\xff\xff\xffSFATAL"), "", "protocol"),
        (Ask::Raw(b"R\0\0\0\x05\0"), "", "auth-failed"),
        (
            Ask::Raw(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            "",
            "protocol",
        ),
        (Ask::Raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "", "protocol"),
        (Ask::Raw(b"\0\0\0\0\0\0\0\0\0"), "", "protocol"),
    ];
    for (what, extra, code) in table {
        let what = *what;
        let rogue = Rogue::start(move |peer| ask(peer, what)).await.unwrap();
        let error = connect(&rogue, &format!("sslmode=disable {extra}")).await;
        let case = format!("{what:?} with {extra:?}: {error}");
        assert_eq!(error.code().name(), *code, "{case}");
        rogue.finished().await.unwrap();
        assert!(!rogue.has_received(SECRET.as_bytes()), "{case}");
        assert!(!rogue.has_received(b"md5"), "{case}");
        assert_eq!(rogue.connections(), 1, "{case}");
    }
}

/// The same guard stands inside TLS.
#[tokio::test]
async fn a_trusted_certificate_does_not_excuse_a_wrong_method() {
    let pki = Pki::generate().unwrap();
    let certificate = pki.server("localhost").issue().unwrap();
    let (chain, key) = (
        certificate.chain_pem().to_owned(),
        certificate.key_pem().to_owned(),
    );
    for (what, extra) in [
        (Ask::Cleartext, "require_auth=scram-sha-256"),
        (Ask::Md5, "channel_binding=require"),
        // A server in the middle cannot offer the binding; the client notices.
        (Ask::Sasl(&["SCRAM-SHA-256"]), "channel_binding=require"),
    ] {
        let (chain, key) = (chain.clone(), key.clone());
        let rogue = Rogue::start(move |mut peer: Peer| {
            let (chain, key) = (chain.clone(), key.clone());
            async move {
                assert_eq!(peer.read_startup().await?, Startup::SslRequest);
                peer.accept_tls(&chain, &key).await?;
                ask(peer, what).await
            }
        })
        .await
        .unwrap();
        let root = pki.root_file().display();
        let error = connect(
            &rogue,
            &format!("sslmode=verify-full sslrootcert={root} {extra}"),
        )
        .await;
        assert_eq!(error.kind(), ErrorKind::Authentication, "{what:?}: {error}");
        rogue.finished().await.unwrap();
        assert!(
            rogue.has_received(b"app"),
            "{what:?}: the startup message was not seen"
        );
        assert!(!rogue.has_received(SECRET.as_bytes()), "{what:?}");
        assert!(!rogue.has_received(b"SCRAM"), "{what:?}");
    }
}

#[tokio::test]
async fn the_answer_to_the_tls_request_is_not_trusted() {
    // An error before TLS could come from anybody: its text is not shown.
    let fake_error = b"E\0\0\0\x20SFATAL\0C28P01\0Mcall 555-0100\0\0";
    let stuffed = b"SR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
    let table: &[(&[u8], &str, &str)] = &[
        (fake_error, "require", "tls-negotiation"),
        (fake_error, "prefer", "tls-negotiation"),
        (b"N", "require", "tls-not-supported"),
        (b"N", "verify-full sslrootcert=system", "tls-not-supported"),
        (b"X", "require", "tls-negotiation"),
        (b"H", "prefer", "tls-negotiation"),
        (b"", "require", "closed"),
        (stuffed, "require", "tls-stuffed"),
        (stuffed, "prefer", "tls-stuffed"),
        (b"Njunk", "prefer", "tls-stuffed"),
    ];
    for (answer, mode, code) in table {
        let sent = answer.to_vec();
        let rogue = Rogue::start(move |mut peer: Peer| {
            let sent = sent.clone();
            async move {
                peer.read_startup().await?;
                peer.send(&sent).await?;
                if sent.is_empty() {
                    return peer.close().await;
                }
                peer.drain().await
            }
        })
        .await
        .unwrap();
        let error = connect(&rogue, &format!("sslmode={mode}")).await;
        let case = format!("{:?} with {mode}: {error}", String::from_utf8_lossy(answer));
        assert_eq!(error.code().name(), *code, "{case}");
        assert!(!format!("{error:?} {error}").contains("555-0100"), "{case}");
        assert_eq!(rogue.connections(), 1, "{case}");
        rogue.finished().await.unwrap();
        assert!(!rogue.has_received(SECRET.as_bytes()), "{case}");
    }
}

/// `prefer` tries without TLS what a server refuses with TLS, but only a refusal of the identity:
/// what comes after that, or says "not now", has nothing to do with the encryption (as in libpq).
#[tokio::test]
async fn prefer_goes_on_in_plaintext_only_after_a_refusal() {
    let pki = Pki::generate().unwrap();
    let certificate = pki.server("localhost").issue().unwrap();
    for (authenticated, state, connections) in [
        (false, "28000", 2),
        (false, "28P01", 2),
        (false, "3D000", 2),
        (true, "3D000", 1),
        (false, "57P03", 1),
    ] {
        let (chain, key) = (
            certificate.chain_pem().to_owned(),
            certificate.key_pem().to_owned(),
        );
        let rogue = Rogue::start(move |mut peer: Peer| {
            let (chain, key) = (chain.clone(), key.clone());
            async move {
                if peer.read_startup().await? == Startup::SslRequest {
                    peer.accept_tls(&chain, &key).await?;
                    peer.read_startup().await?;
                }
                if authenticated {
                    peer.auth_ok().await?;
                }
                peer.error(state, "no").await
            }
        })
        .await
        .unwrap();
        let error = connect(&rogue, "sslmode=prefer").await;
        assert_eq!(error.sqlstate(), Some(state), "{error}");
        rogue.finished().await.unwrap();
        assert_eq!(
            rogue.connections(),
            connections,
            "{state}, authenticated: {authenticated}"
        );
    }
}

/// The way to a session, as a real server would send it to a client that it trusts.
fn transcript() -> Vec<u8> {
    [
        b"R\0\0\0\x08\0\0\0\0".as_slice(),
        b"S\0\0\0\x18server_version\x0018.4\0",
        b"K\0\0\0\x0c\0\0\0\x2a\0\0\0\x01",
        b"Z\0\0\0\x05I",
    ]
    .concat()
}

#[tokio::test]
async fn a_server_that_closes_at_any_byte_is_an_error() {
    let all = transcript();
    for n in 0..all.len() {
        let sent = all[..n].to_vec();
        let rogue = Rogue::start(move |mut peer: Peer| {
            let sent = sent.clone();
            async move {
                peer.read_startup().await?;
                peer.send(&sent).await?;
                peer.close().await
            }
        })
        .await
        .unwrap();
        let error = connect(&rogue, "sslmode=disable").await;
        assert_eq!(error.kind(), ErrorKind::Closed, "after {n} bytes: {error}");
    }
}

#[tokio::test]
async fn control_characters_of_a_server_are_escaped() {
    let rogue = Rogue::start(|mut peer: Peer| async move {
        peer.read_startup().await?;
        peer.error("28P01", "no\u{1b}[2J\r\nway\u{202e}").await
    })
    .await
    .unwrap();
    let error = connect(&rogue, "sslmode=disable").await;
    for text in [
        error.to_string(),
        format!("{error:?}"),
        error.hint().to_owned(),
    ] {
        assert!(
            !text.chars().any(|c| c.is_control() && c != '\n'),
            "{text:?}"
        );
        assert!(!text.contains('\u{202e}'), "{text:?}");
    }
    assert!(
        error.message().contains("no\\u{1b}[2J\\r\\nway\\u{202e}"),
        "{error}"
    );
}

/// Bytes that this process holds.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// One test for all floods: its figures are the whole process', and others would disturb them.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn floods_take_no_memory() {
    let notice = [b"N\0\0\x80\0".as_slice(), &[b'x'; 0x7ffc]].concat();
    let parameter = [b"S\0\0\x40\0".as_slice(), &[b'y'; 0x3ffa], b"\0\0"].concat();
    let body_that_never_ends = [b"R\0\0\xff\xff".as_slice(), &[0; 0xffff]].concat();
    let huge_row = [
        transcript(),
        b"T\0\0\0\x06\0\0D\x7f\xff\xff\xff".to_vec(),
        vec![0; 1 << 20],
    ]
    .concat();
    for (name, start, rest, query) in [
        ("notices", b"R\0\0\0\x08\0\0\0\0".to_vec(), notice, false),
        (
            "parameters",
            b"R\0\0\0\x08\0\0\0\0".to_vec(),
            parameter,
            false,
        ),
        ("authentication", Vec::new(), body_that_never_ends, false),
        ("a row of 2 GiB", huge_row, vec![0; 1 << 20], true),
    ] {
        let rogue = Rogue::start(move |mut peer: Peer| {
            let (start, rest) = (start.clone(), rest.clone());
            async move {
                peer.read_startup().await?;
                peer.send(&start).await?;
                for _ in 0..2048 {
                    peer.send(&rest).await?;
                }
                peer.drain().await
            }
        })
        .await
        .unwrap();
        let before = resident();
        let error = if query {
            let conninfo = format!(
                "host=127.0.0.1 port={} user=app sslmode=disable",
                rogue.port()
            );
            match common::connect(&conninfo).await {
                // The session may end before the statement is sent, or with it.
                Ok(connection) => {
                    let asked = connection.simple_query("select 1");
                    let asked = tokio::time::timeout(Duration::from_secs(20), asked)
                        .await
                        .unwrap();
                    Error::from(asked.unwrap_err())
                }
                Err(error) => error,
            }
        } else {
            connect(&rogue, "sslmode=disable").await
        };
        let grown = resident().saturating_sub(before);
        assert_eq!(error.kind(), ErrorKind::Closed, "{name}: {error}");
        assert!(grown < 16 << 20, "{name}: {grown} bytes more");
    }
}
