//! The certificates and the private key in what was given, whichever form it has.

use pgreach_core::Error;
use zeroize::Zeroizing;

use crate::pem::{self, Block};
use crate::problem::{invalid, key_invalid, key_unsupported, unsupported};
use crate::shape::{Shape, shape};

/// Longer than any key or chain: RSA with 16384 bits has 13,000 bytes.
pub(crate) const MAX_INPUT: usize = 1 << 20;

const PKCS12_HINT: &str = "read it as PKCS#12 (from_pkcs12, FileCertificate::pkcs12), or take it \
    apart: openssl pkcs12 -in old.p12 -nodes -out new.pem";
const PKCS7_HINT: &str = "convert it: openssl pkcs7 -in old.p7b -print_certs -out new.crt \
    (and -inform DER if it is not text)";
const TRUSTED_HINT: &str = "convert it: openssl x509 -in old.crt -out new.crt";
const REQUEST_HINT: &str = "give the certificate that the authority made from this request";
const UTF16_HINT: &str = "save the file as plain ASCII or UTF-8 text";

/// A private key as it was found.
pub(crate) struct PrivateKey {
    pub(crate) form: KeyForm,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyForm {
    /// PKCS#8, PKCS#1 or SEC1.
    Plain(Shape),
    EncryptedPkcs8,
    /// Encrypted as the DEK-Info header says, with the cipher that it names.
    Legacy(String),
}

/// Those of a chain, and of a whole bundle of authorities behind it.
pub(crate) const MAX_CERTIFICATES: usize = 256;

pub(crate) fn too_many_certificates() -> Error {
    invalid(format!(
        "there are more than {MAX_CERTIFICATES} certificates"
    ))
}

/// The certificates, as they stand.
pub(crate) fn certificates(bytes: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    if bytes.len() > MAX_INPUT {
        return Err(invalid("the certificate is larger than 1 MiB"));
    }
    let blocks = pem::blocks(bytes);
    if blocks.is_empty() {
        return match shape(bytes) {
            Some(Shape::Certificate) => Ok(vec![bytes.to_vec()]),
            other => Err(no_certificate(other.map(called), bytes)),
        };
    }
    let mut found = Vec::new();
    for block in &blocks {
        if !matches!(block.label.as_str(), "CERTIFICATE" | "X509 CERTIFICATE") {
            continue;
        }
        match &block.content {
            Ok(content) => found.push(content.to_vec()),
            Err(damage) => return Err(invalid(format!("the certificate {}", damage.as_str()))),
        }
    }
    if found.is_empty() {
        return Err(no_certificate(blocks.first().map(label), bytes));
    }
    if found.len() > MAX_CERTIFICATES {
        return Err(too_many_certificates());
    }
    Ok(found)
}

/// What is there, in words, for what is no certificate and no private key.
#[derive(Clone, Copy)]
enum Thing<'a> {
    PrivateKey,
    PublicKey,
    Certificate,
    Request,
    Pkcs12,
    Pkcs7,
    Trusted,
    Other(&'a str),
}

fn called(shape: Shape) -> Thing<'static> {
    match shape {
        Shape::Certificate => Thing::Certificate,
        Shape::Request => Thing::Request,
        Shape::PublicKey => Thing::PublicKey,
        Shape::Pkcs12 => Thing::Pkcs12,
        Shape::Pkcs7 => Thing::Pkcs7,
        Shape::Pkcs8 | Shape::EncryptedPkcs8 | Shape::Pkcs1 | Shape::Sec1 => Thing::PrivateKey,
    }
}

fn label(block: &Block) -> Thing<'_> {
    match block.label.as_str() {
        "CERTIFICATE" | "X509 CERTIFICATE" => Thing::Certificate,
        "TRUSTED CERTIFICATE" => Thing::Trusted,
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => Thing::Request,
        "PKCS7" | "CMS" => Thing::Pkcs7,
        "PKCS12" => Thing::Pkcs12,
        other if other.ends_with("PRIVATE KEY") => Thing::PrivateKey,
        other if other.ends_with("PUBLIC KEY") => Thing::PublicKey,
        other => Thing::Other(other),
    }
}

fn no_certificate(thing: Option<Thing<'_>>, bytes: &[u8]) -> Error {
    let what = "instead of the certificate there is";
    match thing {
        Some(Thing::PrivateKey) => unsupported(
            format!("{what} a private key"),
            "exchange the two: the certificate comes first, its key second",
        ),
        Some(Thing::PublicKey) => unsupported(
            format!("{what} a public key"),
            "give the certificate that an authority issued for this key",
        ),
        Some(Thing::Request) => {
            unsupported(format!("{what} a request for a certificate"), REQUEST_HINT)
        }
        Some(Thing::Pkcs12) => unsupported(format!("{what} a PKCS#12 file"), PKCS12_HINT),
        Some(Thing::Pkcs7) => unsupported(
            format!("{what} a PKCS#7 file, which cannot be used"),
            PKCS7_HINT,
        ),
        Some(Thing::Trusted) => unsupported(
            format!("{what} one in OpenSSL's own form for trusted certificates"),
            TRUSTED_HINT,
        ),
        Some(Thing::Other(label)) => invalid(format!("{what} \"{label}\"")),
        Some(Thing::Certificate) | None if is_utf16(bytes) => {
            invalid("the certificate is UTF-16 text").with_hint(UTF16_HINT)
        }
        Some(Thing::Certificate) | None => invalid(
            "there is no certificate: neither PEM (\"-----BEGIN CERTIFICATE-----\") nor DER",
        ),
    }
}

