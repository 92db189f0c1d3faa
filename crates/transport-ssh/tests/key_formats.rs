//! Every format and encryption that `ssh-keygen` and `openssl` write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::path::Path;

use pgreach_core::Secret;
use pgreach_transport_ssh::{SshKey, SshKeyPair};
use support::{Bench, PASSPHRASE, code, fingerprint, keygen, openssl, read, secret};

const KINDS: &[&str] = &["ed25519", "ecdsa-256", "ecdsa-384", "ecdsa-521", "rsa-2048"];

const CIPHERS: &[&str] = &[
    "3des-cbc",
    "aes128-cbc",
    "aes192-cbc",
    "aes256-cbc",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
];

/// `text` is the key with this fingerprint, and needs no passphrase.
fn plain(what: &str, text: &str, expected: &str) {
    let key = SshKey::from_pem(text, None).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(key.fingerprint(), expected, "{what}");
    let key = SshKey::from_pem(text, Some(&secret())).unwrap();
    assert_eq!(key.fingerprint(), expected, "{what}, with a passphrase");
}

/// `text` is the key with this fingerprint, and its passphrase is [`PASSPHRASE`].
fn encrypted(what: &str, text: &str, expected: &str) {
    let key =
        SshKey::from_pem(text, Some(&secret())).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(key.fingerprint(), expected, "{what}");
    let missing = code(SshKey::from_pem(text, None));
    assert_eq!(missing, "ssh-key-passphrase-missing", "{what}");
    let missing = code(SshKey::from_pem(text, Some(&Secret::new(""))));
    assert_eq!(missing, "ssh-key-passphrase-missing", "{what}");
    let wrong = code(SshKey::from_pem(text, Some(&Secret::new("wrong"))));
    assert_eq!(wrong, "ssh-key-passphrase-wrong", "{what}");
}

#[test]
fn openssh() {
    let bench = Bench::new();
    for kind in KINDS {
        let path = bench.generate(kind);
        let expected = fingerprint(&path);
        plain(kind, &read(&path), &expected);
        let key = SshKey::from_file(&path, None).unwrap();
        let public = read(&path.with_file_name(format!("{kind}.pub")));
        assert_eq!(key.public_line(), public.trim_end(), "{kind}");
        assert_eq!(key.algorithm(), public.split(' ').next().unwrap(), "{kind}");
        for cipher in CIPHERS {
            // One round: bcrypt is slow without optimisation.
            let args = ["-N", PASSPHRASE, "-Z", cipher, "-a", "1"];
            let text = bench.rewritten(&path, &args);
            encrypted(&format!("{kind} {cipher}"), &text, &expected);
        }
    }
}

#[test]
fn pem_and_pkcs8_of_ssh_keygen() {
    let bench = Bench::new();
    for kind in KINDS.iter().filter(|kind| **kind != "ed25519") {
        let path = bench.generate(kind);
        let expected = fingerprint(&path);
        for format in ["PEM", "PKCS8"] {
            let what = format!("{kind} {format}");
            let text = bench.rewritten(&path, &["-m", format, "-N", ""]);
            assert!(!text.contains("OPENSSH"), "{what}");
            plain(&what, &text, &expected);
            let text = bench.rewritten(&path, &["-m", format, "-N", PASSPHRASE]);
            assert!(text.contains("ENCRYPTED"), "{what}");
            encrypted(&what, &text, &expected);
        }
    }
}

#[test]
fn legacy_encryption_of_openssl() {
    let bench = Bench::new();
    for kind in ["rsa-2048", "ecdsa-256", "ecdsa-384", "ecdsa-521"] {
        let path = bench.generate(kind);
        let expected = fingerprint(&path);
        let pem = bench.write("pem", &bench.rewritten(&path, &["-m", "PEM", "-N", ""]));
        for (cipher, header) in [
            ("-aes128", "AES-128-CBC"),
            ("-aes192", "AES-192-CBC"),
            ("-aes256", "AES-256-CBC"),
            ("-des3", "DES-EDE3-CBC"),
        ] {
            let what = format!("{kind} {cipher}");
            let text = legacy(kind, &pem, cipher);
            assert!(text.contains(&format!("DEK-Info: {header},")), "{what}");
            encrypted(&what, &text, &expected);
        }
        let text = legacy(kind, &pem, "-camellia128");
        let error = SshKey::from_pem(&text, Some(&secret())).unwrap_err();
        assert_eq!(error.code().name(), "ssh-key-unsupported");
        assert!(error.message().contains("CAMELLIA-128-CBC"), "{error}");
    }
}

/// One wrong passphrase of 256 leaves a padding that looks right.
#[test]
fn a_wrong_passphrase_is_told_from_a_damaged_key() {
    let bench = Bench::new();
    let path = bench.generate("ecdsa-256");
    let pem = bench.write("pem", &bench.rewritten(&path, &["-m", "PEM", "-N", ""]));
    let pass = format!("pass:{PASSPHRASE}");
    let args = ["pkcs8", "-topk8", "-iter", "1", "-passout", &pass];
    for text in [legacy("ecdsa-256", &pem, "-aes128"), openssl(&args, &pem)] {
        for number in 0..3000 {
            let wrong = Secret::new(format!("wrong {number}"));
            let code = code(SshKey::from_pem(&text, Some(&wrong)));
            assert_eq!(code, "ssh-key-passphrase-wrong", "{number}");
        }
    }
}

