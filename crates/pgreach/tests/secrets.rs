//! No secret in what is shown, serialised or logged, wherever it was put in and however it fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::error::Error as _;
use std::fmt::{Debug, Write as _};
use std::io::{self, Read as _};
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, SystemTime};
use std::{fs, thread};

use common::{Tap, builder, connect, refused, settings};
use pgreach::conninfo::{Conninfo, Environment, Passfile};
use pgreach::prelude::*;
use pgreach::{
    ClientIdentity, Credential, CredentialProvider, CredentialRequest, PgConnectorBuilder, Report,
    Stage, TlsRequest, Trace, Verification,
};
use pgreach_testkit::{Pki, Postgres};

/// The password of every role but `other`; the token; what the broken files hold.
const MARKER: &str = "m4rker-s3cret";

/// The marker in other clothes: Base64 at each offset, hexadecimal, and a list of bytes.
const DISGUISED: &[&str] = &[
    "bTRya2VyLXMzY3Jld",
    "00cmtlci1zM2NyZX",
    "tNHJrZXItczNjcmV0",
    "6d34726b65722d733363726574",
    "109, 52, 114, 107, 101, 114, 45, 115, 51, 99, 114, 101, 116",
];

/// Terminal colours, a forged line of a log, and text that runs backwards.
const HOSTILE: &str = "\u{1b}[31mroot\r\nforged\u{202e}";

struct Fixture {
    base: common::Fixture,
    chain_pem: String,
    key_pem: String,
}

/// One server for all tests. The kit removes it when this process ends.
fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let pki = Pki::generate().unwrap();
        let client = pki.client("certificate").issue().unwrap();
        let roles = ["scram", "cleartext", "token", "md5", "certificate", "trust"];
        let roles = roles.map(|role| {
            let md5 = if role == "md5" {
                "set password_encryption = 'md5';"
            } else {
                ""
            };
            format!("{md5} create role {role} login password '{MARKER}';")
        });
        let builder = Postgres::builder()
            .with_client_ca(pki.root_pem())
            .with_hba([
                "hostssl all certificate 127.0.0.1/32 cert",
                "host all scram,other 127.0.0.1/32 scram-sha-256",
                "host all md5 127.0.0.1/32 md5",
                "host all cleartext,token 127.0.0.1/32 password",
                "host all certificate 127.0.0.1/32 reject",
                "host all all 127.0.0.1/32 trust",
            ])
            .with_sql("create role other login password 'else'")
            .with_sql(roles.concat());
        let base = common::Fixture::start(&pki, builder);
        // Only now: the SQL above is the test's own, and holds the marker.
        listen();
        Fixture {
            base,
            chain_pem: client.chain_pem().to_owned(),
            key_pem: client.key_pem().to_owned(),
        }
    })
}

impl Deref for Fixture {
    type Target = common::Fixture;

    fn deref(&self) -> &Self::Target {
        &self.base
    }
}

impl Fixture {
    fn identity(&self) -> ClientIdentity {
        ClientIdentity::from_pem(self.chain_pem.clone(), self.key_pem.clone())
    }
}

/// Everything that this process logs: through `tracing` and, as the driver does, through `log`.
static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Logger;

impl io::Write for Logger {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LOG.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {} {}\n", record.level(), record.target(), record.args());
        LOG.lock().unwrap().extend_from_slice(line.as_bytes());
    }

    fn flush(&self) {}
}

fn listen() {
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_ansi(false)
        .with_writer(|| Logger)
        .init();
    log::set_logger(&Logger).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
}

fn logged() -> String {
    String::from_utf8(LOG.lock().unwrap().clone()).unwrap()
}

/// Who finds no secret in a log must have looked at the right one.
fn assert_logged(text: &str) {
    assert!(logged().contains(text), "nothing was logged of {text}");
}

/// What was shown, and of what.
#[derive(Default)]
struct Shown(Vec<(String, String)>);

impl Shown {
    fn text(&mut self, what: impl Into<String>, text: impl Into<String>) {
        self.0.push((what.into(), text.into()));
    }

