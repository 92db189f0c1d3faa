//! Documents that are wrong: which code, which path, and never a value.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use pgreach::{ConnectionSpec, ErrorKind};
use serde_json::{Value, json};

/// What stands in the place of values and must not be repeated.
const MARKER: &str = "hunter2";

fn with(path: &str, value: Value) -> Value {
    let mut document = json!({
        "name": "orders",
        "endpoint": { "host": "db.example.com" },
        "credentials": { "type": "password", "user": "app", "password": MARKER },
    });
    *document.pointer_mut(path).unwrap_or(&mut Value::Null) = Value::Null;
    let (parent, field) = path.rsplit_once('/').unwrap();
    let mut place = &mut document;
    for name in parent.split('/').skip(1) {
        place = place
            .as_object_mut()
            .unwrap()
            .entry(name)
            .or_insert_with(|| json!({}));
    }
    place[field] = value;
    document
}

fn assert_refused(document: &Value, code: &str, path: &str) {
    let json = document.to_string();
    let mut errors = vec![ConnectionSpec::from_json(&json).map(drop).unwrap_err()];
    // The same words from TOML, which has no null.
    if !json.contains("null") {
        let toml = toml::to_string(&document).unwrap();
        errors.push(ConnectionSpec::from_toml(&toml).map(drop).unwrap_err());
        assert_eq!(errors[0].to_string(), errors[1].to_string());
    }
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert_eq!(error.code().name(), code, "{json}: {error}");
        let message = error.to_string();
        assert!(
            message.starts_with(&format!("{path}: ")),
            "{json}: {message}, not {path}"
        );
        assert!(
            !format!("{error:?} {message}").contains(MARKER),
            "{error:?}"
        );
    }
    // Other deserialisers repeat no value, either.
    let error = serde_json::from_value::<ConnectionSpec>(document.clone()).unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with(&format!("{path}: ")), "{message}");
    assert!(
        !message.contains(MARKER) && !message.contains(char::is_control),
        "{message}"
    );
}

