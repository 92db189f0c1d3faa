//! The encryption of PKCS#8 and PKCS#12: how much work it is, and doing it.
//!
//! Sources: RFC 8018 (PBES2, PBKDF2), RFC 7914 (scrypt), RFC 7292 (PKCS#12).

use openssl::hash::MessageDigest;
use openssl::pkcs5;
use openssl::symm::{self, Cipher};
use pgreach_core::{Code, Error};
use x509_cert::der::asn1::AnyRef;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{self, Decode as _, Tag, Tagged as _};
use zeroize::Zeroizing;

use super::pkcs12::kdf;
use crate::codes;
use crate::problem::{error, key_invalid, key_unsupported, passphrase_missing, passphrase_wrong};
use crate::shape::{Shape, number, sequence, shape};

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

const PBES2: ObjectIdentifier = oid("1.2.840.113549.1.5.13");
const PBKDF2: ObjectIdentifier = oid("1.2.840.113549.1.5.12");
const SCRYPT: ObjectIdentifier = oid("1.3.6.1.4.1.11591.4.11");
const HMAC_SHA1: ObjectIdentifier = oid("1.2.840.113549.2.7");
const PKCS12_SHA1_3DES: ObjectIdentifier = oid("1.2.840.113549.1.12.1.3");

/// OpenSSL writes 2048, careful people up to a million, which take less than a second.
const MAX_ITERATIONS: u64 = 2_000_000;
/// Of a PKCS#12 file: its key, its certificates and its integrity check.
const MAX_ITERATIONS_IN_ALL: u64 = 3 * MAX_ITERATIONS;
/// OpenSSL's scrypt uses 16 MiB, in one pass.
const MAX_SCRYPT_BYTES: u64 = 128 << 20;
const MAX_SCRYPT_PASSES: u64 = 4;
/// Of a PKCS#12 file: passes over memory, in bytes. One that asks for all there is.
const MAX_SCRYPT_BYTES_IN_ALL: u64 = MAX_SCRYPT_PASSES * MAX_SCRYPT_BYTES;

const ANEW: &str = "encrypt it anew: openssl pkcs8 -topk8 -in old.key -out new.key";
const OLD: &str = "convert a key: openssl pkcs8 -in old.key -topk8 -out new.key -provider legacy \
    -provider default; a PKCS#12 file: openssl pkcs12 -legacy -in old.p12 -nodes -out all.pem, then \
    openssl pkcs12 -export -in all.pem -out new.p12";

/// The work that was promised so far. The input says how much its passphrase is: whoever sends it
/// must not choose freely.
#[derive(Debug, Default)]
pub(super) struct Work {
    iterations: u64,
    scrypt_bytes: u64,
}

impl Work {
    pub(super) fn add(&mut self, iterations: u64) -> Result<(), Error> {
        self.iterations = self.iterations.saturating_add(iterations);
        if iterations > MAX_ITERATIONS {
            return Err(too_much(format!(
                "the private key is encrypted with {iterations} iterations, more than the \
                 {MAX_ITERATIONS} that are accepted"
            )));
        }
        if self.iterations > MAX_ITERATIONS_IN_ALL {
            return Err(too_much(format!(
                "the parts of the PKCS#12 file are encrypted with more than the \
                 {MAX_ITERATIONS_IN_ALL} iterations that are accepted in all"
            )));
        }
        Ok(())
    }

    /// `bytes` of memory, each of `passes` times.
    fn add_scrypt(&mut self, bytes: u64, passes: u64) -> Result<(), Error> {
        self.scrypt_bytes = self
            .scrypt_bytes
            .saturating_add(bytes.saturating_mul(passes));
        if bytes > MAX_SCRYPT_BYTES || passes > MAX_SCRYPT_PASSES {
            return Err(too_much(format!(
                "the private key is encrypted with scrypt over {} MiB in {passes} passes, more than \
                 the {} MiB and {MAX_SCRYPT_PASSES} passes that are accepted",
                bytes >> 20,
                MAX_SCRYPT_BYTES >> 20
            )));
        }
        if self.scrypt_bytes > MAX_SCRYPT_BYTES_IN_ALL {
            return Err(too_much(format!(
                "the parts of the PKCS#12 file are encrypted with scrypt over more than the {} MiB \
                 that are accepted in all",
                MAX_SCRYPT_BYTES_IN_ALL >> 20
            )));
        }
        Ok(())
    }
}

