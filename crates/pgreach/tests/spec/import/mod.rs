//! Connections as other systems write them, from their own examples.

use std::time::{Duration, SystemTime};

use pgreach::prelude::*;
use pgreach::spec::import::{CliToken, IntegrationForm, TokenServer, TunnelForm};
use pgreach::{ConnectionSpec, CredentialKind, CredentialProvider, CredentialRequest};
use serde_json::{Value, json};

const PEM: &str = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";

fn written(spec: &ConnectionSpec) -> Value {
    serde_json::from_str(&spec.to_json().unwrap()).unwrap()
}

macro_rules! converted {
    ($type:ident, $document:expr) => {
        ConnectionSpec::try_from($type::from_json(&$document.to_string()).unwrap())
    };
}

/// Code and path of a form that is refused, by reading or by converting.
macro_rules! refused {
    ($type:ident, $document:expr) => {{
        let read = $type::from_json(&$document.to_string());
        let error = read.and_then(ConnectionSpec::try_from).unwrap_err();
        let message = error.to_string();
        let path = message.split(": ").next().unwrap().to_owned();
        (error.code().name(), path)
    }};
}

// Below the macros that it uses.
mod app_connection;
mod secrets;

fn change(document: &Value, pointer: &str, value: Value) -> Value {
    let mut document = document.clone();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    document.pointer_mut(parent).unwrap()[field] = value;
    document
}

fn tunnel() -> Value {
    json!({
        "Encrypted": "Yes",
        "Database Connection": {
            "Username": "rjmetric", "Password": "db-s3cret", "Port": 5432, "Host": "127.0.0.1",
        },
        "SSH Connection": {
            "Remote Address": "bastion.example.com", "Username": "rjmetric", "SSH Port": 22,
        },
    })
}

#[test]
fn a_tunnel_form() {
    let spec = converted!(TunnelForm, tunnel()).unwrap();
    let hop = json!({
        "host": "bastion.example.com", "port": 22, "user": "rjmetric", "auth": [{ "type": "key" }],
    });
    assert_eq!(
        written(&spec),
        json!({
            "name": "127.0.0.1 through bastion.example.com",
            "transport": { "type": "ssh", "hops": [hop] },
            "endpoint": { "host": "127.0.0.1", "port": 5432 },
            // The database is the SSH server's own machine.
            "tls": { "mode": "disable" },
            "credentials": { "type": "password", "user": "rjmetric" },
        })
    );
    // The key is the platform's; the password came along.
    let key = "transport.hops[0].auth[0].privateKey";
    assert_eq!(spec.missing_secrets(), [key]);
    let form = TunnelForm::from_json(&tunnel().to_string()).unwrap();
    let spec = ConnectionSpec::try_from(form.with_private_key("-----BEGIN")).unwrap();
    assert_eq!(spec.missing_secrets(), [""; 0]);
    // Encrypted says nothing about TLS: beyond the SSH server, it is verified.
    let elsewhere = change(&tunnel(), "/Database Connection/Host", json!("db.internal"));
    assert_eq!(
        written(&converted!(TunnelForm, elsewhere).unwrap()).get("tls"),
        None
    );
    let plain = change(&tunnel(), "/Encrypted", json!("No"));
    assert_eq!(
        refused!(TunnelForm, plain),
        ("spec-conflict", "SSH Connection".to_owned())
    );
    let mut plain = plain;
    plain.as_object_mut().unwrap().remove("SSH Connection");
    let spec = written(&converted!(TunnelForm, plain).unwrap());
    assert_eq!(
        (&spec["transport"], spec.get("tls")),
        (&json!({ "type": "tcp" }), None)
    );
    let cases = [
        ("/Encrypted", json!("Maybe"), "Encrypted"),
        ("/SSH Connection", json!(null), "SSH Connection"),
        (
            "/SSH Connection/SSH Port",
            json!(0),
            "SSH Connection.SSH Port",
        ),
        (
            "/SSH Connection/Remote Address",
            json!("a:22"),
            "SSH Connection.Remote Address",
        ),
        (
            "/SSH Connection/Username",
            json!(" "),
            "SSH Connection.Username",
        ),
        (
            "/Database Connection/Host",
            json!(""),
            "Database Connection.Host",
        ),
        (
            "/Database Connection/Database",
            json!("a"),
            "Database Connection.Database",
        ),
        (
            "/Database Connection/Password",
            json!(7),
            "Database Connection.Password",
        ),
    ];
    for (place, value, path) in cases {
        let form = change(&tunnel(), place, value);
        assert_eq!(
            refused!(TunnelForm, form),
            ("spec-field", path.to_owned()),
            "{form}"
        );
    }
}

