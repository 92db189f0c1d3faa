//! Connection strings, environment, service file and passfile lead to the session they ask for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

use common::{connect, connector, refused, text};
use pgreach::conninfo::{Conninfo, Environment};
use pgreach::prelude::*;
use pgreach::{Retry, assembly};
use pgreach_testkit::{Pki, Postgres};

/// Everything that some syntax gives a meaning, and how each syntax writes it.
const PASSWORD: &str = r"p@ss'w/rd:%\ ü";
const IN_A_STRING: &str = r"'p@ss\'w/rd:%\\ ü'";
const IN_A_URI: &str = "p%40ss%27w%2Frd%3A%25%5C%20%C3%BC";
const IN_A_PASSFILE: &str = r"p@ss'w/rd\:%\\ ü";

struct Fixture {
    server: Postgres,
    root: PathBuf,
    /// Revokes the server's certificate.
    crl: PathBuf,
}

/// One server for all tests. The kit removes it when this process ends.
fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let pki = Pki::generate().unwrap();
        let certificate = pki.server("db.internal").issue().unwrap();
        let server = Postgres::builder()
            .with_tls(certificate.chain_pem(), certificate.key_pem())
            .with_hba([
                "host all app 127.0.0.1/32 scram-sha-256",
                "host all trust 127.0.0.1/32 trust",
            ])
            .with_setting("password_encryption", "scram-sha-256")
            .with_setting("timezone", "UTC")
            .with_sql(format!(
                "create role app login password $${PASSWORD}$$; create role trust login"
            ))
            .with_sql("create database orders owner app")
            .start()
            .unwrap();
        pki.revoke(&certificate).unwrap();
        let root = server.socket_dir().join("root.crt");
        fs::write(&root, pki.root_pem()).unwrap();
        let crl = server.socket_dir().join("root.crl");
        fs::write(&crl, pki.crl_pem().unwrap()).unwrap();
        Fixture { server, root, crl }
    })
}

impl Fixture {
    fn port(&self) -> String {
        self.server.port().to_string()
    }

    /// The variables for everything but the password.
    fn environment(&self) -> Environment {
        Environment::empty()
            .with_var("PGHOST", "db.internal")
            .with_var("PGHOSTADDR", "127.0.0.1")
            .with_var("PGPORT", self.port())
            .with_var("PGUSER", "app")
            .with_var("PGDATABASE", "orders")
            .with_var("PGSSLMODE", "verify-full")
            .with_var("PGSSLROOTCERT", self.root.to_str().unwrap())
    }

    fn plain(&self, rest: &str) -> String {
        let port = self.port();
        format!("host=127.0.0.1 port={port} user=trust dbname=orders sslmode=disable {rest}")
    }
}

/// A file that only this user may read.
fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

async fn connect_in(conninfo: &str, environment: &Environment) -> Result<Connection, Error> {
    let settings = Conninfo::parse(conninfo)?.resolve(environment)?;
    assembly::assemble(&settings)?.build()?.connect().await
}

/// The session is that of `app` in `orders`, proved by the password.
async fn assert_is_ours(conninfo: &str, environment: &Environment) -> Connection {
    let connection = connect_in(conninfo, environment)
        .await
        .unwrap_or_else(|error| panic!("{conninfo}: {error:?}"));
    let who = text(
        &connection,
        "select current_user || '@' || current_database()",
    )
    .await;
    assert_eq!(who, "app@orders", "{conninfo}");
    assert!(
        connection
            .info()
            .authentication()
            .unwrap()
            .starts_with("scram-sha-256")
    );
    connection
}

#[tokio::test]
async fn strings_and_uris() {
    let fixture = fixture();
    let (port, root) = (fixture.port(), fixture.root.display());
    let nothing = Environment::empty();
    for conninfo in [
        format!("host=127.0.0.1 port={port} user=app dbname=orders password={IN_A_STRING}"),
        format!(
            "host = 127.0.0.1 port = {port}\nuser='app' dbname='orders'\tpassword = {IN_A_STRING}"
        ),
        format!("postgresql://app:{IN_A_URI}@127.0.0.1:{port}/orders"),
        format!("postgres://127.0.0.1:{port}/orders?user=app&password={IN_A_URI}"),
        format!("postgresql:///orders?host=127.0.0.1&port={port}&user=app&password={IN_A_URI}"),
    ] {
        assert_is_ours(&conninfo, &nothing).await;
    }
    let uri = format!(
        "postgresql://app:{IN_A_URI}@db.internal:{port}/orders?hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert={root}"
    );
    assert!(assert_is_ours(&uri, &nothing).await.info().tls().is_some());
    // The system's user and a database of the same name are the defaults.
    let environment = Environment::empty().with_user("trust");
    let error = connect_in(&format!("host=127.0.0.1 port={port}"), &environment)
        .await
        .unwrap_err();
    assert_eq!(error.code().name(), "database-missing");
    assert!(error.to_string().contains("\"trust\""), "{error}");
}

