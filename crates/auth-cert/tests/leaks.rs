//! No passphrase and no key in what is shown, whatever fails.
#![cfg(not(any(target_os = "windows", target_vendor = "apple")))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::error::Error as _;
use std::fmt::Debug;

use openssl::nid::Nid;
use openssl::symm::Cipher;
use pgreach_auth_cert::{FileCertificate, FixedCertificate};
use pgreach_core::{Credential, Error};
use support::*;

const MARKER: &str = "m4rker-s3cret";

/// What must not be seen: the passphrase, the key's text, and its bytes as Debug has them.
struct Secrets(Vec<String>);

impl Secrets {
    fn of(key: &str) -> Self {
        let lines = key.lines().filter(|line| !line.starts_with("-----"));
        let bytes = der(key.as_bytes());
        let listed: Vec<String> = bytes[40..48].iter().map(ToString::to_string).collect();
        let mut all: Vec<String> = lines
            .filter(|line| line.len() > 8)
            .map(|line| line[..line.len().min(24)].to_owned())
            .collect();
        all.extend([MARKER.to_owned(), listed.join(", ")]);
        Self(all)
    }

    fn assert_hidden(&self, what: &str, shown: &str) {
        for secret in &self.0 {
            assert!(!shown.contains(secret), "{what} shows {secret}: {shown}");
        }
    }

    fn debug(&self, what: &str, value: &impl Debug) {
        self.assert_hidden(what, &format!("{value:?} {value:#?}"));
    }

    fn error(&self, what: &str, error: &Error) {
        self.debug(what, error);
        self.assert_hidden(what, &format!("{error} {}", error.hint()));
        self.assert_hidden(what, &serde_json::to_string(error).unwrap());
        let mut source = error.source();
        while let Some(cause) = source {
            self.assert_hidden(what, &format!("{cause} {cause:?}"));
            source = cause.source();
        }
    }
}

#[tokio::test]
async fn nothing_secret_is_shown() {
    let folder = Folder::new();
    let key = p256();
    let own = Wanted::named("app").self_signed(&key);
    let (certificate, plain) = (pem(&own), pkcs8(&key));
    let secrets = Secrets::of(&plain);
    let encrypted = key
        .private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"another")
        .unwrap();
    let ec = key.ec_key().unwrap();
    let old = ec
        .private_key_to_pem_passphrase(Cipher::aes_256_cbc(), b"another")
        .unwrap();
    let p12 = pkcs12(&key, &own, &[], "another", Nid::AES_256_CBC);
    let passphrase = || secret(MARKER);

    let fixed = FixedCertificate::from_bytes(&certificate, &plain, passphrase())
        .unwrap()
        .with_password_from(
            FixedCertificate::from_bytes(&certificate, &plain, passphrase()).unwrap(),
        );
    secrets.debug("FixedCertificate", &fixed);
    let credential: &Credential = &ask(&fixed).await.unwrap();
    secrets.debug("Credential", credential);

    let certificate_file = folder.write("tls.crt", &certificate);
    let key_file = folder.write("tls.key", &plain);
    let file = FileCertificate::new(&certificate_file, &key_file).with_passphrase(MARKER);
    ask(&file).await.unwrap();
    secrets.debug("FileCertificate, loaded", &file);
    write(&key_file, &plain[..plain.len() - 40]);
    secrets.error("cut off", &ask(&file).await.unwrap_err());
    secrets.debug("FileCertificate, failed", &file);
    // Exchanged: the key is read as a certificate.
    write(&key_file, &plain);
    let exchanged = FileCertificate::new(&key_file, &certificate_file);
    secrets.error("exchanged", &ask(&exchanged).await.unwrap_err());

    let other = pem(&Wanted::named("other").self_signed(&p256()));
    let rubbish = format!("{MARKER} {plain}").replace("PRIVATE KEY", "RUBBISH");
    let header = plain.replacen("-----\n", &format!("-----\n{MARKER}: x\n"), 1);
    let damaged = plain.replacen('M', "!", 1);
    let dek = String::from_utf8(old.clone())
        .unwrap()
        .replace("AES-256-CBC", MARKER);
    #[rustfmt::skip]
    let failures: Vec<(&str, Result<FixedCertificate, Error>)> = vec![
        ("mismatch", FixedCertificate::from_bytes(&other, &plain, passphrase())),
        ("wrong passphrase", FixedCertificate::from_bytes(&certificate, &encrypted, passphrase())),
        ("wrong old passphrase", FixedCertificate::from_bytes(&certificate, &old, passphrase())),
        ("wrong passphrase of PKCS#12", FixedCertificate::from_pkcs12(&p12, passphrase())),
        ("unknown header", FixedCertificate::from_bytes(&certificate, &header, None)),
        ("unknown cipher", FixedCertificate::from_bytes(&certificate, &dek, passphrase())),
        ("damaged", FixedCertificate::from_bytes(&certificate, &damaged, passphrase())),
        ("rubbish", FixedCertificate::from_bytes(&certificate, &rubbish, passphrase())),
        ("rubbish as certificate", FixedCertificate::from_bytes(&rubbish, &plain, passphrase())),
        ("key as PKCS#12", FixedCertificate::from_pkcs12(&plain, passphrase())),
    ];
    for (what, outcome) in failures {
        secrets.error(what, &outcome.expect_err(what));
    }
}

/// A subject is a stranger's text.
#[tokio::test]
async fn control_characters_are_escaped() {
    let key = p256();
    let own = Wanted::named("a\u{1b}[31m\nforged").self_signed(&key);
    let source = FixedCertificate::from_bytes(pem(&own), pkcs8(&key), None).unwrap();
    let credential = ask(&source).await.unwrap();
    for (what, note) in credential.notes() {
        assert!(!note.contains(char::is_control), "{what}: {note:?}");
    }
    let error = FixedCertificate::from_bytes(pem(&own), pkcs8(&p256()), None).unwrap_err();
    assert!(!error.to_string().contains(char::is_control), "{error:?}");
}
