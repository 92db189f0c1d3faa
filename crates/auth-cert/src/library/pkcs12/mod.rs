//! PKCS#12: a key and its certificates in one file.
//!
//! The file is taken apart here and not by OpenSSL's `PKCS12_parse`, which does whatever work the
//! file asks for, also where an encrypted key is hidden inside an encrypted part.
//!
//! Source: RFC 7292.

pub(super) mod kdf;

use openssl::hash::MessageDigest;
use openssl::memcmp;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use pgreach_core::Error;
use x509_cert::der::asn1::AnyRef;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode as _, Tag, TagNumber, Tagged as _};
use zeroize::Zeroizing;

use super::encryption::{Passphrase, Scheme, Work, iteration_count, named, octets};
use super::{assemble, deduplicated, key, own, subjects};
use crate::input::{MAX_CERTIFICATES, MAX_INPUT, too_many_certificates};
use crate::parsed::Pair;
use crate::problem::{invalid, key_unsupported, passphrase_missing, passphrase_wrong, unsupported};
use crate::shape::{Shape, parts, sequence, shape};
use crate::{chain, codes};

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

const DATA: ObjectIdentifier = oid("1.2.840.113549.1.7.1");
const ENCRYPTED_DATA: ObjectIdentifier = oid("1.2.840.113549.1.7.6");
const KEY_BAG: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.1");
const SHROUDED_KEY_BAG: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.2");
const CERT_BAG: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.3");
const BAGS_BAG: ObjectIdentifier = oid("1.2.840.113549.1.12.10.1.6");
const X509_CERTIFICATE: ObjectIdentifier = oid("1.2.840.113549.1.9.22.1");

/// Bags inside bags; real files have none.
const MAX_DEPTH: usize = 4;

/// Each is looked up among all certificates.
const MAX_KEYS: usize = 16;

const ANEW: &str = "make it anew: openssl pkcs12 -in old.p12 -nodes -out all.pem, then \
    openssl pkcs12 -export -in all.pem -out new.p12";

/// The key of a PKCS#12 file, and the chain of the certificate that it belongs to.
///
/// The order of certificates means nothing there, so the chain is put in order here; those that do
/// not belong to it are left out.
pub(crate) fn pkcs12(bytes: &[u8], passphrase: Option<&str>) -> Result<Pair, Error> {
    if bytes.len() > MAX_INPUT {
        return Err(invalid("the PKCS#12 file is larger than 1 MiB"));
    }
    let mut work = Work::default();
    let file = File::parse(bytes, &mut work)?;
    let passphrase = file.passphrase(passphrase)?;
    let mut safe = Safe {
        passphrase: &passphrase,
        given: !passphrase.text.is_empty(),
        work,
        keys: Vec::new(),
        certificates: Vec::new(),
    };
    safe.read(file.content)?;
    let keys: Vec<PKey<Private>> = safe
        .keys
        .iter()
        .map(|bytes| key::plain(bytes, Shape::Pkcs8))
        .collect::<Result<_, _>>()?;
    let certificates = deduplicated(safe.certificates);
    if certificates.is_empty() {
        return Err(invalid("the PKCS#12 file holds no certificate"));
    }
    let subjects = subjects(&certificates)?;
    for key in &keys {
        let Some(own) = own(&certificates, key)? else {
            continue;
        };
        let order = chain::order(&subjects, own);
        let pick = |places: &[usize]| -> (Vec<_>, Vec<_>) {
            let pairs = places.iter().filter_map(|at| {
                Some((certificates.get(*at)?.clone(), subjects.get(*at)?.clone()))
            });
            pairs.unzip()
        };
        let (chain, subjects) = pick(&order);
        return assemble(chain, subjects, key);
    }
    if keys.is_empty() {
        return Err(key_unsupported(
            "the PKCS#12 file holds no private key",
            "export it with its key: openssl pkcs12 -export -in client.crt -inkey client.key -out client.p12",
        ));
    }
    Err(crate::problem::error(
        &codes::CERT_KEY_MISMATCH,
        "the private key in the PKCS#12 file does not belong to a certificate in it",
    ))
}

struct File<'a> {
    content: &'a [u8],
    mac: Option<Mac<'a>>,
}

struct Mac<'a> {
    digest: MessageDigest,
    expected: &'a [u8],
    salt: &'a [u8],
    iterations: usize,
}

