//! Documents that are right: what they mean, and that they stay so when written and read again.

use std::path::Path;

use pgreach::prelude::*;
use pgreach::{ConnectionSpec, Connector};
use serde_json::{Value, json};

/// Stays in a document, unlike the `null` that takes a field away.
const NULL: &str = "<null>";

/// A document with `fields` added to a sound one; `null` takes a field away.
fn with(fields: Value) -> Value {
    let mut document = json!({
        "name": "orders",
        "endpoint": { "host": "db.example.com" },
        "credentials": { "type": "none", "user": "app" },
    });
    for (name, value) in fields.as_object().unwrap() {
        match value {
            Value::Null => document.as_object_mut().unwrap().remove(name),
            value => document
                .as_object_mut()
                .unwrap()
                .insert(name.clone(), value.clone()),
        };
    }
    document
}

fn read(document: &Value) -> ConnectionSpec {
    ConnectionSpec::from_json(&document.to_string())
        .unwrap_or_else(|error| panic!("{document}: {error}"))
}

/// Every field and every form of it that is written as it was read.
fn documents() -> Vec<Value> {
    let hop = |auth: Value, host_keys: Value| {
        json!({
            "transport": { "type": "ssh", "hops": [
                { "host": "bastion.example.com", "user": "tunnel", "auth": [auth], "hostKeys": host_keys },
            ]},
        })
    };
    let agent = json!({ "type": "agent" });
    let any = json!({ "type": "dangerousAcceptAny" });
    let entra = |identity: Value| json!({ "credentials": { "type": "entra", "user": "app", "identity": identity } });
    [
        json!({}),
        json!({ "$schema": "connection-spec.json", "description": "ü".repeat(256), "database": "o" }),
        json!({ "name": "ü".repeat(128) }),
        json!({ "transport": { "type": "tcp" } }),
        json!({ "transport": { "type": "tcp", "addressPolicy": {
            "base": "public", "allow": ["10.1.0.0/16"], "deny": ["2001:db8::/32"] } } }),
        json!({ "transport": { "type": "unix", "directory": "/run/postgresql" }, "endpoint": null }),
        json!({ "transport": { "type": "unix", "directory": "/run", "port": 1 }, "endpoint": null }),
        json!({ "endpoint": { "host": "db", "port": 65535, "hostaddr": "10.0.0.1" } }),
        json!({ "endpoint": { "host": "db", "hostaddr": "2001:db8::1" } }),
        json!({ "endpoint": null, "endpoints": [{ "host": "a" }, { "host": "b", "port": 1 }] }),
        hop(agent.clone(), any.clone()),
        hop(json!({ "type": "agent", "socket": "/run/agent" }), any.clone()),
        hop(json!({ "type": "password", "password": { "env": "SECRET" } }), any.clone()),
        hop(json!({ "type": "key", "privateKey": { "file": "key" }, "passphrase": { "env": "P" },
            "certificate": "ssh-ed25519-cert-v01@openssh.com AAAA" }), any.clone()),
        hop(agent.clone(), json!({ "type": "knownHosts" })),
        hop(agent.clone(), json!({ "type": "knownHosts", "file": "known_hosts" })),
        hop(agent.clone(), json!({ "type": "knownHosts", "text": "host ssh-ed25519 AAAA" })),
        hop(agent.clone(), json!({ "type": "fingerprints", "fingerprints": ["SHA256:x"] })),
        hop(agent.clone(), json!({ "type": "authority", "keys": ["ssh-ed25519 AAAA"] })),
        hop(agent.clone(), json!({ "type": "acceptNew", "file": "known_hosts" })),
        json!({ "transport": { "type": "ssh", "addressPolicy": { "base": "none", "allow": ["10.0.0.1/32"] },
            "hops": [
                { "host": "a", "port": 2222, "user": "u", "auth": [agent] },
                { "host": "b", "user": "v", "auth": [agent, { "type": "password", "password": { "env": "S" } }] },
            ] }, "endpoint": { "host": "/run/postgresql" } }),
        json!({ "tls": { "mode": "disable" } }),
        json!({ "tls": { "mode": "allow" } }),
        json!({ "tls": { "mode": "prefer" } }),
        json!({ "tls": { "mode": "require", "negotiation": "direct" } }),
        json!({ "tls": { "mode": "verify-ca", "roots": { "file": "root.crt" } } }),
        json!({ "tls": { "roots": "system", "crl": "root.crl" } }),
        json!({ "tls": { "mode": "verify-full", "roots": { "pem": "-----BEGIN CERTIFICATE-----" },
            "minVersion": "TLSv1.2", "maxVersion": "TLSv1.3", "negotiation": "postgres" } }),
        json!({ "tls": { "minVersion": "TLSv1", "maxVersion": "TLSv1.1" } }),
        json!({ "credentials": { "type": "password", "user": "app", "password": { "env": "S" } } }),
        json!({ "credentials": { "type": "password", "user": "app", "password": { "file": "s" } } }),
        json!({ "credentials": { "type": "passfile", "user": "app" } }),
        json!({ "credentials": { "type": "passfile", "user": "app", "file": "pgpass" } }),
        json!({ "credentials": { "type": "certificate", "certificate": "-----BEGIN CERTIFICATE-----",
            "privateKey": { "file": "key" }, "passphrase": { "env": "P" }, "password": { "env": "S" } } }),
        json!({ "credentials": { "type": "certificate", "user": "app", "certificate": { "file": "c" },
            "privateKey": { "file": "key" } } }),
        json!({ "credentials": { "type": "certificate", "user": "app", "pkcs12": { "file": "archive" } } }),
        entra(json!({ "type": "systemAssigned" })),
        entra(json!({ "type": "userAssigned", "clientId": "c" })),
        entra(json!({ "type": "userAssigned", "objectId": "o" })),
        entra(json!({ "type": "userAssigned", "resourceId": "r" })),
        entra(json!({ "type": "workloadIdentity" })),
        entra(json!({ "type": "clientSecret", "tenantId": "t", "clientId": "c", "clientSecret": { "env": "S" } })),
        entra(json!({ "type": "clientCertificate", "tenantId": "t", "clientId": "c",
            "pkcs12": { "file": "archive" }, "passphrase": { "env": "P" } })),
        entra(json!({ "type": "azureCli" })),
        entra(json!({ "type": "developerTools" })),
        json!({ "credentials": { "type": "entra", "identity": { "type": "azureCli" }, "cloud": "china" } }),
        json!({ "credentials": { "type": "entra", "identity": { "type": "azureCli" },
            "cloud": { "authority": "https://login.example", "scope": "s" } } }),
        json!({ "session": { "applicationName": "a", "options": "-c a=1", "parameters": { "b.c": "2" },
            "targetSessionAttrs": "prefer-standby", "loadBalanceHosts": "random",
            "requireAuth": "scram-sha-256,none", "channelBinding": "require" } }),
        json!({ "limits": { "connectTimeout": 30, "maxMessageSize": 65536 } }),
        json!({ "limits": { "connectTimeout": "1500ms" } }),
    ]
    .map(with)
    .to_vec()
}