#[tokio::test]
async fn variables_and_what_precedes_them() {
    let fixture = fixture();
    let environment = fixture.environment().with_var("PGPASSWORD", PASSWORD);
    assert!(
        assert_is_ours("", &environment)
            .await
            .info()
            .tls()
            .is_some()
    );
    // The string precedes the environment, keyword by keyword.
    let wrong = fixture
        .environment()
        .with_var("PGPASSWORD", "wrong")
        .with_var("PGDATABASE", "nowhere");
    assert_is_ours(&format!("dbname=orders password={IN_A_STRING}"), &wrong).await;
    assert!(
        assert_is_ours("sslmode=disable", &environment)
            .await
            .info()
            .tls()
            .is_none()
    );
    let error = connect_in("", &wrong).await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("28P01"));
}

#[tokio::test]
async fn service_files() {
    let fixture = fixture();
    let home = tempfile::tempdir().unwrap();
    let named = home.path().join("services");
    let section = |database: &str| {
        format!(
            "[other]\nhost=nowhere.invalid\n\n# ours\n[orders]\nhost=127.0.0.1\nport={}\nuser=app\n\
             dbname={database}\npassword={PASSWORD}\n",
            fixture.port(),
        )
    };
    write(&named, &section("orders"));
    let environment = Environment::empty().with_var("PGSERVICEFILE", named.to_str().unwrap());
    assert_is_ours("service=orders", &environment).await;
    assert_is_ours("", &environment.clone().with_var("PGSERVICE", "orders")).await;
    assert_is_ours("postgresql://?service=orders", &environment).await;
    // A service precedes the variables, and the string precedes both.
    assert_is_ours(
        "service=orders",
        &environment.with_var("PGDATABASE", "nowhere"),
    )
    .await;
    write(&home.path().join(".pg_service.conf"), &section("nowhere"));
    let environment = Environment::empty().with_home(home.path());
    assert_is_ours("service=orders dbname=orders", &environment).await;
    let error = connect_in("service=orders", &environment)
        .await
        .unwrap_err();
    assert_eq!(error.code().name(), "database-missing");
}

#[tokio::test]
async fn passfiles() {
    let fixture = fixture();
    let home = tempfile::tempdir().unwrap();
    let line = format!(
        "db.internal:{}:orders:app:{IN_A_PASSFILE}\n",
        fixture.port()
    );
    let named = home.path().join("passwords");
    write(&named, &line);
    let environment = fixture.environment();
    let name = named.to_str().unwrap();
    assert_is_ours(&format!("passfile={name}"), &environment).await;
    assert_is_ours("", &environment.clone().with_var("PGPASSFILE", name)).await;
    write(&home.path().join(".pgpass"), &line);
    let at_home = environment.with_home(home.path());
    assert_is_ours("", &at_home).await;
    // A password that is given precedes the file; an empty one does not.
    assert_is_ours("password=''", &at_home).await;
    assert_eq!(
        connect_in("password=wrong", &at_home)
            .await
            .unwrap_err()
            .sqlstate(),
        Some("28P01")
    );
    let none = connect_in("host=elsewhere sslmode=require", &at_home)
        .await
        .unwrap_err();
    assert_eq!(none.code().name(), "auth-no-password");
}

#[tokio::test]
async fn default_files_of_tls() {
    let fixture = fixture();
    let home = tempfile::tempdir().unwrap();
    let environment = fixture
        .environment()
        .with_var("PGSSLROOTCERT", "")
        .with_var("PGPASSWORD", PASSWORD)
        .with_home(home.path());
    let error = connect_in("", &environment).await.unwrap_err();
    assert_eq!(error.code().name(), "config-file");
    let folder = home.path().join(".postgresql");
    assert!(
        error
            .to_string()
            .contains(folder.join("root.crt").to_str().unwrap()),
        "{error}"
    );
    write(
        &folder.join("root.crt"),
        &fs::read_to_string(&fixture.root).unwrap(),
    );
    assert_is_ours("", &environment).await;
    write(
        &folder.join("root.crl"),
        &fs::read_to_string(&fixture.crl).unwrap(),
    );
    let error = connect_in("", &environment).await.unwrap_err();
    assert_eq!(error.code().name(), "tls-revoked");
    // Where there are no roots, the default list has nothing to say.
    fs::remove_file(folder.join("root.crt")).unwrap();
    assert_is_ours("sslmode=require", &environment).await;
}