fn too_much(message: String) -> Error {
    let code: &'static Code = &codes::CERT_KEY_WORK;
    error(code, message)
}

/// How something is encrypted.
pub(super) enum Scheme<'a> {
    Pbes2 {
        kdf: Kdf<'a>,
        cipher: Cipher,
        iv: &'a [u8],
    },
    /// PKCS#12's own, with SHA-1 and triple DES.
    Pkcs12 { salt: &'a [u8], iterations: usize },
}

pub(super) enum Kdf<'a> {
    Pbkdf2 {
        salt: &'a [u8],
        iterations: usize,
        digest: MessageDigest,
    },
    Scrypt {
        salt: &'a [u8],
        n: u64,
        r: u64,
        p: u64,
    },
}

/// A passphrase, as PBES2 and as PKCS#12 take it.
pub(super) struct Passphrase<'a> {
    pub(super) text: &'a str,
    /// Big-endian UTF-16 with a zero at its end; or nothing at all.
    pub(super) wide: Zeroizing<Vec<u8>>,
}

impl<'a> Scheme<'a> {
    /// Reads an algorithm with its parameters, and refuses it when it is too much work.
    pub(super) fn parse(algorithm: AnyRef<'a>, work: &mut Work) -> Result<Self, Error> {
        let parts = sequence(algorithm).map_err(|_| damaged())?;
        let (name, parameters) = named(&parts).map_err(|_| damaged())?;
        match name {
            PBES2 => pbes2(parameters, work),
            PKCS12_SHA1_3DES => {
                let parts = parameters.ok_or(()).and_then(|p| sequence(p).map_err(drop));
                let Ok([salt, iterations]) = parts.as_deref() else {
                    return Err(damaged());
                };
                Ok(Self::Pkcs12 {
                    salt: octets(*salt)?,
                    iterations: iteration_count(*iterations, work)?,
                })
            }
            other if is_old(other) => Err(key_unsupported(
                "the private key is encrypted with RC2, RC4 or DES, which OpenSSL 3 no longer reads",
                OLD,
            )),
            _ => Err(unknown()),
        }
    }

    /// What `data` is, decrypted. Only the padding tells a wrong passphrase: the caller must look at
    /// what comes out.
    pub(super) fn decrypt(
        &self,
        passphrase: &Passphrase<'_>,
        data: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let plain = match self {
            Self::Pbes2 { kdf, cipher, iv } => {
                let key = kdf.derive(passphrase.text, cipher.key_len())?;
                symm::decrypt(*cipher, &key, Some(iv), data)
            }
            Self::Pkcs12 { salt, iterations } => {
                let cipher = Cipher::des_ede3_cbc();
                let digest = MessageDigest::sha1();
                let derive = |purpose, length| {
                    kdf::derive(digest, &passphrase.wide, salt, purpose, *iterations, length)
                        .map_err(|_| unknown())
                };
                let key = derive(kdf::Purpose::Key, cipher.key_len())?;
                let iv = derive(kdf::Purpose::Iv, cipher.block_size())?;
                symm::decrypt(cipher, &key, Some(&iv), data)
            }
        };
        plain.map(Zeroizing::new).map_err(|_| passphrase_wrong())
    }
}

impl Kdf<'_> {
    fn derive(&self, passphrase: &str, length: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut key = Zeroizing::new(vec![0; length]);
        let passphrase = passphrase.as_bytes();
        let derived = match self {
            Self::Pbkdf2 {
                salt,
                iterations,
                digest,
            } => pkcs5::pbkdf2_hmac(passphrase, salt, *iterations, *digest, &mut key),
            Self::Scrypt { salt, n, r, p } => {
                // OpenSSL's own bound is lower; ours has been kept already.
                let memory = 2 * MAX_SCRYPT_BYTES;
                pkcs5::scrypt(passphrase, salt, *n, *r, *p, memory, &mut key)
            }
        };
        derived.map_err(|_| unknown())?;
        Ok(key)
    }
}