#[test]
fn fields_that_are_wrong() {
    let endpoint = |field: &str, value: Value| (format!("/endpoint/{field}"), value);
    let hop = |value: Value| {
        (
            "/transport".to_owned(),
            json!({ "type": "ssh", "hops": [value] }),
        )
    };
    let auth = |value: Value| {
        let hop = json!({ "host": "b", "user": "u", "auth": [{ "type": "agent" }, value] });
        (
            "/transport".to_owned(),
            json!({ "type": "ssh", "hops": [hop] }),
        )
    };
    let keys = |value: Value| {
        let hop =
            json!({ "host": "b", "user": "u", "auth": [{ "type": "agent" }], "hostKeys": value });
        (
            "/transport".to_owned(),
            json!({ "type": "ssh", "hops": [hop] }),
        )
    };
    let at = |path: &str, value: Value| (path.to_owned(), value);
    let cases = [
        (at("/name", json!(null)), "name"),
        (at("/name", json!("")), "name"),
        (at("/name", json!(" ")), "name"),
        (at("/name", json!(7)), "name"),
        (at("/name", json!("ü".repeat(129))), "name"),
        (at("/description", json!("ü".repeat(257))), "description"),
        (at("/description", json!([MARKER])), "description"),
        (at("/database", json!("")), "database"),
        (at("/database", json!("a\0b")), "database"),
        (at("/hunter1", json!(1)), "hunter1"),
        (at("/endpoint", json!(null)), "endpoint"),
        (at("/endpoint", json!(MARKER)), "endpoint"),
        (at("/endpoint", json!([MARKER])), "endpoint"),
        (endpoint("host", json!(null)), "endpoint.host"),
        (endpoint("host", json!("")), "endpoint.host"),
        (endpoint("host", json!("hunter2:5432")), "endpoint.host"),
        (endpoint("host", json!("app@hunter2")), "endpoint.host"),
        (endpoint("port", json!(0)), "endpoint.port"),
        (endpoint("port", json!(65536)), "endpoint.port"),
        (endpoint("port", json!(-1)), "endpoint.port"),
        (endpoint("port", json!(1.5)), "endpoint.port"),
        (endpoint("port", json!(MARKER)), "endpoint.port"),
        (endpoint("hostaddr", json!(MARKER)), "endpoint.hostaddr"),
        (endpoint("user", json!(MARKER)), "endpoint.user"),
        (at("/transport", json!(MARKER)), "transport"),
        (at("/transport", json!({})), "transport.type"),
        (
            at("/transport", json!({ "type": MARKER })),
            "transport.type",
        ),
        (
            at("/transport", json!({ "type": "agent" })),
            "transport.type",
        ),
        (
            at("/transport", json!({ "type": "privateEndpoint" })),
            "transport.type",
        ),
        (
            at("/transport", json!({ "type": "unix" })),
            "transport.directory",
        ),
        (at("/transport", json!({ "type": "ssh" })), "transport.hops"),
        (
            at("/transport", json!({ "type": "ssh", "hops": [] })),
            "transport.hops",
        ),
        (
            at(
                "/transport",
                json!({ "type": "tcp", "addressPolicy": { "base": MARKER } }),
            ),
            "transport.addressPolicy.base",
        ),
        (
            at(
                "/transport",
                json!({ "type": "tcp", "addressPolicy": { "allow": ["10.0.0.0/8", MARKER] } }),
            ),
            "transport.addressPolicy.allow[1]",
        ),
        (
            hop(json!({ "user": "u", "auth": [] })),
            "transport.hops[0].host",
        ),
        (
            hop(json!({ "host": "b", "auth": [] })),
            "transport.hops[0].user",
        ),
        (
            hop(json!({ "host": "b", "user": "u" })),
            "transport.hops[0].auth",
        ),
        (
            hop(json!({ "host": "b", "user": "u", "auth": [] })),
            "transport.hops[0].auth",
        ),
        (
            hop(json!({ "host": "b c", "user": "u", "auth": [{ "type": "agent" }] })),
            "transport.hops[0].host",
        ),
        (
            hop(json!({ "host": "b", "port": MARKER, "user": "u", "auth": [] })),
            "transport.hops[0].port",
        ),
        (
            auth(json!({ "type": MARKER })),
            "transport.hops[0].auth[1].type",
        ),
        (
            auth(json!({ "type": "key", "privateKey": 7 })),
            "transport.hops[0].auth[1].privateKey",
        ),
        (
            auth(json!({ "type": "key", "certificate": "-----BEGIN PRIVATE KEY-----" })),
            "transport.hops[0].auth[1].certificate",
        ),
        (
            auth(json!({ "type": "password", "password": "" })),
            "transport.hops[0].auth[1].password",
        ),
        (
            keys(json!({ "type": "fingerprints" })),
            "transport.hops[0].hostKeys.fingerprints",
        ),
        (
            keys(json!({ "type": "fingerprints", "fingerprints": [] })),
            "transport.hops[0].hostKeys.fingerprints",
        ),
        (
            keys(json!({ "type": "fingerprints", "fingerprints": [7] })),
            "transport.hops[0].hostKeys.fingerprints[0]",
        ),
        (
            keys(json!({ "type": "acceptNew" })),
            "transport.hops[0].hostKeys.file",
        ),
        (at("/tls", json!({ "mode": "verify_full" })), "tls.mode"),
        (at("/tls", json!({ "mode": MARKER })), "tls.mode"),
        (at("/tls", json!({ "roots": MARKER })), "tls.roots"),
        (at("/tls", json!({ "roots": {} })), "tls.roots"),
        (
            at("/tls", json!({ "roots": { "pem": 7 } })),
            "tls.roots.pem",
        ),
        (
            at(
                "/tls",
                json!({ "roots": { "pem": "-----BEGIN RSA PRIVATE KEY----- hunter2" } }),
            ),
            "tls.roots.pem",
        ),
        (at("/tls", json!({ "minVersion": "1.2" })), "tls.minVersion"),
        (at("/credentials", json!(null)), "credentials"),
        (
            at("/credentials", json!({ "type": "password" })),
            "credentials.user",
        ),
        (
            at(
                "/credentials",
                json!({ "type": "kerberos", "user": MARKER }),
            ),
            "credentials.type",
        ),
        (
            at("/credentials", json!({ "type": "none", "user": "" })),
            "credentials.user",
        ),
        (
            at("/credentials", json!({ "type": "entra" })),
            "credentials.identity",
        ),
        (
            at(
                "/credentials",
                json!({ "type": "entra", "identity": { "type": "userAssigned" } }),
            ),
            "credentials.identity.clientId",
        ),
        (
            at(
                "/credentials",
                json!({ "type": "entra", "identity": { "type": "clientSecret", "clientId": "c" } }),
            ),
            "credentials.identity.tenantId",
        ),
        (
            at(
                "/credentials",
                json!({ "type": "entra", "identity": { "type": "azureCli" }, "cloud": MARKER }),
            ),
            "credentials.cloud",
        ),
        (
            at(
                "/credentials",
                json!({ "type": "entra", "identity": { "type": "azureCli" },
            "cloud": { "authority": "http://hunter2", "scope": "s" } }),
            ),
            "credentials.cloud.authority",
        ),
        (
            at("/session", json!({ "requireAuth": MARKER })),
            "session.requireAuth",
        ),
        (
            at("/session", json!({ "parameters": { "a b": MARKER } })),
            "session.parameters.a b",
        ),
        (
            at("/session", json!({ "parameters": { "a": 7 } })),
            "session.parameters.a",
        ),
        (
            at("/session", json!({ "targetSessionAttrs": MARKER })),
            "session.targetSessionAttrs",
        ),
        (
            at("/limits", json!({ "connectTimeout": 0 })),
            "limits.connectTimeout",
        ),
        (
            at("/limits", json!({ "connectTimeout": MARKER })),
            "limits.connectTimeout",
        ),
        (
            at("/limits", json!({ "connectTimeout": 31_536_001 })),
            "limits.connectTimeout",
        ),
        (
            at("/limits", json!({ "maxMessageSize": 1 })),
            "limits.maxMessageSize",
        ),
        (
            at("/limits", json!({ "maxMessageSize": 1_073_741_825 })),
            "limits.maxMessageSize",
        ),
    ];
    for ((place, value), path) in cases {
        assert_refused(&with(&place, value), "spec-field", path);
    }
}

