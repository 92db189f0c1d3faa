//! No secret of a document comes out of it again.

mod strangers;

use std::error::Error as _;

use pgreach::spec::SecretSource;
use pgreach::{ConnectionSpec, Error};
use serde_json::{Value, json};

const MARKER: &str = "m4rker-s3cret";

fn document(parts: Value) -> Value {
    let mut document = json!({ "name": "orders", "endpoint": { "host": "db.example.com" } });
    for (field, value) in parts.as_object().unwrap() {
        document[field] = value.clone();
    }
    document
}

fn password(password: Value) -> Value {
    let credentials = json!({ "type": "password", "user": "app", "password": password });
    document(json!({ "credentials": credentials }))
}

/// Everything that an error shows.
fn shown(error: &Error) -> String {
    let mut shown = format!("{error} {error:?} {} {}", error.hint(), json!(error));
    let mut source = error.source();
    while let Some(error) = source {
        shown.push_str(&format!("{error} {error:?}"));
        source = error.source();
    }
    shown
}

/// A secret everywhere where one can stand, and all their paths.
fn documents(secret: &Value) -> Vec<(Value, Vec<&'static str>)> {
    let auth = json!([
        { "type": "key", "privateKey": secret, "passphrase": secret },
        { "type": "password", "password": secret },
    ]);
    let hops = json!([
        { "host": "a", "user": "u", "auth": [{ "type": "agent" }] },
        { "host": "b", "user": "u", "auth": auth },
    ]);
    let entra = |identity: Value| {
        let credentials = json!({ "type": "entra", "user": "app", "identity": identity });
        document(json!({ "credentials": credentials }))
    };
    vec![
        (password(secret.clone()), vec!["credentials.password"]),
        (
            document(json!({
                "transport": { "type": "ssh", "hops": hops },
                "credentials": { "type": "none", "user": "app" },
            })),
            vec![
                "transport.hops[1].auth[0].privateKey",
                "transport.hops[1].auth[0].passphrase",
                "transport.hops[1].auth[1].password",
            ],
        ),
        (
            document(json!({ "credentials": {
                "type": "certificate", "certificate": "-----BEGIN CERTIFICATE-----",
                "privateKey": secret, "passphrase": secret, "password": secret,
            } })),
            vec![
                "credentials.privateKey",
                "credentials.passphrase",
                "credentials.password",
            ],
        ),
        (
            document(json!({ "credentials": {
                "type": "certificate", "pkcs12": secret, "passphrase": secret, "password": secret,
            } })),
            vec![
                "credentials.pkcs12",
                "credentials.passphrase",
                "credentials.password",
            ],
        ),
        (
            entra(
                json!({ "type": "clientSecret", "tenantId": "t", "clientId": "c", "clientSecret": secret }),
            ),
            vec!["credentials.identity.clientSecret"],
        ),
        (
            entra(
                json!({ "type": "clientCertificate", "tenantId": "t", "clientId": "c",
                "pkcs12": secret, "passphrase": secret }),
            ),
            vec![
                "credentials.identity.pkcs12",
                "credentials.identity.passphrase",
            ],
        ),
    ]
}

#[test]
fn secrets_are_taken_in_and_never_given_out() {
    let command = json!({ "command": ["vault", "--token", MARKER] });
    for secret in [json!(MARKER), command] {
        for (document, missing) in documents(&secret) {
            let spec = ConnectionSpec::from_json(&document.to_string()).unwrap();
            assert_eq!(spec.missing_secrets(), [""; 0], "{document}");
            let (json, toml) = (spec.to_json().unwrap(), spec.to_toml().unwrap());
            for out in [
                &json,
                &toml,
                &format!("{spec:?}"),
                &format!("{:?}", spec.clone()),
            ] {
                assert!(!out.contains(MARKER), "{out}");
            }
            // What was written is a document, and incomplete.
            for spec in [
                ConnectionSpec::from_json(&json).unwrap(),
                ConnectionSpec::from_toml(&toml).unwrap(),
            ] {
                assert_eq!(spec.missing_secrets(), missing);
                let error = spec.build().unwrap_err();
                assert_eq!(error.code().name(), "spec-secret-missing");
                assert!(
                    error.to_string().starts_with(&format!("{}: ", missing[0])),
                    "{error}"
                );
                assert!(
                    missing.iter().all(|path| error.hint().contains(path)),
                    "{}",
                    error.hint()
                );
                assert_eq!(spec.to_json().unwrap(), json);
            }
            // Whatever comes of it.
            if let Err(error) = spec.build() {
                assert!(!shown(&error).contains(MARKER), "{error:?}");
            }
        }
    }
}

