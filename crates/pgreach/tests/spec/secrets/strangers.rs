//! Documents of strangers.

use pgreach::prelude::AddressPolicy;
use pgreach::spec::SecretSource;
use pgreach::{ConnectionSpec, ErrorKind};
use serde_json::{Value, json};

use super::{MARKER, document};

#[test]
fn a_strangers_document_stays_one() {
    let stranger = |password: Value| {
        let text = super::password(password).to_string();
        let spec = ConnectionSpec::from_json(&text).unwrap();
        spec.for_stranger(AddressPolicy::public_only())
    };
    let error = stranger(json!({ "env": "SECRET" })).unwrap_err();
    assert_eq!(error.code().name(), "spec-local");
    let spec = stranger(json!(null)).unwrap();
    for reference in [
        SecretSource::Env("SECRET".to_owned()),
        SecretSource::File("secret".to_owned()),
        SecretSource::Command(vec!["secret".to_owned()]),
    ] {
        let given = spec.clone().with_secret("credentials.password", reference);
        let error = given.unwrap_err();
        assert_eq!(error.code().name(), "spec-local");
        assert!(
            error.to_string().starts_with("credentials.password: "),
            "{error}"
        );
    }
    let whole = spec.with_secret("credentials.password", MARKER).unwrap();
    whole.build().unwrap();
}

