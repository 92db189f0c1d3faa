//! Documents lead to the session that they describe, on real servers.

#[cfg(feature = "ssh")]
mod ssh;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::LazyLock;

use crate::common::{Fixture, text};
use pgreach::prelude::*;
use pgreach::{ConnectionSpec, Connector};
use pgreach_testkit::{Pki, Postgres};
use serde_json::{Value, json};

static PKI: LazyLock<Pki> = LazyLock::new(|| Pki::generate().unwrap());

/// A variable that every process has, whose value is the password of the role `env`.
const VARIABLE: &str = "PATH";

static DATABASE: LazyLock<Fixture> = LazyLock::new(|| {
    let path = std::env::var(VARIABLE).unwrap();
    let postgres = Postgres::builder()
        .with_hba([
            "local all all trust",
            "host all app,env 127.0.0.1/32 scram-sha-256",
            "host all all 127.0.0.1/32 trust",
        ])
        .with_sql("create role app login password 'a password'")
        .with_sql(format!("create role env login password $${path}$$"));
    Fixture::start(&PKI, postgres)
});

fn endpoint() -> Value {
    json!({ "host": "db.internal", "hostaddr": "127.0.0.1", "port": DATABASE.server.port() })
}

fn document(parts: Value) -> Value {
    let mut document = json!({
        "name": "test",
        "database": "postgres",
        "endpoint": endpoint(),
        "tls": { "roots": { "pem": PKI.root_pem() } },
        "credentials": { "type": "password", "user": "app", "password": "a password" },
    });
    for (field, value) in parts.as_object().unwrap() {
        match value {
            Value::Null => document.as_object_mut().unwrap().remove(field),
            value => document
                .as_object_mut()
                .unwrap()
                .insert(field.clone(), value.clone()),
        };
    }
    document
}

/// Through JSON and through TOML.
fn specs(parts: Value) -> [ConnectionSpec; 2] {
    let document = document(parts);
    [
        ConnectionSpec::from_json(&document.to_string()).unwrap(),
        ConnectionSpec::from_toml(&toml::to_string(&document).unwrap()).unwrap(),
    ]
}

fn spec(parts: Value) -> ConnectionSpec {
    let [spec, _] = specs(parts);
    spec
}

async fn connect(spec: &ConnectionSpec) -> Connection {
    spec.build().unwrap().connect().await.unwrap()
}

async fn refused(spec: &ConnectionSpec) -> Error {
    spec.build().unwrap().connect().await.map(drop).unwrap_err()
}

fn password(user: &str, password: Value) -> Value {
    json!({ "credentials": { "type": "password", "user": user, "password": password } })
}

/// A file for the owner alone.
fn write(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn passwords_wherever_they_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    write(&file, "a password\n");
    let passfile = folder.path().join("pgpass");
    write(&passfile, "*:*:*:app:a password\n");
    let cases = [
        password("app", json!("a password")),
        password("app", json!({ "file": file })),
        password("app", json!({ "command": ["echo", "a password"] })),
        password("env", json!({ "env": VARIABLE })),
        json!({ "credentials": { "type": "passfile", "user": "app", "file": passfile } }),
    ];
    for parts in cases {
        for spec in specs(parts.clone()) {
            let connection = connect(&spec).await;
            let user = text(&connection, "select current_user").await;
            assert_eq!(user, parts["credentials"]["user"]);
            let info = connection.info();
            assert!(info.authentication().unwrap().starts_with("scram-sha-256"));
            assert!(info.tls().is_some());
        }
    }
    let wrong = spec(password("app", json!("wrong")));
    assert_eq!(refused(&wrong).await.sqlstate(), Some("28P01"));
    let nobody = spec(password("app", json!({ "env": "PGREACH_TEST_NOT_SET" })));
    assert_eq!(refused(&nobody).await.kind(), ErrorKind::Credential);
}

/// The connector was built with the password before.
#[tokio::test]
async fn references_are_resolved_for_each_connection() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    write(&file, "not yet");
    let connector = spec(password("app", json!({ "file": file })))
        .build()
        .unwrap();
    let error = connector.connect().await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("28P01"));
    write(&file, "a password");
    connector.connect().await.unwrap();
}