/// The process' own variables and home, in a process of its own: this very test.
#[tokio::test]
async fn the_environment_of_the_process() {
    const CHILD: &str = "PGREACH_TEST_CHILD";
    if env::var_os(CHILD).is_some() {
        let connection = pgreach::connect("application_name=child").await.unwrap();
        assert_eq!(connection.info().user(), "app");
        assert_eq!(connection.info().database(), "orders");
        assert_eq!(text(&connection, "show application_name").await, "child");
        return;
    }
    let fixture = fixture();
    let home = tempfile::tempdir().unwrap();
    write(
        &home.path().join(".pgpass"),
        &format!("*:*:*:app:{IN_A_PASSFILE}\n"),
    );
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "the_environment_of_the_process"]);
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    let output = command
        .env(CHILD, "1")
        .env("HOME", home.path())
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", fixture.port())
        .env("PGUSER", "app")
        .env("PGDATABASE", "orders")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[tokio::test]
async fn the_session_is_as_asked_for() {
    let fixture = fixture();
    fixture
        .server
        .execute("alter role trust set client_encoding = 'LATIN1'")
        .unwrap();
    let vars = |vars: &[(&str, &str)]| {
        vars.iter()
            .fold(Environment::empty(), |environment, (name, value)| {
                environment.with_var(*name, *value)
            })
    };
    let session = vars(&[
        ("PGTZ", "Asia/Kathmandu"),
        ("PGDATESTYLE", "German, DMY"),
        ("PGGEQO", "off"),
    ]);
    let options = vars(&[("PGOPTIONS", "-c timezone=Asia/Tokyo -c work_mem=7MB")]);
    let nothing = Environment::empty();
    #[rustfmt::skip]
    let table: &[(&str, &Environment, &str, &str)] = &[
        ("application_name=billing",                           &nothing, "application_name", "billing"),
        ("fallback_application_name=tool",                     &nothing, "application_name", "tool"),
        ("fallback_application_name=tool application_name=me", &nothing, "application_name", "me"),
        ("fallback_application_name=tool application_name=''", &nothing, "application_name", ""),
        ("fallback_application_name=tool", &vars(&[("PGAPPNAME", "env")]), "application_name", "env"),
        ("options='-c work_mem=5MB'",                          &nothing, "work_mem", "5MB"),
        ("options='--work-mem=6MB -c geqo=off'",               &nothing, "work_mem", "6MB"),
        (r"options='-c my.text=a\\ b\\\\c'",                   &nothing, "my.text", r"a b\c"),
        ("",                                                   &options, "work_mem", "7MB"),
        ("",                                                   &options, "timezone", "Asia/Tokyo"),
        ("options=''",                                         &options, "timezone", "UTC"),
        ("",                                                   &session, "timezone", "Asia/Kathmandu"),
        ("",                                                   &session, "datestyle", "German, DMY"),
        ("",                                                   &session, "geqo", "off"),
        // As in libpq, a variable comes after the options.
        ("options='-c timezone=Asia/Tokyo'",                   &session, "timezone", "Asia/Kathmandu"),
        ("",                              &vars(&[("PGTZ", "default")]), "timezone", "UTC"),
        // Text is always UTF-8, whatever the role's default is.
        ("",                                                   &nothing, "client_encoding", "UTF8"),
        ("client_encoding=utf-8",                              &nothing, "client_encoding", "UTF8"),
        ("client_encoding=auto",                               &nothing, "client_encoding", "UTF8"),
    ];
    for (conninfo, environment, parameter, value) in table {
        let connection = connect_in(&fixture.plain(conninfo), environment)
            .await
            .unwrap();
        assert_eq!(
            text(&connection, &format!("show {parameter}")).await,
            *value,
            "{conninfo}"
        );
    }
    let connection = connect(&fixture.plain("")).await.unwrap();
    assert_eq!(text(&connection, "select 'ž' || chr(8364)").await, "ž€");
    let error = refused(&fixture.plain("options='-c no_such_setting=1'")).await;
    assert_eq!(
        (error.kind(), error.sqlstate()),
        (ErrorKind::Database, Some("42704"))
    );
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

/// The clock is the runtime's: it leaps to the deadline, since nobody ever answers.
#[tokio::test(start_paused = true)]
async fn connect_timeout_is_kept_and_there_always_is_one() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = silent.local_addr().unwrap().port();
    let environment = Environment::empty().with_var("PGCONNECT_TIMEOUT", "7");
    let nothing = Environment::empty();
    for (timeout, environment, seconds) in [
        ("connect_timeout=5", &nothing, 5),
        ("connect_timeout=5", &environment, 5),
        ("", &environment, 7),
        ("", &nothing, 30),
        ("connect_timeout=0", &nothing, 30),
        ("connect_timeout=-1", &nothing, 30),
    ] {
        let began = tokio::time::Instant::now();
        let conninfo = format!("host=127.0.0.1 port={port} user=app {timeout}");
        let error = connect_in(&conninfo, environment).await.unwrap_err();
        assert_eq!(error.code().name(), "timeout", "{error:?}");
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Timeout, Retry::Backoff)
        );
        assert!(
            error.to_string().contains(&format!("after {seconds}s")),
            "{error}"
        );
        assert_eq!(began.elapsed().as_secs(), seconds, "{timeout}");
    }
}