    fn debug(&mut self, what: &str, value: &dyn Debug) {
        self.text(what, format!("{value:?}\n{value:#?}"));
    }

    /// With all that it comes from.
    fn error(&mut self, what: &str, error: &Error) {
        let mut text = format!("{error}\n{error:?}\n{error:#?}\n{}\n", error.hint());
        text.push_str(&serde_json::to_string(error).unwrap());
        let mut next = error.source();
        while let Some(cause) = next {
            write!(text, "\n{cause}\n{cause:?}\n{cause:#?}").unwrap();
            next = cause.source();
        }
        self.text(what, text);
    }

    fn report(&mut self, what: &str, report: &Report) {
        let json = serde_json::to_string(report).unwrap();
        self.text(
            what,
            format!("{report}\n{report:?}\n{}\n{json}", report.to_markdown()),
        );
        if let Some(error) = report.error() {
            self.error(what, error);
        }
    }

    fn assert_silent(mut self) {
        self.text("the log", logged());
        let key: Vec<_> = fixture()
            .key_pem
            .lines()
            .filter(|line| !line.starts_with('-'))
            .map(|line| line.get(..24).unwrap_or(line))
            .collect();
        for (what, text) in &self.0 {
            assert!(!text.is_empty(), "{what} shows nothing");
            for secret in DISGUISED.iter().chain([&MARKER]).chain(&key) {
                let line = text.lines().find(|line| line.contains(secret));
                assert!(line.is_none(), "{what} shows {secret}: {line:?}");
            }
        }
    }
}

/// A file that only this user may read.
fn write(path: PathBuf, content: impl AsRef<[u8]>) -> PathBuf {
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[tokio::test]
async fn what_holds_a_secret_does_not_show_it() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let mut shown = Shown::default();

    let secret = Secret::new(MARKER);
    shown.debug("Secret", &secret);
    let identity = fixture.identity();
    shown.debug("ClientIdentity", &identity);
    shown.debug(
        "ClientIdentity of anything",
        &ClientIdentity::from_pem(MARKER, MARKER),
    );
    for credential in [
        Credential::password(MARKER),
        Credential::bearer_token(MARKER)
            .with_user("app")
            .dangerous_allow_unverified_tls(),
        Credential::certificate(identity.clone()).with_expiry(SystemTime::now()),
        Credential::none()
            .with_secret(secret.clone())
            .with_identity(identity.clone()),
    ] {
        shown.debug("Credential", &credential);
    }
    shown.debug(
        "TlsRequest",
        &TlsRequest::new("db", Verification::Full).with_identity(Some(&identity)),
    );

    let string = format!("host=db user=app password={MARKER}");
    let environment = Environment::empty().with_var("PGPASSWORD", MARKER);
    shown.debug("Environment", &environment);
    for conninfo in [
        Conninfo::parse(&string).unwrap(),
        Conninfo::parse(&format!(
            "postgresql://app:{MARKER}@db/orders?sslpassword={MARKER}"
        ))
        .unwrap(),
    ] {
        shown.debug("Conninfo", &conninfo);
        shown.text(
            "Conninfo as JSON",
            serde_json::to_string(&conninfo).unwrap(),
        );
    }
    shown.debug("Settings", &Conninfo::new().resolve(&environment).unwrap());
    let lines = format!("*:*:*:*:{MARKER}\n");
    shown.debug("Passfile", &Passfile::parse(&lines).unwrap());

    let sources: Vec<Box<dyn CredentialProvider>> = vec![
        Box::new(FixedPassword::new(MARKER).with_user("app")),
        Box::new(FilePassword::new(write(
            folder.path().join("password"),
            MARKER,
        ))),
        Box::new(PassfilePassword::named(write(
            folder.path().join("passfile"),
            &lines,
        ))),
        Box::new(
            CommandPassword::new("echo")
                .with_args([MARKER])
                .with_cache(Duration::from_secs(60)),
        ),
    ];
    let endpoint = Endpoint::tcp("db", 5432);
    let request = CredentialRequest::new(&endpoint, Some("orders"), Some("app"));
    for source in sources {
        shown.debug("a source", &source);
        let credential = source.credential(&request).await.unwrap();
        assert_eq!(credential.secret().unwrap().expose(), MARKER);
        shown.debug("the credential of a source", &credential);
        shown.debug("a source that was asked", &source);
    }

    let builder = builder(&string).unwrap();
    shown.debug("PgConnectorBuilder", &builder);
    let connector = builder.build().unwrap();
    shown.debug("PgConnector", &connector);
    shown.text("the route", connector.route());
    shown.assert_silent();
}