#[test]
fn documents_are_written_as_they_were_read() {
    for document in documents() {
        let spec = read(&document);
        let mut expected = document.clone();
        // What is a default and written out all the same.
        if expected.get("transport").is_none() {
            expected["transport"] = json!({ "type": "tcp" });
        }
        let written: Value = serde_json::from_str(&spec.to_json().unwrap()).unwrap();
        assert_eq!(written, expected);
        let toml = spec.to_toml().unwrap();
        let again = ConnectionSpec::from_toml(&toml)
            .unwrap_or_else(|error| panic!("{error} in the TOML of {document}:\n{toml}"));
        assert_eq!(serde_json::to_value(&again).unwrap(), expected, "{toml}");
        // As a part of another document.
        let wrapped: Vec<ConnectionSpec> = serde_json::from_value(json!([document])).unwrap();
        assert_eq!(serde_json::to_value(&wrapped[0]).unwrap(), expected);
    }
}

#[test]
fn other_spellings_mean_the_same() {
    let cases = [
        (
            json!({ "limits": { "connect_timeout": "2m", "max_message_size": 65536 } }),
            json!({ "limits": { "connectTimeout": 120, "maxMessageSize": 65536 } }),
        ),
        (
            json!({ "session": { "application_name": "a", "require_auth": null } }),
            json!({ "session": { "applicationName": "a" } }),
        ),
        (
            json!({ "transport": { "type": "ssh", "hops": [{ "host": "a", "user": "u", "auth": [{ "type": "agent" }],
                "host_keys": { "type": "known_hosts" } }] } }),
            json!({ "transport": { "type": "ssh", "hops": [{ "host": "a", "user": "u", "auth": [{ "type": "agent" }],
                "hostKeys": { "type": "knownHosts" } }] } }),
        ),
        (
            json!({ "limits": {}, "session": {}, "tls": null }),
            json!({}),
        ),
        (
            json!({ "$schema": NULL, "description": NULL, "database": NULL, "transport": NULL,
                "endpoints": NULL, "tls": NULL, "session": NULL, "limits": NULL,
                "absentSecrets": NULL }),
            json!({}),
        ),
        (
            json!({ "session": { "applicationName": NULL, "options": NULL, "parameters": NULL,
                "targetSessionAttrs": NULL, "loadBalanceHosts": NULL, "requireAuth": NULL,
                "channelBinding": NULL }, "limits": { "connectTimeout": NULL } }),
            json!({}),
        ),
        (
            json!({ "transport": { "type": "tcp", "hops": NULL,
                "addressPolicy": { "base": NULL, "allow": NULL, "deny": NULL } } }),
            json!({ "transport": { "type": "tcp", "addressPolicy": {} } }),
        ),
    ];
    for (given, meant) in cases {
        let given = with(given).to_string().replace("\"<null>\"", "null");
        let given: Value = serde_json::from_str(&given).unwrap();
        let given = serde_json::to_value(read(&given)).unwrap();
        assert_eq!(given, serde_json::to_value(read(&with(meant))).unwrap());
    }
    // Parameters are names of PostgreSQL's, not ours.
    let spec = read(&with(
        json!({ "session": { "parameters": { "statement_timeout": "5s" } } }),
    ));
    let written = serde_json::to_value(&spec).unwrap();
    assert_eq!(
        written["session"]["parameters"],
        json!({ "statement_timeout": "5s" })
    );
}

