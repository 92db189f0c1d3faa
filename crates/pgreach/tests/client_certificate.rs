//! Client certificates on real servers: what each line of pg_hba.conf makes of them.
//!
//! Source: <https://www.postgresql.org/docs/18/ssl-tcp.html#SSL-CLIENT-CERTIFICATES>.
#![cfg(not(any(target_os = "windows", target_vendor = "apple")))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use common::{builder, connect, connector, refused, text};
use openssl::pkey::PKey;
use openssl::symm::Cipher;
use pgreach::conninfo::{Conninfo, Environment};
use pgreach::prelude::*;
use pgreach::{Outcome, Stage, assembly};
use pgreach_testkit::pki::{Certificate, Issuer};
use pgreach_testkit::{Pki, Postgres, PostgresBuilder, servers};

const HBA: [&str; 5] = [
    "hostssl all certified,intermediate 127.0.0.1/32 cert",
    "hostssl all any_of_ours 127.0.0.1/32 scram-sha-256 clientcert=verify-ca",
    "hostssl all own 127.0.0.1/32 scram-sha-256 clientcert=verify-full",
    "hostnossl all plain 127.0.0.1/32 trust",
    "local all all trust",
];

struct Fixture {
    base: common::Fixture,
    pki: Pki,
    certified: Certificate,
    own: Certificate,
    intermediate: Certificate,
    stranger: Certificate,
    revoked: Certificate,
}

/// One server for most tests. The kit removes it when this process ends.
fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| Fixture::start(Postgres::builder()))
}

impl Fixture {
    fn start(builder: PostgresBuilder) -> Self {
        let pki = Pki::generate().unwrap();
        let client = |name: &str| pki.client(name).issue().unwrap();
        let revoked = client("certified");
        pki.revoke(&revoked).unwrap();
        let builder = builder
            .with_client_ca(pki.root_pem())
            .with_client_crl(pki.crl_pem().unwrap())
            .with_hba(HBA)
            // Not yet the default of PostgreSQL 13.
            .with_sql(
                "set password_encryption = 'scram-sha-256';
                 create role certified login; create role intermediate login;
                 create role plain login;
                 create role any_of_ours login password 'secret';
                 create role own login password 'secret'",
            );
        Self {
            base: common::Fixture::start(&pki, builder),
            certified: client("certified"),
            own: client("own"),
            intermediate: pki
                .client("intermediate")
                .signed_by(Issuer::Intermediate)
                .issue()
                .unwrap(),
            stranger: pki
                .client("certified")
                .signed_by(Issuer::Other)
                .issue()
                .unwrap(),
            revoked,
            pki,
        }
    }

    fn to(&self, rest: &str) -> String {
        self.base.tls(rest)
    }
}

/// `sslcert=… sslkey=…`
fn files(certificate: &Certificate) -> String {
    let (own, key) = (certificate.cert_file(), certificate.key_file());
    format!("sslcert={} sslkey={}", own.display(), key.display())
}

/// `ok`, or the code of the error.
async fn outcome(conninfo: &str) -> &'static str {
    match connect(conninfo).await {
        Ok(_) => "ok",
        Err(error) => error.code().name(),
    }
}

