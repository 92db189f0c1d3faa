//! Keys, certificates and files of every form; each test uses a part.
#![allow(dead_code)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkcs12::Pkcs12;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{AuthorityKeyIdentifier, BasicConstraints, SubjectKeyIdentifier};
use openssl::x509::{X509, X509NameBuilder};
use pgreach_core::{
    Credential, CredentialProvider, CredentialRequest, Endpoint, Error, Secret, Stage,
};

pub(crate) const PASSPHRASE: &str = "corr\u{e9}ct h\u{f6}rse \u{1f40e}";

pub(crate) fn secret(text: &str) -> Option<Secret> {
    Some(Secret::new(text))
}

/// What the source gives for a connection.
pub(crate) async fn ask(source: &impl CredentialProvider) -> Result<Arc<Credential>, Error> {
    let endpoint = Endpoint::tcp("db.internal", 5432);
    let request = CredentialRequest::new(&endpoint, Some("orders"), None);
    let credential = source.credential(&request).await;
    if let Err(error) = &credential {
        assert_eq!(error.stage(), Stage::CREDENTIAL, "{error}");
    }
    credential
}

pub(crate) fn rsa() -> &'static PKey<Private> {
    static KEY: OnceLock<PKey<Private>> = OnceLock::new();
    KEY.get_or_init(|| PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap())
}

pub(crate) fn ec(curve: Nid) -> PKey<Private> {
    let group = EcGroup::from_curve_name(curve).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

pub(crate) fn p256() -> PKey<Private> {
    ec(Nid::X9_62_PRIME256V1)
}

/// All types that are accepted.
pub(crate) fn every_type() -> Vec<(&'static str, PKey<Private>)> {
    vec![
        ("RSA", rsa().clone()),
        ("P-256", p256()),
        ("P-384", ec(Nid::SECP384R1)),
        ("P-521", ec(Nid::SECP521R1)),
        ("Ed25519", PKey::generate_ed25519().unwrap()),
        ("Ed448", PKey::generate_ed448().unwrap()),
    ]
}

/// A certificate to be made.
pub(crate) struct Wanted<'a> {
    name: Option<&'a str>,
    begins: i64,
    ends: i64,
}

const DAY: i64 = 24 * 60 * 60;

impl<'a> Wanted<'a> {
    /// From yesterday on for a year.
    pub(crate) fn named(name: &'a str) -> Self {
        Self {
            name: Some(name),
            begins: -DAY,
            ends: 365 * DAY,
        }
    }

    pub(crate) fn nameless() -> Self {
        Self {
            name: None,
            ..Self::named("")
        }
    }

    /// Days from now on.
    pub(crate) fn valid(self, begins: i64, ends: i64) -> Self {
        // An hour more: the test itself takes a moment.
        Self {
            begins: begins * DAY,
            ends: ends * DAY + 3600,
            ..self
        }
    }

    pub(crate) fn seconds(self, begins: i64, ends: i64) -> Self {
        Self {
            begins,
            ends,
            ..self
        }
    }

    pub(crate) fn self_signed(&self, key: &PKey<Private>) -> X509 {
        self.build(key, None)
    }

    pub(crate) fn signed_by(&self, key: &PKey<Private>, issuer: &Signer) -> X509 {
        self.build(key, Some(issuer))
    }

    fn build(&self, key: &PKey<Private>, issuer: Option<&Signer>) -> X509 {
        let mut name = X509NameBuilder::new().unwrap();
        name.append_entry_by_text("O", "Test").unwrap();
        if let Some(common) = self.name {
            name.append_entry_by_text("CN", common).unwrap();
        }
        let name = name.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        let serial = BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap();
        builder.set_serial_number(&serial).unwrap();
        builder.set_subject_name(&name).unwrap();
        let issuer_name = issuer.map_or(&*name, |issuer| issuer.certificate.subject_name());
        builder.set_issuer_name(issuer_name).unwrap();
        builder.set_pubkey(key).unwrap();
        let now = i64::try_from(
            std::time::SystemTime::UNIX_EPOCH
                .elapsed()
                .unwrap()
                .as_secs(),
        )
        .unwrap();
        let at = |offset| Asn1Time::from_unix(now + offset).unwrap();
        builder.set_not_before(&at(self.begins)).unwrap();
        builder.set_not_after(&at(self.ends)).unwrap();
        let ca = BasicConstraints::new().ca().build().unwrap();
        builder.append_extension(ca).unwrap();
        let context = builder.x509v3_context(issuer.map(|i| &*i.certificate), None);
        let id = SubjectKeyIdentifier::new().build(&context).unwrap();
        builder.append_extension(id).unwrap();
        if issuer.is_some() {
            let context = builder.x509v3_context(issuer.map(|i| &*i.certificate), None);
            let id = AuthorityKeyIdentifier::new()
                .keyid(true)
                .build(&context)
                .unwrap();
            builder.append_extension(id).unwrap();
        }
        let signing = issuer.map_or(key, |issuer| &issuer.key);
        let digest = match signing.id() {
            openssl::pkey::Id::ED25519 | openssl::pkey::Id::ED448 => MessageDigest::null(),
            _ => MessageDigest::sha256(),
        };
        builder.sign(signing, digest).unwrap();
        builder.build()
    }
}