#[tokio::test]
async fn what_was_written_connects_once_the_secret_is_back() {
    let written = spec(json!({})).to_toml().unwrap();
    let read = ConnectionSpec::from_toml(&written).unwrap();
    assert_eq!(
        read.build().unwrap_err().code().name(),
        "spec-secret-missing"
    );
    let whole = read
        .with_secret("credentials.password", "a password")
        .unwrap();
    connect(&whole).await;
}

#[tokio::test]
async fn trust_is_the_documents() {
    let certificate = folder_with_root();
    let file = certificate.path().join("root.crt");
    let cases = [
        (json!({ "roots": { "file": file } }), None),
        (
            json!({ "mode": "verify-ca", "roots": { "file": file } }),
            None,
        ),
        (json!({ "mode": "require" }), None),
        (json!({ "mode": "prefer" }), None),
        // The default: in full, with the system's authorities.
        (json!({}), Some("tls-unknown-ca")),
        (
            json!({ "mode": "verify-full", "maxVersion": "TLSv1.2", "roots": { "file": file } }),
            None,
        ),
    ];
    for (tls, code) in cases {
        let spec = spec(json!({ "tls": tls }));
        match code {
            None => {
                let connection = connect(&spec).await;
                let info = connection.info().tls().unwrap().clone();
                let greatest = tls.get("maxVersion").is_some();
                assert!(
                    !greatest || info.protocol.as_deref() == Some("TLSv1.2"),
                    "{info:?}"
                );
            }
            Some(code) => {
                let error = refused(&spec).await;
                assert_eq!((error.kind(), error.code().name()), (ErrorKind::Tls, code));
            }
        }
    }
    assert_eq!(
        refused(&spec(json!({ "tls": null }))).await.kind(),
        ErrorKind::Tls
    );
    let connection = connect(&spec(json!({ "tls": { "mode": "disable" } }))).await;
    assert!(connection.info().tls().is_none());
    // The name is verified, not the address.
    let wrong = json!({ "host": "127.0.0.1", "port": DATABASE.server.port() });
    let error = refused(&spec(json!({ "endpoint": wrong }))).await;
    assert_eq!(error.code().name(), "tls-wrong-name");
    let missing = spec(json!({ "tls": { "roots": { "file": "nonexistent.crt" } } }));
    let error = missing.build().unwrap_err();
    assert!(error.to_string().starts_with("tls.roots: "), "{error}");
    assert_eq!(error.kind(), ErrorKind::Config);
}

fn folder_with_root() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("root.crt"), PKI.root_pem()).unwrap();
    folder
}

#[tokio::test]
async fn a_unix_socket() {
    let directory = DATABASE.server.socket_dir();
    let parts = json!({
        "transport": { "type": "unix", "directory": directory, "port": DATABASE.server.port() },
        "endpoint": null,
        "tls": null,
        "credentials": { "type": "none", "user": "postgres" },
    });
    for spec in specs(parts) {
        let connection = connect(&spec).await;
        assert_eq!(text(&connection, "select current_user").await, "postgres");
    }
}

#[tokio::test]
async fn the_session_is_the_documents() {
    let parts = json!({
        "endpoint": null,
        "endpoints": [{ "host": "127.0.0.1", "port": 1 }, endpoint()],
        "session": {
            "applicationName": "from a document",
            "options": "-c geqo=off",
            "parameters": { "statement_timeout": "7s", "DateStyle": "German, DMY" },
            "targetSessionAttrs": "read-write",
            "requireAuth": "scram-sha-256",
            "channelBinding": "require",
        },
        "limits": { "connectTimeout": "20s", "maxMessageSize": 65536 },
    });
    for spec in specs(parts) {
        let connection = connect(&spec).await;
        for (name, value) in [
            ("application_name", "from a document"),
            ("geqo", "off"),
            ("statement_timeout", "7s"),
            ("DateStyle", "German, DMY"),
        ] {
            assert_eq!(text(&connection, &format!("show {name}")).await, value);
        }
        let long = connection.simple_query("select repeat('x', 100000)").await;
        assert!(long.is_err(), "maxMessageSize is not kept");
    }
    let standby = spec(json!({ "session": { "targetSessionAttrs": "standby" } }));
    assert_eq!(refused(&standby).await.code().name(), "session-attrs");
    let methods = json!({ "requireAuth": "none" });
    let error = refused(&spec(json!({ "session": methods }))).await;
    assert_eq!(error.kind(), ErrorKind::Authentication);
}