#[test]
fn fields_that_exclude_each_other() {
    let ssh = |field: &str, value: Value| {
        let hop = json!({ "host": "b", "user": "u", "auth": [{ "type": "agent" }] });
        let mut transport = json!({ "type": "ssh", "hops": [hop] });
        transport[field] = value;
        ("/transport".to_owned(), transport)
    };
    let auth = |value: Value| {
        let hop = json!({ "host": "b", "user": "u", "auth": [value] });
        (
            "/transport".to_owned(),
            json!({ "type": "ssh", "hops": [hop] }),
        )
    };
    let keys = |value: Value| {
        let hop =
            json!({ "host": "b", "user": "u", "auth": [{ "type": "agent" }], "hostKeys": value });
        (
            "/transport".to_owned(),
            json!({ "type": "ssh", "hops": [hop] }),
        )
    };
    let at = |path: &str, value: Value| (path.to_owned(), value);
    let tls = |value: Value| ("/tls".to_owned(), value);
    let credentials = |value: Value| ("/credentials".to_owned(), value);
    let identity = |value: Value| {
        let entra = json!({ "type": "entra", "identity": value });
        ("/credentials".to_owned(), entra)
    };
    let pem = json!({ "pem": "-----BEGIN CERTIFICATE-----" });
    let cases = [
        (
            at("/transport", json!({ "type": "tcp", "hops": [] })),
            "transport.hops",
        ),
        (
            at("/transport", json!({ "type": "tcp", "directory": "/run" })),
            "transport.directory",
        ),
        (
            at("/transport", json!({ "type": "unix", "directory": "/run" })),
            "endpoint",
        ),
        (
            at(
                "/transport",
                json!({ "type": "unix", "directory": "/run", "addressPolicy": {} }),
            ),
            "transport.addressPolicy",
        ),
        (ssh("directory", json!("/run")), "transport.directory"),
        (ssh("port", json!(22)), "transport.port"),
        (
            auth(json!({ "type": "agent", "password": MARKER })),
            "transport.hops[0].auth[0].password",
        ),
        (
            auth(json!({ "type": "key", "privateKey": MARKER, "socket": "s" })),
            "transport.hops[0].auth[0].socket",
        ),
        (
            auth(json!({ "type": "password", "password": MARKER, "privateKey": MARKER })),
            "transport.hops[0].auth[0].privateKey",
        ),
        (
            keys(json!({ "type": "knownHosts", "file": "f", "text": "t" })),
            "transport.hops[0].hostKeys.text",
        ),
        (
            keys(json!({ "type": "dangerousAcceptAny", "file": "f" })),
            "transport.hops[0].hostKeys.file",
        ),
        (
            at("/endpoint", json!({ "host": "/run/postgresql" })),
            "endpoint.host",
        ),
        (at("/endpoints", json!([{ "host": "b" }])), "endpoints"),
        (
            tls(json!({ "mode": "disable", "roots": "system" })),
            "tls.roots",
        ),
        (tls(json!({ "mode": "disable", "crl": "f" })), "tls.crl"),
        (
            tls(json!({ "mode": "disable", "minVersion": "TLSv1.3" })),
            "tls.minVersion",
        ),
        (
            tls(json!({ "mode": "disable", "negotiation": "postgres" })),
            "tls.negotiation",
        ),
        (tls(json!({ "mode": "require", "roots": pem })), "tls.roots"),
        (tls(json!({ "mode": "prefer", "crl": "f" })), "tls.crl"),
        (
            tls(json!({ "mode": "prefer", "negotiation": "direct" })),
            "tls.negotiation",
        ),
        (tls(json!({ "mode": "verify-ca" })), "tls.roots"),
        (
            tls(json!({ "mode": "verify-ca", "roots": "system" })),
            "tls.roots",
        ),
        (
            tls(json!({ "roots": { "pem": "p", "file": "f" } })),
            "tls.roots.file",
        ),
        (
            tls(json!({ "minVersion": "TLSv1.3", "maxVersion": "TLSv1.2" })),
            "tls.maxVersion",
        ),
        (tls(json!({ "maxVersion": "TLSv1.1" })), "tls.maxVersion"),
        (
            credentials(json!({ "type": "none", "user": "u", "password": MARKER })),
            "credentials.password",
        ),
        (
            credentials(json!({ "type": "password", "user": "u", "file": "f" })),
            "credentials.file",
        ),
        (
            credentials(json!({ "type": "passfile", "user": "u", "pkcs12": MARKER })),
            "credentials.pkcs12",
        ),
        (
            credentials(json!({ "type": "certificate", "pkcs12": MARKER, "privateKey": MARKER })),
            "credentials.pkcs12",
        ),
        (
            credentials(json!({ "type": "certificate", "pkcs12": MARKER, "certificate": "c" })),
            "credentials.pkcs12",
        ),
        (
            credentials(json!({ "type": "certificate", "identity": { "type": "azureCli" } })),
            "credentials.identity",
        ),
        (
            identity(json!({ "type": "userAssigned", "clientId": "c", "objectId": "o" })),
            "credentials.identity.objectId",
        ),
        (
            identity(json!({ "type": "azureCli", "clientSecret": MARKER })),
            "credentials.identity.clientSecret",
        ),
        (
            identity(
                json!({ "type": "clientSecret", "tenantId": "t", "clientId": "c", "pkcs12": MARKER }),
            ),
            "credentials.identity.pkcs12",
        ),
    ];
    for ((place, value), path) in cases {
        assert_refused(&with(&place, value), "spec-conflict", path);
    }
    let entra = |extra: Value| {
        let mut document = with(
            "/credentials",
            json!({ "type": "entra", "user": "u", "identity": { "type": "azureCli" } }),
        );
        for (field, value) in extra.as_object().unwrap() {
            document[field] = value.clone();
        }
        document
            .as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
        document
    };
    for mode in ["disable", "allow", "prefer", "require"] {
        assert_refused(
            &entra(json!({ "tls": { "mode": mode } })),
            "spec-conflict",
            "tls.mode",
        );
    }
    let socket = json!({ "transport": { "type": "unix", "directory": "/run" }, "endpoint": null });
    assert_refused(&entra(socket), "spec-conflict", "credentials.type");
    let socket = |endpoint: Value, tls: Value| {
        let mut document = with("/transport", json!({ "type": "unix", "directory": "/run" }));
        document["endpoint"] = endpoint;
        document["tls"] = tls;
        document
            .as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
        document
    };
    let address = json!({ "host": "db", "hostaddr": "10.0.0.1" });
    assert_refused(
        &socket(address, json!(null)),
        "spec-conflict",
        "endpoint.hostaddr",
    );
    let tls = json!({ "mode": "verify-full" });
    assert_refused(&socket(json!(null), tls), "spec-conflict", "tls");
}

