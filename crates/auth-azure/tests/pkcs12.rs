//! Certificates that come as PKCS#12: what a file may cost, and when it is opened.

#![cfg(feature = "client-certificate")]
#![cfg(not(any(target_os = "windows", target_vendor = "apple")))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use openssl::asn1::Asn1Time;
use openssl::hash::MessageDigest;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::{X509, X509NameBuilder};
use pgreach_auth_azure::{EntraCredentials, EntraIdentity};
use pgreach_core::{Error, Retry};
use serde_json::json;
use support::{CLIENT, FakeHttp, MARKER, TENANT, ask, with};

/// A key and its certificate, with so many iterations of each kind.
fn archive(key: u32, mac: u32) -> Vec<u8> {
    let pkey = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "app").unwrap();
    let name = name.build();
    let mut certificate = X509::builder().unwrap();
    certificate.set_version(2).unwrap();
    certificate.set_subject_name(&name).unwrap();
    certificate.set_issuer_name(&name).unwrap();
    certificate.set_pubkey(&pkey).unwrap();
    let (from, to) = (Asn1Time::days_from_now(0), Asn1Time::days_from_now(1));
    certificate.set_not_before(&from.unwrap()).unwrap();
    certificate.set_not_after(&to.unwrap()).unwrap();
    certificate.sign(&pkey, MessageDigest::sha256()).unwrap();
    let mut builder = Pkcs12::builder();
    builder.pkey(&pkey).cert(&certificate.build());
    builder.key_iter(key).mac_iter(mac);
    builder.build2(MARKER).unwrap().to_der().unwrap()
}

fn identity(pkcs12: Vec<u8>, passphrase: &str) -> EntraIdentity {
    EntraIdentity::client_certificate(TENANT, CLIENT, pkcs12, Some(passphrase.into()))
}

fn refused(pkcs12: Vec<u8>) -> Error {
    let built = EntraCredentials::builder(identity(pkcs12, MARKER)).build();
    let error = built.expect_err("it is found before it is opened");
    assert_eq!(error.code().name(), "entra-config", "{error}");
    assert_eq!(error.retry(), Retry::Never);
    assert!(error.message().starts_with("client certificate of"));
    assert!(error.hint().contains("openssl pkcs12"), "{}", error.hint());
    error
}

#[test]
fn whoever_sends_the_file_does_not_choose_the_work() {
    for (key, mac) in [(2_000_001, 1), (1, 2_000_001)] {
        let error = refused(archive(key, mac));
        assert!(error.message().contains("2000001 iterations"), "{error}");
    }
    // Far more than anybody would wait for: the number is all that is looked at.
    let mut file = archive(1, 0x0102_0304 % 2_000_000);
    let count = (0x0102_0304_u32 % 2_000_000).to_be_bytes();
    let at = file.windows(3).rposition(|bytes| *bytes == count[1..]);
    file[at.unwrap()] = 0x7f;
    assert!(refused(file).message().contains("iterations"));
}

#[test]
fn what_is_no_file() {
    let error = refused(vec![0x30; (1 << 20) + 1]);
    assert!(error.message().contains("1 MiB"), "{error}");
    let mut cut = archive(1, 1);
    cut.pop();
    // Of indefinite length, and sequences inside each other.
    for bytes in [cut, vec![0x30, 0x80, 0, 0], Vec::new(), vec![0x30, 0]] {
        let error = refused(bytes);
        assert!(error.message().contains("PKCS#12"), "{error}");
    }
}

#[tokio::test]
async fn it_is_opened_when_a_token_is_needed() {
    let file = archive(2048, 2048);
    let http = FakeHttp::entra(json!({ "upn": "app" }));
    ask(&with(identity(file.clone(), MARKER), &http))
        .await
        .unwrap();
    assert!(http.asked()[0].body.contains("client_assertion="));

    let wrong = with(identity(file, "another"), &http);
    let error = ask(&wrong).await.unwrap_err();
    assert_eq!(error.code().name(), "entra-config", "{error}");
    assert_eq!(http.asked().len(), 1);
}
