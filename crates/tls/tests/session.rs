//! Protocol versions, SNI, ALPN, channel binding, client certificates, and broken handshakes.
#![cfg(not(any(target_os = "windows", target_vendor = "apple")))]
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::io::{Read as _, Write as _};

use openssl::asn1::Asn1Time;
use openssl::hash::{MessageDigest, hash};
use openssl::pkey::{Id, PKey};
use openssl::rsa::Rsa;
use openssl::ssl::SslVersion;
use openssl::x509::X509;
use pgreach_core::{
    ClientIdentity, Error, Retry, SslNegotiation, TlsProvider as _, TlsRequest, TlsVersion,
    Verification,
};
use pgreach_tls::{NativeTls, NativeTlsBuilder, Roots};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use support::pki::{Authority, Leaf, Wanted, self_signed_by_openssl};
use support::server::{Config, serve};
use support::{dial, echo, handshake, outcome};

const NAME: &str = "db.example.com";

fn setup() -> (Authority, Leaf, NativeTlsBuilder) {
    let root = Authority::root("Root");
    let leaf = root.issue(Wanted::names(&[NAME, "127.0.0.1"]));
    let builder = NativeTls::builder().with_roots(Roots::from_pem(root.pem()));
    (root, leaf, builder)
}

#[tokio::test]
async fn protocol_versions_are_kept_to() {
    let (_, leaf, builder) = setup();
    let old = || {
        Config::new(&leaf)
            .versions(SslVersion::TLS1_2, SslVersion::TLS1_2)
            .start()
    };
    let new = || {
        Config::new(&leaf)
            .versions(SslVersion::TLS1_3, SslVersion::TLS1_3)
            .start()
    };
    let any = || Config::new(&leaf).start();

    let least = builder
        .clone()
        .with_min_version(TlsVersion::V1_3)
        .build()
        .unwrap();
    let error = echo(&least, &old(), NAME).await.unwrap_err();
    assert_eq!(error.code().name(), "tls-protocol-version", "{error:?}");
    assert!(error.to_string().contains("TLSv1.3 or later"), "{error}");
    let server = any();
    let secured = echo(&least, &server, NAME).await.unwrap();
    assert_eq!(secured.info.protocol.as_deref(), Some("TLSv1.3"));
    drop(secured);
    assert_eq!(
        server.finish()[0].as_ref().unwrap().version.as_deref(),
        Some("TLSv1.3")
    );

    let greatest = builder
        .clone()
        .with_max_version(TlsVersion::V1_2)
        .build()
        .unwrap();
    let error = echo(&greatest, &new(), NAME).await.unwrap_err();
    assert_eq!(error.code().name(), "tls-protocol-version", "{error:?}");
    let server = any();
    drop(echo(&greatest, &server, NAME).await.unwrap());
    assert_eq!(
        server.finish()[0].as_ref().unwrap().version.as_deref(),
        Some("TLSv1.2")
    );

    let contradiction = builder
        .with_min_version(TlsVersion::V1_3)
        .with_max_version(TlsVersion::V1_2)
        .build()
        .unwrap_err();
    assert_eq!(contradiction.code().name(), "tls-versions");
}

#[tokio::test]
async fn sni_is_the_name_and_never_an_address() {
    let (_, leaf, builder) = setup();
    for (sni, name, expected) in [
        (true, NAME, Some(NAME)),
        (true, "db.example.com.", Some(NAME)),
        (true, "127.0.0.1", None),
        (false, NAME, None),
    ] {
        let server = Config::new(&leaf).start();
        let tls = builder.clone().with_sni(sni).build().unwrap();
        drop(echo(&tls, &server, name).await.unwrap());
        let seen = server.finish();
        assert_eq!(
            seen[0].as_ref().unwrap().sni.as_deref(),
            expected,
            "{name} {sni}"
        );
    }
}