/// An authority.
pub(crate) struct Signer {
    pub(crate) key: PKey<Private>,
    pub(crate) certificate: X509,
}

impl Signer {
    pub(crate) fn root(name: &str) -> Self {
        let key = p256();
        let certificate = Wanted::named(name).self_signed(&key);
        Self { key, certificate }
    }

    pub(crate) fn below(&self, name: &str) -> Self {
        let key = p256();
        let certificate = Wanted::named(name).signed_by(&key, self);
        Self { key, certificate }
    }

    pub(crate) fn pem(&self) -> String {
        pem(&self.certificate)
    }
}

pub(crate) fn pem(certificate: &X509) -> String {
    String::from_utf8(certificate.to_pem().unwrap()).unwrap()
}

pub(crate) fn pkcs8(key: &PKey<Private>) -> String {
    String::from_utf8(key.private_key_to_pem_pkcs8().unwrap()).unwrap()
}

/// A certificate with its key, both in PEM.
pub(crate) fn simple(name: &str) -> (String, String) {
    let key = p256();
    (pem(&Wanted::named(name).self_signed(&key)), pkcs8(&key))
}

/// That the credential holds this chain and this key, in the one form that TLS providers take.
pub(crate) fn assert_holds(
    credential: &Credential,
    chain: &[&X509],
    key: &PKey<Private>,
    what: &str,
) {
    let identity = credential.identity().unwrap();
    let own = X509::stack_from_pem(identity.chain_pem()).unwrap();
    let ders = |chain: &[X509]| -> Vec<_> { chain.iter().map(|c| c.to_der().unwrap()).collect() };
    let expected: Vec<X509> = chain.iter().copied().cloned().collect();
    assert_eq!(ders(&own), ders(&expected), "{what}");
    let pem = identity.expose_key_pem();
    assert!(pem.starts_with(b"-----BEGIN PRIVATE KEY-----\n"), "{what}");
    assert!(
        PKey::private_key_from_pem(pem).unwrap().public_eq(key),
        "{what}"
    );
}

/// What PEM holds.
pub(crate) fn der(pem: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(pem).unwrap();
    let base64: String = text
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    openssl::base64::decode_block(&base64).unwrap()
}

/// One DER value.
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let bytes = length.to_be_bytes();
    let significant = &bytes[bytes.iter().position(|b| *b != 0).unwrap_or(7)..];
    let mut out = vec![tag];
    if length < 128 {
        out.push(u8::try_from(length).unwrap());
    } else {
        out.push(0x80 + u8::try_from(significant.len()).unwrap());
        out.extend_from_slice(significant);
    }
    out.extend_from_slice(content);
    out
}

pub(crate) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub(crate) fn integer(number: u64) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let start = bytes.iter().position(|b| *b != 0).unwrap_or(7);
    let mut content = bytes[start..].to_vec();
    if content[0] >= 0x80 {
        content.insert(0, 0);
    }
    tlv(2, &content)
}

pub(crate) fn octets(content: &[u8]) -> Vec<u8> {
    tlv(4, content)
}

/// An object identifier in the usual notation.
pub(crate) fn oid(text: &str) -> Vec<u8> {
    let arcs: Vec<u32> = text.split('.').map(|arc| arc.parse().unwrap()).collect();
    let mut content = vec![u8::try_from(arcs[0] * 40 + arcs[1]).unwrap()];
    for arc in &arcs[2..] {
        let mut digits = vec![(arc & 0x7f) as u8];
        let mut rest = arc >> 7;
        while rest > 0 {
            digits.insert(0, 0x80 | (rest & 0x7f) as u8);
            rest >>= 7;
        }
        content.extend(digits);
    }
    tlv(6, &content)
}