#[test]
fn an_unknown_type_lists_the_known_ones() {
    let document = with("/transport", json!({ "type": "privateEndpoint" }));
    let error = ConnectionSpec::from_json(&document.to_string()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "transport.type: must be one of tcp, unix, ssh"
    );
    let document = with("/limits", json!({ "conectTimeout": 1 }));
    let error = ConnectionSpec::from_json(&document.to_string()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "limits.conectTimeout: there is no such field; there are connectTimeout, maxMessageSize"
    );
}

#[test]
fn fields_that_are_given_twice() {
    for (text, path) in [
        (r#"{"name":"a","name":"b"}"#, "name"),
        (
            r#"{"name":"a","limits":{"connectTimeout":1,"connect_timeout":2}}"#,
            "limits.connectTimeout",
        ),
        (
            r#"{"name":"a","session":{"parameters":{"a":"1","a":"2"}}}"#,
            "session.parameters.a",
        ),
    ] {
        let error = ConnectionSpec::from_json(text).unwrap_err();
        assert_eq!(error.to_string(), format!("{path}: is given twice"));
    }
}

#[test]
fn what_is_no_document_is_told_with_its_place() {
    for (text, place) in [
        ("", "line 1 column 0"),
        ("{", "line 1 column 1"),
        ("{\n  \"name\": \"hunter2\",\n}", "line 3 column 1"),
        ("{\"name\": hunter2}", "line 1 column 10"),
        ("{\"name\": \"hunter2\\x\"}", "line 1 column 19"),
    ] {
        let error = ConnectionSpec::from_json(text).unwrap_err();
        assert_eq!(error.code().name(), "spec-syntax");
        assert!(error.to_string().ends_with(place), "{error}");
        assert!(!format!("{error:?}").contains(MARKER), "{error:?}");
    }
    for (text, place) in [
        ("name = ", "line 1 column 8"),
        ("name = 'a'\npassword = hunter2", "line 2 column 12"),
        ("name = 'hunter2", "line 1 column 16"),
        ("[a]\n[a]\n", "line 2 column 2"),
    ] {
        let error = ConnectionSpec::from_toml(text).unwrap_err();
        assert_eq!(error.code().name(), "spec-syntax");
        assert!(error.to_string().ends_with(place), "{error}");
        assert!(!format!("{error:?}").contains(MARKER), "{error:?}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in [deep.clone(), format!("{{\"name\":{deep}}}")] {
        assert!(ConnectionSpec::from_json(&text).is_err());
        assert!(ConnectionSpec::from_toml(&format!("name = {text}")).is_err());
    }
    let error = ConnectionSpec::from_toml("name = 1979-05-27").unwrap_err();
    assert!(
        error.to_string().starts_with("name: must be a text"),
        "{error}"
    );
}