async fn check_matrix(fixture: &Fixture, versions: &[&str]) {
    const REFUSED: &str = "auth-refused";
    const NO_PASSWORD: &str = "auth-no-password";
    const CERTIFICATE: &str = "tls-certificate-refused";
    let Fixture {
        certified,
        own,
        intermediate,
        stranger,
        revoked,
        ..
    } = fixture;
    // The certificate; whether a password; as certified (cert); any_of_ours (verify-ca and a
    // password); own (verify-full and a password).
    #[rustfmt::skip]
    let table = [
        (None,               false, [REFUSED, NO_PASSWORD, NO_PASSWORD]),
        (None,               true,  [REFUSED; 3]),
        (Some(certified),    false, ["ok", NO_PASSWORD, NO_PASSWORD]),
        (Some(certified),    true,  ["ok", "ok", REFUSED]),
        (Some(own),          false, [REFUSED, NO_PASSWORD, NO_PASSWORD]),
        (Some(own),          true,  [REFUSED, "ok", "ok"]),
        (Some(intermediate), true,  [REFUSED, "ok", REFUSED]),
        (Some(stranger),     true,  [CERTIFICATE; 3]),
        (Some(revoked),      true,  [CERTIFICATE; 3]),
    ];
    let mut wrong = Vec::new();
    for (certificate, password, expected) in table {
        for (user, expected) in ["certified", "any_of_ours", "own"]
            .into_iter()
            .zip(expected)
        {
            let certificate = certificate.map(files).unwrap_or_default();
            let password = if password { "password=secret" } else { "" };
            for version in versions {
                let rest = format!(
                    "user={user} {certificate} {password} ssl_min_protocol_version={version} \
                     ssl_max_protocol_version={version}"
                );
                let outcome = outcome(&fixture.to(&rest)).await;
                // Without a certificate, some versions find out before they ask for the password.
                let same = outcome == expected
                    || certificate.is_empty() && [REFUSED, NO_PASSWORD].contains(&outcome);
                if !same {
                    wrong.push(format!("{rest}: {outcome} instead of {expected}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn every_certificate_on_every_line_of_pg_hba() {
    check_matrix(fixture(), &["TLSv1.2", "TLSv1.3"]).await;
    let newest = fixture().base.server.major();
    for binaries in servers::for_tests().unwrap() {
        if binaries.major() != newest {
            let builder = Postgres::builder().with_version(binaries.major());
            check_matrix(&Fixture::start(builder), &["TLSv1.3"]).await;
        }
    }
}

#[tokio::test]
async fn the_chain_is_sent() {
    let fixture = fixture();
    let chain = &fixture.intermediate;
    let connection = connect(&fixture.to(&format!("user=intermediate {}", files(chain))))
        .await
        .unwrap();
    let sql = "select client_serial from pg_stat_ssl where pid = pg_backend_pid()";
    assert_eq!(text(&connection, sql).await, chain.serial().to_string());
    // The server knows the root alone.
    let source = FixedCertificate::from_bytes(chain.cert_pem(), chain.key_pem(), None).unwrap();
    let alone = builder(&fixture.to("user=intermediate"))
        .unwrap()
        .with_credentials(source)
        .build()
        .unwrap();
    let error = alone.connect().await.unwrap_err();
    assert_eq!(error.code().name(), "tls-certificate-refused");
}

/// In TLS 1.3 the server's verdict comes after the handshake.
#[tokio::test]
async fn a_refused_certificate_is_told_in_the_tls_stage() {
    let fixture = fixture();
    for (certificate, alert, hint) in [
        (&fixture.stranger, "unknown authority", "ssl_ca_file"),
        (&fixture.revoked, "certificate revoked", "ssl_crl_file"),
    ] {
        for version in ["TLSv1.2", "TLSv1.3"] {
            let rest = format!(
                "user=certified {} ssl_max_protocol_version={version}",
                files(certificate)
            );
            let conninfo = fixture.to(&rest);
            let error = refused(&conninfo).await;
            assert_eq!(error.kind(), ErrorKind::Tls, "{version}: {error}");
            assert_eq!(error.stage(), Stage::TLS, "{version}: {error}");
            let words = format!("refused the client's certificate: {alert}");
            assert!(error.message().ends_with(&words), "{version}: {error}");
            assert!(error.hint().contains(hint), "{version}: {}", error.hint());

            let report = connector(&conninfo).unwrap().check().await;
            let failed: Vec<_> = report
                .stages()
                .iter()
                .filter(|record| record.outcome == Outcome::Failed)
                .map(|record| record.stage)
                .collect();
            assert_eq!(failed, [Stage::TLS], "{version}: {report}");
        }
    }
}

#[tokio::test]
async fn a_report_shows_the_certificate_and_warns_of_its_end() {
    let fixture = fixture();
    let certificate = &fixture.certified;
    let source = FileCertificate::new(certificate.cert_file(), certificate.key_file())
        .with_user_from_subject()
        .with_expiry_warning(Duration::from_secs(u64::from(u32::MAX)));
    let connector = builder(&fixture.to(""))
        .unwrap()
        .with_credentials(source)
        .build()
        .unwrap();
    let report = connector.check().await;
    assert!(report.is_ok(), "{report}");
    assert_eq!(report.connection().unwrap().user(), "certified");
    let shown = report.to_string();
    assert!(shown.contains("subject CN=certified"), "{shown}");
    let warnings: Vec<_> = report.warnings().collect();
    assert_eq!(warnings.len(), 1, "{shown}");
    assert!(
        warnings[0].starts_with("the client certificate of CN=certified expires in "),
        "{shown}"
    );
    // What is expired does not get as far as the server.
    let expired = fixture.pki.client("certified").expired().issue().unwrap();
    let report = common::connector(&fixture.to(&format!("user=certified {}", files(&expired))))
        .unwrap()
        .check()
        .await;
    let error = report.error().unwrap();
    assert_eq!(error.code().name(), "cert-expired", "{report}");
    assert_eq!(error.stage(), Stage::CREDENTIAL);
}

/// A file of mode 0600, put in place in one step.
fn write(path: &Path, content: impl AsRef<[u8]>) {
    let draft = path.with_extension("draft");
    fs::write(&draft, content).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&draft, path).unwrap();
}

/// A certificate and its key in a folder, at the places that libpq has in the home directory.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(".postgresql")).unwrap();
        Self { folder }
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join(".postgresql/postgresql.crt")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join(".postgresql/postgresql.key")
    }

    fn put(&self, certificate: &Certificate) {
        write(&self.certificate(), certificate.chain_pem());
        write(&self.key(), certificate.key_pem());
    }

    fn environment(&self) -> Environment {
        Environment::empty().with_home(self.folder.path())
    }
}

#[tokio::test]
async fn renewed_files_are_used_by_the_next_connection() {
    let fixture = fixture();
    let home = Home::new();
    home.put(&fixture.certified);
    let conninfo = fixture.to(&format!(
        "user=certified sslcert={} sslkey={}",
        home.certificate().display(),
        home.key().display()
    ));
    let connector = connector(&conninfo).unwrap();
    let serial = async |connection: &Connection| {
        let sql = "select client_serial from pg_stat_ssl where pid = pg_backend_pid()";
        text(connection, sql).await
    };
    let old = connector.connect().await.unwrap();
    let renewed = fixture.pki.client("certified").issue().unwrap();
    home.put(&renewed);
    let new = connector.connect().await.unwrap();
    assert_eq!(serial(&old).await, fixture.certified.serial().to_string());
    assert_eq!(serial(&new).await, renewed.serial().to_string());
    // A certificate that the server no longer takes leaves earlier sessions alone.
    home.put(&fixture.revoked);
    let error = connector.connect().await.unwrap_err();
    assert_eq!(error.code().name(), "tls-certificate-refused");
    assert_eq!(text(&new, "select 1").await, "1");
}

#[tokio::test]
async fn a_statement_is_cancelled() {
    let fixture = fixture();
    let conninfo = fixture.to(&format!("user=own password=secret {}", files(&fixture.own)));
    let connection = connect(&conninfo).await.unwrap();
    let handle = connection.cancel_handle();
    let pid = connection.info().backend_pid().unwrap();
    let sleeping = connection.simple_query("select pg_sleep(600)");
    tokio::pin!(sleeping);
    let running = format!(
        "select count(*) from pg_stat_activity where pid = {pid} and state = 'active' and query like '%pg_sleep%'"
    );
    loop {
        tokio::select! {
            done = &mut sleeping => panic!("it ended by itself: {done:?}"),
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
        if fixture.base.server.execute(&running).unwrap()[0][0].as_deref() == Some("1") {
            break;
        }
    }
    handle.cancel().await.unwrap();
    let error = Error::from(sleeping.await.unwrap_err());
    assert_eq!(error.sqlstate(), Some("57014"));
}

/// What the string, with this environment, connects as.
async fn with_environment(conninfo: &str, environment: &Environment) -> Result<String, Error> {
    let settings = Conninfo::parse(conninfo)?.resolve(environment)?;
    let connection = assembly::assemble(&settings)?.build()?.connect().await?;
    Ok(text(&connection, "select current_user").await)
}

#[tokio::test]
async fn the_keywords_and_variables_of_libpq() {
    let fixture = fixture();
    let home = Home::new();
    home.put(&fixture.certified);
    let empty = Home::new();
    let own = &fixture.own;
    let key = PKey::private_key_from_pem(own.key_pem().as_bytes()).unwrap();
    let encrypted = empty.folder.path().join("encrypted.key");
    let pem = key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"open it");
    write(&encrypted, pem.unwrap());
    let encrypted = encrypted.display();
    let certificate = own.cert_file().display();
    let variables = |home: &Home| {
        home.environment()
            .with_var("PGSSLCERT", own.cert_file().display().to_string())
            .with_var("PGSSLKEY", own.key_file().display().to_string())
    };
    let with_own = format!("user=own password=secret sslcert={certificate}");
    // What is given besides; where; the user, or the code of the error.
    #[rustfmt::skip]
    let table = [
        ("user=certified".to_owned(), home.environment(), Ok("certified")),
        ("user=certified".to_owned(), empty.environment(), Err("auth-refused")),
        ("user=certified sslcertmode=allow".to_owned(), home.environment(), Ok("certified")),
        ("user=certified sslcertmode=disable".to_owned(), home.environment(), Err("auth-refused")),
        ("user=certified".to_owned(), home.environment().with_var("PGSSLCERTMODE", "disable"), Err("auth-refused")),
        ("user=own password=secret".to_owned(), home.environment(), Err("auth-refused")),
        ("user=own password=secret".to_owned(), variables(&empty), Ok("own")),
        ("user=own password=secret".to_owned(), variables(&home), Ok("own")),
        (format!("{with_own} sslkey={encrypted} sslpassword='open it'"), empty.environment(), Ok("own")),
        (format!("{with_own} sslkey={encrypted}"), empty.environment(), Err("cert-passphrase-missing")),
        (format!("{with_own} sslkey={encrypted} sslpassword=''"), empty.environment(), Err("cert-passphrase-missing")),
        (format!("{with_own} sslkey={encrypted} sslpassword=wrong"), empty.environment(), Err("cert-passphrase-wrong")),
        (format!("{with_own} sslkey={} sslpassword=unneeded", own.key_file().display()), empty.environment(), Ok("own")),
        // The key at the default place is another's.
        (with_own.clone(), home.environment(), Err("cert-key-mismatch")),
        (with_own.clone(), empty.environment(), Err("config-file")),
        (with_own.clone(), Environment::empty(), Err("config-missing")),
        ("user=own sslcert=/nonexistent".to_owned(), home.environment(), Err("config-file")),
        (format!("user=own sslkey={encrypted}"), empty.environment(), Err("config-missing")),
        ("user=own sslkey=engine:key".to_owned(), home.environment(), Err("config-unsupported")),
        ("user=own sslcertmode=require".to_owned(), home.environment(), Err("config-unsupported")),
        // Where there is no TLS, nobody asks for a certificate.
        ("user=plain sslmode=disable sslcert=/nonexistent".to_owned(), home.environment(), Ok("plain")),
    ];
    for (rest, environment, expected) in table {
        let found = with_environment(&fixture.to(&rest), &environment).await;
        let found = found.map_err(|error| error.code().name());
        let found = found.as_ref().map(String::as_str).map_err(|code| *code);
        assert_eq!(found, expected, "{rest} {environment:?}");
    }
    // Over a Unix socket, too, what is at the default place does not matter.
    write(&home.certificate(), "nonsense");
    let socket = fixture.base.socket("user=plain");
    let user = with_environment(&socket, &home.environment())
        .await
        .unwrap();
    assert_eq!(user, "plain");
}

#[tokio::test]
async fn a_key_that_others_can_read_is_refused() {
    let fixture = fixture();
    let home = Home::new();
    home.put(&fixture.certified);
    fs::set_permissions(home.key(), fs::Permissions::from_mode(0o644)).unwrap();
    let error = with_environment(&fixture.to("user=certified"), &home.environment())
        .await
        .unwrap_err();
    assert_eq!(error.code().name(), "cert-key-permissions");
    assert!(error.message().contains("postgresql.key"), "{error}");
    assert!(error.hint().contains("0600"), "{}", error.hint());
}

/// A certificate is shown and a password proved; neither takes the place of the other.
#[tokio::test]
async fn a_certificate_and_a_password_of_their_own_sources() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    write(&password, "stale");
    let own = &fixture.own;
    let source = FixedCertificate::from_bytes(own.chain_pem(), own.key_pem(), None)
        .unwrap()
        .with_user_from_subject()
        .with_password_from(FilePassword::new(&password));
    let connector = builder(&fixture.to(""))
        .unwrap()
        .with_credentials(source)
        .build()
        .unwrap();
    let error = connector.connect().await.unwrap_err();
    assert_eq!(error.code().name(), "auth-refused");
    write(&password, "secret");
    let connection = connector.connect().await.unwrap();
    assert_eq!(connection.info().user(), "own");
}
