//! How much work it is to open a PKCS#12 file.
//!
//! The file itself says how often its passphrase is hashed, and OpenSSL does what it says. Whoever
//! hands in the file, a tenant of the program perhaps, must not choose that freely, so the numbers are
//! looked at first. Only those inside a part that is itself encrypted cannot be seen; opening a file
//! is left to a thread of its own.
//!
//! Sources: RFC 7292 (PKCS#12), RFC 8018 (PBES2, PBKDF2), RFC 9579 (PBMAC1), RFC 7914 (scrypt).

use pgreach_core::Error;
use x509_cert::der::asn1::{AnyRef, UintRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode as _, Reader as _, SliceReader, Tag, Tagged as _};

use crate::codes;
use crate::failure::error;

/// Files have a few kilobytes.
const MAX_SIZE: usize = 1 << 20;

/// OpenSSL writes 2048, careful people up to a million, which take less than a second.
const MAX_ITERATIONS: u64 = 2_000_000;
/// Of the key, the certificates and the integrity check together.
const MAX_ITERATIONS_IN_ALL: u64 = 3 * MAX_ITERATIONS;
/// OpenSSL's scrypt uses 16 MiB, in one pass.
const MAX_SCRYPT_BYTES: u64 = 128 << 20;
const MAX_SCRYPT_PASSES: u64 = 4;

/// Bags inside bags; real files have none.
const MAX_DEPTH: usize = 4;

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

const DATA: ObjectIdentifier = oid("1.2.840.113549.1.7.1");
const ENCRYPTED_DATA: ObjectIdentifier = oid("1.2.840.113549.1.7.6");
const SHROUDED_KEY_BAG: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.2");
const BAGS_BAG: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.6");
const PBKDF2: ObjectIdentifier = oid("1.2.840.113549.1.5.12");
const PBES2: ObjectIdentifier = oid("1.2.840.113549.1.5.13");
const PBMAC1: ObjectIdentifier = oid("1.2.840.113549.1.5.14");
const SCRYPT: ObjectIdentifier = oid("1.3.6.1.4.1.11591.4.11");

/// Refuses what is no PKCS#12 file, and what would be too much work.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Error> {
    if bytes.len() > MAX_SIZE {
        return Err(wrong("the PKCS#12 file is larger than 1 MiB"));
    }
    let mut work = Work::default();
    match file(bytes, &mut work) {
        Some(()) => Ok(()),
        None => Err(match work.refused {
            Some(what) => wrong(&format!("the PKCS#12 file is encrypted with {what}")),
            None => wrong("this is no PKCS#12 file, or one that is damaged, signed or in BER"),
        }),
    }
}

fn wrong(what: &str) -> Error {
    error(&codes::ENTRA_CONFIG, what).with_hint(
        "make it anew: openssl pkcs12 -in old.p12 -nodes -out all.pem, then openssl pkcs12 -export \
         -in all.pem -out new.p12",
    )
}

/// What was asked for so far.
#[derive(Default)]
struct Work {
    iterations: u64,
    refused: Option<String>,
}

impl Work {
    /// `None`: too much.
    fn add(&mut self, iterations: u64) -> Option<()> {
        self.iterations = self.iterations.saturating_add(iterations);
        if iterations > MAX_ITERATIONS || self.iterations > MAX_ITERATIONS_IN_ALL {
            self.refused = Some(format!(
                "{iterations} iterations, more than the {MAX_ITERATIONS} that are accepted"
            ));
            return None;
        }
        Some(())
    }

    fn add_scrypt(&mut self, n: u64, r: u64, p: u64) -> Option<()> {
        if n.saturating_mul(r).saturating_mul(128) > MAX_SCRYPT_BYTES || p > MAX_SCRYPT_PASSES {
            self.refused = Some("scrypt that takes more than 128 MiB or 4 passes".to_owned());
            return None;
        }
        Some(())
    }
}

