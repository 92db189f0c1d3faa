//! Plain keys and files.

use pgreach_core::{ErrorKind, Retry};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg};

use super::super::checker::HostKeyPreference;
use super::*;
use crate::{HOST_KEY, codes};

/// What becomes of key 1 on `bastion`, with and without the port 2222.
#[tokio::test]
async fn what_files_say() {
    const OK: &str = "";
    let (a, b) = (line(1), line(2));
    let (unknown, changed, revoked) = ("host-key-unknown", "host-key-changed", "host-key-revoked");
    let cases = [
        (String::new(), unknown, unknown),
        (format!("bastion {a}"), OK, OK),
        (format!("[bastion]:2222 {a}"), unknown, OK),
        (format!("[bastion]:22 {a}"), unknown, unknown),
        (format!("bastion {a}\r\n"), OK, OK),
        (
            format!("\tBASTION\t{}\tcomment\n", a.replace(' ', "\t")),
            OK,
            OK,
        ),
        (format!("other {a}\n# bastion {a}\n"), unknown, unknown),
        (format!("* {a}"), OK, OK),
        (format!("*,!bastion {a}"), unknown, OK),
        (format!("*,!bastion,!*2222 {a}"), unknown, unknown),
        (format!("bast?on,other {b}\nbastion {a}"), OK, OK),
        (format!("bastion {b}"), changed, changed),
        (format!("bastion {ECDSA}"), changed, changed),
        (format!("bastion {SK}"), changed, changed),
        (format!("[bastion]:2222 {b}\nbastion {a}"), OK, changed),
        (format!("[bastion]:2222 {SK}\nbastion {a}"), OK, changed),
        (format!("[bastion]:2222 {a}\nbastion {b}"), changed, OK),
        // A key of a type that nobody knows is on record too.
        (
            "bastion ssh-new AAAAB3NzaC1uZXcAAAABeA==".to_owned(),
            changed,
            changed,
        ),
        // Garbage is not.
        ("bastion ssh-ed25519 AAAA".to_owned(), unknown, unknown),
        (
            format!("[bastion]:2222 ssh-ed25519 !!!\nbastion {a}"),
            OK,
            OK,
        ),
        (format!("@unknown bastion {a}"), unknown, unknown),
        (format!("@cert-authority bastion {a}"), unknown, unknown),
        (format!("bastion {a}\n@revoked * {a}"), revoked, revoked),
        (format!("@revoked * {a}"), revoked, revoked),
        (format!("@revoked\t* {a}\nbastion {a}"), revoked, revoked),
        (
            format!("@revoked bastion {a}\n[bastion]:2222 {a}"),
            revoked,
            revoked,
        ),
        (
            format!("@revoked [bastion]:2222 {a}\nbastion {a}"),
            OK,
            revoked,
        ),
        (format!("@revoked other {a}\nbastion {a}"), OK, OK),
        (format!("@revoked * {b}\nbastion {a}"), OK, OK),
    ];
    for (text, plain, with_port) in cases {
        let policy = HostKeyPolicy::known_hosts_text(text.as_str());
        for (port, expected) in [(22, plain), (2222, with_port)] {
            let found = match check(&policy, "Bastion", port, public(1)).await {
                Ok(_) => OK,
                Err(error) => error.code().name(),
            };
            assert_eq!(found, expected, "port {port}: {text}");
        }
    }
}

#[tokio::test]
async fn addresses_are_found_in_any_spelling() {
    let text = format!("2001:db8::7,[2001:db8::8]:2222 {}", line(1));
    let policy = HostKeyPolicy::known_hosts_text(text);
    check(&policy, "2001:DB8:0:0:0:0:0:7", 22, public(1))
        .await
        .unwrap();
    check(&policy, "2001:db8:0::8", 2222, public(1))
        .await
        .unwrap();
    expect(
        check(&policy, "2001:db8::8", 22, public(1)).await,
        &codes::HOST_KEY_UNKNOWN,
    );
}

#[tokio::test]
async fn a_trusted_key_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    std::fs::write(&file, format!("# first\nbastion {}\n", line(1))).unwrap();
    let policy = HostKeyPolicy::known_hosts([directory.path().join("missing"), file.clone()]);
    let trusted = check(&policy, "bastion", 22, public(1)).await.unwrap();
    let expected = Trusted {
        fingerprint: fingerprint(1),
        key_type: "ssh-ed25519".to_owned(),
        how: format!("known_hosts {}:2", file.display()),
    };
    assert_eq!(trusted, expected);
    let policy = HostKeyPolicy::dangerous_accept_any();
    let trusted = check(&policy, "bastion", 22, public(1)).await.unwrap();
    assert_eq!(trusted.how, "not verified");
}

