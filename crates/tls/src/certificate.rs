//! What a person needs to know of a certificate.

use std::fmt::Write as _;
use std::net::IpAddr;

use pgreach_core::PeerCertificate;
use pgreach_core::text::escape_control;
use sha2::{Digest as _, Sha256};
use x509_cert::certificate::{CertificateInner, Raw, TbsCertificateInner};
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Describes a certificate; `None` when it cannot be parsed.
///
/// The `Raw` profile forgives what real certificates get wrong (long serial numbers): this is for
/// reports, the trust decision is the TLS library's.
pub(crate) fn describe(der: &[u8]) -> Option<PeerCertificate> {
    let certificate = CertificateInner::<Raw>::from_der(der).ok()?;
    let tbs = certificate.tbs_certificate();
    let mut found = PeerCertificate::default();
    found.subject = escape_control(&tbs.subject().to_string());
    found.issuer = escape_control(&tbs.issuer().to_string());
    found.names = names(tbs);
    found.not_before = tbs.validity().not_before.to_date_time().to_string();
    found.not_after = tbs.validity().not_after.to_date_time().to_string();
    found.sha256 = Some(hex(&Sha256::digest(der)));
    Some(found)
}

/// The names that a TLS client would look at.
fn names(tbs: &TbsCertificateInner<Raw>) -> Vec<String> {
    let mut names = Vec::new();
    if let Ok(Some((_, alternatives))) = tbs.get_extension::<SubjectAltName>() {
        for name in &alternatives.0 {
            match name {
                GeneralName::DnsName(name) => names.push(escape_control(name.as_str())),
                GeneralName::IpAddress(bytes) => {
                    names.extend(ip(bytes.as_bytes()).map(|address| address.to_string()));
                }
                _ => {}
            }
        }
    }
    if names.is_empty()
        && let Ok(Some(name)) = tbs.subject().common_name()
    {
        names.push(escape_control(&name.value()));
    }
    names
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
