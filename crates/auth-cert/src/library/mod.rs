//! Keys and certificates with OpenSSL, where native-tls is OpenSSL.
//!
//! OpenSSL parses what is not encrypted and does the cryptography. The encryption of keys is taken
//! apart here, so that its work is known before it is done, and so that OpenSSL never comes to ask
//! for a passphrase on the terminal.

mod encryption;
mod key;
mod legacy;
mod pkcs12;

use openssl::pkey::{PKey, Private};
use openssl::x509::X509;
use pgreach_core::Error;
use zeroize::Zeroizing;

pub(crate) use self::pkcs12::pkcs12;
use crate::parsed::Pair;
use crate::problem::{error, invalid, key_invalid};
use crate::subject::Subject;
use crate::{chain, codes, input};

/// A certificate chain and a key, each in a form of its own.
pub(crate) fn pair(
    certificate: &[u8],
    key: &[u8],
    passphrase: Option<&str>,
) -> Result<Pair, Error> {
    let chain = deduplicated(input::certificates(certificate)?);
    let subjects = subjects(&chain)?;
    let key = key::open(&input::private_key(key)?, passphrase)?;
    let own = own(&chain, &key)?.ok_or_else(|| mismatch(&subjects))?;
    chain::check(&subjects, own)?;
    assemble(chain, subjects, &key)
}

fn subjects(chain: &[Vec<u8>]) -> Result<Vec<Subject>, Error> {
    chain.iter().map(|der| Subject::of(der)).collect()
}

/// A bundle may have a certificate twice.
fn deduplicated(chain: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut unique: Vec<Vec<u8>> = Vec::with_capacity(chain.len());
    for certificate in chain {
        if !unique.contains(&certificate) {
            unique.push(certificate);
        }
    }
    unique
}

/// The place of the certificate that `key` belongs to.
fn own(chain: &[Vec<u8>], key: &PKey<Private>) -> Result<Option<usize>, Error> {
    let mut unreadable = false;
    for (place, der) in chain.iter().enumerate() {
        match X509::from_der(der).and_then(|certificate| certificate.public_key()) {
            Ok(public) if public.public_eq(key) => return Ok(Some(place)),
            Ok(_) => {}
            Err(_) => unreadable |= place == 0,
        }
    }
    if unreadable {
        return Err(invalid(
            "the public key in the certificate is not one that the TLS library knows",
        ));
    }
    Ok(None)
}

fn mismatch(subjects: &[Subject]) -> Error {
    let name = subjects.first().map_or("", |subject| subject.name.as_str());
    error(
        &codes::CERT_KEY_MISMATCH,
        format!("the private key does not belong to the certificate of {name}"),
    )
}

/// What is in order, as it is handed to the TLS provider.
fn assemble(
    chain: Vec<Vec<u8>>,
    subjects: Vec<Subject>,
    key: &PKey<Private>,
) -> Result<Pair, Error> {
    let subject = subjects
        .into_iter()
        .next()
        .ok_or_else(|| invalid("there is no certificate"))?;
    let key_pem = key
        .private_key_to_pem_pkcs8()
        .map_err(|_| key_invalid("the private key cannot be written as PKCS#8"))?;
    Ok(Pair {
        chain,
        key_pem: Zeroizing::new(key_pem),
        subject,
    })
}