#[tokio::test]
async fn errors_name_what_is_shown_and_what_is_on_record() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    let text = format!(
        "a {ECDSA}\n[a]:2222 {}\nb {ECDSA}\n@revoked c {}\n",
        line(2),
        line(1)
    );
    std::fs::write(&file, &text).unwrap();
    let modified = std::fs::metadata(&file).unwrap().modified().unwrap();
    let policy = HostKeyPolicy::known_hosts([&file]);
    let place = |line: usize| format!("{}:{line}", file.display());
    let shown = format!("ssh-ed25519 {}", fingerprint(1));
    let ecdsa = format!(
        "ecdsa-sha2-nistp256 {} at {}",
        ecdsa().fingerprint(Default::default()),
        place(1)
    );
    let cases = [
        (
            ("a", 2222),
            &codes::HOST_KEY_CHANGED,
            format!(
                "the host key of [a]:2222 has changed: it shows {shown}; on record: ssh-ed25519 {} at {}",
                fingerprint(2),
                place(2)
            ),
            "may be intercepting",
        ),
        (
            ("a", 22),
            &codes::HOST_KEY_CHANGED,
            format!(
                "a shows the host key {shown}; keys of other types only are on record: {ecdsa}"
            ),
            "whether it has this key beside those on record",
        ),
        (
            ("new", 2222),
            &codes::HOST_KEY_UNKNOWN,
            format!("no host key of [new]:2222 is on record; it shows {shown}"),
            "under the name [new]:2222",
        ),
        (
            ("c", 22),
            &codes::HOST_KEY_REVOKED,
            format!(
                "c shows the host key {shown}, which is revoked at {}",
                place(4)
            ),
            "Do not connect",
        ),
    ];
    for ((host, port), code, message, hint) in cases {
        let error = expect(check(&policy, host, port, public(1)).await, code);
        assert_eq!(error.message(), message);
        assert!(error.hint().contains(hint), "{}", error.hint());
        assert_eq!(error.kind(), ErrorKind::HostKey);
        assert_eq!(error.stage(), HOST_KEY);
        assert_eq!(error.retry(), Retry::Never);
    }
    // Strict policies write nothing.
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    assert_eq!(
        std::fs::metadata(&file).unwrap().modified().unwrap(),
        modified
    );
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn weak_keys_are_refused_though_on_record() {
    // The public keys of RSA with 1024 bits, and of DSA.
    let weak = [
        "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDVYDvRZeC4ZZk8QOehrYsirE4GzS3FK0+6isbyuqeoClIuZ2ZAnX8anFFO+/BMAW+9LPTh4VNOEP1ucbbHlLIqrZWqddwyGk8G3hiYlgpMIeQZFt7WoYnO1Quv4RrXGLHIw+A6pg/XqhRnlYqNs84JxXLBjUZBh9SFfCnK8d35/Q==",
    ];
    for key in weak {
        let policy = HostKeyPolicy::known_hosts_text(format!("a {key}"));
        let key: PublicKey = key.parse().unwrap();
        let error = expect(
            check(&policy, "a", 22, key.clone()).await,
            &codes::HOST_KEY_WEAK,
        );
        assert!(
            error.message().contains("an RSA key of 1024 bits"),
            "{error}"
        );
        let any = HostKeyPolicy::dangerous_accept_any();
        check(&any, "a", 22, key).await.unwrap();
    }
}

#[tokio::test]
async fn algorithms_on_record_lead() {
    let ed25519 = Algorithm::Ed25519;
    let p256 = Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP256,
    };
    let sha512 = Algorithm::Rsa {
        hash: Some(HashAlg::Sha512),
    };
    let sha256 = Algorithm::Rsa {
        hash: Some(HashAlg::Sha256),
    };
    let sha1 = Algorithm::Rsa { hash: None };
    let supported = [
        ed25519.clone(),
        p256.clone(),
        sha512.clone(),
        sha1,
        sha256.clone(),
    ];
    let rsa = format!("ssh-rsa {}", rsa_blob());
    let usual = [&ed25519, &p256, &sha512, &sha256];
    let cases = [
        (String::new(), usual, false),
        (format!("a {}", line(1)), usual, false),
        (
            format!("a {ECDSA}"),
            [&p256, &ed25519, &sha512, &sha256],
            false,
        ),
        (
            format!("a {rsa}"),
            [&sha512, &sha256, &ed25519, &p256],
            false,
        ),
        (
            format!("a {rsa}\na {ECDSA}"),
            [&p256, &sha512, &sha256, &ed25519],
            false,
        ),
        (format!("other {ECDSA}\n@revoked a {ECDSA}"), usual, false),
        (format!("@cert-authority a {}", line(1)), usual, true),
        (
            format!("@cert-authority * {}\na {ECDSA}", line(1)),
            [&p256, &ed25519, &sha512, &sha256],
            true,
        ),
        (format!("@cert-authority b {}", line(1)), usual, false),
    ];
    for (text, keys, certificates) in cases {
        let policy = HostKeyPolicy::known_hosts_text(text.as_str());
        let keys: Vec<_> = keys.into_iter().cloned().collect();
        for port in [22, 2222] {
            let found = policy.load("a", port).await.unwrap().preference(&supported);
            let expected = HostKeyPreference {
                keys: keys.clone(),
                certificates: if certificates {
                    keys.clone()
                } else {
                    Vec::new()
                },
            };
            assert_eq!(found, expected, "port {port}: {text}");
        }
    }
    // With a port, the records with it count where there are any.
    let text = format!("a {ECDSA}\n[a]:2222 {}", line(1));
    let checker = HostKeyPolicy::known_hosts_text(text)
        .load("a", 2222)
        .await
        .unwrap();
    assert_eq!(checker.preference(&supported).keys[0], ed25519);
    let policy = HostKeyPolicy::authority(line(1)).unwrap();
    let preference = policy.load("a", 22).await.unwrap().preference(&supported);
    assert_eq!(preference.certificates, preference.keys);
}

/// An RSA key of 2048 bits, which nobody has the private half of.
fn rsa_blob() -> String {
    let mut blob = Vec::new();
    for part in [
        &b"ssh-rsa"[..],
        &[1, 0, 1],
        &[&[0][..], &[0xc5; 256]].concat(),
    ] {
        blob.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
        blob.extend(part);
    }
    super::super::base64::encode(&blob)
}
