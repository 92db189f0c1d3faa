//! The certificates and lists of the kit, as OpenSSL judges them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashSet;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use openssl::pkey::{Id, PKey};
use openssl::stack::Stack;
use openssl::x509::store::{X509Lookup, X509StoreBuilder};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509PurposeId, X509StoreContext, X509VerifyResult};
use pgreach_testkit::Error;
use pgreach_testkit::pki::{Certificate, Issuer, KeyType, Pki};

// The numbers of X509_V_ERR_*, which are fixed.
const OK: i32 = 0;
const NO_LOCAL_ISSUER: i32 = 20;
const NOT_YET_VALID: i32 = 9;
const EXPIRED: i32 = 10;
const CRL_EXPIRED: i32 = 12;
const SELF_SIGNED: i32 = 18;
const REVOKED: i32 = 23;
const WRONG_PURPOSE: i32 = 26;

/// How OpenSSL judges a chain file, strictly, with the trusted certificates and lists of two files.
fn verify_for(
    purpose: X509PurposeId,
    chain: &Path,
    trusted: &Path,
    crls: Option<&Path>,
) -> X509VerifyResult {
    let mut store = X509StoreBuilder::new().unwrap();
    for root in X509::stack_from_pem(&fs::read(trusted).unwrap()).unwrap() {
        store.add_cert(root).unwrap();
    }
    let mut flags = X509VerifyFlags::X509_STRICT;
    if let Some(crls) = crls {
        flags |= X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL;
        let lookup = store.add_lookup(X509Lookup::file()).unwrap();
        let lists = lookup
            .load_crl_file(crls, openssl::ssl::SslFiletype::PEM)
            .unwrap();
        assert_eq!(lists, 3);
    }
    store.set_flags(flags).unwrap();
    store.set_purpose(purpose).unwrap();
    let store = store.build();

    let mut chain = X509::stack_from_pem(&fs::read(chain).unwrap())
        .unwrap()
        .into_iter();
    let leaf = chain.next().unwrap();
    let mut untrusted = Stack::new().unwrap();
    for certificate in chain {
        untrusted.push(certificate).unwrap();
    }
    let mut context = X509StoreContext::new().unwrap();
    context
        .init(&store, &leaf, &untrusted, |context| {
            context.verify_cert()?;
            Ok(context.error())
        })
        .unwrap()
}

fn verify(certificate: &Certificate, trusted: &Path) -> i32 {
    verify_for(
        X509PurposeId::SSL_SERVER,
        certificate.cert_file(),
        trusted,
        None,
    )
    .as_raw()
}

fn verify_with(certificate: &Certificate, trusted: &Path, crls: &Path) -> i32 {
    verify_for(
        X509PurposeId::SSL_SERVER,
        certificate.cert_file(),
        trusted,
        Some(crls),
    )
    .as_raw()
}

