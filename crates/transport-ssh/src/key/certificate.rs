//! User certificates: the line of a `-cert.pub` file.

use data_encoding::BASE64;
use pgreach_core::Error;
use russh::keys::Certificate;
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::public::KeyData;

use super::problem::certificate as problem;

/// Longer than any certificate; sshd takes at most 256 KiB.
const MAX_TEXT: usize = 256 << 10;

const MARKER: &str = "-cert-v01@openssh.com";

/// The certificate in `text`, if it was issued for `key`.
pub(super) fn parse(text: &str, key: &KeyData) -> Result<Certificate, Error> {
    if text.len() > MAX_TEXT {
        return Err(problem("the SSH user certificate is too long"));
    }
    let mut words = text.split_whitespace();
    let key_type = words.next().unwrap_or_default();
    if !key_type.ends_with(MARKER) {
        return Err(problem(
            "what is given as SSH user certificate is none: it does not begin with the name of a \
             certificate type",
        ));
    }
    let damaged = || problem("the SSH user certificate is damaged or not whole");
    let blob = BASE64
        .decode(words.next().unwrap_or_default().as_bytes())
        .map_err(|_| damaged())?;
    // A certificate's authority can itself be a certificate to the parser, which recurses into it
    // until the stack ends. None is ever signed by another, but its text may mention one.
    let mentions = blob
        .windows(MARKER.len())
        .filter(|window| *window == MARKER.as_bytes())
        .count();
    if mentions > 8 {
        return Err(damaged());
    }
    let certificate = Certificate::from_bytes(&blob).map_err(|_| damaged())?;
    if certificate.algorithm().to_certificate_type() != key_type {
        return Err(damaged());
    }
    if certificate.cert_type() != CertType::User {
        return Err(problem(
            "the SSH certificate is a host certificate, not a user certificate",
        ));
    }
    if certificate.public_key() != key {
        return Err(problem(
            "the SSH user certificate was issued for another key",
        ));
    }
    Ok(certificate)
}
