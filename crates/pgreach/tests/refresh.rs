//! Credentials that change: one more attempt with a fresh one, and never two with the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use common::{Fixture, Tap, builder, connector, text};
use pgreach::prelude::*;
use pgreach::{Credential, CredentialProvider, CredentialRequest, Stage};
use pgreach_testkit::{Pki, Postgres};

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let builder = Postgres::builder()
            .with_hba([
                "host all token 127.0.0.1/32 password",
                "host all role_of_old,role_of_new 127.0.0.1/32 trust",
                "host all all 127.0.0.1/32 scram-sha-256",
            ])
            .with_sql(
                "create role app login password 'fresh';
                 create role token login password 'a.bearer.token';
                 create role role_of_new login",
            );
        Fixture::start(&Pki::generate().unwrap(), builder)
    })
}

/// A third party's source: gives the credentials in turn, the last one for ever, and counts.
#[derive(Debug, Clone)]
struct Source {
    answers: Arc<Vec<Arc<Credential>>>,
    /// What it says when a credential was refused.
    has_more: bool,
    calls: Arc<AtomicUsize>,
    rejected: Arc<Mutex<Vec<Arc<Credential>>>>,
}

impl Source {
    fn new(answers: impl IntoIterator<Item = Credential>) -> Self {
        Self {
            answers: Arc::new(answers.into_iter().map(Arc::new).collect()),
            has_more: true,
            calls: Arc::default(),
            rejected: Arc::default(),
        }
    }

    fn passwords<const N: usize>(passwords: [&str; N]) -> Self {
        Self::new(passwords.map(Credential::password))
    }

    fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    fn rejected(&self) -> usize {
        self.rejected.lock().unwrap().len()
    }
}

#[async_trait]
impl CredentialProvider for Source {
    async fn credential(&self, _: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        let call = self.calls.fetch_add(1, SeqCst);
        Ok(Arc::clone(&self.answers[call.min(self.answers.len() - 1)]))
    }

    fn invalidate(&self, rejected: &Credential) -> bool {
        self.rejected
            .lock()
            .unwrap()
            .push(Arc::new(rejected.clone()));
        self.has_more
    }
}

/// Connects with `source`; returns the code of the error, if any, and how often was dialled.
async fn attempt(conninfo: &str, source: impl CredentialProvider) -> (Option<&'static str>, usize) {
    let tap = Tap::default();
    let connector = builder(conninfo)
        .unwrap()
        .with_transport(tap.clone())
        .with_credentials(source)
        .build()
        .unwrap();
    let connected = connector.connect().await;
    (
        connected.err().map(|error| error.code().name()),
        tap.dials(),
    )
}

#[tokio::test]
async fn one_more_attempt_with_another_password_and_no_third() {
    let conninfo = fixture().plain("user=app");
    let refused = Some("auth-refused");
    // Passwords; whether it says that it has more; outcome; attempts; calls.
    #[rustfmt::skip]
    let table = [
        (vec!["fresh"],                   true,  None,    1, 1),
        (vec!["stale", "fresh"],          true,  None,    2, 2),
        (vec!["stale", "fresh"],          false, refused, 1, 1),
        (vec!["stale", "stale"],          true,  refused, 1, 2),
        (vec!["stale", "older", "fresh"], true,  refused, 2, 2),
    ];
    for (passwords, has_more, outcome, attempts, calls) in table {
        let mut source = Source::new(
            passwords
                .iter()
                .map(|password| Credential::password(*password)),
        );
        source.has_more = has_more;
        let seen = attempt(&conninfo, source.clone()).await;
        assert_eq!(seen, (outcome, attempts), "{passwords:?}");
        assert_eq!(source.calls(), calls, "{passwords:?}");
        let refusals = usize::from(passwords[0] != "fresh");
        assert_eq!(source.rejected(), refusals, "{passwords:?}");
        if let Some(first) = source.rejected.lock().unwrap().first() {
            assert_eq!(first.secret().unwrap().expose(), passwords[0]);
        }
    }
}

#[tokio::test]
async fn the_connector_itself_asks_anew_for_every_connection() {
    let source = Source::passwords(["fresh"]);
    let connector = builder(&fixture().plain("user=app"))
        .unwrap()
        .with_credentials(source.clone())
        .build()
        .unwrap();
    for calls in 1..=3 {
        connector.connect().await.unwrap();
        assert_eq!(source.calls(), calls);
    }
}