impl<'a> File<'a> {
    fn parse(bytes: &'a [u8], work: &mut Work) -> Result<Self, Error> {
        // A sequence of indefinite length.
        if bytes.starts_with(&[0x30, 0x80]) {
            return Err(unsupported(
                "the PKCS#12 file is in BER, which is not supported",
                ANEW,
            ));
        }
        let no_file = || invalid("this is no PKCS#12 file, or a damaged one");
        if shape(bytes) != Some(Shape::Pkcs12) {
            return Err(no_file());
        }
        let parts = AnyRef::from_der(bytes)
            .and_then(sequence)
            .map_err(|_| no_file())?;
        let (_, content, mac) = match parts.as_slice() {
            [version, content] => (version, content, None),
            [version, content, mac] => (version, content, Some(mac)),
            _ => return Err(no_file()),
        };
        let info = sequence(*content).map_err(|_| no_file())?;
        let (name, content) = named(&info).map_err(|_| no_file())?;
        if name != DATA {
            return Err(unsupported(
                "the PKCS#12 file is signed with a certificate, which is not supported",
                ANEW,
            ));
        }
        let content = content.and_then(inside).ok_or_else(no_file)?;
        Ok(Self {
            content: octets(content).map_err(|_| no_file())?,
            mac: mac.map(|mac| Mac::parse(*mac, work)).transpose()?,
        })
    }

    /// The passphrase, checked where the file lets it be checked.
    fn passphrase<'p>(&self, given: Option<&'p str>) -> Result<Passphrase<'p>, Error> {
        let text = given.unwrap_or_default();
        let usual = Passphrase {
            text,
            wide: kdf::wide(text),
        };
        let Some(mac) = &self.mac else {
            return Ok(usual);
        };
        if mac.fits(self.content, &usual.wide)? {
            return Ok(usual);
        }
        // Without a passphrase, some programs take an empty text and some none at all; and a
        // passphrase that is not needed is ignored.
        for wide in [Vec::new(), vec![0, 0]] {
            if mac.fits(self.content, &wide)? {
                let wide = Zeroizing::new(wide);
                return Ok(Passphrase { text: "", wide });
            }
        }
        Err(match given {
            Some(_) => passphrase_wrong(),
            None => passphrase_missing(),
        })
    }
}

impl<'a> Mac<'a> {
    fn parse(mac: AnyRef<'a>, work: &mut Work) -> Result<Self, Error> {
        let damaged = || invalid("the integrity check of the PKCS#12 file is damaged");
        let parts = sequence(mac).map_err(|_| damaged())?;
        let (info, salt, iterations) = match parts.as_slice() {
            [info, salt] => (info, salt, None),
            [info, salt, iterations] => (info, salt, Some(iterations)),
            _ => return Err(damaged()),
        };
        let info = sequence(*info).map_err(|_| damaged())?;
        let [algorithm, expected] = info.as_slice() else {
            return Err(damaged());
        };
        let algorithm = sequence(*algorithm).map_err(|_| damaged())?;
        let (name, _) = named(&algorithm).map_err(|_| damaged())?;
        let digest = digest(name).ok_or_else(|| {
            unsupported(
                "the integrity check of the PKCS#12 file is of a kind that is not supported",
                ANEW,
            )
        })?;
        let iterations = match iterations {
            Some(iterations) => iteration_count(*iterations, work)?,
            None => 1,
        };
        Ok(Self {
            digest,
            expected: octets(*expected).map_err(|_| damaged())?,
            salt: octets(*salt).map_err(|_| damaged())?,
            iterations,
        })
    }

    fn fits(&self, content: &[u8], passphrase: &[u8]) -> Result<bool, Error> {
        let mac = || {
            let key = kdf::derive(
                self.digest,
                passphrase,
                self.salt,
                kdf::Purpose::Mac,
                self.iterations,
                self.digest.size(),
            )?;
            let key = PKey::hmac(&key)?;
            Signer::new(self.digest, &key)?.sign_oneshot_to_vec(content)
        };
        let found = mac().map_err(|_| {
            unsupported(
                "the integrity check of the PKCS#12 file needs a hash that the TLS library does not allow",
                ANEW,
            )
        })?;
        Ok(found.len() == self.expected.len() && memcmp::eq(&found, self.expected))
    }
}

fn digest(name: ObjectIdentifier) -> Option<MessageDigest> {
    const TABLE: [(ObjectIdentifier, fn() -> MessageDigest); 5] = [
        (oid("1.3.14.3.2.26"), MessageDigest::sha1),
        (oid("2.16.840.1.101.3.4.2.4"), MessageDigest::sha224),
        (oid("2.16.840.1.101.3.4.2.1"), MessageDigest::sha256),
        (oid("2.16.840.1.101.3.4.2.2"), MessageDigest::sha384),
        (oid("2.16.840.1.101.3.4.2.3"), MessageDigest::sha512),
    ];
    TABLE
        .iter()
        .find_map(|(known, digest)| (*known == name).then(digest))
}

/// What is found in the file.
struct Safe<'p> {
    passphrase: &'p Passphrase<'p>,
    given: bool,
    work: Work,
    /// In PKCS#8.
    keys: Vec<Zeroizing<Vec<u8>>>,
    certificates: Vec<Vec<u8>>,
}

