//! Keys and certificates where native-tls is not OpenSSL: no cryptography, so what is encrypted, and
//! what is no PKCS#8, is refused.

use pgreach_core::Error;

use crate::input::{self, KeyForm};
use crate::parsed::Pair;
use crate::problem::{invalid, key_unsupported, unsupported};
use crate::shape::Shape;
use crate::subject::Subject;
use crate::{chain, pem};

const CONVERT: &str = "convert it: openssl pkcs8 -topk8 -nocrypt -in old.key -out new.key";
const CONVERT_PKCS12: &str = "convert it: openssl pkcs12 -in old.p12 -nodes -out new.pem, and give it as certificate and key";

/// Whether the key belongs to the certificate is left to the TLS library.
pub(crate) fn pair(certificate: &[u8], key: &[u8], _: Option<&str>) -> Result<Pair, Error> {
    let chain = input::certificates(certificate)?;
    let subjects: Vec<Subject> = chain
        .iter()
        .map(|der| Subject::of(der))
        .collect::<Result<_, _>>()?;
    let key = input::private_key(key)?;
    let what = match key.form {
        KeyForm::Plain(Shape::Pkcs8) => None,
        KeyForm::Plain(_) => Some("is not in PKCS#8"),
        KeyForm::EncryptedPkcs8 | KeyForm::Legacy(_) => Some("is encrypted"),
    };
    if let Some(what) = what {
        return Err(key_unsupported(
            format!("the private key {what}, which this platform's TLS library does not read"),
            CONVERT,
        ));
    }
    chain::check(&subjects, 0)?;
    let subject = subjects
        .into_iter()
        .next()
        .ok_or_else(|| invalid("there is no certificate"))?;
    Ok(Pair {
        chain,
        key_pem: pem::encode("PRIVATE KEY", &key.bytes),
        subject,
    })
}

pub(crate) fn pkcs12(_: &[u8], _: Option<&str>) -> Result<Pair, Error> {
    Err(unsupported(
        "PKCS#12 files are not supported with this platform's TLS library",
        CONVERT_PKCS12,
    ))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    const PKCS8: &[u8] = b"-----BEGIN PRIVATE KEY-----\n";

    fn simple() -> (String, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![]).unwrap();
        (certificate.self_signed(&key).unwrap().pem(), key)
    }

    #[test]
    fn plain_pkcs8_is_taken_as_it_is() {
        let (certificate, key) = simple();
        let pem = key.serialize_pem();
        let both = format!("{certificate}{pem}");
        for (certificate, key) in [
            (certificate.as_bytes(), pem.as_bytes()),
            (certificate.as_bytes(), key.serialized_der()),
            (both.as_bytes(), both.as_bytes()),
        ] {
            let pair = pair(certificate, key, Some("not needed")).unwrap();
            assert_eq!(pair.chain.len(), 1);
            assert!(pair.key_pem.starts_with(PKCS8));
            let text = String::from_utf8(pair.key_pem.to_vec()).unwrap();
            assert_eq!(text.split_whitespace().collect::<String>(), {
                pem.split_whitespace().collect::<String>()
            });
        }
    }

    #[test]
    fn everything_else_is_refused_with_the_command_that_converts_it() {
        let (certificate, _) = simple();
        let block =
            |label: &str, der: &[u8]| String::from_utf8(pem::encode(label, der).to_vec()).unwrap();
        let encrypted = block("ENCRYPTED PRIVATE KEY", &[0x30, 4, 0x30, 0, 4, 0]);
        let pkcs1 = block("RSA PRIVATE KEY", &[0x30, 6, 2, 1, 0, 2, 1, 5]);
        let old = pkcs1.replacen(
            "-----\n",
            "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n",
            1,
        );
        let sec1 = block("EC PRIVATE KEY", &[0x30, 5, 2, 1, 1, 4, 0]);
        for key in [encrypted, pkcs1, old, sec1] {
            let error = pair(certificate.as_bytes(), key.as_bytes(), Some("x"))
                .err()
                .unwrap();
            assert_eq!(error.code().name(), "cert-key-unsupported");
            assert_eq!(error.hint(), CONVERT);
        }
        let error = pkcs12(&[], None).err().unwrap();
        assert_eq!(error.code().name(), "cert-unsupported");
        assert_eq!(error.hint(), CONVERT_PKCS12);
    }
}
