//! What is accepted and what is refused, and with which code.
#![cfg(not(any(target_os = "windows", target_vendor = "apple")))]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

mod support;

use pgreach_core::{ErrorKind, Stage, TlsProvider as _, TlsRequest, Verification};
use pgreach_tls::{NativeTls, Roots};

use support::pki::{Authority, Leaf, Wanted};
use support::server::Config;
use support::{echo, handshake, outcome};

const NAME: &str = "db.example.com";

fn trusting(authority: &Authority) -> NativeTls {
    let roots = Roots::from_pem(authority.pem());
    NativeTls::builder().with_roots(roots).build().unwrap()
}

/// The outcome of verifying nothing, the chain, and everything.
async fn outcomes(tls: &NativeTls, leaf: &Leaf, name: &str) -> [&'static str; 3] {
    let server = Config::new(leaf).start();
    let mut all = ["", "", ""];
    let kinds = [Verification::None, Verification::Ca, Verification::Full];
    for (verification, place) in kinds.into_iter().zip(&mut all) {
        let request = TlsRequest::new(name, verification);
        let result = handshake(tls, &server, &request).await;
        if let Err(error) = &result {
            assert_eq!(error.kind(), ErrorKind::Tls, "{error:?}");
            assert_eq!(error.stage(), Stage::TLS, "{error:?}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
        *place = outcome(&result);
    }
    all
}

#[tokio::test]
async fn the_matrix() {
    let root = Authority::root("Root");
    let other = Authority::root("Other root");
    let same_name = Authority::root("Root");
    let intermediate = root.intermediate("Intermediate", 2);
    let good = || Wanted::names(&[NAME]);
    let unknown = ["ok", "tls-unknown-ca", "tls-unknown-ca"];
    let wrong = ["ok", "ok", "tls-wrong-name"];
    let ok = ["ok", "ok", "ok"];

    let cases: Vec<(&str, Leaf, &str, [&str; 3])> = vec![
        ("good", root.issue(good()), NAME, ok),
        ("upper case", root.issue(good()), "DB.Example.COM", ok),
        ("root's dot", root.issue(good()), "db.example.com.", ok),
        (
            "wrong name",
            root.issue(Wanted::names(&["db.internal"])),
            NAME,
            wrong,
        ),
        ("wrong CA", other.issue(good()), NAME, unknown),
        (
            "wrong CA of the same name",
            same_name.issue(good()),
            NAME,
            unknown,
        ),
        (
            "wrong CA that is sent",
            other.issue(good()).sent_with(&other),
            NAME,
            unknown,
        ),
        (
            "expired",
            root.issue(good().years(2001, 2002)),
            NAME,
            ["ok", "tls-expired", "tls-expired"],
        ),
        (
            "not yet valid",
            root.issue(good().years(3001, 3002)),
            NAME,
            ["ok", "tls-not-yet-valid", "tls-not-yet-valid"],
        ),
        (
            "self-signed",
            good().self_signed(),
            NAME,
            ["ok", "tls-self-signed", "tls-self-signed"],
        ),
        (
            "intermediate missing",
            intermediate.issue(good()),
            NAME,
            unknown,
        ),
        (
            "intermediate sent",
            intermediate.issue(good()).sent_with(&intermediate),
            NAME,
            ok,
        ),
        (
            "IPv4",
            root.issue(Wanted::names(&["10.1.2.3"])),
            "10.1.2.3",
            ok,
        ),
        (
            "other IPv4",
            root.issue(Wanted::names(&["10.1.2.3"])),
            "10.1.2.4",
            wrong,
        ),
        (
            "IPv6",
            root.issue(Wanted::names(&["2001:db8::1"])),
            "2001:db8:0::1",
            ok,
        ),
        (
            "name for an IP address",
            root.issue(good()),
            "10.1.2.3",
            wrong,
        ),
        (
            "IP address as a DNS name",
            root.issue(Wanted::names(&["x.example"]).common_name("10.1.2.3")),
            "10.1.2.3",
            wrong,
        ),
        (
            "IP address as common name only",
            root.issue(Wanted::names(&[]).common_name("10.1.2.3")),
            "10.1.2.3",
            wrong,
        ),
        (
            "common name only",
            root.issue(Wanted::names(&[]).common_name(NAME)),
            NAME,
            ok,
        ),
        (
            "common name beside an IP address",
            root.issue(Wanted::names(&["10.1.2.3"]).common_name(NAME)),
            NAME,
            ok,
        ),
        (
            "common name beside another DNS name",
            root.issue(Wanted::names(&["x.example"]).common_name(NAME)),
            NAME,
            wrong,
        ),
        (
            "wildcard",
            root.issue(Wanted::names(&["*.example.com"])),
            NAME,
            ok,
        ),
        (
            "wildcard for two labels",
            root.issue(Wanted::names(&["*.example.com"])),
            "a.db.example.com",
            wrong,
        ),
        (
            "wildcard for no label",
            root.issue(Wanted::names(&["*.example.com"])),
            "example.com",
            wrong,
        ),
        (
            "partial wildcard",
            root.issue(Wanted::names(&["d*.example.com"])),
            NAME,
            wrong,
        ),
        (
            "zero byte in the name",
            root.issue(Wanted::names(&["db.example.com\0.evil.example"])),
            NAME,
            wrong,
        ),
    ];
    let tls = trusting(&root);
    for (what, leaf, name, expected) in cases {
        assert_eq!(outcomes(&tls, &leaf, name).await, expected, "{what}");
    }
}

#[tokio::test]
async fn every_certificate_of_the_roots_counts() {
    let (a, b) = (Authority::root("A"), Authority::root("B"));
    let bundle = format!("# two\n{}text\n{}", a.pem(), b.pem());
    let tls = NativeTls::builder()
        .with_roots(Roots::from_pem(bundle))
        .build()
        .unwrap();
    for authority in [&a, &b] {
        let leaf = authority.issue(Wanted::names(&[NAME]));
        let server = Config::new(&leaf).start();
        echo(&tls, &server, NAME).await.unwrap();
    }
}

#[tokio::test]
async fn a_self_signed_certificate_can_be_a_root_itself() {
    let leaf = Wanted::names(&[NAME]).self_signed();
    let roots = Roots::from_pem(leaf.pem.clone());
    let tls = NativeTls::builder().with_roots(roots).build().unwrap();
    assert_eq!(outcomes(&tls, &leaf, NAME).await, ["ok", "ok", "ok"]);
    let wrong = ["ok", "ok", "tls-wrong-name"];
    assert_eq!(outcomes(&tls, &leaf, "other.example").await, wrong);
}

#[tokio::test]
async fn the_systems_roots_are_for_full_verification_only() {
    let leaf = Authority::root("Private").issue(Wanted::names(&[NAME]));
    let all = {
        let server = Config::new(&leaf).start();
        let tls = NativeTls::new();
        let mut all = Vec::new();
        for verification in [Verification::None, Verification::Ca, Verification::Full] {
            let request = TlsRequest::new(NAME, verification);
            all.push(outcome(&handshake(&tls, &server, &request).await));
        }
        all
    };
    assert_eq!(all, ["ok", "tls-weak-system-roots", "tls-unknown-ca"]);
}

/// The system's roots are OpenSSL's environment, which a process must not change while it runs: the
/// other half of this test runs in a process of its own.
#[test]
fn private_roots_replace_the_systems() {
    let (systems, private) = (Authority::root("System"), Authority::root("Private"));
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("system.pem"), systems.pem()).unwrap();
    std::fs::write(path("private.pem"), private.pem()).unwrap();
    std::fs::write(path("system.crl"), systems.crl(&[7], 3000)).unwrap();
    let server = Config::new(&systems.issue(Wanted::names(&[NAME]))).start();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "as_the_process_with_other_system_roots",
            "--nocapture",
        ])
        .env("SSL_CERT_FILE", path("system.pem"))
        .env("SSL_CERT_DIR", path("nowhere"))
        .env("PGREACH_TEST_DIR", dir.path())
        .env("PGREACH_TEST_SERVER", server.address().to_string())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(
        shown.contains("system ok, private tls-unknown-ca, revoked tls-revoked"),
        "{shown}"
    );
}