fn legacy(kind: &str, pem: &Path, cipher: &str) -> String {
    let pass = format!("pass:{PASSPHRASE}");
    if kind.starts_with("rsa") {
        openssl(&["rsa", "-traditional", cipher, "-passout", &pass], pem)
    } else {
        openssl(&["ec", cipher, "-passout", &pass], pem)
    }
}

#[test]
fn pkcs8_of_openssl() {
    let bench = Bench::new();
    for kind in KINDS {
        let (source, expected) = openssl_source(&bench, kind);
        let text = openssl(&["pkcs8", "-topk8", "-nocrypt"], &source);
        plain(kind, &text, &expected);
        for args in [
            &["-v2", "aes-128-cbc"][..],
            &["-v2", "aes-192-cbc"],
            &["-v2", "aes-256-cbc"],
            &["-v2", "aes-256-cbc", "-iter", "100000"],
            &["-v2", "des3"],
            &["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA1"],
            &["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512"],
            &["-scrypt", "-scrypt_N", "1024"],
        ] {
            let pass = format!("pass:{PASSPHRASE}");
            let mut all = vec!["pkcs8", "-topk8", "-passout", &pass];
            all.extend(args);
            let text = openssl(&all, &source);
            encrypted(&format!("{kind} {args:?}"), &text, &expected);
        }
    }
}

/// A key that openssl reads, and its fingerprint. OpenSSH keeps Ed25519 keys in its own format, so
/// that one is openssl's.
fn openssl_source(bench: &Bench, kind: &str) -> (std::path::PathBuf, String) {
    if kind != "ed25519" {
        let path = bench.generate(kind);
        let expected = fingerprint(&path);
        let text = bench.rewritten(&path, &["-m", "PKCS8", "-N", ""]);
        return (bench.write("source", &text), expected);
    }
    let path = bench.path("source");
    let mut command = std::process::Command::new("openssl");
    support::run(
        command
            .args(["genpkey", "-algorithm", "ed25519", "-out"])
            .arg(&path),
    );
    let pair = SshKeyPair::from_pem(&read(&path), None).unwrap();
    // The last 32 bytes of both public forms are the key itself.
    let public = openssl(&["pkey", "-pubout"], &path);
    let body: String = public
        .lines()
        .filter(|line| !line.contains("-----"))
        .collect();
    let theirs = data_encoding::BASE64.decode(body.as_bytes()).unwrap();
    let line = pair.public_line();
    let blob = line.split(' ').nth(1).unwrap();
    let ours = data_encoding::BASE64.decode(blob.as_bytes()).unwrap();
    assert_eq!(ours[ours.len() - 32..], theirs[theirs.len() - 32..]);
    // And to OpenSSH it is the same key once it is in its format.
    let written = bench.write("converted", pair.private_pem(None).unwrap().expose());
    assert_eq!(fingerprint(&written), pair.fingerprint());
    (path, pair.fingerprint())
}

#[test]
fn certificates() {
    let bench = Bench::new();
    let ca = bench.generate("ecdsa-256");
    for kind in ["ed25519", "ecdsa-384", "rsa-2048"] {
        let path = bench.generate(kind);
        let public = path.with_file_name(format!("{kind}.pub"));
        let sign = |extra: &[&str]| {
            let mut command = std::process::Command::new("ssh-keygen");
            command
                .args(["-q", "-s"])
                .arg(&ca)
                .args(["-I", "id", "-n", "tunnel"]);
            support::run(command.args(extra).arg(&public));
            let beside = path.with_file_name(format!("{kind}-cert.pub"));
            let text = read(&beside);
            (beside, text)
        };
        let (beside, text) = sign(&[]);
        let key = SshKey::from_file(&path, None).unwrap();
        assert!(format!("{key:?}").contains("certificate: true"), "{kind}");
        std::fs::remove_file(&beside).unwrap();
        let key = SshKey::from_file(&path, None).unwrap();
        assert!(format!("{key:?}").contains("certificate: false"), "{kind}");
        assert!(key.clone().with_certificate(&text).is_ok(), "{kind}");

        let (_, host) = sign(&["-h"]);
        let refused = key.clone().with_certificate(&host).unwrap_err();
        assert_eq!(refused.code().name(), "ssh-certificate-mismatch");
        assert!(refused.message().contains("host certificate"), "{refused}");
        // Beside the key, it is ignored as ssh ignores it.
        let quiet = SshKey::from_file(&path, None).unwrap();
        assert!(format!("{quiet:?}").contains("certificate: false"));

        let half = &text[..text.len() / 2];
        let public = read(&public);
        for wrong in [
            "",
            "x",
            half,
            &public,
            "ssh-ed25519-cert-v01@openssh.com AAAA",
        ] {
            let code = code(key.clone().with_certificate(wrong));
            assert_eq!(code, "ssh-certificate-mismatch", "{wrong}");
        }
        let other = SshKey::from_file(&ca, None).unwrap();
        let refused = other.with_certificate(&text).unwrap_err();
        assert!(refused.message().contains("another key"), "{refused}");
        assert!(
            SshKey::from_pem(&text, None)
                .unwrap_err()
                .message()
                .contains("certificate")
        );
    }
    assert!(keygen(&["-y"], &ca).starts_with("ecdsa"));
}