#[tokio::test]
async fn connections_do_not_show_what_they_were_made_with() {
    let fixture = fixture();
    let mut shown = Shown::default();
    let password = |user: &str| format!("user={user} password={MARKER}");
    let connectors = [
        builder(&fixture.plain(&password("scram"))),
        builder(&fixture.tls(&password("scram"))),
        builder(&fixture.tls(&password("md5"))),
        builder(&fixture.plain(&password("cleartext"))),
        builder(&fixture.plain(&password("trust"))),
        builder(&fixture.tls("user=token"))
            .map(|builder| builder.with_credentials(Fixed(Credential::bearer_token(MARKER)))),
        builder(&fixture.tls("user=certificate")).map(|builder| {
            let credential = Credential::certificate(fixture.identity()).with_secret(MARKER);
            builder.with_credentials(Fixed(credential))
        }),
    ];
    for connector in connectors {
        let connector = connector.unwrap().build().unwrap();
        shown.debug("PgConnector", &connector);
        let connection = connector.connect().await.unwrap();
        shown.debug("Connection", &connection);
        let cancel = connection.cancel_handle();
        shown.debug("CancelHandle", &cancel);
        cancel.cancel().await.unwrap();
        let failed = connection
            .query_one("select 1/$1::int", &[&0])
            .await
            .unwrap_err();
        shown.error("the error of a statement", &Error::from(failed));
        let (client, driver, info) = connection.into_parts();
        shown.debug("ConnectionInfo", &info);
        shown.text(
            "ConnectionInfo as JSON",
            serde_json::to_string(&info).unwrap(),
        );
        shown.debug("Client", &client);
        shown.debug("Driver", &driver);
        drop(client);
        driver.close().await.unwrap();
        let report = connector.check().await;
        assert!(report.is_ok(), "{report}");
        shown.report("the report of a check", &report);
        shown.debug("PgConnector that has connected", &connector);
    }
    assert_logged("pgreach: connected");
    assert_logged("TRACE tokio_postgres");
    shown.assert_silent();
}

/// A source of a third party, with a credential of any kind.
#[derive(Debug)]
struct Fixed(Credential);

#[async_trait::async_trait]
impl CredentialProvider for Fixed {
    async fn credential(
        &self,
        _: &CredentialRequest<'_>,
    ) -> Result<std::sync::Arc<Credential>, Error> {
        Ok(std::sync::Arc::new(self.0.clone()))
    }
}

