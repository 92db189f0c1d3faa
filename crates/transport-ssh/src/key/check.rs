//! Which keys may be used.

use pgreach_core::Error;
use russh::keys::PrivateKey;
use russh::keys::ssh_key::HashAlg;
use russh::keys::ssh_key::private::{KeypairData, RsaKeypair};

use super::problem::{invalid, name, unsupported};

const MIN_RSA_BITS: u32 = 2048;
/// The most that the RSA library verifies.
const MAX_RSA_BITS: u32 = 8192;

/// Whether keys of this type may be used.
pub(super) fn key_type(key_type: &[u8]) -> Result<(), Error> {
    let key_type = name(key_type).unwrap_or_default();
    match key_type {
        "ssh-ed25519"
        | "ssh-rsa"
        | "ecdsa-sha2-nistp256"
        | "ecdsa-sha2-nistp384"
        | "ecdsa-sha2-nistp521" => Ok(()),
        "ssh-dss" => Err(unsupported("the private key is a DSA key (ssh-dss)")),
        _ if key_type.starts_with("sk-") => Err(unsupported(format!(
            "the private key is on a security key ({key_type}), which a person has to touch"
        ))),
        "" => Err(invalid("the private key is damaged: its type has no name")),
        _ => Err(unsupported(format!(
            "the private key is of a type that is not supported ({key_type})"
        ))),
    }
}

/// Whether this key may be used: its type, its size, and that its two halves belong together.
pub(super) fn key(key: &PrivateKey) -> Result<(), Error> {
    key_type(key.algorithm().as_str().as_bytes())?;
    if let KeypairData::Rsa(rsa) = key.key_data() {
        rsa_sizes(rsa)?;
    }
    // The formats hold both halves and the parsers believe them: only a signature shows whether
    // they fit. It costs less than the handshake that would fail.
    let fits = key
        .sign("pgreach", HashAlg::Sha256, b"trial")
        .and_then(|signature| key.public_key().verify("pgreach", b"trial", &signature));
    match fits {
        Ok(()) => Ok(()),
        Err(_) => Err(invalid(
            "the private key is damaged: its private and its public half do not fit",
        )),
    }
}

/// The numbers come from the file: the arithmetic on them must not take for ever.
fn rsa_sizes(rsa: &RsaKeypair) -> Result<(), Error> {
    let damaged = || invalid("the private key is damaged: its numbers are no RSA key");
    let modulus = rsa.public().n().as_positive_bytes().ok_or_else(damaged)?;
    let unused = modulus.first().map_or(0, |first| first.leading_zeros());
    let bits = rsa.key_size().saturating_sub(unused);
    if bits < MIN_RSA_BITS {
        return Err(unsupported(format!(
            "the private key is an RSA key of {bits} bits, less than {MIN_RSA_BITS}"
        )));
    }
    if bits > MAX_RSA_BITS {
        return Err(unsupported(format!(
            "the private key is an RSA key of {bits} bits, more than {MAX_RSA_BITS}"
        )));
    }
    let private = rsa.private();
    for number in [rsa.public().e(), private.d(), private.p(), private.q()] {
        let bytes = number.as_positive_bytes().ok_or_else(damaged)?;
        if bytes.len() > modulus.len() || bytes.last().is_none_or(|last| last & 1 == 0) {
            return Err(damaged());
        }
    }
    Ok(())
}