#[tokio::test]
async fn a_file_that_is_named_and_not_there_is_an_error_that_names_it() {
    let fixture = fixture();
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing").display().to_string();
    let garbage = folder.path().join("garbage");
    write(&garbage, "neither this nor that");
    let open = folder.path().join("open");
    write(&open, "*:*:*:*:secret");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let (garbage, open) = (garbage.display().to_string(), open.display().to_string());
    let root = format!("sslmode=verify-full sslrootcert={}", fixture.root.display());
    let table = [
        // Whether or not it is needed in the end.
        (format!("passfile={missing}"), "config-file", &missing),
        (
            format!("passfile={missing} password=given"),
            "config-file",
            &missing,
        ),
        (format!("passfile={garbage}"), "config-file", &garbage),
        (format!("passfile={open}"), "config-file", &open),
        (format!("sslrootcert={missing}"), "tls-roots", &missing),
        (
            format!("sslrootcert={missing} sslmode=verify-full"),
            "tls-roots",
            &missing,
        ),
        (
            format!("sslrootcert={garbage} sslmode=require"),
            "tls-roots",
            &garbage,
        ),
        (format!("{root} sslcrl={missing}"), "tls-crl", &missing),
        (format!("{root} sslcrl={garbage}"), "tls-crl", &garbage),
        (format!("{root} sslcrldir={missing}"), "tls-crl", &missing),
        (
            format!("sslmode=disable sslcrl={missing}"),
            "tls-crl",
            &missing,
        ),
    ];
    for (rest, code, file) in &table {
        // It shows at once, not when connecting.
        let error = connector(&fixture.plain(rest)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{rest}");
        assert_eq!(error.code().name(), *code, "{rest}");
        assert!(error.to_string().contains(file.as_str()), "{rest}: {error}");
    }
    for (variable, code) in [
        ("PGPASSFILE", "config-file"),
        ("PGSSLROOTCERT", "tls-roots"),
        ("PGSSLCRL", "tls-crl"),
        ("PGSSLCRLDIR", "tls-crl"),
        ("PGSERVICEFILE", "config-file"),
    ] {
        let environment = Environment::empty().with_var(variable, &*missing);
        let service = if variable == "PGSERVICEFILE" {
            "service=orders"
        } else {
            ""
        };
        let error = connect_in(&fixture.plain(service), &environment)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{variable}");
        assert_eq!(error.code().name(), code, "{variable}");
        assert!(error.to_string().contains(&missing), "{variable}: {error}");
    }
    // A section that is missing is named together with the file.
    let environment = Environment::empty().with_var("PGSERVICEFILE", &*garbage);
    let error = connect_in("service=orders", &environment)
        .await
        .unwrap_err();
    assert_eq!(error.code().name(), "config-missing");
    let shown = error.to_string();
    assert!(
        shown.contains("\"orders\"") && shown.contains(&garbage),
        "{shown}"
    );
}