/// The first private key. Certificates and EC parameters before it are passed over.
pub(crate) fn private_key(bytes: &[u8]) -> Result<PrivateKey, Error> {
    if bytes.len() > MAX_INPUT {
        return Err(key_invalid("the private key is larger than 1 MiB"));
    }
    let blocks = pem::blocks(bytes);
    let Some(block) = blocks
        .iter()
        .find(|block| block.label.ends_with("PRIVATE KEY"))
    else {
        let thing = blocks.first().map(label);
        let der = shape(bytes);
        return match der.and_then(|shape| Some((shape, form(shape)?))) {
            Some((_, form)) => Ok(PrivateKey {
                form,
                bytes: Zeroizing::new(bytes.to_vec()),
            }),
            None => Err(no_key(thing.or(der.map(called)), bytes)),
        };
    };
    if block.label == "OPENSSH PRIVATE KEY" {
        return Err(key_unsupported(
            "the private key is one of OpenSSH, which TLS cannot use as it is",
            "convert a copy of it: ssh-keygen -p -m PKCS8 -f copy-of-the.key (not for Ed25519 keys)",
        ));
    }
    let content = block
        .content
        .as_ref()
        .map_err(|damage| key_invalid(format!("the private key {}", damage.as_str())))?;
    let form = match &block.dek_info {
        Some(dek_info) => KeyForm::Legacy(dek_info.clone()),
        None => shape(content).and_then(form).ok_or_else(|| {
            key_invalid("the private key is damaged: what is between BEGIN and END is no key")
        })?,
    };
    Ok(PrivateKey {
        form,
        bytes: content.clone(),
    })
}

fn form(shape: Shape) -> Option<KeyForm> {
    match shape {
        Shape::Pkcs8 | Shape::Pkcs1 | Shape::Sec1 => Some(KeyForm::Plain(shape)),
        Shape::EncryptedPkcs8 => Some(KeyForm::EncryptedPkcs8),
        _ => None,
    }
}

fn no_key(thing: Option<Thing<'_>>, bytes: &[u8]) -> Error {
    let what = "instead of the private key there is";
    match thing {
        Some(Thing::PublicKey) => key_unsupported(
            format!("{what} a public key"),
            "give the private key that it was made with",
        ),
        Some(Thing::Certificate | Thing::Trusted) => key_unsupported(
            format!("{what} a certificate"),
            "give the private key that the certificate was requested with; it is in a file of its own",
        ),
        Some(Thing::Request) => key_unsupported(
            format!("{what} a request for a certificate"),
            "give the private key that the request was made with",
        ),
        Some(Thing::Pkcs12) => key_unsupported(format!("{what} a PKCS#12 file"), PKCS12_HINT),
        Some(Thing::Pkcs7) => key_unsupported(
            format!("{what} a PKCS#7 file, which holds certificates alone"),
            "give the private key that the certificate was requested with",
        ),
        Some(Thing::Other(label)) => key_invalid(format!("{what} \"{label}\"")),
        Some(Thing::PrivateKey) | None => foreign_key(bytes),
    }
}

/// Keys of programs that do not speak TLS.
fn foreign_key(bytes: &[u8]) -> Error {
    let text = bytes.trim_ascii_start();
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let begins = |words: &[&str]| words.iter().any(|word| text.starts_with(word.as_bytes()));
    if begins(&["PuTTY-User-Key-File-"]) {
        key_unsupported(
            "the private key is one of PuTTY, which is for SSH",
            "give the private key that the certificate was requested with; one for SSH has no certificate for TLS",
        )
    } else if begins(&["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"]) {
        key_unsupported(
            "instead of the private key there is a public key for SSH",
            "give the private key that the certificate was requested with",
        )
    } else if bytes.starts_with(&[0xfe, 0xed, 0xfe, 0xed]) {
        key_unsupported(
            "instead of the private key there is a Java keystore",
            "convert it: keytool -importkeystore -srckeystore old.jks -destkeystore new.p12 -deststoretype PKCS12",
        )
    } else if is_utf16(bytes) {
        key_invalid("the private key is UTF-16 text").with_hint(UTF16_HINT)
    } else {
        key_invalid(
            "there is no private key: neither PEM (\"-----BEGIN … PRIVATE KEY-----\") nor DER",
        )
    }
}

fn is_utf16(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff])
}