#[test]
fn references_stay() {
    for reference in [json!({ "env": "SECRET" }), json!({ "file": "secret" })] {
        for (document, _) in documents(&reference) {
            let spec = ConnectionSpec::from_json(&document.to_string()).unwrap();
            let written = serde_json::to_value(&spec).unwrap();
            assert_eq!(written["credentials"], document["credentials"]);
            let again = ConnectionSpec::from_toml(&spec.to_toml().unwrap()).unwrap();
            assert_eq!(again.missing_secrets(), [""; 0]);
        }
    }
}

#[test]
fn what_is_no_secret_is_refused_without_repeating_it() {
    let number: u64 = 4_815_162_342;
    for wrong in [
        json!(number),
        json!(-7),
        json!(4815.5),
        json!(true),
        json!([MARKER]),
        json!([[MARKER]]),
        json!({}),
        json!({ "value": MARKER }),
        json!({ MARKER: MARKER }),
        json!({ MARKER: { "env": MARKER } }),
        json!({ "env": MARKER }),
        json!({ "env": [MARKER] }),
        json!({ "env": { MARKER: MARKER } }),
        json!({ "env": "A", "file": MARKER }),
        json!({ "file": 7 }),
        json!({ "file": format!("{MARKER}\n") }),
        json!({ "file": "a", MARKER: MARKER }),
        json!({ "command": MARKER }),
        json!({ "command": [] }),
        json!({ "command": [MARKER, 7] }),
        json!({ "command": [MARKER, [MARKER]] }),
        json!(""),
        json!(format!("{MARKER}\0")),
    ] {
        let text = password(wrong).to_string();
        let error = ConnectionSpec::from_json(&text).unwrap_err();
        assert_eq!(error.code().name(), "spec-field", "{error}");
        assert!(
            error.to_string().starts_with("credentials.password"),
            "{error}"
        );
        let shown = shown(&error);
        assert!(
            !shown.contains(MARKER) && !shown.contains("4815"),
            "{shown}"
        );
        // Nor where serde alone is asked.
        let error = serde_json::from_str::<ConnectionSpec>(&text).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains(MARKER) && !shown.contains("4815"),
            "{shown}"
        );
    }
}

#[test]
fn a_name_that_may_be_a_secret_is_not_repeated() {
    let secret = format!("{{\"{MARKER}\":1,\"{MARKER}\":2}}");
    let text = password(json!("@")).to_string().replace("\"@\"", &secret);
    let error = ConnectionSpec::from_json(&text).unwrap_err();
    assert_eq!(error.to_string(), "credentials.password: has a field twice");
}