/// What the machine or the process has, with the path at which a stranger asks for it.
#[test]
fn strangers_reach_nothing_of_this_process() {
    let ssh = |auth: Value, keys: Value| {
        let mut hop = json!({ "host": "b", "user": "u", "auth": [auth] });
        if !keys.is_null() {
            hop["hostKeys"] = keys;
        }
        json!({
            "transport": { "type": "ssh", "hops": [hop] },
            "credentials": { "type": "none", "user": "u" },
        })
    };
    let pinned = json!({ "type": "fingerprints", "fingerprints": ["SHA256:x"] });
    let given = json!({ "type": "password", "password": MARKER });
    let env = json!({ "env": "SECRET" });
    let with = |field: &str, value: Value| {
        let mut parts = json!({ "credentials": { "type": "none", "user": "u" } });
        parts[field] = value;
        parts
    };
    let entra = |identity: Value| {
        with(
            "credentials",
            json!({ "type": "entra", "identity": identity }),
        )
    };
    let certificate = |certificate: Value, key: Value| {
        let credentials =
            json!({ "type": "certificate", "certificate": certificate, "privateKey": key });
        with("credentials", credentials)
    };
    let hop = |rest: &str| format!("transport.hops[0].{rest}");
    let secret = |value: Value| {
        with(
            "credentials",
            json!({ "type": "password", "user": "u", "password": value }),
        )
    };
    let cases = [
        (secret(env.clone()), "credentials.password".to_owned()),
        (
            secret(json!({ "file": "f" })),
            "credentials.password".to_owned(),
        ),
        (
            secret(json!({ "command": ["c"] })),
            "credentials.password".to_owned(),
        ),
        (
            with("credentials", json!({ "type": "passfile", "user": "u" })),
            "credentials.type".to_owned(),
        ),
        (
            with(
                "credentials",
                json!({ "type": "passfile", "user": "u", "file": "f" }),
            ),
            "credentials.file".to_owned(),
        ),
        (
            certificate(json!({ "file": "f" }), json!(MARKER)),
            "credentials.certificate".to_owned(),
        ),
        (
            certificate(json!("c"), env.clone()),
            "credentials.privateKey".to_owned(),
        ),
        (
            entra(json!({ "type": "systemAssigned" })),
            "credentials.identity.type".to_owned(),
        ),
        (
            entra(json!({ "type": "userAssigned", "clientId": "c" })),
            "credentials.identity.type".to_owned(),
        ),
        (
            entra(json!({ "type": "workloadIdentity" })),
            "credentials.identity.type".to_owned(),
        ),
        (
            entra(json!({ "type": "azureCli" })),
            "credentials.identity.type".to_owned(),
        ),
        (
            entra(json!({ "type": "developerTools" })),
            "credentials.identity.type".to_owned(),
        ),
        (
            entra(
                json!({ "type": "clientSecret", "tenantId": "t", "clientId": "c", "clientSecret": env }),
            ),
            "credentials.identity.clientSecret".to_owned(),
        ),
        (
            with("tls", json!({ "roots": { "file": "f" } })),
            "tls.roots.file".to_owned(),
        ),
        (with("tls", json!({ "crl": "f" })), "tls.crl".to_owned()),
        (
            ssh(json!({ "type": "agent" }), pinned.clone()),
            hop("auth[0].type"),
        ),
        (
            ssh(
                json!({ "type": "key", "privateKey": { "file": "f" } }),
                pinned.clone(),
            ),
            hop("auth[0].privateKey"),
        ),
        (
            ssh(
                json!({ "type": "key", "privateKey": MARKER, "certificate": { "file": "f" } }),
                pinned.clone(),
            ),
            hop("auth[0].certificate"),
        ),
        (ssh(given.clone(), json!(null)), hop("hostKeys")),
        (
            ssh(given.clone(), json!({ "type": "knownHosts" })),
            hop("hostKeys.type"),
        ),
        (
            ssh(given.clone(), json!({ "type": "knownHosts", "file": "f" })),
            hop("hostKeys.file"),
        ),
        (
            ssh(given.clone(), json!({ "type": "acceptNew", "file": "f" })),
            hop("hostKeys.file"),
        ),
    ];
    for (parts, path) in cases {
        let spec = ConnectionSpec::from_json(&document(parts).to_string()).unwrap();
        let error = spec.forbid_local().unwrap_err();
        assert_eq!(
            (error.kind(), error.code().name()),
            (ErrorKind::Config, "spec-local")
        );
        assert!(
            error.to_string().starts_with(&format!("{path}: ")),
            "{error}, not {path}"
        );
        let stranger = spec.for_stranger(AddressPolicy::public_only());
        assert_eq!(stranger.unwrap_err().to_string(), error.to_string());
    }
    let socket = json!({
        "name": "a", "transport": { "type": "unix", "directory": "/run" },
        "credentials": { "type": "none", "user": "u" },
    });
    let spec = ConnectionSpec::from_json(&socket.to_string()).unwrap();
    let error = spec.forbid_local().unwrap_err();
    assert!(error.to_string().starts_with("transport.type: "), "{error}");
    let application = json!({
        "type": "clientSecret", "tenantId": "t", "clientId": "c", "clientSecret": MARKER,
    });
    let mut elsewhere = entra(application.clone());
    elsewhere["credentials"]["cloud"] = json!({ "authority": "https://10.0.0.1", "scope": "s" });
    let spec = ConnectionSpec::from_json(&document(elsewhere).to_string()).unwrap();
    let error = spec.forbid_local().unwrap_err();
    assert!(
        error.to_string().starts_with("credentials.cloud: "),
        "{error}"
    );
    for parts in [
        secret(json!(MARKER)),
        certificate(json!("c"), json!(MARKER)),
        entra(application),
        with("tls", json!({ "roots": { "pem": "p" } })),
        ssh(given.clone(), pinned),
        ssh(given.clone(), json!({ "type": "knownHosts", "text": "t" })),
        ssh(given, json!({ "type": "authority", "keys": ["k"] })),
    ] {
        let spec = ConnectionSpec::from_json(&document(parts).to_string()).unwrap();
        spec.forbid_local().unwrap();
        let spec = spec.for_stranger(AddressPolicy::public_only()).unwrap();
        // What is given is used, or wrong; nothing else is looked for.
        if let Err(error) = spec.build() {
            let code = error.code().name();
            let allowed = [
                "ssh-",
                "host-key-",
                "cert-",
                "tls-roots",
                "spec-unsupported",
                "config-invalid",
            ];
            assert!(
                allowed.iter().any(|start| code.starts_with(start)),
                "{error:?}"
            );
        }
    }
}