fn parse(certificate: &Certificate) -> X509 {
    X509::from_der(certificate.der()).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn chains_lead_to_the_root_that_signed() {
    let pki = Pki::generate().unwrap();

    let direct = pki.server("db.internal").issue().unwrap();
    assert_eq!(verify(&direct, pki.root_file()), OK);
    assert_eq!(verify(&direct, pki.other_root_file()), NO_LOCAL_ISSUER);
    assert_eq!(direct.chain_pem(), direct.cert_pem());

    let chained = pki
        .server("db.internal")
        .signed_by(Issuer::Intermediate)
        .issue()
        .unwrap();
    assert_eq!(verify(&chained, pki.root_file()), OK);
    assert_eq!(verify(&chained, pki.bundle_file()), OK);
    assert_eq!(
        chained.chain_pem(),
        format!("{}{}", chained.cert_pem(), pki.intermediate_pem())
    );
    let alone = tempfile::NamedTempFile::new().unwrap();
    fs::write(alone.path(), chained.cert_pem()).unwrap();
    let verdict = verify_for(
        X509PurposeId::SSL_SERVER,
        alone.path(),
        pki.root_file(),
        None,
    );
    assert_eq!(verdict.as_raw(), NO_LOCAL_ISSUER);

    let foreign = pki
        .server("db.internal")
        .signed_by(Issuer::Other)
        .issue()
        .unwrap();
    assert_eq!(verify(&foreign, pki.root_file()), NO_LOCAL_ISSUER);
    assert_eq!(verify(&foreign, pki.other_root_file()), OK);
}

#[test]
fn self_signed_certificates_are_trusted_only_as_such() {
    let pki = Pki::generate().unwrap();
    let server = pki
        .server("db.internal")
        .signed_by(Issuer::SelfSigned)
        .issue()
        .unwrap();
    assert_eq!(verify(&server, pki.root_file()), SELF_SIGNED);
    assert_eq!(verify(&server, server.cert_file()), OK);
}

#[test]
fn validity_is_as_asked() {
    let pki = Pki::generate().unwrap();
    let expired = pki.server("db.internal").expired().issue().unwrap();
    assert_eq!(verify(&expired, pki.root_file()), EXPIRED);
    let early = pki.server("db.internal").not_yet_valid().issue().unwrap();
    assert_eq!(verify(&early, pki.root_file()), NOT_YET_VALID);
}

#[test]
fn servers_and_clients_differ_in_purpose() {
    let pki = Pki::generate().unwrap();
    let server = pki.server("db.internal").issue().unwrap();
    let client = pki
        .client("alice")
        .signed_by(Issuer::Intermediate)
        .issue()
        .unwrap();
    let verdict = |purpose, certificate: &Certificate| {
        verify_for(purpose, certificate.cert_file(), pki.root_file(), None).as_raw()
    };
    assert_eq!(verdict(X509PurposeId::SSL_CLIENT, &client), OK);
    assert_eq!(verdict(X509PurposeId::SSL_SERVER, &client), WRONG_PURPOSE);
    assert_eq!(verdict(X509PurposeId::SSL_CLIENT, &server), WRONG_PURPOSE);

    let client = parse(&client);
    let name = client
        .subject_name()
        .entries()
        .next()
        .unwrap()
        .data()
        .as_slice()
        .to_vec();
    assert_eq!(name, b"alice");
    assert_eq!(client.subject_name().entries().count(), 1);
    assert!(client.subject_alt_names().is_none());
}

#[test]
fn names_are_as_asked() {
    let pki = Pki::generate().unwrap();
    let ip: IpAddr = "10.1.2.3".parse().unwrap();
    let names = |certificate: &Certificate| -> Vec<String> {
        parse(certificate)
            .subject_alt_names()
            .map_or_else(Vec::new, |names| {
                let text = |name: &openssl::x509::GeneralNameRef| {
                    name.dnsname()
                        .map(str::to_owned)
                        .or_else(|| name.ipaddress().map(|ip| format!("{ip:?}")))
                        .unwrap()
                };
                names.iter().map(text).collect()
            })
    };

    let full = pki
        .server("db.internal")
        .with_dns("*.replica.internal")
        .with_ip(ip)
        .issue()
        .unwrap();
    assert_eq!(
        names(&full),
        ["db.internal", "*.replica.internal", "[10, 1, 2, 3]"]
    );
    assert_eq!(full.name(), "db.internal");

    let address = pki.server("10.1.2.3").issue().unwrap();
    assert_eq!(names(&address), ["[10, 1, 2, 3]"]);
    let address = pki.server("::1").issue().unwrap();
    assert_eq!(names(&address).len(), 1);
    assert!(address.cert_file().exists());

    let bare = pki
        .server("db.internal")
        .with_ip(ip)
        .common_name_only()
        .issue()
        .unwrap();
    assert!(names(&bare).is_empty());
    assert_eq!(verify(&bare, pki.root_file()), OK);

    let odd = pki.client("Zoë/../x").issue().unwrap();
    assert_eq!(odd.cert_file().parent(), pki.root_file().parent());
    let error = pki.server("zoë.internal").issue().unwrap_err();
    assert!(matches!(error, Error::Certificate(_)), "{error}");
}

#[test]
fn revoked_certificates_are_on_the_list_of_their_issuer() {
    let pki = Pki::generate().unwrap();
    for (issuer, trusted) in [
        (Issuer::Root, pki.root_file()),
        (Issuer::Intermediate, pki.root_file()),
        (Issuer::Other, pki.other_root_file()),
    ] {
        let kept = pki
            .server("kept.internal")
            .signed_by(issuer)
            .issue()
            .unwrap();
        let revoked = pki
            .server("revoked.internal")
            .signed_by(issuer)
            .issue()
            .unwrap();

        let before = pki.crl_file().unwrap();
        assert_eq!(verify_with(&revoked, trusted, &before), OK);

        pki.revoke(&revoked).unwrap();
        pki.revoke(&revoked).unwrap();
        let after = pki.crl_file().unwrap();
        assert_eq!(before, after);
        assert_eq!(mode(&after), 0o644);
        assert_eq!(verify_with(&revoked, trusted, &after), REVOKED);
        assert_eq!(verify_with(&kept, trusted, &after), OK);

        let expired = pki.expired_crl_file().unwrap();
        assert_eq!(verify_with(&kept, trusted, &expired), CRL_EXPIRED);
    }
    assert_eq!(pki.crl_pem().unwrap().matches("BEGIN X509 CRL").count(), 3);
}

#[test]
fn only_own_and_listed_certificates_can_be_revoked() {
    let (pki, second) = (Pki::generate().unwrap(), Pki::generate().unwrap());
    let foreign = second.client("alice").issue().unwrap();
    assert!(matches!(pki.revoke(&foreign), Err(Error::State(_))));
    let own = pki
        .client("alice")
        .signed_by(Issuer::SelfSigned)
        .issue()
        .unwrap();
    assert!(matches!(pki.revoke(&own), Err(Error::State(_))));
}

#[test]
fn keys_fit_their_certificates() {
    let pki = Pki::generate().unwrap();
    for (kind, id) in [
        (KeyType::EcdsaP256, Id::EC),
        (KeyType::Ed25519, Id::ED25519),
    ] {
        let server = pki.server("db.internal").with_key(kind).issue().unwrap();
        assert!(server.key_pem().starts_with("-----BEGIN PRIVATE KEY-----"));
        let key = PKey::private_key_from_pem(&fs::read(server.key_file()).unwrap()).unwrap();
        assert_eq!(key.id(), id);
        assert!(parse(&server).public_key().unwrap().public_eq(&key));
        assert_eq!(verify(&server, pki.root_file()), OK);
        native_tls::Identity::from_pkcs8(
            server.chain_pem().as_bytes(),
            server.key_pem().as_bytes(),
        )
        .unwrap();
    }
}

#[test]
fn serial_numbers_are_unique_and_as_told() {
    let pki = Pki::generate().unwrap();
    let serials: HashSet<u128> = (0..50)
        .map(|_| {
            let certificate = pki.client("alice").issue().unwrap();
            let encoded = parse(&certificate).serial_number().to_bn().unwrap();
            assert_eq!(encoded.to_vec(), certificate.serial().to_be_bytes());
            certificate.serial()
        })
        .collect();
    assert_eq!(serials.len(), 50);
}

#[test]
fn files_have_their_modes_and_go_with_the_last_owner() {
    let pki = Pki::generate().unwrap();
    let folder = pki.root_file().parent().unwrap().to_owned();
    let server = pki.server("db.internal").issue().unwrap();
    assert_eq!(mode(&folder), 0o755);
    assert_eq!(mode(pki.bundle_file()), 0o644);
    assert_eq!(mode(server.cert_file()), 0o644);
    assert_eq!(mode(server.key_file()), 0o600);
    assert_eq!(fs::read_to_string(pki.root_file()).unwrap(), pki.root_pem());
    assert_eq!(
        fs::read_to_string(pki.intermediate_file()).unwrap(),
        pki.intermediate_pem()
    );
    assert_eq!(
        fs::read_to_string(pki.other_root_file()).unwrap(),
        pki.other_root_pem()
    );
    assert_eq!(
        fs::read_to_string(server.cert_file()).unwrap(),
        server.chain_pem()
    );

    drop(pki);
    assert!(server.key_file().exists());
    drop(server);
    assert!(!folder.exists());
}

#[test]
fn debug_output_holds_no_keys() {
    let pki = Pki::generate().unwrap();
    let builder = pki.server("db.internal");
    let server = builder.clone().issue().unwrap();
    let output = format!("{pki:?} {builder:?} {server:?} {pki:#?} {server:#?}");
    assert!(output.contains("db.internal"));
    assert!(!output.contains("PRIVATE"), "{output}");
    let secret = server.key_pem().lines().nth(1).unwrap();
    assert!(!output.contains(secret), "{output}");
}
