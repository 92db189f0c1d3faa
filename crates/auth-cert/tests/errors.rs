//! What is refused, with which code, and what the hint says.
#![cfg(not(any(target_os = "windows", target_vendor = "apple")))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use openssl::dsa::Dsa;
use openssl::ec::{Asn1Flag, EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::symm::Cipher;
use openssl::x509::X509Req;
use pgreach_auth_cert::{FixedCertificate, codes};
use pgreach_core::{Error, ErrorKind};
use support::*;

/// A case: what it is, the input, the code, a part of the message, a part of the hint.
type Case = (
    &'static str,
    Vec<u8>,
    &'static str,
    &'static str,
    &'static str,
);

fn assert_refused(case: &Case, outcome: Result<FixedCertificate, Error>) {
    let (what, _, code, message, hint) = case;
    let error = outcome.expect_err(what);
    assert_eq!(error.code().name(), *code, "{what}: {error}");
    assert_eq!(error.kind(), ErrorKind::Credential, "{what}");
    assert!(error.message().contains(message), "{what}: {error}");
    assert!(error.hint().contains(hint), "{what}: {}", error.hint());
}

fn request() -> X509Req {
    let key = p256();
    let mut request = X509Req::builder().unwrap();
    request.set_pubkey(&key).unwrap();
    request.sign(&key, MessageDigest::sha256()).unwrap();
    request.build()
}

fn pkcs7() -> Vec<u8> {
    let signed = sequence(&[integer(1)]);
    sequence(&[oid("1.2.840.113549.1.7.2"), tlv(0xa0, &signed)])
}

const PUTTY: &str = "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPublic-Lines: 2\nAAAA\n";
const OPENSSH: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n";
const SSH_PUBLIC: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== me@here\n";

#[test]
fn what_is_no_certificate() {
    let (certificate, key) = simple("app");
    let own = p256();
    let p12 = pkcs12(
        &own,
        &Wanted::named("x").self_signed(&own),
        &[],
        "x",
        Nid::AES_256_CBC,
    );
    let trusted = certificate.replace("CERTIFICATE", "TRUSTED CERTIFICATE");
    let (invalid, unsupported) = ("cert-invalid", "cert-unsupported");
    let text = |text: &str| text.as_bytes().to_vec();
    let cut = &certificate[..certificate.len() / 2];
    let damaged = certificate.replace(
        "-----BEGIN CERTIFICATE-----\n",
        "$&-----BEGIN CERTIFICATE-----\n!",
    );
    let no_x509 = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
    let empty = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
    #[rustfmt::skip]
    let cases: Vec<Case> = vec![
        ("nothing", vec![], invalid, "there is no certificate", "PEM, DER or PKCS#12"),
        ("text", text("hello"), invalid, "there is no certificate", ""),
        ("too much", vec![b' '; (1 << 20) + 1], invalid, "larger than 1 MiB", ""),
        ("cut off", text(cut), invalid, "its END line is missing", ""),
        ("damaged", text(&damaged), invalid, "is not base64", ""),
        ("empty", text(empty), invalid, "nothing between BEGIN and END", ""),
        ("no X.509", text(no_x509), invalid, "no X.509 certificate", ""),
        ("UTF-16", vec![0xff, 0xfe, b'-', 0], invalid, "UTF-16", "ASCII or UTF-8"),
        ("other PEM", text("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----"), invalid, "\"X509 CRL\"", ""),
        ("a key", text(&key), unsupported, "a private key", "exchange the two"),
        ("a key in DER", der(key.as_bytes()), unsupported, "a private key", "exchange the two"),
        ("a public key", own.public_key_to_pem().unwrap(), unsupported, "a public key", "issued for this key"),
        ("a public key in DER", own.public_key_to_der().unwrap(), unsupported, "a public key", ""),
        ("a request", request().to_pem().unwrap(), unsupported, "a request", "made from this request"),
        ("a request in DER", request().to_der().unwrap(), unsupported, "a request", ""),
        ("PKCS#12", p12, unsupported, "a PKCS#12 file", "from_pkcs12"),
        ("PKCS#7", text("-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----"), unsupported, "PKCS#7", "openssl pkcs7"),
        ("PKCS#7 in DER", pkcs7(), unsupported, "PKCS#7", "openssl pkcs7"),
        ("trusted", text(&trusted), unsupported, "trusted certificates", "openssl x509"),
    ];
    for case in &cases {
        assert_refused(case, FixedCertificate::from_bytes(&case.1, &key, None));
    }
}

#[test]
fn what_is_no_private_key() {
    let (certificate, key) = simple("app");
    let own = p256();
    let p12 = pkcs12(
        &own,
        &Wanted::named("x").self_signed(&own),
        &[],
        "x",
        Nid::AES_256_CBC,
    );
    let dsa = PKey::from_dsa(Dsa::generate(1024).unwrap()).unwrap();
    let curve = ec(Nid::SECP256K1);
    let x25519 = PKey::generate_x25519().unwrap();
    let described = {
        let mut group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        group.set_asn1_flag(Asn1Flag::EXPLICIT_CURVE);
        PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
    };
    let damaged = {
        let mut bytes = der(key.as_bytes());
        let middle = bytes.len() - 20;
        bytes.truncate(middle);
        bytes
    };
    let (invalid, unsupported) = ("cert-key-invalid", "cert-key-unsupported");
    let text = |text: &str| text.as_bytes().to_vec();
    let old = |dek_info: &str| {
        text(&format!(
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: {dek_info}\n\n\
             AAAAAAAAAAAAAAAAAAAAAA==\n-----END RSA PRIVATE KEY-----\n"
        ))
    };
    let in_rc2 = encrypted(pkcs12_pbe(6, b"saltsalt", 1), &[0; 16]);
    let in_des = {
        let pbes1 = [octets(b"saltsalt"), integer(1)];
        let algorithm = sequence(&[oid("1.2.840.113549.1.5.3"), sequence(&pbes1)]);
        encrypted(algorithm, &[0; 16])
    };
    let in_gcm = {
        let cipher = sequence(&[oid("2.16.840.1.101.3.4.1.46"), octets(&[0; 12])]);
        let pbes2 = sequence(&[pbkdf2(b"salt", 1), cipher]);
        let algorithm = sequence(&[oid("1.2.840.113549.1.5.13"), pbes2]);
        encrypted(algorithm, &[0; 16])
    };
    #[rustfmt::skip]
    let cases: Vec<Case> = vec![
        ("nothing", vec![], invalid, "there is no private key", "PEM, DER or PKCS#12"),
        ("too much", vec![b' '; (1 << 20) + 1], invalid, "larger than 1 MiB", ""),
        ("cut off", text(&key[..key.len() / 2]), invalid, "its END line is missing", ""),
        ("cut off DER", damaged, invalid, "there is no private key", ""),
        ("no key", text("-----BEGIN PRIVATE KEY-----\nMAMCAQE=\n-----END PRIVATE KEY-----"), invalid, "no key", ""),
        ("UTF-16", vec![0xfe, 0xff, 0, b'-'], invalid, "UTF-16", "ASCII or UTF-8"),
        ("other PEM", text("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----"), invalid, "\"X509 CRL\"", ""),
        ("PuTTY", text(PUTTY), unsupported, "PuTTY", "for SSH"),
        ("OpenSSH", text(OPENSSH), unsupported, "OpenSSH", "ssh-keygen -p -m PKCS8"),
        ("SSH's public", text(SSH_PUBLIC), unsupported, "a public key for SSH", ""),
        ("JKS", vec![0xfe, 0xed, 0xfe, 0xed, 0, 0], unsupported, "Java keystore", "keytool"),
        ("a certificate", text(&certificate), unsupported, "a certificate", "requested with"),
        ("a certificate in DER", der(certificate.as_bytes()), unsupported, "a certificate", ""),
        ("a public key", own.public_key_to_pem().unwrap(), unsupported, "a public key", "private key"),
        ("a request", request().to_pem().unwrap(), unsupported, "a request", "made with"),
        ("PKCS#12", p12, unsupported, "a PKCS#12 file", "from_pkcs12"),
        ("PKCS#7", pkcs7(), unsupported, "PKCS#7", ""),
        ("DSA", dsa.private_key_to_pem_pkcs8().unwrap(), unsupported, "DSA", "Ed25519"),
        ("another curve", curve.private_key_to_pem_pkcs8().unwrap(), unsupported, "secp256k1", "P-256"),
        ("a curve without a name", described.private_key_to_pem_pkcs8().unwrap(), unsupported, "describes its elliptic curve", "P-256"),
        ("key agreement", x25519.private_key_to_pem_pkcs8().unwrap(), unsupported, "cannot sign", ""),
        ("old and unknown", old("IDEA-CBC,0011223344556677"), unsupported, "DEK-Info", "-provider legacy"),
        ("old and damaged", old("AES-128-CBC,00"), invalid, "DEK-Info", ""),
        ("old and worse", old("AES-128-CBC,zz112233445566778899aabbccddeeff"), invalid, "DEK-Info", ""),
        ("RC2", in_rc2, unsupported, "RC2", "-provider legacy"),
        ("PBES1", in_des, unsupported, "DES", "-provider legacy"),
        ("GCM", in_gcm, unsupported, "not supported", "encrypt it anew"),
    ];
    for case in &cases {
        let outcome = FixedCertificate::from_bytes(&certificate, &case.1, secret(PASSPHRASE));
        assert_refused(case, outcome);
    }
}

#[test]
fn what_is_no_pkcs12_file() {
    let key = p256();
    let own = Wanted::named("app").self_signed(&key);
    let other = p256();
    let good = pkcs12(&key, &own, &[], "x", Nid::AES_256_CBC);
    let plain_key = bag(1, &key.private_key_to_pkcs8().unwrap());
    let of = |bags: &[Vec<u8>]| pfx(&[content_info(&octets(&sequence(bags)))], None);
    let rc2 = pfx(
        &[
            encrypted_content(pkcs12_pbe(6, b"saltsalt", 1), &[0; 16]),
            content_info(&octets(&sequence(std::slice::from_ref(&plain_key)))),
        ],
        None,
    );
    let enveloped = sequence(&[oid("1.2.840.113549.1.7.3"), tlv(0xa0, &sequence(&[]))]);
    let signed = sequence(&[
        integer(3),
        sequence(&[oid("1.2.840.113549.1.7.2"), tlv(0xa0, &sequence(&[]))]),
    ]);
    let mut ber = good.clone();
    ber.splice(0..4, [0x30, 0x80]);
    ber.extend([0, 0]);
    let another = PKey::from_ec_key(other.ec_key().unwrap()).unwrap();
    let stranger = of(&[
        bag(1, &another.private_key_to_pkcs8().unwrap()),
        certificate_bag(&own),
    ]);
    let (invalid, unsupported) = ("cert-invalid", "cert-unsupported");
    #[rustfmt::skip]
    let cases: Vec<Case> = vec![
        ("nothing", vec![], invalid, "no PKCS#12 file", ""),
        ("PEM", pem(&own).into_bytes(), invalid, "no PKCS#12 file", ""),
        ("a certificate", own.to_der().unwrap(), invalid, "no PKCS#12 file", ""),
        ("too much", vec![b' '; (1 << 20) + 1], invalid, "larger than 1 MiB", ""),
        ("cut off", good[..good.len() - 9].to_vec(), invalid, "no PKCS#12 file", ""),
        ("BER", ber, unsupported, "BER", "openssl pkcs12 -export"),
        ("RC2", rc2, "cert-key-unsupported", "RC2", "openssl pkcs12 -legacy"),
        ("for a certificate", pfx(&[enveloped], None), unsupported, "encrypted for a certificate", ""),
        ("signed", signed, unsupported, "signed", ""),
        ("without a key", of(&[certificate_bag(&own)]), "cert-key-unsupported", "no private key", "-inkey"),
        ("without a certificate", of(&[plain_key]), invalid, "no certificate", ""),
        ("another key", stranger, "cert-key-mismatch", "does not belong", ""),
        ("bags without end", { let mut bags = sequence(&[]); for _ in 0..9 { bags = sequence(&[bag(6, &bags)]); } pfx(&[content_info(&octets(&bags))], None) }, invalid, "damaged", ""),
    ];
    for case in &cases {
        assert_refused(
            case,
            FixedCertificate::from_pkcs12(&case.1, secret(PASSPHRASE)),
        );
    }
}

#[test]
fn a_key_of_another_certificate() {
    let (certificate, _) = simple("app");
    for (kind, key) in every_type() {
        let error = FixedCertificate::from_bytes(&certificate, pkcs8(&key), None).unwrap_err();
        assert_eq!(error.code(), &codes::CERT_KEY_MISMATCH, "{kind}");
        assert!(error.message().contains("CN=app"), "{kind}: {error}");
    }
}

/// The padding of a wrong passphrase is right in one of 256 cases.
#[test]
fn no_wrong_passphrase_opens_a_key() {
    let key = p256();
    let certificate = pem(&Wanted::named("app").self_signed(&key));
    let ec = key.ec_key().unwrap();
    let old = ec
        .private_key_to_pem_passphrase(Cipher::aes_128_cbc(), b"right")
        .unwrap();
    let iv = [7; 16];
    let mut derived = [0; 32];
    openssl::pkcs5::pbkdf2_hmac(b"right", b"salt", 1, MessageDigest::sha256(), &mut derived)
        .unwrap();
    let plain = key.private_key_to_pkcs8().unwrap();
    let data = openssl::symm::encrypt(Cipher::aes_256_cbc(), &derived, Some(&iv), &plain).unwrap();
    let new = encrypted(pbes2(pbkdf2(b"salt", 1), &iv), &data);
    let p12 = pfx(&[content_info(&octets(&sequence(&[bag(2, &new)])))], None);
    for n in 0..1024 {
        let wrong = secret(&format!("wrong {n}"));
        for (what, outcome) in [
            (
                "DEK-Info",
                FixedCertificate::from_bytes(&certificate, &old, wrong.clone()),
            ),
            (
                "PBES2",
                FixedCertificate::from_bytes(&certificate, &new, wrong.clone()),
            ),
            ("PKCS#12", FixedCertificate::from_pkcs12(&p12, wrong)),
        ] {
            let error = outcome.expect_err(what);
            assert_eq!(error.code(), &codes::CERT_PASSPHRASE_WRONG, "{what} {n}");
        }
    }
    FixedCertificate::from_bytes(&certificate, &new, secret("right")).unwrap();
}

/// Whatever becomes of the input, it is an error and no panic.
#[test]
fn damage_never_panics() {
    let key = p256();
    let own = Wanted::named("app").self_signed(&key);
    let p12 = pkcs12(&key, &own, &[], PASSPHRASE, Nid::AES_256_CBC);
    let encrypted = key
        .private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), PASSPHRASE.as_bytes())
        .unwrap();
    let encrypted = der(&encrypted);
    let certificate = own.to_der().unwrap();
    for (what, good) in [("p12", &p12), ("key", &encrypted), ("cert", &certificate)] {
        for at in 0..good.len() {
            for value in [0x00, 0x80, 0xff, good[at] ^ 1] {
                let mut bad = good.clone();
                bad[at] = value;
                // Most fail; a name that is another one, or a salt of a file without it, is no error.
                let _ = match what {
                    "p12" if at % 3 == 0 => FixedCertificate::from_pkcs12(&bad, secret(PASSPHRASE)),
                    "key" => FixedCertificate::from_bytes(&certificate, &bad, secret(PASSPHRASE)),
                    "cert" => FixedCertificate::from_bytes(&bad, pkcs8(&key), None),
                    _ => continue,
                };
            }
        }
    }
}
