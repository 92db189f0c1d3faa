//! Who the server lets in, how the client proves it, and what it refuses to do for that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::time::Duration;

use common::{Fixture, Tap, builder, connect, connector, refused, text};
use pgreach::conninfo::Environment;
use pgreach::prelude::*;
use pgreach::{Retry, Stage};
use pgreach_testkit::pki::{Issuer, KeyType};
use pgreach_testkit::{Pki, Postgres, servers};

const SCRAM: &str = "scram-sha-256";
const SCRAM_PLUS: &str = "scram-sha-256 with channel binding";
const CLEARTEXT: &str = "password (cleartext)";
const NOTHING: &str = "none (the server asked for no proof)";

/// Each user is asked for what the name says.
const HBA: &[&str] = &[
    "local all trust trust",
    "local all all peer",
    "hostssl all tls_only 127.0.0.1/32 scram-sha-256",
    "host all scram,no_password,ghost,limited 127.0.0.1/32 scram-sha-256",
    "host all md5,md5_scram 127.0.0.1/32 md5",
    "host all password 127.0.0.1/32 password",
    "host all trust,ghost_trust 127.0.0.1/32 trust",
    "host all rejected 127.0.0.1/32 reject",
];

const SQL: &str = "
    create role scram login password 'correct';
    create role md5_scram login password 'correct';
    create role tls_only login password 'correct';
    create role no_password login;
    create role limited login password 'correct' connection limit 1;
    create role trust login;
    create role rejected login;
    create role stranger login;
    create role password login password 'correct';
    set password_encryption = 'md5';
    create role md5 login password 'correct';
";

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let builder = Postgres::builder()
            .with_hba(HBA.iter().copied())
            .with_sql(SQL)
            .with_sql("create database full_db connection limit 0");
        Fixture::start(&Pki::generate().unwrap(), builder)
    })
}

#[tokio::test]
async fn every_version_lets_in_with_scram_over_verified_tls() {
    let pki = Pki::generate().unwrap();
    let certificate = pki.server("db.internal").issue().unwrap();
    for binaries in servers::for_tests().unwrap() {
        let server = Postgres::builder()
            .with_version(binaries.major())
            .with_tls(certificate.chain_pem(), certificate.key_pem())
            .with_hba(["hostssl all app 127.0.0.1/32 scram-sha-256"])
            .with_setting("password_encryption", "scram-sha-256")
            .with_sql("create role app login password 'correct'")
            .start()
            .unwrap();
        let connection = connect(&format!(
            "host=db.internal hostaddr=127.0.0.1 port={} user=app password=correct dbname=postgres \
             sslmode=verify-full sslrootcert={} channel_binding=require require_auth=scram-sha-256",
            server.port(),
            pki.root_file().display(),
        ))
        .await
        .unwrap();
        let version = connection.info().server_version().unwrap().to_owned();
        assert!(
            version.starts_with(server.version()),
            "{version} is {}",
            server.version()
        );
        assert_eq!(
            connection.info().authentication(),
            Some(SCRAM_PLUS),
            "{version}"
        );
        assert_eq!(text(&connection, "show server_version").await, version);
        connection.close().await.unwrap();
        // Each version has words of its own for a client that it wants TLS from.
        let port = server.port();
        let plain = format!("host=127.0.0.1 port={port} user=app dbname=postgres sslmode=disable");
        let error = refused(&plain).await;
        assert_eq!(error.code().name(), "auth-hba", "{version}");
        assert!(
            error.hint().contains("set sslmode=verify-full"),
            "{version}: {error}"
        );
    }
}

#[tokio::test]
async fn each_method_with_and_without_tls() {
    let fixture = fixture();
    // User; what the server asks for without TLS and with it.
    let table = [
        ("scram", SCRAM, SCRAM_PLUS),
        // pg_hba.conf says md5, and the stored password is SCRAM's.
        ("md5_scram", SCRAM, SCRAM_PLUS),
        ("md5", "md5", "md5"),
        ("password", CLEARTEXT, CLEARTEXT),
        ("trust", NOTHING, NOTHING),
    ];
    for (user, without, with) in table {
        let login = format!("user={user} password=correct");
        for (conninfo, method) in [
            (fixture.plain(&login), without),
            (fixture.tls(&login), with),
        ] {
            let connection = connect(&conninfo).await.unwrap();
            assert_eq!(
                connection.info().authentication(),
                Some(method),
                "{conninfo}"
            );
            assert_eq!(text(&connection, "select current_user").await, user);
        }
    }
}