/// A field that is new fails here until it is said what a stranger can do with it.
#[test]
#[cfg(feature = "spec-schema")]
fn every_text_of_a_document_was_thought_of() {
    // Refused, or their references are.
    let local = [
        "CredentialsSpec.certificate.certificate",
        "CredentialsSpec.certificate.passphrase",
        "CredentialsSpec.certificate.password",
        "CredentialsSpec.certificate.pkcs12",
        "CredentialsSpec.certificate.privateKey",
        "CredentialsSpec.passfile.file",
        "CredentialsSpec.password.password",
        "CustomCloud.authority",
        "CustomCloud.scope",
        "HopAuthSpec.agent.socket",
        "HopAuthSpec.key.certificate",
        "HopAuthSpec.key.passphrase",
        "HopAuthSpec.key.privateKey",
        "HopAuthSpec.password.password",
        "HostKeysSpec.acceptNew.file",
        "HostKeysSpec.knownHosts.file",
        "IdentitySpec.clientCertificate.passphrase",
        "IdentitySpec.clientCertificate.pkcs12",
        "IdentitySpec.clientSecret.clientSecret",
        "IdentitySpec.userAssigned.clientId",
        "IdentitySpec.userAssigned.objectId",
        "IdentitySpec.userAssigned.resourceId",
        "RootsSpec.file",
        "TlsSpec.crl",
        "TransportSpec.unix.directory",
    ];
    // The address policy decides.
    let dialled = ["EndpointSpec.host", "EndpointSpec.hostaddr", "HopSpec.host"];
    // Compared, shown, or sent to a server that the policy allowed.
    let harmless = [
        "$schema",
        "CredentialsSpec.certificate.user",
        "CredentialsSpec.entra.user",
        "CredentialsSpec.none.user",
        "CredentialsSpec.passfile.user",
        "CredentialsSpec.password.user",
        "HopSpec.user",
        "HostKeysSpec.authority.keys",
        "HostKeysSpec.fingerprints.fingerprints",
        "HostKeysSpec.knownHosts.text",
        "IdentitySpec.clientCertificate.clientId",
        "IdentitySpec.clientCertificate.tenantId",
        "IdentitySpec.clientSecret.clientId",
        "IdentitySpec.clientSecret.tenantId",
        "RootsSpec.pem",
        "SessionSpec.applicationName",
        "SessionSpec.options",
        "SessionSpec.parameters",
        "SessionSpec.requireAuth",
        "absentSecrets",
        "database",
        "description",
        "name",
    ];
    let schema = ConnectionSpec::json_schema();
    let mut found = std::collections::BTreeSet::new();
    texts("", &schema, &mut found);
    for (name, part) in schema["$defs"].as_object().unwrap() {
        texts(name, part, &mut found);
    }
    let known = [&local[..], &dialled, &harmless].concat();
    let known: std::collections::BTreeSet<_> = known.into_iter().map(str::to_owned).collect();
    assert_eq!(found, known);
}

/// The fields of a part of the schema, and of its variants, in which a text can stand.
#[cfg(feature = "spec-schema")]
fn texts(name: &str, part: &Value, found: &mut std::collections::BTreeSet<String>) {
    // The forms of a secret or a text are no fields of their own.
    if matches!(name, "Secret" | "Text") {
        return;
    }
    let fields = part["properties"].as_object();
    let kind = part["properties"]["type"]["const"].as_str();
    for (field, value) in fields.into_iter().flatten() {
        let path = [
            Some(name).filter(|name| !name.is_empty()),
            kind,
            Some(field),
        ];
        if holds_text(value) {
            found.insert(path.into_iter().flatten().collect::<Vec<_>>().join("."));
        }
    }
    for variants in [&part["oneOf"], &part["anyOf"]] {
        for variant in variants.as_array().into_iter().flatten() {
            texts(name, variant, found);
        }
    }
}

#[cfg(feature = "spec-schema")]
fn holds_text(value: &Value) -> bool {
    if value.get("const").is_some() || value.get("enum").is_some() {
        return false;
    }
    let secret = ["#/$defs/Secret", "#/$defs/Text"].map(|path| json!(path));
    let kind = &value["type"];
    let is_text = |kind: &Value| kind == "string";
    let within = ["items", "additionalProperties"].map(|field| &value[field]);
    let variants = [&value["anyOf"], &value["oneOf"]].map(|variants| variants.as_array());
    secret.contains(&value["$ref"])
        || is_text(kind)
        || kind
            .as_array()
            .is_some_and(|kinds| kinds.iter().any(is_text))
        || within
            .into_iter()
            .any(|part| part.is_object() && holds_text(part))
        || variants.into_iter().flatten().flatten().any(holds_text)
}