#[tokio::test]
async fn a_fixed_password_is_tried_once() {
    let fixture = fixture();
    for conninfo in [
        fixture.plain("user=app"),
        fixture.with_sslmode("verify-full", "user=app"),
    ] {
        let seen = attempt(&conninfo, FixedPassword::new("stale")).await;
        assert_eq!(seen, (Some("auth-refused"), 1), "{conninfo}");
    }
    // libpq's `prefer` is two attempts: with TLS and, as that was refused, without.
    let seen = attempt(
        &fixture.with_sslmode("prefer", "user=app"),
        FixedPassword::new("stale"),
    )
    .await;
    assert_eq!(seen, (Some("auth-refused"), 2));
    // Several hosts do not make it several attempts; nor does a connection string.
    let port = fixture.server.port();
    let tap = Tap::default();
    let twice = format!(
        "{} host=127.0.0.1,127.0.0.1 port={port}",
        fixture.plain("user=app password=stale")
    );
    let connector = builder(&twice)
        .unwrap()
        .with_transport(tap.clone())
        .build()
        .unwrap();
    assert_eq!(
        connector.connect().await.unwrap_err().code().name(),
        "auth-refused"
    );
    assert_eq!(tap.dials(), 1);
}

#[tokio::test]
async fn a_role_that_is_gone_is_reason_to_ask_again() {
    let fixture = fixture();
    let source =
        Source::new(["role_of_old", "role_of_new"].map(|user| Credential::none().with_user(user)));
    // SQLSTATE 28000; the user comes with the credential.
    let connector = builder(&fixture.plain("")).unwrap();
    let connector = connector.with_credentials(source.clone()).build().unwrap();
    let connection = connector.connect().await.unwrap();
    assert_eq!(connection.info().user(), "role_of_new");
    assert_eq!(
        text(&connection, "select current_user").await,
        "role_of_new"
    );
    assert_eq!((source.calls(), source.rejected()), (2, 1));
}

#[tokio::test]
async fn what_is_not_about_the_credential_leaves_it_alone() {
    let fixture = fixture();
    for (rest, code) in [
        ("user=app dbname=nowhere", "database-missing"),
        ("user=app require_auth=md5", "auth-method"),
        ("user=app channel_binding=require", "channel-binding"),
        ("user=app target_session_attrs=standby", "session-attrs"),
    ] {
        let source = Source::passwords(["fresh", "another"]);
        let seen = attempt(&fixture.plain(rest), source.clone()).await;
        assert_eq!(seen, (Some(code), 1));
        assert_eq!((source.calls(), source.rejected()), (1, 0), "{code}");
    }
}

#[tokio::test]
async fn an_expired_credential_is_not_used() {
    let fixture = fixture();
    let (past, future) = (
        SystemTime::now() - Duration::from_secs(1),
        SystemTime::now() + Duration::from_secs(3600),
    );
    let source = Source::new([
        Credential::password("fresh").with_expiry(past),
        Credential::password("fresh").with_expiry(future),
    ]);
    let tap = Tap::default();
    let connector = builder(&fixture.plain("user=app"))
        .unwrap()
        .with_transport(tap.clone())
        .with_credentials(source)
        .build()
        .unwrap();
    let error = connector.connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credential);
    assert_eq!(error.code().name(), "credential-invalid");
    assert_eq!(error.stage(), Stage::CREDENTIAL);
    assert!(tap.sent().concat().is_empty());
    connector.connect().await.unwrap();
}

/// A file of mode 0600, put in place in one step.
fn write(path: &Path, content: &str) {
    let draft = path.with_extension("draft");
    fs::write(&draft, content).unwrap();
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&draft, path).unwrap();
}

fn rotate(server: &Postgres, password: &str) {
    server
        .execute(&format!("alter role rotated password '{password}'"))
        .unwrap();
}

/// Rotates at the worst moment: after the password was read, before it is used.
#[derive(Debug)]
struct RotatedMeanwhile {
    source: FilePassword,
    file: PathBuf,
    calls: AtomicUsize,
}

#[async_trait]
impl CredentialProvider for RotatedMeanwhile {
    async fn credential(&self, request: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        let credential = self.source.credential(request).await?;
        if self.calls.fetch_add(1, SeqCst) == 0 {
            rotate(&fixture().server, "third");
            write(&self.file, "third");
        }
        Ok(credential)
    }

