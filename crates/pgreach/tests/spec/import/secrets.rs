//! What forms may bring along as secrets, and that none of it is shown.

use pgreach::ConnectionSpec;
use pgreach::spec::SecretSource;
use pgreach::spec::import::{AppConnection, IntegrationForm, TunnelForm};
use serde_json::{Value, json};

use super::{form, tunnel};

const MARKER: &str = "m4rker-s3cret";

fn app_connection() -> Value {
    json!({
        "name": "a", "method": "username-and-password",
        "credentials": { "host": "h", "database": "d", "username": "u", "password": "p" },
    })
}

#[test]
fn secrets_that_cannot_be_any_are_refused() {
    let mut tunnel = tunnel();
    for key in [
        SecretSource::Env("bad name".to_owned()),
        SecretSource::File(String::new()),
        SecretSource::Command(vec![]),
        SecretSource::from(""),
    ] {
        let form = TunnelForm::from_json(&tunnel.to_string()).unwrap();
        let error = ConnectionSpec::try_from(form.with_private_key(key)).unwrap_err();
        let path = "transport.hops[0].auth[0].privateKey";
        assert!(error.to_string().starts_with(path), "{error}");
        assert!(!error.to_string().contains("bad name"), "{error}");
    }
    let nul = json!(format!("{MARKER}\0"));
    tunnel["Database Connection"]["Password"] = nul.clone();
    let mut app = app_connection();
    app["credentials"]["password"] = nul.clone();
    let mut integration = form();
    integration["Password"] = nul;
    for error in [
        converted!(TunnelForm, tunnel).unwrap_err(),
        converted!(AppConnection, app).unwrap_err(),
        converted!(IntegrationForm, integration).unwrap_err(),
    ] {
        assert_eq!(error.code().name(), "spec-field");
        assert!(!format!("{error} {error:?}").contains(MARKER), "{error:?}");
    }
}

#[test]
fn nothing_that_was_pasted_is_shown() {
    let key = format!("-----BEGIN PRIVATE KEY-----\n{MARKER}\n-----END PRIVATE KEY-----\n");
    for field in ["Certificate Authority", "Certificate"] {
        let mut form = form();
        form[field] = json!(key);
        // When it is read: nothing holds it then.
        let error = IntegrationForm::from_json(&form.to_string()).unwrap_err();
        assert!(error.to_string().starts_with(field), "{error}");
        assert!(!format!("{error:?}").contains(MARKER), "{error:?}");
        form[field] = json!(MARKER);
        let form = IntegrationForm::from_json(&form.to_string()).unwrap();
        assert!(!format!("{form:?}").contains(MARKER), "{form:?}");
    }
    let mut app = app_connection();
    app["credentials"]["sslCertificate"] = json!(key);
    let error = AppConnection::from_json(&app.to_string()).unwrap_err();
    let path = "credentials.sslCertificate: ";
    assert!(error.to_string().starts_with(path), "{error}");
    app["credentials"]["sslCertificate"] = json!(MARKER);
    let app = AppConnection::from_json(&app.to_string()).unwrap();
    assert!(!format!("{app:?}").contains(MARKER), "{app:?}");
}