#[tokio::test]
async fn direct_tls_needs_alpn() {
    let (_, leaf, builder) = setup();
    let tls = builder.build().unwrap();
    let none = || Config::new(&leaf).start();
    let right = || Config::new(&leaf).alpn(b"postgresql").start();
    let refusing = || Config::new(&leaf).alpn(b"h2").start();
    let direct = TlsRequest::new(NAME, Verification::Full).with_negotiation(SslNegotiation::Direct);
    let plain = TlsRequest::new(NAME, Verification::Full);

    for (what, server, request, expected) in [
        ("agreed", right(), direct, "ok"),
        ("agreed after an SSLRequest", right(), plain, "ok"),
        ("an old server", none(), plain, "ok"),
        ("direct to an old server", none(), direct, "tls-alpn"),
        ("another protocol's server", refusing(), plain, "tls-alpn"),
    ] {
        let result = handshake(&tls, &server, &request).await;
        assert_eq!(outcome(&result), expected, "{what}");
        if let Err(error) = result {
            assert!(error.to_string().contains(NAME), "{error}");
        }
    }
}

#[tokio::test]
async fn channel_binding_is_the_hash_of_the_certificate() {
    let root = Authority::root("Root");
    let tls = NativeTls::builder()
        .with_roots(Roots::from_pem(root.pem()))
        .build()
        .unwrap();
    let leaf = root.issue(Wanted::names(&[NAME]));
    let server = Config::new(&leaf).start();
    let secured = echo(&tls, &server, NAME).await.unwrap();
    let expected = hash(MessageDigest::sha256(), &leaf.der).unwrap();
    assert_eq!(secured.channel_binding.as_deref(), Some(&*expected));
    drop(secured);

    for algorithm in [Id::ED25519, Id::RSA_PSS] {
        let leaf = self_signed_by_openssl(NAME, algorithm);
        let tls = NativeTls::builder()
            .with_roots(Roots::from_pem(leaf.pem.clone()))
            .build()
            .unwrap();
        let server = Config::new(&leaf).start();
        let secured = echo(&tls, &server, NAME).await.unwrap();
        assert_eq!(secured.channel_binding, None);
        assert!(!secured.info.channel_binding);
    }
}

#[tokio::test]
async fn a_client_certificate_is_presented() {
    let (root, leaf, builder) = setup();
    let tls = builder.with_max_version(TlsVersion::V1_2).build().unwrap();
    let server = Config::new(&leaf).demand(&root).start();
    let mine: Vec<_> = ["alice", "bob"]
        .map(|name| root.issue(Wanted::names(&[]).common_name(name)))
        .into();
    for certificate in &mine {
        let identity =
            ClientIdentity::from_pem(certificate.pem.as_bytes(), certificate.key.as_bytes());
        let request = TlsRequest::new(NAME, Verification::Full).with_identity(Some(&identity));
        handshake(&tls, &server, &request).await.unwrap();
    }
    let without = TlsRequest::new(NAME, Verification::Full);
    let error = handshake(&tls, &server, &without).await.unwrap_err();
    // OpenSSL's alert for a missing certificate in TLS 1.2 is "handshake failure".
    assert_eq!(error.code().name(), "tls-handshake", "{error:?}");

    let stranger = Authority::root("Other").issue(Wanted::names(&[]).common_name("eve"));
    let identity = ClientIdentity::from_pem(stranger.pem.as_bytes(), stranger.key.as_bytes());
    let request = TlsRequest::new(NAME, Verification::Full).with_identity(Some(&identity));
    let error = handshake(&tls, &server, &request).await.unwrap_err();
    assert_eq!(error.code().name(), "tls-certificate-refused", "{error:?}");

    let seen = server.finish();
    let presented: Vec<_> = seen
        .iter()
        .map(|seen| seen.as_ref()?.client.clone())
        .collect();
    let (alice, bob) = (mine[0].der.clone(), mine[1].der.clone());
    assert_eq!(presented, [Some(alice), Some(bob), None, None]);
}

