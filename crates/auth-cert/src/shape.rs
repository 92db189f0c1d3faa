//! What a DER value is, told by the tags at its top.

use x509_cert::der::asn1::{AnyRef, UintRef};
use x509_cert::der::{self, Decode as _, Reader as _, SliceReader, Tag, Tagged as _};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Certificate,
    Request,
    PublicKey,
    /// A private key in PKCS#8.
    Pkcs8,
    EncryptedPkcs8,
    /// A private RSA key.
    Pkcs1,
    /// A private EC key.
    Sec1,
    Pkcs12,
    Pkcs7,
}

/// The shape of `bytes`; `None`: none that is known here.
pub(crate) fn shape(bytes: &[u8]) -> Option<Shape> {
    use Tag::{BitString, Integer, ObjectIdentifier, OctetString, Sequence};
    let parts = sequence(AnyRef::from_der(bytes).ok()?).ok()?;
    let tags: Vec<Tag> = parts.iter().map(AnyRef::tag).collect();
    Some(match tags.as_slice() {
        [Integer, Integer, ..] => Shape::Pkcs1,
        [Integer, OctetString, ..] => Shape::Sec1,
        [Integer, Sequence, OctetString, ..] => Shape::Pkcs8,
        [Integer, Sequence] | [Integer, Sequence, Sequence] => Shape::Pkcs12,
        [Sequence, OctetString] => Shape::EncryptedPkcs8,
        [Sequence, BitString] => Shape::PublicKey,
        [Sequence, Sequence, BitString] => {
            // A request has four parts: version, subject, key, attributes.
            match sequence(*parts.first()?).ok()?.len() {
                4 => Shape::Request,
                _ => Shape::Certificate,
            }
        }
        [ObjectIdentifier, ..] => Shape::Pkcs7,
        _ => return None,
    })
}

/// The parts of a sequence.
pub(crate) fn sequence(value: AnyRef<'_>) -> der::Result<Vec<AnyRef<'_>>> {
    value.tag().assert_eq(Tag::Sequence)?;
    parts(value.value())
}

/// The values that stand one after the other in `content`.
pub(crate) fn parts(content: &[u8]) -> der::Result<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(content)?;
    let mut parts = Vec::new();
    while !reader.is_finished() {
        parts.push(AnyRef::decode(&mut reader)?);
    }
    Ok(parts)
}

/// A number that is not negative; more than fits is as much as fits.
#[cfg_attr(
    any(target_os = "windows", target_vendor = "apple"),
    allow(dead_code, reason = "what is encrypted is not supported there")
)]
pub(crate) fn number(value: AnyRef<'_>) -> der::Result<u64> {
    let digits = value.decode_as::<UintRef<'_>>()?;
    Ok(digits
        .as_bytes()
        .iter()
        .try_fold(0u64, |sum, digit| {
            Some(sum.checked_mul(256)? + u64::from(*digit))
        })
        .unwrap_or(u64::MAX))
}
