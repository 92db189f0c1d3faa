//! The formats of OpenSSL: PKCS#1 (RSA), SEC1 (EC) and PKCS#8, the last one also encrypted.

use pgreach_core::{Error, Secret};
use pkcs8::der::asn1::{AnyRef, ContextSpecific, OctetStringRef, UintRef};
use pkcs8::der::{self, Decode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _};
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Kdf;
use pkcs8::{EncryptedPrivateKeyInfoRef, ObjectIdentifier, PrivateKeyInfoRef};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::Mpint;
use russh::keys::ssh_key::private::{KeypairData, RsaKeypair, RsaPrivateKey};
use russh::keys::ssh_key::public::RsaPublicKey;

use super::problem::{invalid, passphrase_missing, passphrase_wrong, unsupported};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const DSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10040.4.1");

const CURVES: [ObjectIdentifier; 3] = [
    ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"),
    ObjectIdentifier::new_unwrap("1.3.132.0.34"),
    ObjectIdentifier::new_unwrap("1.3.132.0.35"),
];

/// OpenSSL writes 2048, careful people up to a million, which take less than a second.
const MAX_PBKDF2: u32 = 2_000_000;
/// OpenSSL's scrypt uses 16 MiB, in one pass.
const MAX_SCRYPT_BYTES: u128 = 128 << 20;
const MAX_SCRYPT_PASSES: u16 = 4;

fn damaged(what: &str) -> Error {
    invalid(format!(
        "the private key is damaged: what is between BEGIN and END is no {what} key"
    ))
}

/// A key in PKCS#1.
pub(super) fn rsa(bytes: &[u8]) -> Result<PrivateKey, Error> {
    rsa_numbers(bytes)
        .ok()
        .and_then(|numbers| rsa_key(&numbers))
        .ok_or_else(|| damaged("RSA"))
}

/// n, e, d, p, q, d mod p-1, d mod q-1, 1/q mod p.
fn rsa_numbers(bytes: &[u8]) -> der::Result<[UintRef<'_>; 8]> {
    let mut reader = SliceReader::new(bytes)?;
    let numbers = reader.sequence(|reader| {
        // A version of 1 means more than two primes, which SSH has no place for.
        if u8::decode(reader)? != 0 {
            return Err(der::ErrorKind::Failed.into());
        }
        let mut next = || UintRef::decode(reader);
        Ok::<_, der::Error>([
            next()?,
            next()?,
            next()?,
            next()?,
            next()?,
            next()?,
            next()?,
            next()?,
        ])
    })?;
    reader.finish()?;
    Ok(numbers)
}

fn rsa_key([n, e, d, p, q, _, _, qinv]: &[UintRef<'_>; 8]) -> Option<PrivateKey> {
    let number = |number: &UintRef<'_>| Mpint::from_positive_bytes(number.as_bytes());
    let public = RsaPublicKey::new(number(e), number(n)).ok()?;
    let private = RsaPrivateKey::new(number(d), number(qinv), number(p), number(q)).ok()?;
    let pair = RsaKeypair::new(public, private).ok()?;
    KeypairData::Rsa(pair).try_into().ok()
}

/// A key in SEC1.
pub(super) fn ec(bytes: &[u8]) -> Result<PrivateKey, Error> {
    let parameters = sec1_parameters(bytes)
        .map_err(|_| damaged("EC"))?
        .ok_or_else(|| invalid("the private key does not say which elliptic curve it is on"))?;
    check_curve(Some(parameters))?;
    russh::keys::pkcs8::decode_pkcs8(bytes, None).map_err(|_| damaged("EC"))
}

fn sec1_parameters(bytes: &[u8]) -> der::Result<Option<AnyRef<'_>>> {
    let mut reader = SliceReader::new(bytes)?;
    reader.sequence(|reader| {
        u8::decode(reader)?;
        <&OctetStringRef>::decode(reader)?;
        let parameters = ContextSpecific::<AnyRef<'_>>::decode_explicit(reader, TagNumber(0))?;
        let rest = reader.remaining_len();
        reader.read_slice(rest)?;
        Ok(parameters.map(|field| field.value))
    })
}