/// `pbes2(derivation, aes-256-cbc)`.
pub(crate) fn pbes2(derivation: Vec<u8>, iv: &[u8; 16]) -> Vec<u8> {
    let cipher = sequence(&[oid("2.16.840.1.101.3.4.1.42"), octets(iv)]);
    sequence(&[
        oid("1.2.840.113549.1.5.13"),
        sequence(&[derivation, cipher]),
    ])
}

/// PBKDF2 with HMAC-SHA-256.
pub(crate) fn pbkdf2(salt: &[u8], iterations: u64) -> Vec<u8> {
    let function = sequence(&[oid("1.2.840.113549.2.9"), tlv(5, &[])]);
    sequence(&[
        oid("1.2.840.113549.1.5.12"),
        sequence(&[octets(salt), integer(iterations), function]),
    ])
}

pub(crate) fn scrypt(salt: &[u8], n: u64, r: u64, p: u64) -> Vec<u8> {
    sequence(&[
        oid("1.3.6.1.4.1.11591.4.11"),
        sequence(&[octets(salt), integer(n), integer(r), integer(p)]),
    ])
}

pub(crate) fn pkcs12_pbe(kind: u8, salt: &[u8], iterations: u64) -> Vec<u8> {
    sequence(&[
        oid(&format!("1.2.840.113549.1.12.1.{kind}")),
        sequence(&[octets(salt), integer(iterations)]),
    ])
}

/// `EncryptedPrivateKeyInfo`.
pub(crate) fn encrypted(algorithm: Vec<u8>, data: &[u8]) -> Vec<u8> {
    sequence(&[algorithm, octets(data)])
}

/// A PKCS#12 file as OpenSSL makes it.
pub(crate) fn pkcs12(
    key: &PKey<Private>,
    certificate: &X509,
    others: &[&X509],
    passphrase: &str,
    algorithm: Nid,
) -> Vec<u8> {
    let mut ca = openssl::stack::Stack::new().unwrap();
    for other in others {
        ca.push(X509::clone(other)).unwrap();
    }
    Pkcs12::builder()
        .name("friendly")
        .pkey(key)
        .cert(certificate)
        .ca(ca)
        .key_algorithm(algorithm)
        .cert_algorithm(algorithm)
        .mac_md(MessageDigest::sha256())
        .build2(passphrase)
        .unwrap()
        .to_der()
        .unwrap()
}

/// A PKCS#12 file without an integrity check, made of `ContentInfo`s.
pub(crate) fn pfx(contents: &[Vec<u8>], mac: Option<Vec<u8>>) -> Vec<u8> {
    let safe = sequence(contents);
    let mut parts = vec![integer(3), content_info(&octets(&safe))];
    parts.extend(mac);
    sequence(&parts)
}

pub(crate) fn content_info(octets: &[u8]) -> Vec<u8> {
    sequence(&[oid("1.2.840.113549.1.7.1"), tlv(0xa0, octets)])
}

pub(crate) fn encrypted_content(algorithm: Vec<u8>, data: &[u8]) -> Vec<u8> {
    let info = sequence(&[oid("1.2.840.113549.1.7.1"), algorithm, tlv(0x80, data)]);
    let content = sequence(&[integer(0), info]);
    sequence(&[oid("1.2.840.113549.1.7.6"), tlv(0xa0, &content)])
}

pub(crate) fn bag(kind: u8, value: &[u8]) -> Vec<u8> {
    sequence(&[
        oid(&format!("1.2.840.113549.1.12.10.1.{kind}")),
        tlv(0xa0, value),
    ])
}

pub(crate) fn certificate_bag(certificate: &X509) -> Vec<u8> {
    let value = octets(&certificate.to_der().unwrap());
    let value = sequence(&[oid("1.2.840.113549.1.9.22.1"), tlv(0xa0, &value)]);
    bag(3, &value)
}

/// A folder with files of mode 0600.
pub(crate) struct Folder(pub(crate) tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        write(&path, content);
        path
    }
}

pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) {
    let draft = path.with_extension("draft");
    fs::write(&draft, content).unwrap();
    chmod(&draft, 0o600);
    fs::rename(&draft, path).unwrap();
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