/// `None` from here on: it is not understood, or `work` says why.
fn file(bytes: &[u8], work: &mut Work) -> Option<()> {
    let parts = sequence(AnyRef::from_der(bytes).ok()?)?;
    let (content, mac) = match parts.as_slice() {
        [_, content] => (content, None),
        [_, content, mac] => (content, Some(mac)),
        _ => return None,
    };
    if let Some(mac) = mac {
        integrity(*mac, work)?;
    }
    let (DATA, content) = content_info(*content)? else {
        return None;
    };
    for info in sequence(AnyRef::from_der(octets(content)?).ok()?)? {
        match content_info(info)? {
            (DATA, content) => bags(octets(content)?, 0, work)?,
            (ENCRYPTED_DATA, content) => {
                let parts = sequence(content)?;
                // Its type, how it is encrypted, and the rest.
                let info = sequence(*parts.get(1)?)?;
                encryption(*info.get(1)?, work)?;
            }
            _ => return None,
        }
    }
    Some(())
}

/// Algorithm and digest, salt, iterations.
fn integrity(mac: AnyRef<'_>, work: &mut Work) -> Option<()> {
    let parts = sequence(mac)?;
    let info = sequence(*parts.first()?)?;
    if let (PBMAC1, Some(parameters)) = algorithm(*info.first()?)? {
        derivation(*sequence(parameters)?.first()?, work)?;
    }
    match parts.get(2) {
        Some(iterations) => work.add(number(*iterations)?),
        None => Some(()),
    }
}

fn bags(content: &[u8], depth: usize, work: &mut Work) -> Option<()> {
    if depth > MAX_DEPTH {
        return None;
    }
    for bag in sequence(AnyRef::from_der(content).ok()?)? {
        let bag = sequence(bag)?;
        let name = name(*bag.first()?)?;
        let value = bag.get(1)?.value();
        match name {
            SHROUDED_KEY_BAG => {
                let key = sequence(AnyRef::from_der(value).ok()?)?;
                encryption(*key.first()?, work)?;
            }
            BAGS_BAG => bags(value, depth + 1, work)?,
            _ => {}
        }
    }
    Some(())
}

/// PBES2, or one of the older ones, whose parameters are all alike: salt and iterations.
fn encryption(value: AnyRef<'_>, work: &mut Work) -> Option<()> {
    let (name, parameters) = algorithm(value)?;
    let parameters = sequence(parameters?)?;
    if name == PBES2 {
        return derivation(*parameters.first()?, work);
    }
    work.add(number(*parameters.get(1)?)?)
}

fn derivation(value: AnyRef<'_>, work: &mut Work) -> Option<()> {
    let (name, parameters) = algorithm(value)?;
    let parameters = sequence(parameters?)?;
    let number = |place: usize| number(*parameters.get(place)?);
    match name {
        PBKDF2 => work.add(number(1)?),
        SCRYPT => work.add_scrypt(number(1)?, number(2)?, number(3)?),
        _ => None,
    }
}

/// A name and the one value inside an explicit tag.
fn content_info(value: AnyRef<'_>) -> Option<(ObjectIdentifier, AnyRef<'_>)> {
    let (name, content) = algorithm(value)?;
    match parts(content?.value())?.as_slice() {
        [one] => Some((name, *one)),
        _ => None,
    }
}

/// A name and its parameters.
fn algorithm(value: AnyRef<'_>) -> Option<(ObjectIdentifier, Option<AnyRef<'_>>)> {
    let parts = sequence(value)?;
    Some((name(*parts.first()?)?, parts.get(1).copied()))
}

fn name(value: AnyRef<'_>) -> Option<ObjectIdentifier> {
    value.decode_as().ok()
}

fn octets(value: AnyRef<'_>) -> Option<&[u8]> {
    (value.tag() == Tag::OctetString).then(|| value.value())
}

fn sequence(value: AnyRef<'_>) -> Option<Vec<AnyRef<'_>>> {
    (value.tag() == Tag::Sequence).then(|| parts(value.value()))?
}

fn parts(content: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(content).ok()?;
    let mut parts = Vec::new();
    while !reader.is_finished() {
        parts.push(AnyRef::decode(&mut reader).ok()?);
    }
    Some(parts)
}

/// Not negative; more than fits is as much as fits.
fn number(value: AnyRef<'_>) -> Option<u64> {
    let digits = value.decode_as::<UintRef<'_>>().ok()?;
    let value = digits.as_bytes().iter().try_fold(0u64, |sum, digit| {
        Some(sum.checked_mul(256)? + u64::from(*digit))
    });
    Some(value.unwrap_or(u64::MAX))
}
