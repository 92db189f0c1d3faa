//! Fields that exclude each other.

use serde_json::{Value, json};

use super::{MARKER, assert_refused, with};

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
            at(
                "/transport",
                json!({ "type": "tcp", "addressPolicy": { "allow": ["10.0.0.0/8"] } }),
            ),
            "transport.addressPolicy.allow",
        ),
        (
            ssh(
                "addressPolicy",
                json!({ "base": "all", "allow": ["10.0.0.0/8"] }),
            ),
            "transport.addressPolicy.allow",
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

/// What is presented, sent or bound over TLS alone, where there is none.
#[test]
fn what_needs_tls_is_refused_without() {
    let hop = json!({ "host": "b", "user": "u", "auth": [{ "type": "agent" }] });
    let ssh = json!({ "type": "ssh", "hops": [hop] });
    let unix = json!({ "type": "unix", "directory": "/run" });
    let socket = json!({ "host": "/run/postgresql" });
    let document = |parts: Value| {
        let mut document = with("/name", json!("a"));
        for (field, value) in parts.as_object().unwrap() {
            document[field] = value.clone();
        }
        document
            .as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
        document
    };
    let certificate = json!({ "type": "certificate", "certificate": "c", "privateKey": MARKER });
    let entra = json!({ "type": "entra", "identity": { "type": "azureCli" } });
    let bound = json!({ "channelBinding": "require" });
    let mut cases = vec![
        (
            json!({ "transport": ssh, "endpoint": socket, "tls": {} }),
            "tls",
        ),
        (
            json!({ "transport": ssh, "endpoint": null, "endpoints": [{ "host": "a" }, socket],
                "tls": { "mode": "verify-full" } }),
            "tls",
        ),
        (
            json!({ "session": bound, "tls": { "mode": "disable" } }),
            "session.channelBinding",
        ),
    ];
    for mode in ["disable", "allow", "prefer"] {
        cases.push((
            json!({ "credentials": certificate, "tls": { "mode": mode } }),
            "tls.mode",
        ));
    }
    for (transport, endpoint) in [(ssh.clone(), socket.clone()), (unix, Value::Null)] {
        for credentials in [&certificate, &entra] {
            cases.push((
                json!({ "transport": transport, "endpoint": endpoint, "credentials": credentials }),
                "credentials.type",
            ));
        }
        cases.push((
            json!({ "transport": transport, "endpoint": endpoint, "session": bound }),
            "session.channelBinding",
        ));
    }
    for (parts, path) in cases {
        assert_refused(&document(parts), "spec-conflict", path);
    }
    for parts in [
        json!({ "transport": ssh, "credentials": certificate }),
        json!({ "credentials": certificate, "tls": { "mode": "require" } }),
        json!({ "session": bound, "tls": { "mode": "prefer" } }),
        json!({ "transport": ssh, "endpoint": socket }),
    ] {
        let text = document(parts).to_string();
        pgreach::ConnectionSpec::from_json(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}
