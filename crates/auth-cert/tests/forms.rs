//! Every type of key, in every form, with every sort of passphrase.
#![cfg(not(any(target_os = "windows", target_vendor = "apple")))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use futures_util::FutureExt as _;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::symm::Cipher;
use openssl::x509::X509;
use pgreach_auth_cert::FixedCertificate;
use pgreach_core::Error;
use support::*;

/// What a passphrase does to a form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Protected {
    No,
    Yes,
}

fn check(
    what: &str,
    protected: Protected,
    expected: (&[&X509], &PKey<Private>),
    make: impl Fn(Option<pgreach_core::Secret>) -> Result<FixedCertificate, Error>,
) {
    let outcome = |passphrase: Option<&str>| {
        make(passphrase.map(pgreach_core::Secret::new)).map_err(|error| error.code().name())
    };
    let (missing, wrong) = match protected {
        Protected::No => (None, None),
        Protected::Yes => (
            Some("cert-passphrase-missing"),
            Some("cert-passphrase-wrong"),
        ),
    };
    for (passphrase, failure) in [
        (Some(PASSPHRASE), None),
        (None, missing),
        (Some(""), missing),
        (Some("another"), wrong),
    ] {
        match outcome(passphrase) {
            Ok(source) => {
                assert_eq!(failure, None, "{what}, {passphrase:?}");
                let credential = ask(&source).now_or_never().unwrap().unwrap();
                assert_holds(&credential, expected.0, expected.1, what);
            }
            Err(code) => assert_eq!(Some(code), failure, "{what}, {passphrase:?}"),
        }
    }
}

/// The forms of a key alone.
fn keys(key: &PKey<Private>) -> Vec<(String, Protected, Vec<u8>)> {
    use Protected::{No, Yes};
    let pass = PASSPHRASE.as_bytes();
    let mut forms = vec![
        (
            "PKCS#8".to_owned(),
            No,
            key.private_key_to_pem_pkcs8().unwrap(),
        ),
        (
            "PKCS#8 DER".to_owned(),
            No,
            key.private_key_to_pkcs8().unwrap(),
        ),
    ];
    for (name, cipher) in [
        ("AES-128", Cipher::aes_128_cbc()),
        ("AES-192", Cipher::aes_192_cbc()),
        ("AES-256", Cipher::aes_256_cbc()),
        ("3DES", Cipher::des_ede3_cbc()),
    ] {
        let pem = key
            .private_key_to_pem_pkcs8_passphrase(cipher, pass)
            .unwrap();
        forms.push((format!("PKCS#8 in {name}, DER"), Yes, der(&pem)));
        forms.push((format!("PKCS#8 in {name}"), Yes, pem));
        let old = if let Ok(rsa) = key.rsa() {
            rsa.private_key_to_pem_passphrase(cipher, pass)
        } else if let Ok(ec) = key.ec_key() {
            ec.private_key_to_pem_passphrase(cipher, pass)
        } else {
            continue;
        };
        forms.push((format!("DEK-Info with {name}"), Yes, old.unwrap()));
    }
    if let Ok(rsa) = key.rsa() {
        forms.push(("PKCS#1".to_owned(), No, rsa.private_key_to_pem().unwrap()));
        forms.push((
            "PKCS#1 DER".to_owned(),
            No,
            rsa.private_key_to_der().unwrap(),
        ));
    }
    if let Ok(ec) = key.ec_key() {
        forms.push(("SEC1".to_owned(), No, ec.private_key_to_pem().unwrap()));
        forms.push(("SEC1 DER".to_owned(), No, ec.private_key_to_der().unwrap()));
        let with_parameters = [
            b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
                .to_vec(),
            ec.private_key_to_pem().unwrap(),
        ]
        .concat();
        forms.push(("SEC1 after its parameters".to_owned(), No, with_parameters));
    }
    forms
}

#[test]
fn every_type_in_every_form() {
    for (kind, key) in every_type() {
        let own = Wanted::named("app").self_signed(&key);
        let expected: (&[&X509], _) = (&[&own], &key);
        for (form, protected, bytes) in keys(&key) {
            let what = format!("{kind} in {form}");
            check(&what, protected, expected, |passphrase| {
                FixedCertificate::from_bytes(pem(&own), &bytes, passphrase)
            });
        }
        check(
            &format!("{kind}, certificate in DER"),
            Protected::No,
            expected,
            |passphrase| {
                FixedCertificate::from_bytes(own.to_der().unwrap(), pkcs8(&key), passphrase)
            },
        );
        for (name, algorithm) in [
            ("AES-256", Nid::AES_256_CBC),
            ("AES-128", Nid::AES_128_CBC),
            ("3DES", Nid::PBE_WITHSHA1AND3_KEY_TRIPLEDES_CBC),
        ] {
            let file = pkcs12(&key, &own, &[], PASSPHRASE, algorithm);
            check(
                &format!("{kind} in PKCS#12 with {name}"),
                Protected::Yes,
                expected,
                |passphrase| FixedCertificate::from_pkcs12(&file, passphrase),
            );
        }
    }
}