#[test]
fn the_route_is_the_documents() {
    let cases = [
        (json!({}), "tcp to db.example.com:5432"),
        (
            json!({ "endpoint": null, "endpoints": [{ "host": "::1" }, { "host": "b", "port": 1 }] }),
            "tcp to [::1]:5432",
        ),
        (
            json!({ "transport": { "type": "unix", "directory": "/run" }, "endpoint": null }),
            "/run/.s.PGSQL.5432",
        ),
    ];
    for (fields, route) in cases {
        let connector = read(&with(fields)).build().unwrap();
        assert!(connector.route().contains(route), "{}", connector.route());
    }
    let spec = read(&with(json!({ "description": "d", "database": "o" })));
    assert_eq!(
        (
            spec.name(),
            spec.description(),
            spec.database(),
            spec.user()
        ),
        ("orders", Some("d"), Some("o"), Some("app"))
    );
}

/// Nothing is dialled: the policy refuses the address before.
#[tokio::test]
async fn addresses_are_the_documents_unless_the_program_says_otherwise() {
    let to = |policy: Value| {
        read(&with(json!({
            "endpoint": { "host": "127.0.0.1", "port": 1 },
            "transport": { "type": "tcp", "addressPolicy": policy },
        })))
    };
    let kind = async |spec: ConnectionSpec| {
        let error = spec.build().unwrap().connect().await.unwrap_err();
        error.kind()
    };
    let public = json!({ "base": "public" });
    let open = json!({ "base": "public", "allow": ["127.0.0.0/8"] });
    let denied = json!({ "deny": ["127.0.0.0/8"] });
    let listed = json!({ "base": "none", "allow": ["127.0.0.1/32"] });
    assert_eq!(kind(to(public.clone())).await, ErrorKind::Denied);
    assert_eq!(kind(to(open.clone())).await, ErrorKind::Transport);
    assert_eq!(kind(to(denied)).await, ErrorKind::Denied);
    assert_eq!(kind(to(listed)).await, ErrorKind::Transport);
    // The program's takes the place of the document's, both ways.
    let spec = to(open).with_address_policy(AddressPolicy::public_only());
    assert_eq!(kind(spec).await, ErrorKind::Denied);
    let spec = to(public).with_address_policy(AddressPolicy::allow_all());
    assert_eq!(kind(spec).await, ErrorKind::Transport);
    let unix = read(&with(json!({
        "transport": { "type": "unix", "directory": "/nonexistent" }, "endpoint": null,
    })));
    let spec = unix.with_address_policy(AddressPolicy::public_only());
    assert_eq!(kind(spec).await, ErrorKind::Denied);
}

