//! Host certificates.

use std::time::{SystemTime, UNIX_EPOCH};

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, Certificate};

use super::key::Key;
use super::policy::weakness;

/// OpenSSH reads no certificate with more.
const MAX_PRINCIPALS: usize = 256;

/// Why the certificate is one that OpenSSH does not even read; it breaks off then.
pub(super) fn unreadable(certificate: &Certificate) -> Option<&'static str> {
    if matches!(certificate.signature_key(), KeyData::Certificate(_)) {
        return Some("is signed by a certificate");
    }
    let principals = certificate.valid_principals();
    let has_nul = |text: &str| text.contains('\0');
    if principals.len() > MAX_PRINCIPALS
        || has_nul(certificate.key_id())
        || principals.iter().any(|name| has_nul(name))
    {
        return Some("is malformed");
    }
    if certificate.verify_signature().is_err() {
        return Some("does not have the signature of its authority");
    }
    None
}

/// Why the certificate does not speak for `host`, although its authority, `signer`, is trusted.
pub(super) fn invalid(
    certificate: &Certificate,
    signer: &Key,
    host: &str,
    now: SystemTime,
) -> Option<String> {
    // A clock before 1970 is before everything.
    let now = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    if certificate.cert_type() != CertType::Host {
        return Some("is not a host's but a user's".to_owned());
    }
    if now < certificate.valid_after() {
        return Some(format!(
            "is not valid yet (from {} on; it is {now}, in seconds since 1970)",
            certificate.valid_after()
        ));
    }
    if now >= certificate.valid_before() {
        return Some(format!(
            "has expired (at {}; it is {now}, in seconds since 1970)",
            certificate.valid_before()
        ));
    }
    // OpenSSH 9 still takes an empty list for every name. Later ones do not; they take patterns
    // instead, which earlier ones do not.
    let principals = certificate.valid_principals();
    if principals.is_empty() {
        return Some("is issued for no name".to_owned());
    }
    if !principals.iter().any(|name| name == host) {
        let mut names = principals.iter().take(5).cloned().collect::<Vec<_>>();
        if principals.len() > names.len() {
            names.push("…".to_owned());
        }
        return Some(format!(
            "is issued for {}, not for {host}",
            names.join(", ")
        ));
    }
    if let Some((name, _)) = certificate.critical_options().iter().next() {
        return Some(format!("has the critical option {name}, which no host has"));
    }
    let signed_with = certificate.signature().algorithm();
    let is_proper = match &signed_with {
        Algorithm::Rsa { hash } => hash.is_some(),
        Algorithm::Ed25519
        | Algorithm::Ecdsa { .. }
        | Algorithm::SkEd25519
        | Algorithm::SkEcdsaSha2NistP256 => signed_with == certificate.signature_key().algorithm(),
        _ => false,
    };
    if !is_proper {
        return Some(format!(
            "is signed with {signed_with}, which is not to be trusted"
        ));
    }
    weakness(signer).map(|weakness| format!("is signed by {weakness}"))
}
