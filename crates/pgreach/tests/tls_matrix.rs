//! What each sslmode makes of each kind of server, as libpq's manual has it.
//!
//! Source: <https://www.postgresql.org/docs/18/libpq-ssl.html#LIBPQ-SSL-PROTECTION>.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs, thread};

use common::{Tap, builder, connect, connector, refused, settings, text};
use pgreach::prelude::*;
use pgreach::{SslMode, Verification};
use pgreach_testkit::pki::{Certificate, Issuer};
use pgreach_testkit::{Pki, Postgres, servers};

const HOST: &str = "db.internal";
const OTHER_NAME: &str = "pg.corp.example";

const HBA: &[&str] = &[
    "hostssl all tls_only 127.0.0.1/32 trust",
    "hostnossl all plain_only 127.0.0.1/32 trust",
    "host all postgres 127.0.0.1/32 trust",
];

struct Fixture {
    good: Postgres,
    /// Speaks no TLS above 1.2.
    wrong_name: Postgres,
    wrong_ca: Postgres,
    expired: Postgres,
    revoked: Postgres,
    no_tls: Postgres,
    files: PathBuf,
}

/// The servers for all tests. The kit removes them when this process ends.
fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let pki = Pki::generate().unwrap();
        let good = pki
            .server(HOST)
            .with_dns("*.apps.internal")
            .with_ip(Ipv4Addr::LOCALHOST.into());
        let revoked = pki.server(HOST).issue().unwrap();
        let certificates = [
            Some(good.issue().unwrap()),
            Some(pki.server(OTHER_NAME).issue().unwrap()),
            Some(pki.server(HOST).signed_by(Issuer::Other).issue().unwrap()),
            Some(pki.server(HOST).expired().issue().unwrap()),
            Some(revoked.clone()),
            None,
        ];
        let [good, wrong_name, wrong_ca, expired, revoked_server, no_tls] = start(certificates);
        // Beside the server's own files, which go when it goes.
        let files = good.socket_dir().to_owned();
        let write = |name: &str, text: &str| fs::write(files.join(name), text).unwrap();
        write("root.crt", pki.root_pem());
        write("other.crt", pki.other_root_pem());
        write("none_revoked.crl", &pki.crl_pem().unwrap());
        pki.revoke(&revoked).unwrap();
        write("revoked.crl", &pki.crl_pem().unwrap());
        let stale = fs::read_to_string(pki.expired_crl_file().unwrap()).unwrap();
        write("stale.crl", &stale);
        Fixture {
            good,
            wrong_name,
            wrong_ca,
            expired,
            revoked: revoked_server,
            no_tls,
            files,
        }
    })
}

fn start<const N: usize>(certificates: [Option<Certificate>; N]) -> [Postgres; N] {
    thread::scope(|scope| {
        certificates
            .map(|certificate| {
                scope.spawn(move || {
                    let mut server = Postgres::builder()
                        .with_hba(HBA.iter().copied())
                        .with_sql("create role tls_only login; create role plain_only login");
                    if let Some(certificate) = certificate {
                        server = server.with_tls(certificate.chain_pem(), certificate.key_pem());
                        if certificate.name() == OTHER_NAME {
                            server = server.with_setting("ssl_max_protocol_version", "TLSv1.2");
                        }
                    }
                    server.start().unwrap()
                })
            })
            .map(|started| started.join().unwrap())
    })
}

impl Fixture {
    fn file(&self, name: &str) -> String {
        self.files.join(name).display().to_string()
    }

    /// `sslrootcert=` the authority of all servers but one.
    fn root(&self) -> String {
        format!("sslrootcert={}", self.file("root.crt"))
    }
}

fn to(server: &Postgres, rest: &str) -> String {
    let port = server.port();
    format!("host={HOST} hostaddr=127.0.0.1 port={port} user=postgres dbname=postgres {rest}")
}

/// `tls`, `plain`, or the code of the error. The server must see what the client believes.
async fn outcome(conninfo: &str) -> String {
    let connection = match connect(conninfo).await {
        Ok(connection) => connection,
        Err(error) => return error.code().name().to_owned(),
    };
    let encrypted = connection.info().tls().is_some();
    let seen = text(
        &connection,
        "select ssl from pg_stat_ssl where pid = pg_backend_pid()",
    )
    .await;
    assert_eq!(seen, if encrypted { "t" } else { "f" }, "{conninfo}");
    (if encrypted { "tls" } else { "plain" }).to_owned()
}

