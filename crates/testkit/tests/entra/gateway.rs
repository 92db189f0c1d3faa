//! The gateway in front of a real server.

use std::sync::LazyLock;

use native_tls::{Certificate, TlsConnector};
use pgreach_testkit::entra::{Claims, EntraGateway, FakeEntra, RoleKind};
use pgreach_testkit::{Pki, Postgres};
use postgres_native_tls::MakeTlsConnector;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::{Client, Config, NoTls};

use crate::{shows, within};

/// PostgreSQL for all tests of a process; its guard removes it at the end.
static SERVER: LazyLock<Postgres> = LazyLock::new(|| {
    Postgres::builder()
        .with_sql(r#"create role orders login; create role "ann@example.com" login;"#)
        .with_sql(r#"create role "Readers" login; create role unmapped login"#)
        .start()
        .unwrap()
});

async fn start() -> (FakeEntra, EntraGateway) {
    let entra = FakeEntra::start().await.unwrap();
    let gateway = EntraGateway::start(&entra, &SERVER).await.unwrap();
    (entra, gateway)
}

fn config(gateway: &EntraGateway, user: &str, password: &str) -> Config {
    config_for("localhost", gateway, user, password)
}

fn config_for(host: &str, gateway: &EntraGateway, user: &str, password: &str) -> Config {
    let mut config = Config::new();
    config
        .host(host)
        .hostaddr([127, 0, 0, 1].into())
        .port(gateway.port())
        .user(user)
        .password(password)
        .dbname("postgres")
        .ssl_mode(SslMode::Require);
    config
}

fn tls(root_pem: &str) -> MakeTlsConnector {
    let connector = TlsConnector::builder()
        .disable_built_in_roots(true)
        .add_root_certificate(Certificate::from_pem(root_pem.as_bytes()).unwrap())
        .build()
        .unwrap();
    MakeTlsConnector::new(connector)
}

async fn connect_with(entra: &FakeEntra, config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = within(config.connect(tls(entra.root_pem()))).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn connect(
    entra: &FakeEntra,
    gateway: &EntraGateway,
    user: &str,
    password: &str,
) -> Result<Client, tokio_postgres::Error> {
    connect_with(entra, &config(gateway, user, password)).await
}

async fn one(client: &Client, sql: &str) -> String {
    within(client.query_one(sql, &[])).await.unwrap().get(0)
}

/// The code and the words of a refusal.
async fn refusal(
    entra: &FakeEntra,
    gateway: &EntraGateway,
    user: &str,
    password: &str,
) -> (String, String) {
    let error = match connect(entra, gateway, user, password).await {
        Ok(_) => panic!("{user} was let in"),
        Err(error) => error,
    };
    let error = error.as_db_error().unwrap();
    assert_eq!(error.severity(), "FATAL");
    (error.code().code().to_owned(), error.message().to_owned())
}

fn wrong_password(user: &str) -> (String, String) {
    let words = format!("password authentication failed for user \"{user}\"");
    ("28P01".to_owned(), words)
}

#[tokio::test]
async fn a_token_logs_its_principal_in() {
    let (entra, gateway) = start().await;
    let app = entra.add_application("orders", "secret");
    let ann = entra.add_user("ann@example.com", [entra.new_object_id()]);
    gateway.add_role("orders", RoleKind::Service, app.object_id());
    gateway.add_role("ann@example.com", RoleKind::User, ann.object_id());
    for (principal, user) in [(&app, "orders"), (&ann, "ann@example.com")] {
        let token = entra.token_for(principal).unwrap();
        let client = connect(&entra, &gateway, user, &token).await.unwrap();
        assert_eq!(one(&client, "select current_user::text").await, user);
        let logins = gateway.logins();
        let login = logins.last().unwrap();
        assert_eq!((login.user(), login.token()), (user, token.as_str()));
        assert_eq!(login.object_id(), Some(principal.object_id()));
        assert!(login.accepted());
        assert!(!shows(&logins, &[&token]) && !shows(&gateway, &[&token]));
    }
    assert_eq!(gateway.logins().len(), 2);
}

#[tokio::test]
async fn a_session_outlives_its_token_and_its_role() {
    let (entra, gateway) = start().await;
    let app = entra.add_application("orders", "secret");
    gateway.add_role("orders", RoleKind::Service, app.object_id());
    let token = entra.token_for(&app).unwrap();
    let client = connect(&entra, &gateway, "orders", &token).await.unwrap();
    entra.remove(&app);
    gateway.remove_role("orders");
    assert_eq!(one(&client, "select 'still here'").await, "still here");
    assert_eq!(
        refusal(&entra, &gateway, "orders", &token).await,
        wrong_password("orders")
    );
}

#[tokio::test]
async fn each_bad_token_is_refused_in_azures_words() {
    let (entra, gateway) = start().await;
    let app = entra.add_application("orders", "secret");
    gateway.add_role("orders", RoleKind::Service, app.object_id());
    let token = |name: &str, value: serde_json::Value| {
        let change = |claims: &mut Claims| drop(claims.insert(name.to_owned(), value));
        entra.token_with(&app, change).unwrap()
    };
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let elsewhere = FakeEntra::start().await.unwrap();
    let invalid = "An error occurred while validating the access token. Please acquire a new token \
                   and retry.";
    for (token, words) in [
        (
            token("exp", (now - 1).into()),
            "The access token has expired. Please acquire a new token and retry.",
        ),
        (
            token("aud", "https://management.azure.com".into()),
            "The access token does not have a valid audience claim. Please acquire a new token for \
             the resource \"https://ossrdbms-aad.database.windows.net\".",
        ),
        (
            "no token".to_owned(),
            "The access token has invalid format. Please ensure the token is passed exactly as \
             returned by the authentication endpoint and retry.",
        ),
        (entra.forged_token_for(&app).unwrap(), invalid),
        (elsewhere.token_for(&app).unwrap(), invalid),
        (token("tid", "another tenant".into()), invalid),
        (
            token("iss", "https://sts.windows.net/another/".into()),
            invalid,
        ),
        (token("nbf", (now + 3600).into()), invalid),
    ] {
        assert_eq!(
            refusal(&entra, &gateway, "orders", &token).await,
            ("28000".to_owned(), words.to_owned())
        );
    }
    assert!(gateway.logins().iter().all(|login| !login.accepted()));
    // An audience with a slash at its end is the same one.
    let token = token("aud", "https://ossrdbms-aad.database.windows.net/".into());
    assert!(connect(&entra, &gateway, "orders", &token).await.is_ok());
}

#[tokio::test]
async fn what_counts_is_the_object_id_and_the_kind() {
    let (entra, gateway) = start().await;
    let app = entra.add_application("orders", "secret");
    let ann = entra.add_user("ann@example.com", [entra.new_object_id()]);
    gateway.add_role("orders", RoleKind::Service, app.object_id());
    gateway.add_role("ann@example.com", RoleKind::User, ann.object_id());

    // Removed and added again under the same name.
    entra.remove(&ann);
    let again = entra.add_user("ann@example.com", [entra.new_object_id()]);
    let token = entra.token_for(&again).unwrap();
    let user = "ann@example.com";
    assert_eq!(
        refusal(&entra, &gateway, user, &token).await,
        wrong_password(user)
    );
    gateway.add_role(user, RoleKind::User, again.object_id());
    assert!(connect(&entra, &gateway, user, &token).await.is_ok());

    // Names are case-sensitive, and a role of the server alone is none of Entra's.
    for user in ["ANN@example.com", "unmapped", "nobody"] {
        assert_eq!(
            refusal(&entra, &gateway, user, &token).await,
            wrong_password(user)
        );
    }
    let (code, words) = refusal(&entra, &gateway, "orders", &token).await;
    assert_eq!(code, "28000");
    assert!(
        words.starts_with("Service Principals cannot generate"),
        "{words}"
    );
    let token = entra.token_for(&app).unwrap();
    let (code, words) = refusal(&entra, &gateway, user, &token).await;
    assert_eq!(code, "28000");
    assert!(
        words.contains("role[ann@example.com] is neither an"),
        "{words}"
    );
}

#[tokio::test]
async fn members_log_in_under_the_name_of_their_group() {
    let (entra, gateway) = start().await;
    let group = entra.new_object_id();
    gateway.add_role("Readers", RoleKind::Group, &group);
    let member = entra.add_user("ann@example.com", [&group]);
    let token = entra.token_for(&member).unwrap();
    let client = connect(&entra, &gateway, "Readers", &token).await.unwrap();
    assert_eq!(one(&client, "select current_user::text").await, "Readers");

    let stranger = entra.add_user("bob@example.com", [entra.new_object_id()]);
    let token = entra.token_for(&stranger).unwrap();
    let words = format!(
        "Azure AD access token not valid for role Readers (does not contain group ID {group})"
    );
    assert_eq!(
        refusal(&entra, &gateway, "Readers", &token).await,
        ("28000".to_owned(), words)
    );
}

#[tokio::test]
async fn a_cancellation_reaches_the_server() {
    let (entra, gateway) = start().await;
    let app = entra.add_application("orders", "secret");
    gateway.add_role("orders", RoleKind::Service, app.object_id());
    let token = entra.token_for(&app).unwrap();
    let client = connect(&entra, &gateway, "orders", &token).await.unwrap();
    let cancel = client.cancel_token();
    let pid: i32 = client
        .query_one("select pg_backend_pid()", &[])
        .await
        .unwrap()
        .get(0);
    let query = client.batch_execute("select pg_sleep(600)");
    let cancelling = async {
        let asleep = format!(
            "select count(*) from pg_stat_activity where pid = {pid} and query ~ 'sleep' \
             and state = 'active'"
        );
        while SERVER.execute(&asleep).unwrap()[0][0].as_deref() != Some("1") {
            tokio::task::yield_now().await;
        }
        cancel.cancel_query(tls(entra.root_pem())).await.unwrap();
    };
    let (ended, ()) = within(async { tokio::join!(query, cancelling) }).await;
    assert_eq!(ended.unwrap_err().code().unwrap().code(), "57014");
    assert_eq!(gateway.cancellations(), 1);
    assert_eq!(one(&client, "select 'goes on'").await, "goes on");
}

#[tokio::test]
async fn a_large_result_arrives_whole() {
    let (entra, gateway) = start().await;
    let app = entra.add_application("orders", "secret");
    gateway.add_role("orders", RoleKind::Service, app.object_id());
    let token = entra.token_for(&app).unwrap();
    let client = connect(&entra, &gateway, "orders", &token).await.unwrap();
    let sql = "select i, repeat('x', 1000) from generate_series(1, 20000) i";
    let rows = within(client.query(sql, &[])).await.unwrap();
    assert_eq!(rows.len(), 20_000);
    for (index, row) in rows.iter().enumerate() {
        assert_eq!(row.get::<_, i32>(0), i32::try_from(index).unwrap() + 1);
        assert_eq!(row.get::<_, &str>(1).len(), 1000);
    }
}

#[tokio::test]
async fn clients_without_tls_are_refused() {
    let (_entra, gateway) = start().await;
    let mut config = config(&gateway, "orders", "never sent");
    config.ssl_mode(SslMode::Disable);
    let error = within(config.connect(NoTls)).await.err().unwrap();
    let error = error.as_db_error().unwrap();
    assert_eq!(error.code().code(), "28000");
    assert_eq!(
        error.message(),
        "no pg_hba.conf entry for host \"127.0.0.1\", user \"orders\", database \"postgres\", \
         no encryption"
    );
    assert!(gateway.logins().is_empty());
}

#[tokio::test]
async fn tls_may_come_first_and_gssapi_is_declined() {
    let (entra, gateway) = start().await;
    let app = entra.add_application("orders", "secret");
    gateway.add_role("orders", RoleKind::Service, app.object_id());
    let mut config = config(&gateway, "orders", &entra.token_for(&app).unwrap());
    config.ssl_negotiation(SslNegotiation::Direct);
    let client = connect_with(&entra, &config).await.unwrap();
    assert_eq!(one(&client, "select 'direct'").await, "direct");

    let mut raw = TcpStream::connect(gateway.addr()).await.unwrap();
    let mut byte = [0];
    for (request, answer) in [
        ([0, 0, 0, 8, 4, 210, 22, 48], b'N'),
        ([0, 0, 0, 8, 4, 210, 22, 47], b'S'),
    ] {
        raw.write_all(&request).await.unwrap();
        within(raw.read_exact(&mut byte)).await.unwrap();
        assert_eq!(byte, [answer]);
    }
}

#[tokio::test]
async fn knobs_refuse_what_is_good() {
    let (entra, gateway) = start().await;
    let app = entra.add_application("orders", "secret");
    gateway.add_role("orders", RoleKind::Service, app.object_id());
    let token = entra.token_for(&app).unwrap();
    gateway.reject_next(2);
    for _ in 0..2 {
        assert_eq!(
            refusal(&entra, &gateway, "orders", &token).await,
            wrong_password("orders")
        );
    }
    assert!(connect(&entra, &gateway, "orders", &token).await.is_ok());
    let shown = gateway.logins().len();
    gateway.set_refusing(true);
    let (code, words) = refusal(&entra, &gateway, "orders", &token).await;
    assert_eq!(code, "28000");
    assert!(
        words.starts_with("pg_hba.conf rejects connection for host"),
        "{words}"
    );
    assert_eq!(
        gateway.logins().len(),
        shown,
        "nobody asked for the password"
    );
    gateway.set_refusing(false);
    assert!(connect(&entra, &gateway, "orders", &token).await.is_ok());
}

#[tokio::test]
async fn certificate_and_audience_are_the_callers_to_choose() {
    let entra = FakeEntra::start().await.unwrap();
    let app = entra.add_application("orders", "secret");
    let pki = Pki::generate().unwrap();
    let certificate = pki
        .server("orders.postgres.database.azure.com")
        .issue()
        .unwrap();
    let china = "https://ossrdbms-aad.database.chinacloudapi.cn";
    let gateway = EntraGateway::builder(&SERVER)
        .with_certificate(&certificate)
        .with_audience(china)
        .start(&entra)
        .await
        .unwrap();
    assert_eq!(gateway.certificate().serial(), certificate.serial());
    gateway.add_role("orders", RoleKind::Service, app.object_id());
    let change = |claims: &mut Claims| drop(claims.insert("aud".into(), china.into()));
    let token = entra.token_with(&app, change).unwrap();
    let to = |host: &str| config_for(host, &gateway, "orders", &token);
    let connected = within(to("localhost").connect(tls(pki.root_pem()))).await;
    assert!(connected.is_err(), "it has no certificate for localhost");
    let connected = within(to(certificate.name()).connect(tls(pki.root_pem()))).await;
    assert!(connected.is_ok());
}

#[tokio::test]
async fn sessions_end_with_the_gateway() {
    let (entra, gateway) = start().await;
    let app = entra.add_application("orders", "secret");
    gateway.add_role("orders", RoleKind::Service, app.object_id());
    let token = entra.token_for(&app).unwrap();
    let client = connect(&entra, &gateway, "orders", &token).await.unwrap();
    drop(gateway);
    assert!(within(client.batch_execute("select 1")).await.is_err());
}