/// Explicit parameters are refused: russh would take any curve of a known length for NIST's.
fn check_curve(parameters: Option<AnyRef<'_>>) -> Result<(), Error> {
    let curve = parameters
        .filter(|parameters| parameters.tag() == Tag::ObjectIdentifier)
        .and_then(|parameters| parameters.decode_as::<ObjectIdentifier>().ok());
    match curve {
        Some(curve) if CURVES.contains(&curve) => Ok(()),
        Some(curve) => Err(unsupported(format!(
            "the private key is on an elliptic curve that SSH does not use ({curve})"
        ))),
        None => Err(unsupported(
            "the private key describes its elliptic curve instead of naming it",
        )),
    }
}

/// A key in PKCS#8, not encrypted.
pub(super) fn pkcs8(bytes: &[u8]) -> Result<PrivateKey, Error> {
    let info = PrivateKeyInfoRef::try_from(bytes).map_err(|_| damaged("PKCS#8"))?;
    match info.algorithm.oid {
        RSA => return rsa(info.private_key.as_bytes()),
        EC => check_curve(info.algorithm.parameters)?,
        ED25519 => {}
        DSA => return Err(unsupported("the private key is a DSA key (ssh-dss)")),
        other => {
            return Err(unsupported(format!(
                "the private key is of a type that is not supported ({other})"
            )));
        }
    }
    russh::keys::pkcs8::decode_pkcs8(bytes, None).map_err(|_| damaged("PKCS#8"))
}

/// A key in PKCS#8, encrypted.
pub(super) fn encrypted_pkcs8(
    bytes: &[u8],
    passphrase: Option<&Secret>,
) -> Result<PrivateKey, Error> {
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(bytes).map_err(|error| {
        // The parser knows the algorithms and says so of one that it does not know.
        match error {
            pkcs8::Error::Asn1(error) if unknown_algorithm(&error) => {
                unsupported("the private key is encrypted in a way that is not supported")
            }
            _ => damaged("encrypted PKCS#8"),
        }
    })?;
    check_effort(&encrypted.encryption_algorithm)?;
    let passphrase = passphrase.ok_or_else(passphrase_missing)?;
    // Nothing tells a wrong passphrase but that its output is no key.
    let decrypted = encrypted
        .decrypt(passphrase.expose())
        .map_err(|_| passphrase_wrong())?;
    pkcs8(decrypted.as_bytes())
}

fn unknown_algorithm(error: &der::Error) -> bool {
    matches!(
        error.kind(),
        der::ErrorKind::OidUnknown { .. } | der::ErrorKind::Value { .. }
    )
}

/// The file says how much work its passphrase is: whoever sends it must not choose freely.
fn check_effort(scheme: &EncryptionScheme) -> Result<(), Error> {
    let EncryptionScheme::Pbes2(parameters) = scheme else {
        return Err(unsupported(
            "the private key is encrypted with PBES1, which is not supported",
        ));
    };
    match &parameters.kdf {
        Kdf::Pbkdf2(pbkdf2) if pbkdf2.iteration_count > MAX_PBKDF2 => Err(unsupported(format!(
            "the private key is encrypted with {} iterations of PBKDF2, more than the \
             {MAX_PBKDF2} that are accepted",
            pbkdf2.iteration_count
        ))),
        Kdf::Pbkdf2(_) => Ok(()),
        Kdf::Scrypt(scrypt) => {
            let bytes = 128 * u128::from(scrypt.cost_parameter) * u128::from(scrypt.block_size);
            if bytes > MAX_SCRYPT_BYTES || scrypt.parallelization > MAX_SCRYPT_PASSES {
                return Err(unsupported(format!(
                    "the private key is encrypted with scrypt over {} MiB in {} passes, more than \
                     the {} MiB and {MAX_SCRYPT_PASSES} passes that are accepted",
                    bytes >> 20,
                    scrypt.parallelization,
                    MAX_SCRYPT_BYTES >> 20
                )));
            }
            Ok(())
        }
        _ => Err(unsupported(
            "the private key is encrypted in a way that is not supported",
        )),
    }
}