/// A key in PKCS#8, out of `EncryptedPrivateKeyInfo`.
pub(super) fn decrypt_pkcs8(
    bytes: &[u8],
    passphrase: Option<&str>,
    work: &mut Work,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let parts = AnyRef::from_der(bytes)
        .and_then(sequence)
        .map_err(|_| damaged())?;
    let [algorithm, data] = parts.as_slice() else {
        return Err(damaged());
    };
    let scheme = Scheme::parse(*algorithm, work)?;
    let text = passphrase.ok_or_else(passphrase_missing)?;
    let passphrase = Passphrase {
        text,
        wide: kdf::wide(text),
    };
    let plain = scheme.decrypt(&passphrase, octets(*data)?)?;
    // The padding is right by chance in one of 256 cases.
    match shape(&plain) {
        Some(Shape::Pkcs8) => Ok(plain),
        _ => Err(passphrase_wrong()),
    }
}

fn pbes2<'a>(parameters: Option<AnyRef<'a>>, work: &mut Work) -> Result<Scheme<'a>, Error> {
    let parts = parameters
        .ok_or_else(damaged)
        .and_then(|parameters| sequence(parameters).map_err(|_| damaged()))?;
    let [derivation, encryption] = parts.as_slice() else {
        return Err(damaged());
    };
    let encryption = sequence(*encryption).map_err(|_| damaged())?;
    let (name, iv) = named(&encryption).map_err(|_| damaged())?;
    let cipher = cipher(name).ok_or_else(|| {
        if is_old(name) {
            key_unsupported(
                "the private key is encrypted with RC2 or DES, which OpenSSL 3 no longer reads",
                OLD,
            )
        } else {
            unknown()
        }
    })?;
    let iv = octets(iv.ok_or_else(damaged)?)?;
    if Some(iv.len()) != cipher.iv_len() {
        return Err(damaged());
    }
    let derivation = sequence(*derivation).map_err(|_| damaged())?;
    let (name, parameters) = named(&derivation).map_err(|_| damaged())?;
    let parameters = parameters
        .ok_or_else(damaged)
        .and_then(|parameters| sequence(parameters).map_err(|_| damaged()))?;
    let (kdf, length) = match name {
        PBKDF2 => pbkdf2(&parameters, work)?,
        SCRYPT => scrypt(&parameters, work)?,
        _ => return Err(unknown()),
    };
    if length.is_some_and(|length| usize::try_from(length) != Ok(cipher.key_len())) {
        return Err(damaged());
    }
    Ok(Scheme::Pbes2 { kdf, cipher, iv })
}

/// Salt, iterations, the length of the key (optional), the pseudo-random function (HMAC-SHA-1, if
/// there is none).
fn pbkdf2<'a>(parameters: &[AnyRef<'a>], work: &mut Work) -> Result<(Kdf<'a>, Option<u64>), Error> {
    let [salt, iterations, rest @ ..] = parameters else {
        return Err(damaged());
    };
    let mut rest = rest.iter().copied().peekable();
    let length = rest
        .next_if(|part| part.tag() == Tag::Integer)
        .map(number)
        .transpose()
        .map_err(|_| damaged())?;
    let digest = match rest.next() {
        None => HMAC_SHA1,
        Some(function) => {
            let parts = sequence(function).map_err(|_| damaged())?;
            named(&parts).map_err(|_| damaged())?.0
        }
    };
    let kdf = Kdf::Pbkdf2 {
        salt: octets(*salt)?,
        iterations: iteration_count(*iterations, work)?,
        digest: hmac(digest).ok_or_else(unknown)?,
    };
    Ok((kdf, length))
}

