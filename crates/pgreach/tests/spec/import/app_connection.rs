//! An application connection with secret rotation.

use pgreach::ConnectionSpec;
use pgreach::spec::import::AppConnection;
use serde_json::{Value, json};

use super::{PEM, change, written};

/// The sample request of the API's documentation, as it is printed there: with a comma too many.
const SAMPLE_REQUEST: &str = r#"{
        "name": "my-pg-connection",
        "method": "username-and-password",
        "isPlatformManagedCredentials": true,
        "projectId": "7ffbb072-2575-495a-b5b0-127f88caef78",
        "credentials": {
            "host": "123.4.5.6",
            "port": 5432,
            "database": "default",
            "username": "infisical_role",
            "password": "my-password",
            "sslEnabled": true,
            "sslRejectUnauthorized": true
        },
    }"#;

/// The sample response.
const SAMPLE_RESPONSE: &str = r#"{
        "appConnection": {
            "id": "3c90c3cc-0d44-4b50-8888-8dd25736052a",
            "name": "my-pg-connection",
            "projectId": "7ffbb072-2575-495a-b5b0-127f88caef78",
            "version": 1,
            "orgId": "3c90c3cc-0d44-4b50-8888-8dd25736052a",
            "createdAt": "2023-11-07T05:31:56Z",
            "updatedAt": "2023-11-07T05:31:56Z",
            "app": "postgres",
            "method": "username-and-password",
            "isPlatformManagedCredentials": true,
            "credentials": {
                "host": "123.4.5.6",
                "port": 5432,
                "database": "default",
                "username": "infisical_role",
                "sslEnabled": true,
                "sslRejectUnauthorized": true
            }
        }
    }"#;

fn request() -> Value {
    serde_json::from_str(&SAMPLE_REQUEST.replace("},\n    }", "}\n    }")).unwrap()
}

#[test]
fn an_app_connection() {
    let error = AppConnection::from_json(SAMPLE_REQUEST).unwrap_err();
    assert_eq!(error.code().name(), "spec-syntax");
    assert_eq!(
        error.to_string(),
        "the document is not valid JSON: trailing comma at line 15 column 5"
    );
    let expected = json!({
        "name": "my-pg-connection",
        "database": "default",
        "transport": { "type": "tcp", "addressPolicy": { "base": "public" } },
        "endpoint": { "host": "123.4.5.6", "port": 5432 },
        "tls": { "mode": "verify-full" },
        "credentials": { "type": "password", "user": "infisical_role" },
    });
    let connection = AppConnection::from_json(&request().to_string()).unwrap();
    assert!(connection.is_platform_managed());
    assert_eq!(
        connection.project_id(),
        Some("7ffbb072-2575-495a-b5b0-127f88caef78")
    );
    assert!(!format!("{connection:?}").contains("my-password"));
    let spec = ConnectionSpec::try_from(connection).unwrap();
    assert_eq!(
        (written(&spec), spec.missing_secrets()),
        (expected.clone(), vec![])
    );
    // The response has no password.
    let connection = AppConnection::from_json(SAMPLE_RESPONSE).unwrap();
    let spec = ConnectionSpec::try_from(connection).unwrap();
    assert_eq!(written(&spec), expected);
    assert_eq!(spec.missing_secrets(), ["credentials.password"]);
    let connection = AppConnection::from_json(&request().to_string()).unwrap();
    let spec = ConnectionSpec::try_from(connection.with_internal_addresses()).unwrap();
    assert_eq!(written(&spec)["transport"], json!({ "type": "tcp" }));
}

#[test]
fn the_tls_of_an_app_connection() {
    let cases = [
        (json!({}), json!({ "mode": "verify-full" })),
        (
            json!({ "sslEnabled": true }),
            json!({ "mode": "verify-full" }),
        ),
        (
            json!({ "sslCertificate": PEM }),
            json!({ "mode": "verify-full", "roots": { "pem": PEM } }),
        ),
        (
            json!({ "sslCertificate": "" }),
            json!({ "mode": "verify-full" }),
        ),
        // Encrypted, and with whoever answers: no authority is asked.
        (
            json!({ "sslRejectUnauthorized": false }),
            json!({ "mode": "require" }),
        ),
        (
            json!({ "sslRejectUnauthorized": false, "sslCertificate": PEM }),
            json!({ "mode": "require" }),
        ),
        (json!({ "sslEnabled": false }), json!({ "mode": "disable" })),
        (
            json!({ "sslEnabled": false, "sslRejectUnauthorized": true }),
            json!({ "mode": "disable" }),
        ),
    ];
    let request = request();
    for (fields, tls) in cases {
        let mut request = request.clone();
        let credentials = request["credentials"].as_object_mut().unwrap();
        credentials.retain(|name, _| !name.starts_with("ssl"));
        credentials.extend(fields.as_object().unwrap().clone());
        let spec = converted!(AppConnection, request).unwrap();
        assert_eq!(written(&spec)["tls"], tls, "{fields}");
    }
    let cases = [
        ("/method", json!("iam"), "spec-field", "method"),
        (
            "/description",
            json!("x".repeat(257)),
            "spec-field",
            "description",
        ),
        ("/name", json!(null), "spec-field", "name"),
        ("/extra", json!(1), "spec-field", "extra"),
        (
            "/credentials/port",
            json!(0),
            "spec-field",
            "credentials.port",
        ),
        (
            "/credentials/host",
            json!(""),
            "spec-field",
            "credentials.host",
        ),
        (
            "/credentials/password",
            json!({ "env": "PATH" }),
            "spec-field",
            "credentials.password",
        ),
        (
            "/credentials/sslEnabled",
            json!("yes"),
            "spec-field",
            "credentials.sslEnabled",
        ),
        (
            "/credentials/sslCertificate",
            json!("-----BEGIN PRIVATE KEY-----"),
            "spec-field",
            "credentials.sslCertificate",
        ),
        (
            "/appConnection",
            json!({ "name": "a", "method": "m", "credentials":
            { "host": "h", "database": "d", "username": "u" } }),
            "spec-conflict",
            "appConnection",
        ),
    ];
    for (place, value, code, path) in cases {
        let request = change(&request, place, value);
        assert_eq!(
            refused!(AppConnection, request),
            (code, path.to_owned()),
            "{request}"
        );
    }
    let off = change(&request, "/credentials/sslEnabled", json!(false));
    let off = change(&off, "/credentials/sslCertificate", json!(PEM));
    assert_eq!(
        refused!(AppConnection, off),
        ("spec-conflict", "credentials.sslCertificate".to_owned())
    );
}
