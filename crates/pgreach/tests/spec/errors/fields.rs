//! Fields whose values cannot be used.

use serde_json::{Value, json};

use super::{MARKER, assert_refused, with};

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
            at(
                "/transport",
                json!({ "type": "tcp", "addressPolicy": { "base": "none" } }),
            ),
            "transport.addressPolicy.allow",
        ),
        (
            hop(json!({ "user": "u", "auth": [] })),
            "transport.hops[0].host",
        ),
        (
            hop(json!({ "host": "b", "user": "u\u{7}hunter2", "auth": [{ "type": "agent" }] })),
            "transport.hops[0].user",
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
            at("/limits", json!({ "connectTimeout": 3601 })),
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

/// One more than there may be of everything, and what is allowed beside it.
#[test]
fn documents_have_bounds() {
    let hop = json!({ "host": "b", "user": "u", "auth": [{ "type": "agent" }] });
    let hops = |number: usize| json!({ "type": "ssh", "hops": vec![&hop; number] });
    let auth = |number: usize| {
        let auth = vec![json!({ "type": "agent" }); number];
        let hop = json!({ "host": "b", "user": "u", "auth": auth });
        json!({ "type": "ssh", "hops": [&hop] })
    };
    let text = |length: usize| "x".repeat(length);
    let parameters = |number: usize| {
        let parameters = (0..number).map(|i| (format!("a.p{i}"), json!("1")));
        json!({ "parameters": parameters.collect::<serde_json::Map<_, _>>() })
    };
    let tls = |length: usize| json!({ "roots": { "pem": text(length) } });
    let password = |value: Value| json!({ "type": "password", "user": "app", "password": value });
    let long = 1 << 16;
    let pem = 1 << 20;
    let cases = [
        ("/transport", hops(8), hops(9), "transport.hops"),
        ("/transport", auth(8), auth(9), "transport.hops[0].auth"),
        (
            "/session",
            parameters(64),
            parameters(65),
            "session.parameters",
        ),
        (
            "/session",
            json!({ "parameters": { "a": text(long) } }),
            json!({ "parameters": { "a": text(long + 1) } }),
            "session.parameters.a",
        ),
        (
            "/session",
            json!({ "parameters": { text(63): "1" } }),
            json!({ "parameters": { text(64): "1" } }),
            "session.parameters",
        ),
        (
            "/database",
            json!(text(long)),
            json!(text(long + 1)),
            "database",
        ),
        (
            "/$schema",
            json!(text(long)),
            json!(text(long + 1)),
            "$schema",
        ),
        ("/tls", tls(pem), tls(pem + 1), "tls.roots.pem"),
        (
            "/credentials",
            password(json!(text(pem))),
            password(json!(text(pem + 1))),
            "credentials.password",
        ),
        (
            "/credentials",
            password(json!({ "command": vec!["a"; 64] })),
            password(json!({ "command": vec!["a"; 65] })),
            "credentials.password",
        ),
        (
            "/limits",
            json!({ "connectTimeout": 3600 }),
            json!({ "connectTimeout": "61m" }),
            "limits.connectTimeout",
        ),
    ];
    for (place, most, more, path) in cases {
        let most = with(place, most).to_string();
        pgreach::ConnectionSpec::from_json(&most).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_refused(&with(place, more), "spec-field", path);
    }
    let endpoints = |number: usize| {
        let mut document = with("/endpoints", json!(vec![json!({ "host": "b" }); number]));
        document.as_object_mut().unwrap().remove("endpoint");
        document
    };
    pgreach::ConnectionSpec::from_json(&endpoints(32).to_string()).unwrap();
    assert_refused(&endpoints(33), "spec-field", "endpoints");
}

#[test]
fn a_secret_in_the_place_of_a_name_is_shown_in_part_at_most() {
    let long = "s".repeat(200);
    for (place, value) in [
        (
            "/session",
            json!({ "parameters": { long.clone() + " ": "1" } }),
        ),
        ("/session", json!({ "parameters": { long.clone(): "1" } })),
        ("/session", json!({ "parameters": { long.clone(): 7 } })),
        ("/limits", json!({ long.clone(): 1 })),
    ] {
        let text = with(place, value).to_string();
        let error = pgreach::ConnectionSpec::from_json(&text).unwrap_err();
        assert!(!error.to_string().contains(&long[..41]), "{error}");
    }
}