/// Every way to fail, with the code that it fails with, and a secret in each.
fn failures(folder: &Path) -> Vec<(&'static str, Result<PgConnectorBuilder, Error>)> {
    let fixture = fixture();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let deaf = silent.local_addr().unwrap().port();
    // Nobody answers there for as long as this process lives.
    std::mem::forget(silent);
    let hanging_up = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let abrupt = hanging_up.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in hanging_up.incoming() {
            // The request for TLS: with it unread, the system would reset the connection.
            stream.unwrap().read_exact(&mut [0; 8]).unwrap();
        }
    });

    let plain = |rest: &str| builder(&fixture.plain(&format!("password={MARKER} {rest}")));
    let tls = |rest: &str| builder(&fixture.tls(&format!("password={MARKER} {rest}")));
    let with = |made: Result<PgConnectorBuilder, Error>, source: Fixed| {
        made.map(|builder| builder.with_credentials(source))
    };
    let file = |name: &str, content: &[u8]| write(folder.join(name), content);
    let passfile = file("cut", format!("db:{MARKER}\n").as_bytes());
    let service = file(
        "services",
        format!("[ours]\nhost=db\npassword={MARKER}\nuser {MARKER}\n").as_bytes(),
    );
    let services = Environment::empty().with_var("PGSERVICEFILE", service.to_str().unwrap());
    let script = |script: &str| {
        CommandPassword::new("sh").with_args(["-c", &script.replace("MARKER", MARKER)])
    };
    let source = |source: CommandPassword| {
        plain("user=scram").map(|builder| builder.with_credentials(source))
    };
    let broken_key = ClientIdentity::from_pem(
        fixture.chain_pem.clone(),
        format!("-----BEGIN PRIVATE KEY-----\n{MARKER}\n-----END PRIVATE KEY-----\n"),
    );
    vec![
        // The string.
        (
            "config-invalid",
            settings(&format!("host=db password={MARKER} port=none"))
                .map(|_| PgConnector::builder()),
        ),
        (
            "config-invalid",
            builder(&format!("host=db password='{MARKER}")),
        ),
        (
            "config-invalid",
            builder(&format!("postgresql://app:{MARKER}@db:none/orders")),
        ),
        (
            "config-invalid",
            builder(&format!("postgresql://app:{MARKER}%zz@db/orders")),
        ),
        (
            "config-invalid",
            builder(&format!("postgresql://app:pass/{MARKER}@db/orders")),
        ),
        (
            "config-unsupported",
            builder(&format!(
                "host=db password={MARKER} scram_client_key={MARKER}"
            )),
        ),
        (
            "config-file",
            Conninfo::parse("service=ours")
                .unwrap()
                .resolve(&services)
                .map(|_| PgConnector::builder()),
        ),
        (
            "config-file",
            builder(&format!("host=db user=app passfile={}", passfile.display())),
        ),
        (
            "tls-roots",
            plain(&format!("sslrootcert={}", passfile.display())),
        ),
        // The source.
        (
            "password-file-content",
            plain("").map(|builder| {
                builder.with_credentials(FilePassword::new(file(
                    "binary",
                    &[MARKER.as_bytes(), b"\xff"].concat(),
                )))
            }),
        ),
        (
            "password-command-failed",
            source(script("echo MARKER; echo MARKER >&2; exit 1")),
        ),
        (
            "password-command-output",
            source(script("printf 'MARKER\\377'")),
        ),
        (
            "credential-invalid",
            with(
                plain("user=scram"),
                Fixed(Credential::password(MARKER).with_expiry(SystemTime::UNIX_EPOCH)),
            ),
        ),
        // The route.
        ("tcp-refused", plain("port=1")),
        (
            "timeout",
            plain(&format!("user=scram port={deaf}"))
                .map(|builder| builder.with_connect_timeout(Duration::from_millis(50))),
        ),
        ("closed", plain(&format!("port={abrupt} sslmode=require"))),
        // TLS.
        (
            "tls-wrong-name",
            tls("user=scram host=elsewhere hostaddr=127.0.0.1"),
        ),
        (
            "tls-client-identity",
            with(
                tls("user=certificate"),
                Fixed(Credential::certificate(broken_key).with_secret(MARKER)),
            ),
        ),
        (
            "auth-unverified-tls",
            with(
                tls("user=token sslmode=require"),
                Fixed(Credential::bearer_token(MARKER)),
            ),
        ),
        // Authentication.
        ("auth-refused", plain("user=other")),
        ("auth-refused", tls("user=other")),
        (
            "auth-refused",
            plain("user=cleartext")
                .map(|builder| builder.with_credentials(FixedPassword::new(format!("{MARKER}!")))),
        ),
        (
            "auth-refused",
            plain("user=md5")
                .map(|builder| builder.with_credentials(FixedPassword::new(format!("{MARKER}!")))),
        ),
        (
            "auth-refused",
            with(
                tls("user=trustless"),
                Fixed(Credential::certificate(fixture.identity()).with_secret(MARKER)),
            ),
        ),
        ("auth-hba", plain("user=certificate")),
        (
            "auth-method",
            plain("user=cleartext require_auth=scram-sha-256"),
        ),
        (
            "channel-binding",
            plain("user=scram channel_binding=require"),
        ),
        // The session.
        ("database-missing", plain("user=scram dbname=nowhere")),
        (
            "session-attrs",
            plain("user=scram target_session_attrs=standby"),
        ),
        (
            "server-error",
            plain("user=scram options='-c no_such_setting=1'"),
        ),
    ]
}