    fn invalidate(&self, rejected: &Credential) -> bool {
        self.source.invalidate(rejected)
    }
}

#[tokio::test]
async fn a_password_file_is_rotated_together_with_the_server() {
    let fixture = fixture();
    fixture
        .server
        .execute("create role rotated login password 'first'")
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    write(&file, "first\n");
    let source = FilePassword::new(&file).with_user("rotated");
    let conninfo = fixture.plain("");
    let connector = builder(&conninfo)
        .unwrap()
        .with_credentials(source.clone())
        .build()
        .unwrap();

    let old = connector.connect().await.unwrap();
    assert_eq!(old.info().user(), "rotated");
    // The server comes first: until the file follows, there is nothing to try.
    rotate(&fixture.server, "second");
    assert_eq!(
        attempt(&conninfo, source.clone()).await,
        (Some("auth-refused"), 1)
    );
    write(&file, "second\n");
    connector.connect().await.unwrap();
    assert_eq!(attempt(&conninfo, source.clone()).await, (None, 1));
    // A session outlives its password.
    assert_eq!(text(&old, "select 1").await, "1");

    let meanwhile = RotatedMeanwhile {
        source,
        file,
        calls: AtomicUsize::new(0),
    };
    assert_eq!(attempt(&conninfo, meanwhile).await, (None, 2));
}

#[tokio::test]
async fn a_passfile_has_a_password_for_each_host() {
    let fixture = fixture();
    let port = fixture.server.port();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("passfile");
    write(
        &file,
        &format!(
            "# one line for each\n\
             one.internal:{port}:postgres:app:fresh\n\
             two.internal:*:*:app:stale\n\
             three.internal:{port}:other:app:fresh\n\
             127.0.0.1:*:*:*:fresh\n"
        ),
    );
    let table = [
        ("host=one.internal", None),
        ("host=two.internal", Some("auth-refused")),
        ("host=three.internal", Some("auth-no-password")),
        ("host=four.internal", Some("auth-no-password")),
        // Without a name it is the address.
        ("host=''", None),
    ];
    let rest = format!("hostaddr=127.0.0.1 port={port} dbname=postgres sslmode=disable");
    for (host, expected) in table {
        let conninfo = format!("{host} user=app {rest}");
        let seen = attempt(&conninfo, PassfilePassword::named(&file)).await;
        assert_eq!(seen, (expected, 1), "{host}");
        // The same from the connection string.
        let named = connector(&format!("{conninfo} passfile={}", file.display())).unwrap();
        let code = named.connect().await.err().map(|error| error.code().name());
        assert_eq!(code, expected, "{host}");
    }
    let own = PassfilePassword::named(&file).with_user("app");
    assert_eq!(
        attempt(&format!("host=one.internal {rest}"), own).await,
        (None, 1)
    );
}

#[tokio::test]
async fn a_token_leaves_only_over_verified_tls() {
    const TOKEN: &str = "a.bearer.token";
    let fixture = fixture();
    let token = || Source::new([Credential::bearer_token(TOKEN).with_user("token")]);
    let refused = Some("auth-unverified-tls");
    for (conninfo, expected) in [
        (fixture.plain(""), refused),
        (fixture.with_sslmode("require", ""), refused),
        (fixture.with_sslmode("verify-ca", ""), refused),
        (fixture.with_sslmode("verify-full", ""), None),
        (
            fixture.with_sslmode("verify-full", "require_auth=password"),
            None,
        ),
    ] {
        assert_eq!(
            attempt(&conninfo, token()).await,
            (expected, 1),
            "{conninfo}"
        );
    }
    // Nothing is sent that a server could answer.
    let tap = Tap::default();
    let plain = builder(&fixture.plain(""))
        .unwrap()
        .with_transport(tap.clone());
    let error = plain
        .with_credentials(token())
        .build()
        .unwrap()
        .connect()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert!(
        error.hint().contains("sslmode=verify-full"),
        "{}",
        error.hint()
    );
    assert!(tap.sent().concat().is_empty());
    // Unless somebody insists.
    let insists = || {
        Source::new([Credential::bearer_token(TOKEN)
            .with_user("token")
            .dangerous_allow_unverified_tls()])
    };
    for conninfo in [fixture.plain(""), fixture.with_sslmode("require", "")] {
        assert_eq!(attempt(&conninfo, insists()).await, (None, 1), "{conninfo}");
    }
}