#[test]
fn a_server_with_tokens() {
    let server = json!({
        "Database Hostname": "orders.postgres.database.azure.com",
        "Database Username": "reader@example.com",
        "SSL mode": "Require",
    });
    let spec = converted!(TokenServer, server).unwrap();
    assert_eq!(
        written(&spec),
        json!({
            "name": "orders.postgres.database.azure.com",
            "database": "postgres",
            "transport": { "type": "tcp" },
            "endpoint": { "host": "orders.postgres.database.azure.com" },
            // Require verifies nothing, and a token is worth having.
            "tls": { "mode": "verify-full" },
            "credentials": {
                "type": "entra", "user": "reader@example.com", "identity": { "type": "azureCli" },
            },
        })
    );
    let entered = json!({
        "Name": "Orders", "Host name/address": "a.postgres.database.chinacloudapi.cn", "Port": 6432,
        "Maintenance database": "orders", "Username": "group", "SSL mode": "verify-full",
    });
    let spec = written(&converted!(TokenServer, entered).unwrap());
    assert_eq!(
        (
            &spec["name"],
            &spec["database"],
            &spec["credentials"]["cloud"]
        ),
        (&json!("Orders"), &json!("orders"), &json!("china"))
    );
    let host = json!("a.postgres.database.usgovcloudapi.net.");
    let government = change(&server, "/Database Hostname", host);
    let spec = written(&converted!(TokenServer, government).unwrap());
    assert_eq!(spec["credentials"]["cloud"], json!("usGovernment"));
    // The token of whoever runs the program goes to Azure and nobody else.
    for host in [
        "evil.example.com",
        "10.0.0.1",
        "postgres.database.azure.com",
        ".postgres.database.azure.com",
        "evilpostgres.database.azure.com",
        "a.postgres.database.azure.com.evil.example.com",
        "a.chinacloudapi.cn",
    ] {
        let elsewhere = change(&server, "/Database Hostname", json!(host));
        let path = "Host name/address".to_owned();
        assert_eq!(refused!(TokenServer, elsewhere), ("spec-field", path));
        let server = TokenServer::from_json(&elsewhere.to_string()).unwrap();
        let spec = ConnectionSpec::try_from(server.with_any_host()).unwrap();
        assert_eq!(written(&spec)["endpoint"]["host"], json!(host));
    }
    for mode in ["Disable", "allow", "Prefer"] {
        let server = change(&server, "/SSL mode", json!(mode));
        assert_eq!(
            refused!(TokenServer, server),
            ("spec-conflict", "SSL mode".to_owned())
        );
    }
    let strange = change(&server, "/SSL mode", json!("on"));
    assert_eq!(
        refused!(TokenServer, strange),
        ("spec-field", "SSL mode".to_owned())
    );
    // Nobody saves a password there.
    let saved = change(&server, "/Password", json!("token"));
    assert_eq!(
        refused!(TokenServer, saved),
        ("spec-field", "Password".to_owned())
    );
}

#[tokio::test]
async fn a_token_of_the_cli() {
    let sample = json!({
        "accessToken": "[a long character string]",
        "expiresOn": "[date and time]",
        "subscription": "...",
        "tenant": "...",
        "tokenType": "Bearer",
    });
    let endpoint = Endpoint::tcp("db", 5432);
    let request = CredentialRequest::new(&endpoint, None, None);
    let token = CliToken::from_json(&sample.to_string()).unwrap();
    assert!(!format!("{token:?}").contains("character"));
    let credential = token.credential(&request).await.unwrap();
    assert_eq!(credential.kind(), CredentialKind::BearerToken);
    assert_eq!(
        credential.secret().unwrap().expose(),
        "[a long character string]"
    );
    assert_eq!(credential.expires_at(), None);
    assert!(credential.needs_verified_tls());
    let newer = change(&sample, "/expires_on", json!(1_900_000_000));
    let token = CliToken::from_json(&newer.to_string()).unwrap();
    let credential = token.credential(&request).await.unwrap();
    let expiry = SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
    assert_eq!(credential.expires_at(), Some(expiry));
    for (place, value, path) in [
        ("/tokenType", json!("Basic"), "tokenType"),
        ("/accessToken", json!(""), "accessToken"),
        ("/accessToken", json!(["t0ken"]), "accessToken"),
    ] {
        let error = CliToken::from_json(&change(&sample, place, value).to_string()).unwrap_err();
        assert!(
            error.to_string().starts_with(&format!("{path}: ")),
            "{error}"
        );
        assert!(!format!("{error:?}").contains("t0ken"), "{error:?}");
    }
}

fn form() -> Value {
    json!({
        "Name": "Orders", "Mode": "Cloud", "Host": "db.example.com", "Database Name": "orders",
        "Username": "app", "Password": "s3cret", "Port": 5432, "Use SSL": "No",
    })
}