#[tokio::test]
async fn channel_binding_is_used_or_insisted_on() {
    let fixture = fixture();
    for (user, binding, plain, tls) in [
        ("scram", "disable", SCRAM, SCRAM),
        ("scram", "prefer", SCRAM, SCRAM_PLUS),
        ("scram", "require", "channel-binding", SCRAM_PLUS),
        ("md5", "prefer", "md5", "md5"),
        ("md5", "require", "channel-binding", "channel-binding"),
        ("password", "require", "channel-binding", "channel-binding"),
        ("trust", "require", "channel-binding", "channel-binding"),
    ] {
        let login = format!("user={user} password=correct channel_binding={binding}");
        for (conninfo, expected) in [(fixture.plain(&login), plain), (fixture.tls(&login), tls)] {
            let outcome = match connect(&conninfo).await {
                Ok(connection) => connection.info().authentication().unwrap().to_owned(),
                Err(error) => error.code().name().to_owned(),
            };
            assert_eq!(outcome, expected, "{conninfo}");
        }
    }
}

#[tokio::test]
async fn a_certificate_without_a_hash_of_its_own_cannot_be_bound_to() {
    let pki = Pki::generate().unwrap();
    // It is the signature that counts, so the key has to sign for itself.
    let certificate = pki
        .server("db.internal")
        .with_key(KeyType::Ed25519)
        .signed_by(Issuer::SelfSigned)
        .issue()
        .unwrap();
    let server = Postgres::builder()
        .with_tls(certificate.chain_pem(), certificate.key_pem())
        .with_setting("password_encryption", "scram-sha-256")
        .with_hba(["hostssl all scram 127.0.0.1/32 scram-sha-256"])
        .with_sql("create role scram login password 'correct'")
        .start()
        .unwrap();
    let conninfo = format!(
        "host=db.internal hostaddr=127.0.0.1 port={} user=scram password=correct dbname=postgres \
         sslmode=verify-full sslrootcert={}",
        server.port(),
        certificate.cert_file().display(),
    );
    let connection = connect(&conninfo).await.unwrap();
    assert!(!connection.info().tls().unwrap().channel_binding);
    let error = refused(&format!("{conninfo} channel_binding=require")).await;
    assert_eq!(error.code().name(), "channel-binding");
}

#[tokio::test]
async fn refusals_say_what_to_change() {
    struct Case {
        tls: bool,
        login: &'static str,
        code: &'static str,
        kind: ErrorKind,
        sqlstate: Option<&'static str>,
        retry: Retry,
        hint: &'static str,
    }
    use ErrorKind::{Authentication, Database};
    let case = |login, code, sqlstate, hint| Case {
        tls: false,
        login,
        code,
        kind: Authentication,
        sqlstate,
        retry: Retry::Never,
        hint,
    };
    let wrong = |login| Case {
        retry: Retry::RefreshCredential,
        ..case(
            login,
            "auth-refused",
            Some("28P01"),
            "correct the user name or the password",
        )
    };
    let no_password = |login| case(login, "auth-no-password", None, "Give a password");
    let hba = |login, hint| case(login, "auth-hba", Some("28000"), hint);
    let table = [
        wrong("user=scram password=wrong"),
        wrong("user=md5 password=wrong"),
        wrong("user=password password=wrong"),
        wrong("user=no_password password=correct"),
        wrong("user=ghost password=correct"),
        Case {
            tls: true,
            ..wrong("user=scram password=wrong")
        },
        // Of its two attempts, the one that says more.
        wrong("user=tls_only password=wrong sslmode=allow"),
        no_password("user=scram"),
        no_password("user=scram password=''"),
        no_password("user=md5"),
        no_password("user=password"),
        no_password("user=tls_only sslmode=allow"),
        Case {
            retry: Retry::RefreshCredential,
            ..case(
                "user=ghost_trust",
                "auth-refused",
                Some("28000"),
                "check that the role exists",
            )
        },
        hba("user=stranger", "set sslmode=verify-full, or add a line"),
        hba(
            "user=tls_only password=correct",
            "set sslmode=verify-full, or add a line",
        ),
        Case {
            tls: true,
            ..hba("user=stranger", "Add a line for this user")
        },
        Case {
            tls: true,
            ..hba("user=rejected", "Add a line for this user")
        },
        Case {
            kind: Database,
            ..case(
                "user=trust dbname=nowhere",
                "database-missing",
                Some("3D000"),
                "create the database",
            )
        },
    ];
    let fixture = fixture();
    for case in table {
        let login = case.login;
        let conninfo = if case.tls {
            fixture.tls(login)
        } else {
            fixture.plain(login)
        };
        let error = refused(&conninfo).await;
        assert_eq!(error.code().name(), case.code, "{login}: {error:?}");
        assert_eq!(error.kind(), case.kind, "{login}");
        assert_eq!(error.sqlstate(), case.sqlstate, "{login}");
        assert_eq!(error.retry(), case.retry, "{login}");
        assert_eq!(error.stage(), Stage::AUTHENTICATION, "{login}");
        assert!(
            error.hint().contains(case.hint),
            "{login}: {}",
            error.hint()
        );
    }
}

