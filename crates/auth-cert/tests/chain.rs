//! The order of a chain, and the dates of its first certificate.
#![cfg(not(any(target_os = "windows", target_vendor = "apple")))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::{Duration, SystemTime};

use pgreach_auth_cert::{FixedCertificate, codes};
use pgreach_core::CredentialKind;
use support::*;

#[tokio::test]
async fn which_chains_are_accepted() {
    let root = Signer::root("root");
    let (upper, lower) = {
        let upper = root.below("upper");
        let lower = upper.below("lower");
        (upper, lower)
    };
    // The same name, another key.
    let namesake = Signer::root("lower");
    let key = p256();
    let own = Wanted::named("app").signed_by(&key, &lower);
    let alone = Wanted::named("alone").self_signed(&key);
    let stranger = Signer::root("stranger");
    let [own, alone, lower, upper, root, namesake, stranger] = [
        &own,
        &alone,
        &lower.certificate,
        &upper.certificate,
        &root.certificate,
        &namesake.certificate,
        &stranger.certificate,
    ];
    // The certificates; what is in the error and its hint, if it is one.
    #[rustfmt::skip]
    let table = [
        ("alone", vec![own], None),
        ("self-signed", vec![alone], None),
        ("self-signed, and another", vec![alone, stranger], None),
        ("with its issuer", vec![own, lower], None),
        ("without the root", vec![own, lower, upper], None),
        ("with the root", vec![own, lower, upper, root], None),
        ("something after the root", vec![own, lower, upper, root, stranger], None),
        ("something after a chain without its root", vec![own, lower, upper, stranger], None),
        ("its second issuer is missing", vec![own, lower, root], None),
        ("a certificate twice", vec![own, own, lower, lower], None),
        ("its own comes last", vec![root, upper, lower, own], Some(("number 4", "CN=app,O=Test; CN=lower,O=Test; CN=upper,O=Test; CN=root,O=Test"))),
        ("its own comes second", vec![lower, own], Some(("number 2", "CN=app,O=Test; CN=lower,O=Test"))),
        ("issuers exchanged", vec![own, upper, lower], Some(("number 2 in the chain is not the issuer of CN=app", "CN=app,O=Test; CN=lower,O=Test; CN=upper,O=Test"))),
        ("something in between", vec![own, lower, stranger, upper], Some(("number 3 in the chain is not the issuer of CN=lower", "CN=lower,O=Test; CN=upper,O=Test"))),
        ("its issuer is missing", vec![own, upper, root], Some(("gap", "put the certificate of CN=lower,O=Test second"))),
        ("a namesake of its issuer", vec![own, namesake], Some(("gap", "CN=lower"))),
    ];
    for (what, chain, refusal) in table {
        let text: String = chain.iter().map(|certificate| pem(certificate)).collect();
        match (
            FixedCertificate::from_bytes(&text, pkcs8(&key), None),
            refusal,
        ) {
            (Ok(source), None) => {
                let mut sent = chain.clone();
                sent.dedup_by_key(|certificate| certificate.to_der().unwrap());
                let credential = ask(&source).await.unwrap();
                assert_holds(&credential, &sent, &key, what);
            }
            (Err(error), Some((message, hint))) => {
                assert_eq!(error.code(), &codes::CERT_CHAIN, "{what}: {error}");
                assert!(error.message().contains(message), "{what}: {error}");
                assert!(error.hint().contains(hint), "{what}: {}", error.hint());
            }
            (Ok(_), Some(_)) => panic!("{what}: accepted"),
            (Err(error), None) => panic!("{what}: {error}"),
        }
    }
}

#[test]
fn a_certificate_out_of_its_time_is_refused() {
    let key = p256();
    let make = |wanted: Wanted<'_>| {
        FixedCertificate::from_bytes(pem(&wanted.self_signed(&key)), pkcs8(&key), None)
            .map_err(|error| (error.code().name(), error.to_string()))
    };
    let code = |wanted| make(wanted).err().map(|(code, _)| code);
    let named = || Wanted::named("app");
    assert_eq!(code(named().seconds(-7200, -1)), Some("cert-expired"));
    assert_eq!(code(named().seconds(-7200, 3600)), None);
    assert_eq!(code(named().seconds(600, 7200)), Some("cert-not-yet-valid"));
    // Clocks are never exactly right.
    assert_eq!(code(named().seconds(60, 7200)), None);
    let (_, message) = make(named().valid(-10, -3)).unwrap_err();
    assert!(
        message.starts_with("the client certificate of CN=app,O=Test expired on 2"),
        "{message}"
    );
}

#[tokio::test]
async fn what_a_report_shows() {
    let root = Signer::root("root");
    let key = p256();
    let expiring = |days| {
        let own = Wanted::named("app").valid(-1, days).signed_by(&key, &root);
        FixedCertificate::from_bytes(pem(&own), pkcs8(&key), None).unwrap()
    };
    let credential = ask(&expiring(12)).await.unwrap();
    assert_eq!(credential.kind(), CredentialKind::Certificate);
    let left = credential
        .expires_at()
        .unwrap()
        .duration_since(SystemTime::now())
        .unwrap();
    assert_eq!(left.as_secs() / 86400, 12);
    let notes = credential.notes();
    assert_eq!(notes[0], ("subject", "CN=app,O=Test".to_owned()));
    assert_eq!(notes[1], ("issuer", "CN=root,O=Test".to_owned()));
    assert_eq!(notes[2].0, "expires");
    let date = notes[2].1.split('T').next().unwrap();
    assert_eq!(
        credential.warnings(),
        [format!(
            "the client certificate of CN=app,O=Test expires in 12 days ({date})"
        )]
    );
    for (days, span, words) in [
        (0, 30, Some("in less than a day")),
        (1, 30, Some("in 1 day ")),
        (29, 30, Some("in 29 days")),
        (30, 30, None),
        (12, 0, None),
        (12, 12, None),
        (12, 13, Some("in 12 days")),
        (300, 365, Some("in 300 days")),
    ] {
        let span = Duration::from_secs(span * 24 * 3600);
        let source = expiring(days).with_expiry_warning(span);
        let credential = ask(&source).await.unwrap();
        let warning = credential.warnings().first();
        assert_eq!(warning.is_some(), words.is_some(), "{days}: {warning:?}");
        if let (Some(warning), Some(words)) = (warning, words) {
            assert!(warning.contains(words), "{warning}");
        }
    }
}