#[test]
fn an_integration_form() {
    let spec = converted!(IntegrationForm, form()).unwrap();
    let expected = json!({
        "name": "Orders",
        "database": "orders",
        "transport": { "type": "tcp" },
        "endpoint": { "host": "db.example.com", "port": 5432 },
        "tls": { "mode": "disable" },
        "credentials": { "type": "password", "user": "app" },
    });
    assert_eq!((written(&spec), spec.missing_secrets()), (expected, vec![]));
    let mut secure = form();
    for (use_ssl, mode) in [
        (json!(true), "verify-full"),
        (json!("yes"), "verify-full"),
        (json!(null), "verify-full"),
        (json!(false), "disable"),
        (json!("No"), "disable"),
    ] {
        secure["Use SSL"] = use_ssl;
        let spec = written(&converted!(IntegrationForm, secure).unwrap());
        assert_eq!(spec["tls"], json!({ "mode": mode }), "{secure}");
    }
    // Nobody said that the password may go in cleartext.
    secure.as_object_mut().unwrap().remove("Use SSL");
    let spec = written(&converted!(IntegrationForm, secure).unwrap());
    assert_eq!(spec["tls"], json!({ "mode": "verify-full" }));
    // A self-signed certificate is its own authority.
    secure["Certificate Authority"] = json!(PEM);
    secure["Key"] = json!("-----BEGIN ENCRYPTED PRIVATE KEY-----");
    secure["Certificate"] = json!(PEM);
    secure["Passphrase"] = json!("p4ssphrase");
    let spec = converted!(IntegrationForm, secure).unwrap();
    let shown = written(&spec);
    assert_eq!(
        shown["tls"],
        json!({ "mode": "verify-full", "roots": { "pem": PEM } })
    );
    assert_eq!(
        shown["credentials"],
        json!({ "type": "certificate", "user": "app", "certificate": PEM })
    );
    assert_eq!(spec.missing_secrets(), [""; 0]);
    // With a certificate, the password may be left out; without one, it is missing.
    secure["Password"] = json!("");
    let spec = converted!(IntegrationForm, secure).unwrap();
    assert_eq!(spec.missing_secrets(), [""; 0]);
    let spec = converted!(IntegrationForm, change(&form(), "/Password", json!(""))).unwrap();
    assert_eq!(spec.missing_secrets(), ["credentials.password"]);
    let agent = |mode: &str, agent: &str| {
        let form = change(&form(), "/Mode", json!(mode));
        refused!(IntegrationForm, change(&form, "/Agent", json!(agent)))
    };
    assert_eq!(agent("Cloud", "a"), ("spec-conflict", "Agent".to_owned()));
    assert_eq!(agent("On-Premises", ""), ("spec-field", "Agent".to_owned()));
    assert_eq!(
        agent("On-Premises", "a"),
        ("spec-unsupported", "Mode".to_owned())
    );
    let cases = [
        (vec![("/Mode", json!("Moon"))], "spec-field", "Mode"),
        (vec![("/Name", json!(""))], "spec-field", "name"),
        (vec![("/Host", json!("https://a"))], "spec-field", "Host"),
        (vec![("/Key", json!("k"))], "spec-conflict", "Key"),
        (
            vec![("/Certificate Authority", json!(PEM))],
            "spec-conflict",
            "Certificate Authority",
        ),
        (
            vec![("/Use SSL", json!(true)), ("/Key", json!("k"))],
            "spec-field",
            "Certificate",
        ),
        (
            vec![("/Use SSL", json!(true)), ("/Certificate", json!(PEM))],
            "spec-field",
            "Key",
        ),
        (
            vec![("/Use SSL", json!(true)), ("/Passphrase", json!("p"))],
            "spec-conflict",
            "Passphrase",
        ),
        (
            vec![
                ("/Use SSL", json!(true)),
                ("/Certificate", json!("-----BEGIN PRIVATE KEY-----")),
            ],
            "spec-field",
            "Certificate",
        ),
    ];
    for (changes, code, path) in cases {
        let changed = changes.iter().fold(form(), |form, (place, value)| {
            change(&form, place, value.clone())
        });
        assert_eq!(
            refused!(IntegrationForm, changed),
            (code, path.to_owned()),
            "{changed}"
        );
    }
}

/// As a part of another document, with another deserialiser.
#[test]
fn forms_can_be_read_by_serde() {
    let form: IntegrationForm = serde_json::from_value(form()).unwrap();
    assert!(ConnectionSpec::try_from(form).is_ok());
    let wrong = json!({ "Name": "a", "Mode": "hunter2" });
    let error = serde_json::from_value::<IntegrationForm>(wrong).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Mode: must be one of Cloud, On-Premise, On-Premises, On-premise"
    );
}