/// Salt, N, r, p, the length of the key (optional).
fn scrypt<'a>(parameters: &[AnyRef<'a>], work: &mut Work) -> Result<(Kdf<'a>, Option<u64>), Error> {
    let (salt, numbers) = match parameters {
        [salt, numbers @ ..] if (3..=4).contains(&numbers.len()) => (*salt, numbers),
        _ => return Err(damaged()),
    };
    let numbers: Vec<u64> = numbers
        .iter()
        .map(|value| number(*value))
        .collect::<Result<_, _>>()
        .map_err(|_| damaged())?;
    let [n, r, p, length @ ..] = numbers.as_slice() else {
        return Err(damaged());
    };
    let bytes = n.saturating_mul(*r).saturating_mul(128);
    work.add_scrypt(bytes, *p)?;
    let kdf = Kdf::Scrypt {
        salt: octets(salt)?,
        n: *n,
        r: *r,
        p: *p,
    };
    Ok((kdf, length.first().copied()))
}

/// An algorithm's name and parameters.
pub(super) fn named<'a>(
    parts: &[AnyRef<'a>],
) -> der::Result<(ObjectIdentifier, Option<AnyRef<'a>>)> {
    let name = parts.first().ok_or(der::ErrorKind::Failed)?;
    Ok((name.decode_as()?, parts.get(1).copied()))
}

pub(super) fn octets(value: AnyRef<'_>) -> Result<&[u8], Error> {
    match value.tag() {
        Tag::OctetString => Ok(value.value()),
        _ => Err(damaged()),
    }
}

pub(super) fn iteration_count(value: AnyRef<'_>, work: &mut Work) -> Result<usize, Error> {
    let iterations = number(value).map_err(|_| damaged())?;
    work.add(iterations)?;
    match usize::try_from(iterations) {
        Ok(iterations) if iterations > 0 => Ok(iterations),
        _ => Err(damaged()),
    }
}

fn cipher(name: ObjectIdentifier) -> Option<Cipher> {
    const TABLE: [(ObjectIdentifier, fn() -> Cipher); 4] = [
        (oid("2.16.840.1.101.3.4.1.2"), Cipher::aes_128_cbc),
        (oid("2.16.840.1.101.3.4.1.22"), Cipher::aes_192_cbc),
        (oid("2.16.840.1.101.3.4.1.42"), Cipher::aes_256_cbc),
        (oid("1.2.840.113549.3.7"), Cipher::des_ede3_cbc),
    ];
    TABLE
        .iter()
        .find_map(|(known, cipher)| (*known == name).then(cipher))
}

fn hmac(name: ObjectIdentifier) -> Option<MessageDigest> {
    const TABLE: [(ObjectIdentifier, fn() -> MessageDigest); 5] = [
        (HMAC_SHA1, MessageDigest::sha1),
        (oid("1.2.840.113549.2.8"), MessageDigest::sha224),
        (oid("1.2.840.113549.2.9"), MessageDigest::sha256),
        (oid("1.2.840.113549.2.10"), MessageDigest::sha384),
        (oid("1.2.840.113549.2.11"), MessageDigest::sha512),
    ];
    TABLE
        .iter()
        .find_map(|(known, digest)| (*known == name).then(digest))
}

/// PBES1, PKCS#12's with RC2, RC4 and two-key triple DES; RC2 and DES in PBES2.
fn is_old(name: ObjectIdentifier) -> bool {
    [
        "1.2.840.113549.1.5.1",
        "1.2.840.113549.1.5.3",
        "1.2.840.113549.1.5.4",
        "1.2.840.113549.1.5.6",
        "1.2.840.113549.1.5.10",
        "1.2.840.113549.1.5.11",
        "1.2.840.113549.1.12.1.1",
        "1.2.840.113549.1.12.1.2",
        "1.2.840.113549.1.12.1.4",
        "1.2.840.113549.1.12.1.5",
        "1.2.840.113549.1.12.1.6",
        "1.2.840.113549.3.2",
        "1.3.14.3.2.7",
    ]
    .iter()
    .any(|old| oid(old) == name)
}

fn damaged() -> Error {
    key_invalid("the private key is damaged: how it is encrypted cannot be read")
}

fn unknown() -> Error {
    key_unsupported(
        "the private key is encrypted in a way that is not supported",
        ANEW,
    )
}