#[test]
fn a_pkcs12_file_without_a_passphrase() {
    let key = p256();
    let own = Wanted::named("app").self_signed(&key);
    let plain = pfx(
        &[content_info(&octets(&sequence(&[
            bag(1, &key.private_key_to_pkcs8().unwrap()),
            certificate_bag(&own),
        ])))],
        None,
    );
    let nested = pfx(
        &[content_info(&octets(&sequence(&[bag(
            6,
            &sequence(&[
                certificate_bag(&own),
                bag(1, &key.private_key_to_pkcs8().unwrap()),
            ]),
        )])))],
        None,
    );
    let empty = pkcs12(&key, &own, &[], "", Nid::AES_256_CBC);
    let empty_3des = pkcs12(&key, &own, &[], "", Nid::PBE_WITHSHA1AND3_KEY_TRIPLEDES_CBC);
    for (what, file) in [
        ("nothing encrypted", plain),
        ("bags in a bag", nested),
        ("an empty passphrase", empty),
        ("an empty passphrase, 3DES", empty_3des),
    ] {
        check(what, Protected::No, (&[&own], &key), |passphrase| {
            FixedCertificate::from_pkcs12(&file, passphrase)
        });
    }
}

#[test]
fn the_chain_of_a_pkcs12_file_is_put_in_order() {
    let root = Signer::root("root");
    let (first, second) = (root.below("first"), root.below("second"));
    let key = p256();
    let own = Wanted::named("app").signed_by(&key, &second);
    let others = [&root.certificate, &first.certificate, &second.certificate];
    let file = pkcs12(&key, &own, &others, PASSPHRASE, Nid::AES_256_CBC);
    let source = FixedCertificate::from_pkcs12(file, secret(PASSPHRASE)).unwrap();
    let credential = ask(&source).now_or_never().unwrap().unwrap();
    let chain = [&own, &second.certificate, &root.certificate];
    assert_holds(&credential, &chain, &key, "those of others are left out");
}

#[test]
fn pasted_and_mangled_text() {
    let key = rsa();
    let own = Wanted::named("app").self_signed(key);
    let (certificate, plain) = (pem(&own), pkcs8(key));
    let old = key
        .rsa()
        .unwrap()
        .private_key_to_pem_passphrase(Cipher::aes_256_cbc(), PASSPHRASE.as_bytes())
        .unwrap();
    let old = String::from_utf8(old).unwrap();
    type Mangle = fn(&str) -> String;
    let mangle: [(&str, Mangle); 10] = [
        ("as it is", str::to_owned),
        ("CRLF", |text| text.replace('\n', "\r\n")),
        ("BOM", |text| format!("\u{feff}{text}")),
        ("text before and after", |text| {
            format!("Bag Attributes\n  friendlyName: x\nsubject=CN = app\n{text}\nthe end")
        }),
        ("literal \\n", |text| text.replace('\n', "\\n")),
        ("literal \\\\n", |text| text.replace('\n', "\\\\n")),
        ("literal \\r\\n", |text| text.replace('\n', "\\r\\n")),
        ("one line", |text| text.replace('\n', " ")),
        ("indented", |text| text.replace('\n', "\n    ")),
        ("no line at the end", |text| text.trim_end().to_owned()),
    ];
    let expected: (&[&X509], _) = (&[&own], key);
    for (what, mangled) in mangle {
        check(what, Protected::No, expected, |passphrase| {
            FixedCertificate::from_bytes(mangled(&certificate), mangled(&plain), passphrase)
        });
        check(what, Protected::Yes, expected, |passphrase| {
            FixedCertificate::from_bytes(mangled(&certificate), mangled(&old), passphrase)
        });
        for both in [
            format!("{certificate}{plain}"),
            format!("{plain}{certificate}"),
        ] {
            let both = mangled(&both);
            check(what, Protected::No, expected, |passphrase| {
                FixedCertificate::from_bytes(&both, &both, passphrase)
            });
        }
    }
    // What is not UTF-8 is commentary.
    let latin = [b"\xfcber\n".as_slice(), certificate.as_bytes()].concat();
    FixedCertificate::from_bytes(latin, &plain, None).unwrap();
}

/// ring and Java write a version of PKCS#8 that OpenSSL 3.0 does not read.
#[test]
fn a_key_with_its_public_half() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let parameters = rcgen::CertificateParams::new(vec![]).unwrap();
    let own = parameters.self_signed(&key).unwrap();
    let source = FixedCertificate::from_bytes(own.pem(), key.serialize_pem(), None).unwrap();
    let credential = ask(&source).now_or_never().unwrap().unwrap();
    let pem = credential.identity().unwrap().expose_key_pem();
    PKey::private_key_from_pem(pem).unwrap();
}

/// scrypt as `openssl pkcs8 -scrypt` has it, and with the most memory that is accepted.
#[test]
fn a_key_under_scrypt() {
    let key = p256();
    let own = Wanted::named("app").self_signed(&key);
    let plain = key.private_key_to_pkcs8().unwrap();
    for (n, r, p) in [(1 << 14, 8, 1), (1 << 17, 8, 1), (1 << 10, 8, 4)] {
        let mut derived = [0; 32];
        let memory = 1 << 30;
        openssl::pkcs5::scrypt(
            PASSPHRASE.as_bytes(),
            b"saltsalt",
            n,
            r,
            p,
            memory,
            &mut derived,
        )
        .unwrap();
        let iv = [9; 16];
        let data =
            openssl::symm::encrypt(Cipher::aes_256_cbc(), &derived, Some(&iv), &plain).unwrap();
        let bytes = encrypted(pbes2(scrypt(b"saltsalt", n, r, p), &iv), &data);
        check("scrypt", Protected::Yes, (&[&own], &key), |passphrase| {
            FixedCertificate::from_bytes(pem(&own), &bytes, passphrase)
        });
    }
}