#[tokio::test]
async fn failures_do_not_show_what_was_tried() {
    fixture();
    let folder = tempfile::tempdir().unwrap();
    let mut shown = Shown::default();
    for (code, made) in failures(folder.path()) {
        let connector = match made.and_then(PgConnectorBuilder::build) {
            Ok(connector) => connector,
            Err(error) => {
                assert_eq!(error.code().name(), code, "{error:?}");
                shown.error(code, &error);
                continue;
            }
        };
        let error = connector.connect().await.unwrap_err();
        assert_eq!(error.code().name(), code, "{error:?}");
        shown.error(code, &error);
        let report = connector.check().await;
        assert!(!report.is_ok());
        shown.report(code, &report);
        shown.debug("PgConnector", &connector);
        let trace = Trace::new();
        let error = trace.enter(Stage::QUERY).fail(error);
        shown.debug("Trace", &trace);
        shown.text(
            "StageRecords as JSON",
            serde_json::to_string(&trace.records()).unwrap(),
        );
        shown.error(code, &error.with_context("while tried"));
    }
    assert_logged("pgreach: could not connect");
    shown.assert_silent();
}

/// The marker leaves this process all the same: the tests above would be silent otherwise, too.
#[tokio::test]
async fn the_secret_was_there() {
    let fixture = fixture();
    let tap = Tap::default();
    let connector = builder(&fixture.plain(&format!("user=cleartext password={MARKER}")));
    let connector = connector
        .unwrap()
        .with_transport(tap.clone())
        .build()
        .unwrap();
    connector.connect().await.unwrap();
    let sent = tap.sent().concat();
    assert!(
        sent.windows(MARKER.len())
            .any(|window| window == MARKER.as_bytes())
    );
}

#[tokio::test]
async fn text_of_a_server_cannot_play_with_the_terminal() {
    let fixture = fixture();
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\"));
    let role = fixture.plain(&format!("user={}", quoted(HOSTILE)));
    let database = fixture.plain(&format!("user=trust dbname={}", quoted(HOSTILE)));
    let mut shown = Vec::new();
    for (conninfo, state) in [(&role, "28000"), (&database, "3D000")] {
        let error = refused(conninfo).await;
        assert_eq!(error.sqlstate(), Some(state), "{error:?}");
        assert!(
            error
                .to_string()
                .contains("\\u{1b}[31mroot\\r\\nforged\\u{202e}"),
            "{error}"
        );
        let report = builder(conninfo).unwrap().build().unwrap().check().await;
        shown.push(report.to_string().replace('\n', ""));
        shown.push(report.to_markdown().replace('\n', ""));
        shown.push(serde_json::to_string(&report).unwrap());
        shown.push(format!("{report:?}"));
        shown.push(format!("{error}{error:?}{}", error.hint()));
        shown.push(serde_json::to_string(&error).unwrap());
    }
    // As a statement's error, with a hint of the server's.
    let connection = connect(&fixture.plain("user=trust")).await.unwrap();
    let raise = format!(
        "do $do$ begin raise exception using message = '{HOSTILE}', hint = '{HOSTILE}'; end $do$"
    );
    let error = Error::from(connection.simple_query(&raise).await.unwrap_err());
    assert!(error.to_string().contains("\\u{1b}"), "{error}");
    shown.push(format!("{error}{error:?}{}", error.hint()));
    shown.push(serde_json::to_string(&error).unwrap());
    // The driver's log shows the statement itself, which is the program's; ours is of the connector.
    shown.extend(
        logged()
            .lines()
            .filter(|line| line.contains(" pgreach"))
            .map(str::to_owned),
    );
    for text in shown {
        let unsafe_to_show = |c: char| c.is_control() || c == '\u{202e}';
        assert!(!text.contains(unsafe_to_show), "{text:?}");
        assert!(!text.starts_with("forged"), "{text:?}");
    }
}
