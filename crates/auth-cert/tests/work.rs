//! The work that an encrypted key asks for is bounded before it is done: these tests end.
#![cfg(not(any(target_os = "windows", target_vendor = "apple")))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use openssl::hash::MessageDigest;
use openssl::symm::Cipher;
use pgreach_auth_cert::{FixedCertificate, codes};
use support::*;

const MOST: u64 = 2_000_000;
const ENDLESS: u64 = 0x7fff_ffff;

fn mac(iterations: u64) -> Vec<u8> {
    let sha256 = sequence(&[oid("2.16.840.1.101.3.4.2.1"), tlv(5, &[])]);
    let info = sequence(&[sha256, octets(&[0; 32])]);
    sequence(&[info, octets(b"saltsalt"), integer(iterations)])
}

#[test]
fn too_much_work_is_refused() {
    let (certificate, _) = simple("app");
    let iv = [0; 16];
    let data = [0; 64];
    let pbes2 = |derivation| encrypted(pbes2(derivation, &iv), &data);
    #[rustfmt::skip]
    let keys = [
        ("PBKDF2", pbes2(pbkdf2(b"salt", MOST + 1))),
        ("PBKDF2, endless", pbes2(pbkdf2(b"salt", ENDLESS))),
        ("PBKDF2, beyond numbers", pbes2(pbkdf2(b"salt", u64::MAX))),
        ("scrypt, memory", pbes2(scrypt(b"salt", 1 << 18, 8, 1))),
        ("scrypt, blocks", pbes2(scrypt(b"salt", 2, u64::MAX / 2, 1))),
        ("scrypt, passes", pbes2(scrypt(b"salt", 1 << 14, 8, 5))),
        ("PKCS#12's", encrypted(pkcs12_pbe(3, b"salt", ENDLESS), &data)),
    ];
    for (what, key) in keys {
        for passphrase in [None, secret("x")] {
            let error = FixedCertificate::from_bytes(&certificate, &key, passphrase).unwrap_err();
            assert_eq!(error.code(), &codes::CERT_KEY_WORK, "{what}: {error}");
        }
    }
}

/// In every place of a PKCS#12 file, also inside what is encrypted itself.
#[test]
fn too_much_work_in_a_pkcs12_file_is_refused() {
    let scheme = |iterations| pkcs12_pbe(3, b"saltsalt", iterations);
    let shrouded = |iterations| bag(2, &encrypted(scheme(iterations), &[0; 16]));
    let safe = |bags: &[Vec<u8>]| content_info(&octets(&sequence(bags)));
    let hidden = {
        let iv = [3; 16];
        let mut derived = [0; 32];
        openssl::pkcs5::pbkdf2_hmac(b"x", b"salt", 1, MessageDigest::sha256(), &mut derived)
            .unwrap();
        let content = sequence(&[shrouded(ENDLESS)]);
        let data =
            openssl::symm::encrypt(Cipher::aes_256_cbc(), &derived, Some(&iv), &content).unwrap();
        encrypted_content(pbes2(pbkdf2(b"salt", 1), &iv), &data)
    };
    let nested = bag(6, &sequence(&[shrouded(ENDLESS)]));
    #[rustfmt::skip]
    let files = [
        ("integrity", pfx(&[], Some(mac(MOST + 1)))),
        ("integrity, endless", pfx(&[], Some(mac(ENDLESS)))),
        ("key", pfx(&[safe(&[shrouded(ENDLESS)])], None)),
        ("certificates", pfx(&[encrypted_content(scheme(ENDLESS), &[0; 16])], None)),
        ("key in a bag of bags", pfx(&[safe(&[nested])], None)),
        ("key inside the encrypted certificates", pfx(&[hidden], None)),
    ];
    for (what, file) in files {
        let error = FixedCertificate::from_pkcs12(&file, secret("x")).unwrap_err();
        assert_eq!(error.code(), &codes::CERT_KEY_WORK, "{what}: {error}");
    }
}

/// Each part within the bound, and too much together.
#[test]
fn many_keys_are_too_much_work_together() {
    let key = p256();
    let plain = key.private_key_to_pkcs8().unwrap();
    let iv = [3; 16];
    let iterations = MOST / 4;
    let mut derived = [0; 32];
    openssl::pkcs5::pbkdf2_hmac(
        b"x",
        b"salt",
        usize::try_from(iterations).unwrap(),
        MessageDigest::sha256(),
        &mut derived,
    )
    .unwrap();
    let data = openssl::symm::encrypt(Cipher::aes_256_cbc(), &derived, Some(&iv), &plain).unwrap();
    let shrouded = bag(
        2,
        &encrypted(pbes2(pbkdf2(b"salt", iterations), &iv), &data),
    );
    let own = Wanted::named("app").self_signed(&key);
    let file = |keys: usize| {
        let mut bags = vec![shrouded.clone(); keys];
        bags.push(certificate_bag(&own));
        pfx(&[content_info(&octets(&sequence(&bags)))], None)
    };
    FixedCertificate::from_pkcs12(file(2), secret("x")).unwrap();
    let error = FixedCertificate::from_pkcs12(file(13), secret("x")).unwrap_err();
    assert_eq!(error.code(), &codes::CERT_KEY_WORK);
}