#[test]
fn secrets_are_given_by_their_paths() {
    let written = |document: &Value| {
        let spec = ConnectionSpec::from_json(&document.to_string()).unwrap();
        ConnectionSpec::from_json(&spec.to_json().unwrap()).unwrap()
    };
    for (document, missing) in documents(&json!(MARKER)) {
        let spec = missing.iter().fold(written(&document), |spec, path| {
            spec.with_secret(path, MARKER).unwrap()
        });
        assert_eq!(spec.missing_secrets(), [""; 0]);
        assert!(!format!("{spec:?}").contains(MARKER));
    }
    let spec = written(&password(json!(MARKER)));
    let error = spec
        .clone()
        .with_secret("credentials.pasword", MARKER)
        .unwrap_err();
    assert_eq!(error.code().name(), "spec-field");
    assert!(
        error.hint().contains("credentials.password"),
        "{}",
        error.hint()
    );
    assert!(!shown(&error).contains(MARKER));
    let wrong = SecretSource::Env(MARKER.to_owned());
    let error = spec
        .clone()
        .with_secret("credentials.password", wrong)
        .unwrap_err();
    assert!(
        error.to_string().starts_with("credentials.password.env: "),
        "{error}"
    );
    assert!(!shown(&error).contains(MARKER));
    assert!(
        spec.with_secret("credentials.password", SecretSource::Env("A".into()))
            .is_ok()
    );
    // An archive excludes what it holds.
    let certificate = document(json!({ "credentials": {
        "type": "certificate", "certificate": "-----BEGIN CERTIFICATE-----", "privateKey": MARKER,
    } }));
    let spec = ConnectionSpec::from_json(&certificate.to_string()).unwrap();
    let error = spec.with_secret("credentials.pkcs12", MARKER).unwrap_err();
    assert_eq!(error.code().name(), "spec-conflict");
}

/// Certificates are no secrets; the commands that print them are left out like theirs.
#[test]
fn certificates_by_command_are_missed_and_given_back() {
    let command = json!({ "command": ["vault", "--token", MARKER] });
    let hop = json!({ "host": "b", "user": "u", "auth": [
        { "type": "key", "privateKey": { "file": "key" }, "certificate": command },
    ] });
    let documents = [
        (
            document(json!({ "credentials": {
                "type": "certificate", "certificate": command, "privateKey": { "file": "key" },
            } })),
            "credentials.certificate",
        ),
        (
            document(json!({
                "transport": { "type": "ssh", "hops": [hop] },
                "credentials": { "type": "none", "user": "app" },
            })),
            "transport.hops[0].auth[0].certificate",
        ),
    ];
    for (document, path) in documents {
        let spec = ConnectionSpec::from_json(&document.to_string()).unwrap();
        assert_eq!(spec.missing_secrets(), [""; 0]);
        let json = spec.to_json().unwrap();
        assert!(!json.contains(MARKER), "{json}");
        let spec = ConnectionSpec::from_json(&json).unwrap();
        assert_eq!(spec.missing_secrets(), [path]);
        let key = "-----BEGIN PRIVATE KEY-----";
        let error = spec.clone().with_secret(path, key).unwrap_err();
        assert!(error.to_string().starts_with(path), "{error}");
        let spec = spec.with_secret(path, "a certificate").unwrap();
        assert_eq!(spec.missing_secrets(), [""; 0]);
        // Written as it is, from here on.
        assert!(spec.to_json().unwrap().contains("a certificate"));
    }
}

#[test]
fn a_certificate_takes_the_place_of_an_archive_that_is_absent() {
    let absent = document(json!({
        "credentials": { "type": "certificate" }, "absentSecrets": ["credentials.pkcs12"],
    }));
    let spec = ConnectionSpec::from_json(&absent.to_string()).unwrap();
    assert_eq!(spec.missing_secrets(), ["credentials.pkcs12"]);
    let spec = spec.with_secret("credentials.privateKey", MARKER).unwrap();
    assert_eq!(spec.missing_secrets(), ["credentials.certificate"]);
    let spec = spec.with_secret("credentials.certificate", "c").unwrap();
    assert_eq!(spec.missing_secrets(), [""; 0]);
    let strange = document(json!({
        "credentials": { "type": "none", "user": "u" }, "absentSecrets": ["credentials.password"],
    }));
    let error = ConnectionSpec::from_json(&strange.to_string()).unwrap_err();
    assert_eq!(error.code().name(), "spec-field");
    assert!(
        error.to_string().starts_with("absentSecrets[0]: "),
        "{error}"
    );
}