#[tokio::test]
async fn as_the_process_with_other_system_roots() {
    let Some(dir) = std::env::var_os("PGREACH_TEST_DIR") else {
        return;
    };
    let path = |name: &str| std::path::Path::new(&dir).join(name);
    let address = std::env::var("PGREACH_TEST_SERVER").unwrap();
    let outcome_of = async |tls: NativeTls| {
        let stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let request = TlsRequest::new(NAME, Verification::Full);
        outcome(&tls.handshake(Box::new(stream), &request).await)
    };
    let private = NativeTls::builder().with_roots(Roots::from_file(path("private.pem")));
    let revoked = NativeTls::builder().with_crl_file(path("system.crl"));
    println!(
        "system {}, private {}, revoked {}",
        outcome_of(NativeTls::new()).await,
        outcome_of(private.build().unwrap()).await,
        outcome_of(revoked.build().unwrap()).await,
    );
}

#[tokio::test]
async fn a_name_is_needed_where_it_is_verified() {
    let root = Authority::root("Root");
    let tls = trusting(&root);
    let leaf = root.issue(Wanted::names(&[NAME]));
    let server = Config::new(&leaf).start();
    for name in ["", "db .example.com", "db\0.example.com", "db_ü"] {
        let full = TlsRequest::new(name, Verification::Full);
        let error = handshake(&tls, &server, &full).await.unwrap_err();
        assert_eq!(error.code().name(), "tls-server-name", "{name:?}");
        assert_eq!(error.kind(), ErrorKind::Config);
        let chain = TlsRequest::new(name, Verification::Ca);
        assert_eq!(
            outcome(&handshake(&tls, &server, &chain).await),
            "ok",
            "{name:?}"
        );
    }
}

#[tokio::test]
async fn refusals_say_what_to_change() {
    let root = Authority::root("Root");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), root.pem()).unwrap();
    let tls = NativeTls::builder()
        .with_roots(Roots::from_file(file.path()))
        .build()
        .unwrap();
    let server = Config::new(&Authority::root("Other").issue(Wanted::names(&[NAME]))).start();
    let error = echo(&tls, &server, NAME).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the certificate of \"{NAME}\" does not lead to an authority that is trusted by root \
             certificate file \"{}\"",
            file.path().display()
        )
    );
    assert!(
        error.hint().contains("add the root certificate"),
        "{}",
        error.hint()
    );
    drop(server);

    let server = Config::new(&root.issue(Wanted::names(&["db.internal"]))).start();
    let error = echo(&tls, &server, NAME).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the server's certificate is not for \"{NAME}\"")
    );
    assert!(error.hint().contains("hostaddr"));
    let source = std::error::Error::source(&error).unwrap();
    assert!(
        source
            .to_string()
            .to_lowercase()
            .contains("hostname mismatch"),
        "{source}"
    );
}