/// In TLS 1.3 a refusal comes after the client's handshake, also where a write finds it first.
#[tokio::test]
async fn a_late_refusal_of_a_client_certificate_is_told() {
    let (root, leaf, builder) = setup();
    let tls = builder.with_min_version(TlsVersion::V1_3).build().unwrap();
    let server = Config::new(&leaf).demand(&root).start();
    let stranger = Authority::root("Other").issue(Wanted::names(&[]).common_name("eve"));
    let identity = ClientIdentity::from_pem(stranger.pem.as_bytes(), stranger.key.as_bytes());
    let with = TlsRequest::new(NAME, Verification::Full).with_identity(Some(&identity));
    let without = TlsRequest::new(NAME, Verification::Full);
    for (request, words) in [
        (&with, "refused the client's certificate: unknown authority"),
        (
            &without,
            "demands a client certificate: certificate required",
        ),
    ] {
        let mut reader = handshake(&tls, &server, request).await.unwrap().stream;
        let read = reader.read(&mut [0]).await.unwrap_err();
        let mut writer = handshake(&tls, &server, request).await.unwrap().stream;
        // Until the server has closed.
        let written = loop {
            if let Err(error) = writer.write_all(b"x").await {
                break error;
            }
            if let Err(error) = writer.flush().await {
                break error;
            }
            tokio::task::yield_now().await;
        };
        for error in [read, written] {
            let error = Error::of_io(&error).unwrap_or_else(|| panic!("{words}: {error:?}"));
            assert_eq!(error.code().name(), "tls-certificate-refused", "{error:?}");
            assert!(error.message().ends_with(words), "{error}");
        }
    }
}

#[tokio::test]
async fn an_unusable_client_certificate_is_refused_and_never_shown() {
    let (root, leaf, builder) = setup();
    let tls = builder.build().unwrap();
    let server = Config::new(&leaf).start();
    let good = root.issue(Wanted::names(&[]).common_name("alice"));
    let other = root.issue(Wanted::names(&[]).common_name("bob"));
    let old_encrypted = good.key.replacen(
        "-----BEGIN PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n",
        1,
    );
    for (what, chain, key) in [
        ("no certificate", "", good.key.as_str()),
        (
            "broken certificate",
            "-----BEGIN CERTIFICATE-----\nAA==\n",
            &good.key,
        ),
        (
            "broken key",
            &good.pem,
            "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n",
        ),
        (
            "key of another format",
            &good.pem,
            "-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n",
        ),
        ("key of another certificate", &good.pem, &other.key),
        ("encrypted key", &good.pem, &old_encrypted),
    ] {
        let identity = ClientIdentity::from_pem(chain, key);
        let request = TlsRequest::new(NAME, Verification::Full).with_identity(Some(&identity));
        let error = handshake(&tls, &server, &request).await.unwrap_err();
        assert_eq!(error.code().name(), "tls-client-identity", "{what}");
        let shown = format!("{error} {error:?} {identity:?} {tls:?} {request:?}");
        let secret = key.lines().nth(1).unwrap();
        assert!(!shown.contains(secret), "{what}: {shown}");
    }
}

/// An identity whose key is too short for every security level but 0.
fn short_identity() -> ClientIdentity {
    let key = PKey::from_rsa(Rsa::generate(512).unwrap()).unwrap();
    let mut builder = X509::builder().unwrap();
    builder.set_pubkey(&key).unwrap();
    builder
        .set_not_before(&Asn1Time::days_from_now(0).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(1).unwrap())
        .unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    ClientIdentity::from_pem(
        builder.build().to_pem().unwrap(),
        key.private_key_to_pem_pkcs8().unwrap(),
    )
}

