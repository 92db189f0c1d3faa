//! A private key out of any of its forms.

use openssl::ec::Asn1Flag;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, Private};
use pgreach_core::Error;
use x509_cert::der::asn1::AnyRef;
use x509_cert::der::{self, Decode as _, Encode as _, Tag};
use zeroize::Zeroizing;

use super::encryption::{Work, decrypt_pkcs8};
use super::legacy;
use crate::input::{KeyForm, PrivateKey};
use crate::problem::{key_invalid, key_unsupported, passphrase_wrong};
use crate::shape::{Shape, sequence, shape};

const TYPES: &str = "give a certificate whose key is RSA, EC on P-256, P-384 or P-521, or Ed25519";

/// The key, decrypted where it is encrypted. A passphrase that is not needed is ignored, as in libpq.
pub(super) fn open(key: &PrivateKey, passphrase: Option<&str>) -> Result<PKey<Private>, Error> {
    match &key.form {
        KeyForm::Plain(shape) => plain(&key.bytes, *shape),
        KeyForm::EncryptedPkcs8 => {
            let bytes = decrypt_pkcs8(&key.bytes, passphrase, &mut Work::default())?;
            plain(&bytes, Shape::Pkcs8)
        }
        KeyForm::Legacy(dek_info) => {
            let bytes = legacy::decrypt(&key.bytes, dek_info, passphrase)?;
            match shape(&bytes) {
                Some(shape @ (Shape::Pkcs1 | Shape::Sec1 | Shape::Pkcs8)) => plain(&bytes, shape),
                // The padding was right by chance.
                _ => Err(passphrase_wrong()),
            }
        }
    }
}

/// A key that is not encrypted.
pub(super) fn plain(bytes: &[u8], shape: Shape) -> Result<PKey<Private>, Error> {
    let first_version;
    let bytes = match shape {
        Shape::Pkcs8 => {
            first_version = without_public_key(bytes).map_err(|_| damaged())?;
            &first_version
        }
        _ => bytes,
    };
    let key = match shape {
        Shape::Pkcs8 => PKey::private_key_from_pkcs8(bytes),
        _ => PKey::private_key_from_der(bytes),
    };
    // OpenSSL's words would say no more, and are not known to hold nothing of the key.
    let key = key.map_err(|_| damaged())?;
    check_type(&key)?;
    Ok(key)
}

fn damaged() -> Error {
    key_invalid("the private key is damaged, or of a type that the TLS library does not know")
}

/// Encodes a key without its public half, as version 1 of PKCS#8 has it: OpenSSL 3.0 does not read
/// version 2, which ring and Java write.
fn without_public_key(bytes: &[u8]) -> der::Result<Zeroizing<Vec<u8>>> {
    let parts = sequence(AnyRef::from_der(bytes)?)?;
    let [version, algorithm, key, ..] = parts.as_slice() else {
        return Err(der::ErrorKind::Failed.into());
    };
    if version.value() == [0] {
        return Ok(Zeroizing::new(bytes.to_vec()));
    }
    let mut content = Zeroizing::new(Vec::with_capacity(bytes.len()));
    content.extend_from_slice(&[2, 1, 0]);
    content.extend_from_slice(&algorithm.to_der()?);
    content.extend_from_slice(&Zeroizing::new(key.to_der()?));
    Ok(Zeroizing::new(
        AnyRef::new(Tag::Sequence, &content)?.to_der()?,
    ))
}

/// The most that servers on OpenSSL verify is 16,384; a signature with that takes a second, in the
/// handshake, where nothing can interrupt it.
const MAX_RSA_BITS: u32 = 8192;

fn check_type(key: &PKey<Private>) -> Result<(), Error> {
    let id = key.id();
    if matches!(id, Id::RSA | Id::RSA_PSS) && key.bits() > MAX_RSA_BITS {
        let message = format!(
            "the private key is an RSA key of {} bits, more than {MAX_RSA_BITS}",
            key.bits()
        );
        return Err(key_unsupported(message, TYPES));
    }
    if id == Id::EC {
        // OpenSSL finds the name of a curve that is only described, and TLS then refuses the key.
        let curve = key
            .ec_key()
            .ok()
            .filter(|key| key.group().asn1_flag() == Asn1Flag::NAMED_CURVE)
            .and_then(|key| key.group().curve_name())
            .unwrap_or(Nid::UNDEF);
        return match curve {
            Nid::X9_62_PRIME256V1 | Nid::SECP384R1 | Nid::SECP521R1 => Ok(()),
            Nid::UNDEF => Err(key_unsupported(
                "the private key describes its elliptic curve instead of naming it",
                TYPES,
            )),
            other => Err(key_unsupported(
                format!(
                    "the private key is on an elliptic curve that TLS does not use ({})",
                    other.short_name().unwrap_or("unnamed")
                ),
                TYPES,
            )),
        };
    }
    let name = match id {
        Id::RSA | Id::RSA_PSS | Id::ED25519 | Id::ED448 => return Ok(()),
        Id::DSA => "a DSA key",
        Id::DH | Id::X25519 | Id::X448 => "a key for key agreement, which cannot sign",
        _ => "of a type that TLS does not use",
    };
    Err(key_unsupported(format!("the private key is {name}"), TYPES))
}