#[test]
#[cfg(feature = "ssh")]
fn ssh_routes_are_described_before_their_secrets_are_known() {
    let hops = |auth: Value| {
        let hop = json!({ "host": "bastion", "user": "tunnel", "auth": [auth] });
        let spec = read(&with(
            json!({ "transport": { "type": "ssh", "hops": [hop] } }),
        ));
        spec.build().unwrap().route()
    };
    let given = hops(json!({ "type": "password", "password": "x" }));
    let referred = hops(json!({ "type": "password", "password": { "env": "X" } }));
    assert_eq!(given, "ssh tunnel@bastion:22 to db.example.com:5432");
    assert_eq!(given, referred);
}

/// Read and checked all the same: another program may have the feature.
#[test]
fn what_needs_a_feature_names_it() {
    let hop = json!({ "host": "a", "user": "u", "auth": [{ "type": "agent" }] });
    let needs: Vec<(Value, &str, &str)> = vec![
        #[cfg(not(feature = "ssh"))]
        (
            json!({ "transport": { "type": "ssh", "hops": [&hop] } }),
            "transport.type",
            "ssh",
        ),
        #[cfg(not(feature = "cert"))]
        (
            json!({ "credentials": { "type": "certificate", "pkcs12": "QQ==" } }),
            "credentials.type",
            "cert",
        ),
        #[cfg(not(feature = "azure"))]
        (
            json!({ "credentials": { "type": "entra", "identity": { "type": "azureCli" } } }),
            "credentials.type",
            "azure",
        ),
    ];
    for (fields, path, feature) in needs {
        let error = read(&with(fields)).build().unwrap_err();
        assert_eq!(error.code().name(), "spec-unsupported");
        let message = format!("{path}: needs the Cargo feature {feature} of pgreach");
        assert_eq!(error.to_string(), message);
    }
    drop(hop);
}

/// Every sample of the page is a document, or says of itself that it is a part of one.
#[test]
fn the_pages_samples_are_right() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/connection-spec.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut samples = (0, 0);
    let mut blocks = page.split("```");
    blocks.next();
    while let (Some(block), Some(_)) = (blocks.next(), blocks.next()) {
        let (language, text) = block.split_once('\n').unwrap();
        let read = match language {
            "json" => {
                samples.0 += 1;
                ConnectionSpec::from_json(text)
            }
            "toml" => {
                samples.1 += 1;
                ConnectionSpec::from_toml(text)
            }
            _ => continue,
        };
        let spec = read.unwrap_or_else(|error| panic!("{error}:\n{text}"));
        assert_eq!(spec.missing_secrets(), [""; 0], "{text}");
    }
    assert!(samples.0 >= 1 && samples.1 >= 1, "{samples:?}");
}
