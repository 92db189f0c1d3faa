//! Host certificates; the rest of their rules is in the oracle.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use russh::keys::Certificate;
use russh::keys::ssh_key::certificate::{Builder, CertType};

use super::*;
use crate::codes;

const FROM: u64 = 1_000_000;
const UNTIL: u64 = 2_000_000;

fn certificate(key: u8, signer: u8, names: &[&str]) -> Certificate {
    let mut builder =
        Builder::new(vec![7; 32], public(key).key_data().clone(), FROM, UNTIL).unwrap();
    builder.cert_type(CertType::Host).unwrap();
    builder.key_id("id").unwrap();
    for name in names {
        builder.valid_principal(*name).unwrap();
    }
    builder.sign(&private(signer)).unwrap()
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

async fn check_at(
    policy: &HostKeyPolicy,
    host: &str,
    certificate: Certificate,
    seconds: u64,
) -> Result<Trusted, Error> {
    let checker = policy.load(host, 2222).await?;
    checker.check_at(&certificate.into(), at(seconds)).await
}

#[tokio::test]
async fn an_authority_is_trusted_for_the_names_and_the_time_that_it_gives() {
    let policy = HostKeyPolicy::authority(line(9)).unwrap();
    let good = || certificate(1, 9, &["a", "b"]);
    for seconds in [FROM, UNTIL - 1] {
        let trusted = check_at(&policy, "B", good(), seconds).await.unwrap();
        let expected = Trusted {
            fingerprint: fingerprint(1),
            key_type: "ssh-ed25519-cert-v01@openssh.com".to_owned(),
            how: format!("host certificate of CA {} (given)", fingerprint(9)),
        };
        assert_eq!(trusted, expected);
    }
    let invalid = &codes::HOST_CERTIFICATE_INVALID;
    for (seconds, host, what) in [
        (FROM - 1, "a", "is not valid yet"),
        (UNTIL, "a", "has expired"),
        (FROM, "c", "is issued for a, b, not for c"),
    ] {
        let error = expect(check_at(&policy, host, good(), seconds).await, invalid);
        assert!(error.message().contains(what), "{error}");
        assert!(error.message().contains(&fingerprint(9)), "{error}");
    }
    let error = expect(
        check_at(&policy, "a", certificate(1, 8, &["a"]), FROM).await,
        &codes::HOST_KEY_UNKNOWN,
    );
    assert!(
        error.message().contains("which is not trusted for it"),
        "{error}"
    );
    // A plain key is not enough, be it that of the authority.
    for key in [1, 9] {
        let error = expect(
            check(&policy, "a", 22, public(key)).await,
            &codes::HOST_KEY_UNKNOWN,
        );
        assert!(error.message().contains("no certificate"), "{error}");
        assert!(error.hint().contains("ssh-keygen -s"), "{}", error.hint());
    }
}

#[tokio::test]
async fn a_certificate_that_counts_for_nothing_still_shows_a_key() {
    let cases = [
        (format!("a {}", line(1)), None),
        (format!("a {}", line(2)), Some(&codes::HOST_KEY_CHANGED)),
        (
            format!("@revoked a {}\n@cert-authority * {}", line(1), line(9)),
            Some(&codes::HOST_KEY_REVOKED),
        ),
        (
            format!("@revoked a {}\na {}", line(9), line(1)),
            Some(&codes::HOST_KEY_REVOKED),
        ),
        (
            format!("@cert-authority a {}", line(9)),
            Some(&codes::HOST_CERTIFICATE_INVALID),
        ),
        (
            format!("@cert-authority * {}\na {}", line(9), line(1)),
            None,
        ),
    ];
    for (text, code) in cases {
        let policy = HostKeyPolicy::known_hosts_text(text.as_str());
        let found = check_at(&policy, "a", certificate(1, 9, &["other"]), FROM).await;
        assert_eq!(
            found.err().map(|error| error.code().name()),
            code.map(|code| code.name()),
            "{text}"
        );
    }
}

/// OpenSSH does not get as far as looking at the key in it.
#[tokio::test]
async fn a_forged_certificate_is_refused_though_its_key_is_known() {
    let mut bytes = certificate(1, 9, &["a"]).to_bytes().unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let forged = Certificate::from_bytes(&bytes).unwrap();
    let text = format!("a {}\n@cert-authority a {}", line(1), line(9));
    let policy = HostKeyPolicy::known_hosts_text(text);
    let error = expect(
        check_at(&policy, "a", forged, FROM).await,
        &codes::HOST_CERTIFICATE_INVALID,
    );
    assert!(error.message().contains("signature"), "{error}");
}

#[tokio::test]
async fn an_authority_may_be_added_to_what_is_on_record() {
    let policy = HostKeyPolicy::known_hosts_text(format!("a {}", line(1)))
        .with_authority(line(9))
        .unwrap();
    check(&policy, "a", 22, public(1)).await.unwrap();
    check_at(&policy, "b", certificate(2, 9, &["b"]), FROM)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_nul_in_a_name_ends_nothing() {
    let policy = HostKeyPolicy::authority(line(9)).unwrap();
    let forged = certificate(1, 9, &["a\0.example.com"]);
    expect(
        check_at(&policy, "a", forged, FROM).await,
        &codes::HOST_CERTIFICATE_INVALID,
    );
}