#[tokio::test]
async fn why_a_client_certificate_is_unusable_is_said() {
    let (root, leaf, builder) = setup();
    let tls = builder.build().unwrap();
    let server = Config::new(&leaf).start();
    let [alice, bob] =
        ["alice", "bob"].map(|name| root.issue(Wanted::names(&[]).common_name(name)));
    let mixed = ClientIdentity::from_pem(alice.pem.as_bytes(), bob.key.as_bytes());
    for (identity, expected) in [
        (mixed, "do not fit together"),
        (short_identity(), "cannot be used: "),
    ] {
        let request = TlsRequest::new(NAME, Verification::Full).with_identity(Some(&identity));
        let error = handshake(&tls, &server, &request).await.unwrap_err();
        assert_eq!(error.code().name(), "tls-client-identity");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn many_identities_do_not_displace_a_handshake() {
    let (root, leaf, builder) = setup();
    let tls = builder.build().unwrap();
    let server = Config::new(&leaf).demand(&root).start();
    let mut expected = Vec::new();
    for number in 0..20 {
        let mine = root.issue(Wanted::names(&[]).common_name(&format!("user {number}")));
        let identity = ClientIdentity::from_pem(mine.pem.as_bytes(), mine.key.as_bytes());
        let request = TlsRequest::new(NAME, Verification::Full).with_identity(Some(&identity));
        for _ in 0..2 {
            handshake(&tls, &server, &request).await.unwrap();
            expected.push(Some(mine.der.clone()));
        }
    }
    let seen = server.finish();
    let presented: Vec<_> = seen
        .iter()
        .map(|seen| seen.as_ref()?.client.clone())
        .collect();
    assert_eq!(presented, expected);
}

#[tokio::test]
async fn inspect_shows_a_certificate_that_is_not_trusted() {
    let tls = NativeTls::new();
    let root = Authority::root("Corporate CA, \u{1b}[31m");
    let wanted = Wanted::names(&["db.internal", "10.1.2.3", "2001:db8::1", "a\u{7}b"])
        .common_name("not this")
        .years(2001, 2049);
    let leaf = root.issue(wanted);
    let server = Config::new(&leaf).start();
    let seen = tls
        .inspect(dial(&server).await, NAME)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        seen.names,
        ["db.internal", "10.1.2.3", "2001:db8::1", "a\\u{7}b"]
    );
    assert_eq!(seen.subject, "CN=not this");
    assert_eq!(seen.issuer, "O=pgreach tests,CN=Corporate CA\\, \\1b[31m");
    assert_eq!(seen.not_before, "2001-01-01T00:00:00Z");
    assert_eq!(seen.not_after, "2049-01-01T00:00:00Z");
    let expected = hash(MessageDigest::sha256(), &leaf.der).unwrap();
    let expected: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(seen.sha256, Some(expected));

    let leaf = root.issue(Wanted::names(&[]).common_name("db.old"));
    let server = Config::new(&leaf).start();
    let seen = tls.inspect(dial(&server).await, "").await.unwrap().unwrap();
    assert_eq!(seen.names, ["db.old"]);
}

#[tokio::test]
async fn what_is_not_tls_is_told_apart() {
    let (_, _, builder) = setup();
    let tls = builder.build().unwrap();
    let direct = TlsRequest::new(NAME, Verification::Full).with_negotiation(SslNegotiation::Direct);

    // As PostgreSQL before 17 does when TLS comes unasked.
    let closing = serve(|mut stream| {
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).unwrap();
        let mut rest = vec![0; usize::from(hello[3]) << 8 | usize::from(hello[4])];
        stream.read_exact(&mut rest).unwrap();
        None
    });
    let error = handshake(&tls, &closing, &direct).await.unwrap_err();
    assert_eq!(error.code().name(), "tls-handshake");
    assert_eq!(error.retry(), Retry::Backoff);
    assert_eq!(
        error.to_string(),
        format!("the server \"{NAME}\" closed the connection during the TLS handshake")
    );
    assert!(
        error.hint().contains("sslnegotiation=postgres"),
        "{}",
        error.hint()
    );

    let plain = serve(|mut stream| {
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
        stream.read_exact(&mut [0]).ok();
        None
    });
    let request = TlsRequest::new(NAME, Verification::Full);
    let error = handshake(&tls, &plain, &request).await.unwrap_err();
    assert_eq!(error.code().name(), "tls-handshake");
    assert_eq!(
        error.to_string(),
        format!("the answer of the server \"{NAME}\" is not TLS")
    );
}