impl Safe<'_> {
    fn read(&mut self, content: &[u8]) -> Result<(), Error> {
        let safe = AnyRef::from_der(content)
            .and_then(sequence)
            .map_err(|_| damaged())?;
        for info in safe {
            let info = sequence(info).map_err(|_| damaged())?;
            let (name, content) = named(&info).map_err(|_| damaged())?;
            let content = content.and_then(inside).ok_or_else(damaged)?;
            match name {
                DATA => self.bags(octets(content).map_err(|_| damaged())?, 0)?,
                ENCRYPTED_DATA => {
                    let plain = self.encrypted_data(content)?;
                    // The padding is right by chance in one of 256 cases.
                    if AnyRef::from_der(&plain).is_err() {
                        return Err(self.wrong());
                    }
                    self.bags(&plain, 0)?;
                }
                _ => {
                    return Err(unsupported(
                        "the PKCS#12 file is encrypted for a certificate, which is not supported",
                        ANEW,
                    ));
                }
            }
        }
        Ok(())
    }

    /// Version; type, algorithm and content.
    fn encrypted_data(&mut self, content: AnyRef<'_>) -> Result<Zeroizing<Vec<u8>>, Error> {
        let parts = sequence(content).map_err(|_| damaged())?;
        let [_, info, ..] = parts.as_slice() else {
            return Err(damaged());
        };
        let info = sequence(*info).map_err(|_| damaged())?;
        let [_, algorithm, data] = info.as_slice() else {
            return Err(damaged());
        };
        // An octet string whose tag was replaced.
        let implicit = Tag::ContextSpecific {
            constructed: false,
            number: TagNumber(0),
        };
        if data.tag() != implicit {
            return Err(damaged());
        }
        self.decrypt(*algorithm, data.value())
    }

    fn decrypt(&mut self, algorithm: AnyRef<'_>, data: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let scheme = Scheme::parse(algorithm, &mut self.work)?;
        scheme.decrypt(self.passphrase, data).map_err(|error| {
            if *error.code() == codes::CERT_PASSPHRASE_WRONG {
                self.wrong()
            } else {
                error
            }
        })
    }

    fn wrong(&self) -> Error {
        if self.given {
            passphrase_wrong()
        } else {
            passphrase_missing()
        }
    }

    fn bags(&mut self, content: &[u8], depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(damaged());
        }
        let bags = AnyRef::from_der(content)
            .and_then(sequence)
            .map_err(|_| damaged())?;
        for bag in bags {
            let bag = sequence(bag).map_err(|_| damaged())?;
            let (name, value) = named(&bag).map_err(|_| damaged())?;
            let value = value.map(|value| value.value()).ok_or_else(damaged)?;
            if self.keys.len() > MAX_KEYS {
                return Err(invalid(format!(
                    "the PKCS#12 file holds more than {MAX_KEYS} private keys"
                )));
            }
            if self.certificates.len() > MAX_CERTIFICATES {
                return Err(too_many_certificates());
            }
            match name {
                KEY_BAG => self.keys.push(Zeroizing::new(value.to_vec())),
                SHROUDED_KEY_BAG => {
                    let key = self.shrouded_key(value)?;
                    self.keys.push(key);
                }
                CERT_BAG => self.certificates.extend(certificate(value)?),
                BAGS_BAG => self.bags(value, depth + 1)?,
                // Revocation lists, secrets of other kinds.
                _ => {}
            }
        }
        Ok(())
    }

    fn shrouded_key(&mut self, value: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let parts = AnyRef::from_der(value)
            .and_then(sequence)
            .map_err(|_| damaged())?;
        let [algorithm, data] = parts.as_slice() else {
            return Err(damaged());
        };
        let data = octets(*data)?;
        let key = self.decrypt(*algorithm, data)?;
        match shape(&key) {
            Some(Shape::Pkcs8) => Ok(key),
            _ => Err(self.wrong()),
        }
    }
}

/// The certificate of a bag; none when it is of another kind than X.509.
fn certificate(bag: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let parts = AnyRef::from_der(bag)
        .and_then(sequence)
        .map_err(|_| damaged())?;
    let (name, content) = named(&parts).map_err(|_| damaged())?;
    if name != X509_CERTIFICATE {
        return Ok(None);
    }
    let content = content.and_then(inside).ok_or_else(damaged)?;
    octets(content).map(|der| Some(der.to_vec()))
}

/// The one value inside an explicit tag.
fn inside(value: AnyRef<'_>) -> Option<AnyRef<'_>> {
    match parts(value.value()).ok()?.as_slice() {
        [one] => Some(*one),
        _ => None,
    }
}

fn damaged() -> Error {
    invalid("the PKCS#12 file is damaged, or in BER, which is not supported").with_hint(ANEW)
}