#[test]
fn the_most_that_is_accepted() {
    let key = p256();
    let certificate = pem(&Wanted::named("app").self_signed(&key));
    let iv = [3; 16];
    let mut derived = [0; 32];
    openssl::pkcs5::pbkdf2_hmac(
        b"x",
        b"salt",
        usize::try_from(MOST).unwrap(),
        MessageDigest::sha256(),
        &mut derived,
    )
    .unwrap();
    let plain = key.private_key_to_pkcs8().unwrap();
    let data = openssl::symm::encrypt(Cipher::aes_256_cbc(), &derived, Some(&iv), &plain).unwrap();
    let bytes = encrypted(pbes2(pbkdf2(b"salt", MOST), &iv), &data);
    FixedCertificate::from_bytes(certificate, bytes, secret("x")).unwrap();
}

/// scrypt counts, too: each key within the bound, and too much memory together.
#[test]
fn many_keys_with_scrypt_are_too_much_work_together() {
    let shrouded = bag(
        2,
        &encrypted(pbes2(scrypt(b"salt", 1 << 17, 8, 4), &[3; 16]), &[0; 64]),
    );
    let one = pfx(
        &[content_info(&octets(&sequence(std::slice::from_ref(
            &shrouded,
        ))))],
        None,
    );
    let error = FixedCertificate::from_pkcs12(one, secret("x")).unwrap_err();
    assert_ne!(error.code(), &codes::CERT_KEY_WORK, "{error}");
    // A key that opens comes first, so that the second is looked at.
    let key = p256().private_key_to_pkcs8().unwrap();
    let mut derived = [0; 32];
    openssl::pkcs5::scrypt(b"x", b"salt", 1 << 10, 8, 1, 64 << 20, &mut derived).unwrap();
    let data =
        openssl::symm::encrypt(Cipher::aes_256_cbc(), &derived, Some(&[3; 16]), &key).unwrap();
    let cheap = bag(
        2,
        &encrypted(pbes2(scrypt(b"salt", 1 << 10, 8, 1), &[3; 16]), &data),
    );
    let two = pfx(
        &[content_info(&octets(&sequence(&[cheap, shrouded])))],
        None,
    );
    let error = FixedCertificate::from_pkcs12(two, secret("x")).unwrap_err();
    assert_eq!(error.code(), &codes::CERT_KEY_WORK, "{error}");
    assert!(error.message().contains("in all"), "{error}");
}

/// What makes each look at the input long: many parts, long names, large numbers.
#[test]
fn what_no_real_file_has_is_refused() {
    let key = p256();
    let own = Wanted::named("app").self_signed(&key);
    let plain = bag(1, &key.private_key_to_pkcs8().unwrap());
    let file = |bags: &[Vec<u8>]| pfx(&[content_info(&octets(&sequence(bags)))], None);
    let many_keys = file(&[vec![plain.clone(); 40], vec![certificate_bag(&own)]].concat());
    let many_certificates = file(&[vec![certificate_bag(&own); 300], vec![plain]].concat());
    for file in [many_keys, many_certificates] {
        let error = FixedCertificate::from_pkcs12(file, None).unwrap_err();
        assert!(error.message().contains("more than"), "{error}");
    }
    let chain = pem(&own).repeat(300);
    let error = FixedCertificate::from_bytes(chain, pkcs8(&key), None).unwrap_err();
    assert!(error.message().contains("more than 256"), "{error}");

    let mut long = rcgen::CertificateParams::default();
    let name = "x".repeat(60_000);
    let names = &mut long.distinguished_name;
    names.push(rcgen::DnType::CommonName, name);
    let pair = rcgen::KeyPair::generate().unwrap();
    let long = long.self_signed(&pair).unwrap().pem();
    let begins = "-----BEGIN A-----".repeat(60_000);
    for certificate in [long, begins] {
        let error = FixedCertificate::from_bytes(certificate, pkcs8(&key), None).unwrap_err();
        assert!(error.to_string().len() < 300, "{}", error.to_string().len());
    }
}

/// The size is in the public half; what else is in the key does not matter for that.
#[test]
fn an_rsa_key_of_a_size_that_takes_seconds_is_refused() {
    let number = |len: usize| [&[0x00, 0x80][..], &vec![0; len - 2], &[0x01]].concat();
    let (large, small) = (tlv(2, &number(1025)), tlv(2, &[0x11]));
    let rest = vec![small.clone(); 5];
    let parts = [integer(0), large.clone(), small, large].into_iter();
    let der = sequence(&parts.chain(rest).collect::<Vec<_>>());
    let own = pem(&Wanted::named("app").self_signed(&p256()));
    let error = FixedCertificate::from_bytes(own, der, None).unwrap_err();
    assert!(error.message().contains("8200 bits"), "{error}");
}