#[tokio::test]
async fn a_full_server_is_busy() {
    let fixture = fixture();
    let login = fixture.plain("user=limited password=correct");
    let _first = connect(&login).await.unwrap();
    for conninfo in [login, fixture.plain("user=trust dbname=full_db")] {
        let error = refused(&conninfo).await;
        assert_eq!(error.code().name(), "server-busy", "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Database);
        assert_eq!(error.sqlstate(), Some("53300"));
        assert_eq!(error.retry(), Retry::Backoff);
    }
}

#[tokio::test]
async fn require_auth_accepts_and_refuses_before_anything_is_sent() {
    // What it says; which of the server's methods it allows.
    let table: &[(&str, &[&str])] = &[
        ("password", &["password"]),
        ("md5", &["md5"]),
        ("scram-sha-256", &["scram"]),
        ("none", &["trust"]),
        ("gss", &[]),
        ("!password", &["md5", "scram", "trust"]),
        ("!md5", &["password", "scram", "trust"]),
        ("!scram-sha-256", &["password", "md5", "trust"]),
        ("!none", &["password", "md5", "scram"]),
        ("password,md5", &["password", "md5"]),
        ("scram-sha-256,none", &["scram", "trust"]),
        ("!password,!md5", &["scram", "trust"]),
        ("!password,!none,!md5", &["scram"]),
    ];
    let fixture = fixture();
    for (require_auth, allowed) in table {
        for user in ["password", "md5", "scram", "trust"] {
            let case = format!("require_auth={require_auth} user={user}");
            let tap = Tap::default();
            let connector = builder(&fixture.plain(&format!("{case} password=correct")))
                .unwrap()
                .with_transport(tap.clone())
                .build()
                .unwrap();
            match connector.connect().await {
                Ok(_) => assert!(allowed.contains(&user), "{case}"),
                Err(error) => {
                    assert!(!allowed.contains(&user), "{case}: {error:?}");
                    assert_eq!(error.code().name(), "auth-method", "{case}");
                    assert_eq!(error.kind(), ErrorKind::Authentication, "{case}");
                    let shown = error.to_string();
                    assert!(
                        shown.contains("authentication method requirement"),
                        "{shown}"
                    );
                    let [sent] = tap.sent().try_into().unwrap();
                    assert_eq!(startup_message(&sent).len(), sent.len(), "{case}");
                }
            }
        }
    }
}

/// The StartupMessage at the beginning of what a client sent: a length of four bytes first.
fn startup_message(sent: &[u8]) -> &[u8] {
    let length = u32::from_be_bytes(*sent.first_chunk().unwrap());
    &sent[..length as usize]
}

#[tokio::test]
async fn unix_sockets_ask_the_operating_system() {
    let fixture = fixture();
    let environment = Environment::process();
    let me = environment.user().unwrap();
    // Where the tests run as `postgres`, there is such a role already.
    fixture
        .server
        .execute(&format!(
            "do $$ begin create role \"{me}\" login; exception when duplicate_object then null; end $$"
        ))
        .unwrap();
    for user in ["trust", me] {
        // TLS is never used there, whatever is asked for; libpq ignores the word, too.
        let login = format!("user={user} sslmode=require");
        let connection = connect(&fixture.socket(&login)).await.unwrap();
        assert_eq!(text(&connection, "select current_user").await, user);
        assert_eq!(connection.info().authentication(), Some(NOTHING));
        assert!(connection.info().tls().is_none());
        assert!(connection.info().endpoint().is_unix());
    }
    let error = refused(&fixture.socket("user=scram password=correct")).await;
    assert_eq!(
        (error.code().name(), error.sqlstate()),
        ("auth-refused", Some("28000"))
    );
}

#[tokio::test]
async fn requirepeer_is_held_against_the_server() {
    let fixture = fixture();
    let uid = fs::metadata(fixture.server.data_dir()).unwrap().uid();
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let is_it = |account: &&str| account.split(':').nth(2) == Some(uid.to_string().as_str());
    let name = |account: &str| account.split(':').next().unwrap().to_owned();
    let server = name(accounts.lines().find(is_it).unwrap());
    let other = name(accounts.lines().find(|account| !is_it(account)).unwrap());

    let login = |peer: &str| fixture.socket(&format!("user=trust requirepeer={peer}"));
    let connection = connect(&login(&server)).await.unwrap();
    assert_eq!(text(&connection, "select current_user").await, "trust");

    for (peer, code, kind) in [
        (other.as_str(), "peer-mismatch", ErrorKind::Denied),
        ("no_such_account", "requirepeer-user", ErrorKind::Config),
    ] {
        let error = refused(&login(peer)).await;
        assert_eq!(error.code().name(), code, "{error:?}");
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(peer), "{error}");
    }
    // It is for Unix sockets alone, as in libpq.
    connect(&fixture.plain(&format!("user=trust requirepeer={other}")))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_connection_knows_what_it_is() {
    let fixture = fixture();
    let port = fixture.server.port();
    let conninfo = fixture.tls("user=scram password=correct options='-c timezone=Asia/Tokyo'");
    let route = connector(&conninfo).unwrap().route();
    let connection = connect(&conninfo).await.unwrap();
    let info = connection.info();
    assert_eq!(info.route(), route);
    assert_eq!(info.endpoint().host(), "db.internal");
    assert_eq!(info.endpoint().port(), port);
    assert_eq!(info.endpoint().pinned(), Some(fixture.server.addr()));
    assert_eq!(info.user(), "scram");
    assert_eq!(info.database(), "postgres");
    assert_eq!(info.authentication(), Some(SCRAM_PLUS));
    let pid = text(&connection, "select pg_backend_pid()").await;
    assert_eq!(info.backend_pid().unwrap().to_string(), pid);
    assert_eq!(
        info.server_version().unwrap(),
        text(&connection, "show server_version").await
    );
    for (parameter, value) in [
        ("TimeZone", "Asia/Tokyo"),
        ("server_encoding", "UTF8"),
        ("standard_conforming_strings", "on"),
        ("is_superuser", "off"),
        ("session_authorization", "scram"),
    ] {
        assert_eq!(info.parameter(parameter), Some(value), "{parameter}");
    }
    assert_eq!(info.parameter("no_such_parameter"), None);
    let certificate = info.tls().unwrap().certificate.as_ref().unwrap();
    assert_eq!(certificate.names, ["db.internal"]);
    let stages: Vec<_> = info
        .stages()
        .iter()
        .map(|record| record.stage.as_str())
        .collect();
    for stage in [
        "credential",
        "resolve",
        "tcp",
        "tls",
        "authentication",
        "session",
    ] {
        assert_eq!(
            stages.iter().filter(|seen| **seen == stage).count(),
            1,
            "{stage}: {stages:?}"
        );
    }
    assert!(info.elapsed() > Duration::ZERO);
}