async fn check(table: impl IntoIterator<Item = (String, &str)>) {
    let mut wrong = Vec::new();
    for (conninfo, expected) in table {
        let outcome = outcome(&conninfo).await;
        if outcome != expected {
            wrong.push(format!("{conninfo}: {outcome} instead of {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn every_sslmode_on_every_server() {
    const NO_TLS: &str = "tls-not-supported";
    const CA: &str = "tls-unknown-ca";
    const EXPIRED: &str = "tls-expired";
    const REVOKED: &str = "tls-revoked";
    const NAME: &str = "tls-wrong-name";
    // Stricter than libpq, which ignores sslcrl without a root certificate: a list that is named is
    // enforced or refused.
    const CRL: &str = "tls-crl";
    // The certificate is good; for another name; of another authority; expired; revoked, and the
    // client knows; revoked, and it does not; the server has no TLS.
    #[rustfmt::skip]
    let table: &[(&str, bool, [&str; 7])] = &[
        // sslmode, root file
        ("disable",     false, ["plain"; 7]),
        ("disable",     true,  ["plain"; 7]),
        ("allow",       false, ["plain"; 7]),
        ("allow",       true,  ["plain"; 7]),
        ("prefer",      false, ["tls", "tls", "tls",   "tls",   CRL,     "tls", "plain"]),
        ("prefer",      true,  ["tls", "tls", "plain", "plain", "plain", "tls", "plain"]),
        ("require",     false, ["tls", "tls", "tls",   "tls",   CRL,     "tls", NO_TLS]),
        ("require",     true,  ["tls", "tls", CA,      EXPIRED, REVOKED, "tls", NO_TLS]),
        ("verify-ca",   false, ["config-file"; 7]),
        ("verify-ca",   true,  ["tls", "tls", CA,      EXPIRED, REVOKED, "tls", NO_TLS]),
        ("verify-full", false, ["config-file"; 7]),
        ("verify-full", true,  ["tls", NAME,  CA,      EXPIRED, REVOKED, "tls", NO_TLS]),
    ];
    let fixture = fixture();
    let crl = format!("sslcrl={}", fixture.file("revoked.crl"));
    let servers = [
        (&fixture.good, ""),
        (&fixture.wrong_name, ""),
        (&fixture.wrong_ca, ""),
        (&fixture.expired, ""),
        (&fixture.revoked, crl.as_str()),
        (&fixture.revoked, ""),
        (&fixture.no_tls, ""),
    ];
    let cells = table.iter().flat_map(|(sslmode, with_root, expected)| {
        let root = if *with_root {
            fixture.root()
        } else {
            String::new()
        };
        let conninfo = move |(server, crl): (&Postgres, &str)| {
            to(server, &format!("sslmode={sslmode} {root} {crl}"))
        };
        servers.map(conninfo).into_iter().zip(*expected)
    });
    check(cells).await;
}

#[tokio::test]
async fn allow_and_prefer_try_the_other_way_round() {
    let fixture = fixture();
    let root = fixture.root();
    let root = root.as_str();
    let Fixture {
        good,
        wrong_ca,
        no_tls,
        ..
    } = fixture;
    let table = [
        // The server wants TLS.
        (good, "tls_only", "allow", "", "tls"),
        (good, "tls_only", "allow", root, "tls"),
        (wrong_ca, "tls_only", "allow", "", "tls"),
        (wrong_ca, "tls_only", "allow", root, "tls-unknown-ca"),
        (wrong_ca, "tls_only", "prefer", root, "tls-unknown-ca"),
        (no_tls, "tls_only", "allow", "", "auth-hba"),
        (good, "tls_only", "prefer", "", "tls"),
        (good, "tls_only", "disable", "", "auth-hba"),
        // The server wants none.
        (good, "plain_only", "allow", "", "plain"),
        (good, "plain_only", "prefer", "", "plain"),
        (good, "plain_only", "prefer", root, "plain"),
        (good, "plain_only", "require", "", "auth-hba"),
        (good, "plain_only", "verify-full", root, "auth-hba"),
        // Neither way.
        (good, "nobody", "allow", "", "auth-hba"),
        (good, "nobody", "prefer", "", "auth-hba"),
    ];
    check(table.map(|(server, user, sslmode, root, expected)| {
        (
            to(server, &format!("user={user} sslmode={sslmode} {root}")),
            expected,
        )
    }))
    .await;
}

#[tokio::test]
async fn the_name_is_the_hosts_and_never_the_addresses() {
    let fixture = fixture();
    let port = fixture.good.port();
    let table = [
        ("host=db.internal hostaddr=127.0.0.1", "tls"),
        ("host=DB.Internal hostaddr=127.0.0.1", "tls"),
        ("host=orders.apps.internal hostaddr=127.0.0.1", "tls"),
        (
            "host=new.orders.apps.internal hostaddr=127.0.0.1",
            "tls-wrong-name",
        ),
        ("host=apps.internal hostaddr=127.0.0.1", "tls-wrong-name"),
        (
            "host=db.internal.evil.example hostaddr=127.0.0.1",
            "tls-wrong-name",
        ),
        ("host=localhost hostaddr=127.0.0.1", "tls-wrong-name"),
        ("host=127.0.0.1", "tls"),
        ("host=127.0.0.2 hostaddr=127.0.0.1", "tls-wrong-name"),
        // Nothing to verify.
        ("hostaddr=127.0.0.1", "config-missing"),
    ];
    let rest = format!(
        "port={port} user=postgres sslmode=verify-full {}",
        fixture.root()
    );
    check(table.map(|(host, expected)| (format!("{host} {rest}"), expected))).await;
    check([(
        format!("hostaddr=127.0.0.1 {rest} sslmode=verify-ca"),
        "tls",
    )])
    .await;
}

#[tokio::test]
async fn a_refused_certificate_is_shown() {
    let fixture = fixture();
    let verified = format!("sslmode=verify-full {}", fixture.root());
    for (server, code, hint) in [
        (
            &fixture.wrong_name,
            "tls-wrong-name",
            "the server's certificate is for pg.corp.example; set host to that name and hostaddr to 127.0.0.1",
        ),
        (
            &fixture.wrong_ca,
            "tls-unknown-ca",
            "was issued by \"CN=pgreach other test root\"",
        ),
        (
            &fixture.expired,
            "tls-expired",
            "renew the server's certificate (CN=db.internal): it expired on 20",
        ),
    ] {
        let error = refused(&to(server, &verified)).await;
        assert_eq!(error.code().name(), code);
        assert_eq!(error.kind(), ErrorKind::Tls);
        assert!(error.hint().contains(hint), "{}", error.hint());
        let report = connector(&to(server, &verified)).unwrap().check().await;
        assert!(
            report
                .to_string()
                .contains(&format!("what to change: {}", error.hint()))
        );
    }
    // And the advice is good.
    let advised = format!("{verified} host={OTHER_NAME} hostaddr=127.0.0.1");
    check([(to(&fixture.wrong_name, &advised), "tls")]).await;
}

#[tokio::test]
async fn the_builder_verifies_in_full_unless_told_otherwise() {
    let fixture = fixture();
    let builder = |server: &Postgres| {
        PgConnector::builder()
            .with_endpoint(Endpoint::tcp(HOST, server.port()).with_hostaddr(Ipv4Addr::LOCALHOST))
            .with_transport(TcpTransport::new())
            .with_user("postgres")
    };
    let roots = Roots::from_file(fixture.file("root.crt"));
    let tls = NativeTls::builder().with_roots(roots).build().unwrap();
    for (server, expected) in [
        (&fixture.good, None),
        (&fixture.wrong_name, Some("tls-wrong-name")),
        (&fixture.wrong_ca, Some("tls-unknown-ca")),
        (&fixture.no_tls, Some("tls-not-supported")),
    ] {
        let connected = builder(server)
            .with_tls(tls.clone())
            .build()
            .unwrap()
            .connect()
            .await;
        let code = connected.as_ref().err().map(|error| error.code().name());
        assert_eq!(code, expected);
        if let Ok(connection) = connected {
            let verified = connection.info().tls().unwrap().verification;
            assert_eq!(verified, Some(Verification::Full));
        }
    }
    assert_eq!(TlsPolicy::default(), TlsPolicy::verify_full());
    // Without a provider there is no connector, rather than one without TLS.
    let error = builder(&fixture.good).build().unwrap_err();
    assert_eq!(error.code().name(), "tls-provider-missing");
}

#[tokio::test]
async fn direct_negotiation_needs_postgresql_17() {
    let pki = Pki::generate().unwrap();
    let certificate = pki.server(HOST).issue().unwrap();
    let found = servers::for_tests().unwrap();
    let mut majors = vec![found[0].major(), found[found.len() - 1].major()];
    majors.dedup();
    for major in majors {
        let server = Postgres::builder()
            .with_version(major)
            .with_tls(certificate.chain_pem(), certificate.key_pem())
            .start()
            .unwrap();
        let root = pki.root_file().display();
        let direct = to(
            &server,
            &format!("sslnegotiation=direct sslmode=verify-full sslrootcert={root}"),
        );
        if major >= 17 {
            let wrong_name = format!("{direct} host=elsewhere");
            check([
                (direct.clone(), "tls"),
                (format!("{direct} sslmode=require"), "tls"),
                (wrong_name.clone(), "tls-wrong-name"),
            ])
            .await;
            let hint = refused(&wrong_name).await.hint().to_owned();
            assert!(
                hint.contains("is for db.internal; set host to that name"),
                "{hint}"
            );
            // No SSLRequest is sent: the first byte is a TLS handshake's.
            let tap = Tap::default();
            let connector = builder(&direct)
                .unwrap()
                .with_transport(tap.clone())
                .build()
                .unwrap();
            connector.connect().await.unwrap();
            assert_eq!(tap.sent()[0][0], 0x16);
        } else {
            let error = refused(&direct).await;
            assert_eq!(error.kind(), ErrorKind::Tls, "{error:?}");
            assert!(
                error.hint().contains("sslnegotiation=postgres"),
                "{}",
                error.hint()
            );
        }
        for sslmode in ["disable", "allow", "prefer"] {
            let error = refused(&format!("{direct} sslmode={sslmode}")).await;
            assert_eq!(error.code().name(), "config-conflict", "{sslmode}");
        }
    }
}

/// Which roots are the system's is a matter of the environment, so a process of its own sees to it:
/// this very test, with the connections to make and their outcomes in a variable.
#[tokio::test]
async fn private_roots_replace_the_systems() {
    const CASES: &str = "PGREACH_TEST_CASES";
    if let Ok(cases) = env::var(CASES) {
        let case = |line: &str| -> (String, String) {
            let (expected, conninfo) = line.split_once(' ').unwrap();
            (conninfo.to_owned(), expected.to_owned())
        };
        let cases: Vec<_> = cases.lines().map(case).collect();
        return check(
            cases
                .iter()
                .map(|(conninfo, expected)| (conninfo.clone(), expected.as_str())),
        )
        .await;
    }
    let fixture = fixture();
    let Fixture {
        good,
        wrong_ca,
        no_tls,
        ..
    } = fixture;
    let root = fixture.root();
    // To the process below, the authority of `wrong_ca` is one of the system's.
    let cases = [
        ("tls", to(wrong_ca, "sslrootcert=system")),
        (
            "tls",
            to(wrong_ca, "sslrootcert=system sslmode=verify-full"),
        ),
        // verify-full is implied.
        (
            "tls-wrong-name",
            to(wrong_ca, "sslrootcert=system host=elsewhere"),
        ),
        ("tls-not-supported", to(no_tls, "sslrootcert=system")),
        ("tls-unknown-ca", to(good, "sslrootcert=system")),
        (
            "config-conflict",
            to(wrong_ca, "sslrootcert=system sslmode=verify-ca"),
        ),
        (
            "config-conflict",
            to(wrong_ca, "sslrootcert=system sslmode=require"),
        ),
        ("tls", to(good, &format!("{root} sslmode=verify-full"))),
        (
            "tls-unknown-ca",
            to(wrong_ca, &format!("{root} sslmode=verify-full")),
        ),
        (
            "tls-unknown-ca",
            to(wrong_ca, &format!("{root} sslmode=verify-ca")),
        ),
    ];
    let lines: Vec<_> = cases
        .iter()
        .map(|(expected, conninfo)| format!("{expected} {conninfo}"))
        .collect();
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "private_roots_replace_the_systems"])
        .env(CASES, lines.join("\n"))
        .env("SSL_CERT_FILE", fixture.files.join("other.crt"))
        .env("SSL_CERT_DIR", fixture.files.join("nowhere"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
    assert_eq!(
        settings("sslrootcert=system").unwrap().sslmode,
        SslMode::VerifyFull
    );
}

#[tokio::test]
async fn protocol_versions_are_kept_to() {
    let fixture = fixture();
    let (min, max) = ("ssl_min_protocol_version", "ssl_max_protocol_version");
    for (server, rest, version) in [
        (&fixture.good, String::new(), "TLSv1.3"),
        (&fixture.good, format!("{max}=TLSv1.2"), "TLSv1.2"),
        (
            &fixture.good,
            format!("{min}=TLSv1.2 {max}=TLSv1.2"),
            "TLSv1.2",
        ),
        (&fixture.good, format!("{min}=TLSv1.3"), "TLSv1.3"),
        (&fixture.wrong_name, String::new(), "TLSv1.2"),
    ] {
        let connection = connect(&to(server, &format!("sslmode=require {rest}")))
            .await
            .unwrap();
        let sql = "select version from pg_stat_ssl where pid = pg_backend_pid()";
        assert_eq!(text(&connection, sql).await, version, "{rest}");
    }
    let too_new = to(
        &fixture.wrong_name,
        &format!("sslmode=require {min}=TLSv1.3"),
    );
    let error = refused(&too_new).await;
    assert_eq!(error.code().name(), "tls-protocol-version", "{error:?}");
    assert!(
        error.hint().contains("ssl_min_protocol_version"),
        "{}",
        error.hint()
    );
    check([
        (format!("{too_new} sslmode=prefer"), "plain"),
        (format!("{too_new} {max}=TLSv1.2"), "config-conflict"),
    ])
    .await;
}

#[tokio::test]
async fn the_name_is_sent_in_the_clear_only_with_sslsni() {
    let fixture = fixture();
    for (rest, sent) in [
        ("", true),
        ("sslsni=1", true),
        ("sslsni=0", false),
        ("host=127.0.0.1", false),
    ] {
        let tap = Tap::default();
        let conninfo = to(
            &fixture.good,
            &format!("sslmode=verify-full {} {rest}", fixture.root()),
        );
        let connector = builder(&conninfo)
            .unwrap()
            .with_transport(tap.clone())
            .build()
            .unwrap();
        connector.connect().await.unwrap();
        let [bytes] = tap.sent().try_into().unwrap();
        let name = if rest.starts_with("host=") {
            "127.0.0.1"
        } else {
            HOST
        };
        let found = bytes
            .windows(name.len())
            .any(|window| window == name.as_bytes());
        assert_eq!(found, sent, "{rest}");
    }
}

#[tokio::test]
async fn revocation_lists_are_enforced() {
    let fixture = fixture();
    let Fixture { good, revoked, .. } = fixture;
    let directory = fixture.files.join("lists");
    fs::create_dir(&directory).unwrap();
    fs::copy(
        fixture.files.join("revoked.crl"),
        directory.join("any name will do"),
    )
    .unwrap();
    fs::write(directory.join("README"), "no list").unwrap();
    let in_directory = format!("sslcrldir={}", directory.display());
    let list = |name: &str| format!("sslcrl={}", fixture.file(name));
    let cases = [
        (good, list("revoked.crl"), "tls"),
        (revoked, list("revoked.crl"), "tls-revoked"),
        (revoked, list("none_revoked.crl"), "tls"),
        (good, in_directory.clone(), "tls"),
        (revoked, in_directory, "tls-revoked"),
        // A list that says nothing of today cannot vouch for anybody.
        (good, list("stale.crl"), "tls-crl-unavailable"),
        (good, list("root.crt"), "tls-crl"),
    ];
    for sslmode in ["require", "verify-ca", "verify-full"] {
        let rest = format!("sslmode={sslmode} {}", fixture.root());
        check(
            cases
                .clone()
                .map(|(server, crl, expected)| (to(server, &format!("{rest} {crl}")), expected)),
        )
        .await;
    }

    // A list that is replaced counts from the next connection on.
    let list = fixture.files.join("replaced.crl");
    fs::copy(fixture.files.join("none_revoked.crl"), &list).unwrap();
    let conninfo = format!(
        "sslmode=verify-full {} sslcrl={}",
        fixture.root(),
        list.display()
    );
    let connector = connector(&to(revoked, &conninfo)).unwrap();
    connector.connect().await.unwrap();
    let draft = fixture.files.join("draft.crl");
    fs::copy(fixture.files.join("revoked.crl"), &draft).unwrap();
    fs::rename(&draft, &list).unwrap();
    assert_eq!(
        connector.connect().await.unwrap_err().code().name(),
        "tls-revoked"
    );
}
