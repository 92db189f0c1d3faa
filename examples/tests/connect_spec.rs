//! `connect --spec`: connection documents, as a script gives them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::Write;
use std::process::Stdio;

use common::Run;
use common::ssh::{KEY, SECRET, SERVER, SSHD};
use serde_json::{Value, json};

fn document(password: Value) -> Value {
    json!({
        "name": "test",
        "database": "postgres",
        "endpoint": { "host": "127.0.0.1", "port": SERVER.port() },
        "tls": { "mode": "disable" },
        "credentials": { "type": "password", "user": "app", "password": password },
    })
}

fn toml(password: &str) -> String {
    format!(
        "name = 'test'\ndatabase = 'postgres'\n\n[endpoint]\nhost = '127.0.0.1'\nport = {}\n\n\
         [tls]\nmode = 'disable'\n\n[credentials]\ntype = 'password'\nuser = 'app'\npassword = {password}\n",
        SERVER.port()
    )
}

#[test]
fn documents_in_files() {
    let query = ["--json", "-c", "select current_user", "--spec"];
    let json = document(json!("secret")).to_string();
    let toml = toml("{ env = 'DATABASE_PASSWORD' }");
    for (name, text) in [
        ("test.json", &json),
        ("folder/test.toml", &toml),
        ("test.JSON", &json),
        ("test.Toml", &toml),
    ] {
        let run = Run::new(&[&query[..], &[name]].concat())
            .file(name, text)
            .secret("DATABASE_PASSWORD", "secret");
        let json = run.json();
        assert_eq!(json["rows"], json!([["app"]]), "{json}");
        let run = Run::new(&["--json", "--check", &format!("--spec={name}")])
            .file(name, text)
            .env("DATABASE_PASSWORD", "secret");
        assert_eq!(run.json()["ok"], json!(true));
    }
    // The environment of connection strings has no say.
    let run = Run::new(&[&query[..], &["a.json"]].concat()).file("a.json", &json);
    let json = run.env("PGUSER", "postgres").env("PGPORT", 1).json();
    assert_eq!(json["rows"], json!([["app"]]), "{json}");
}

#[test]
fn a_document_on_standard_input() {
    let json = on_standard_input(&document(json!("secret")));
    assert_eq!(
        (&json["ok"], &json["rows"]),
        (&json!(true), &json!([["1"]])),
        "{json}"
    );
    // The error says where the document came from.
    let json = on_standard_input(&document(json!(7)));
    let message = json["error"]["message"].as_str().unwrap();
    let place = "standard input: credentials.password: ";
    assert!(message.contains(place), "{json}");
}

fn on_standard_input(document: &Value) -> Value {
    let mut run = Run::new(&["--json", "--spec", "-"]);
    let mut child = run.command.stdin(Stdio::piped()).spawn().unwrap();
    let text = document.to_string();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_document_with_an_ssh_server() {
    let mut document = document(json!("secret"));
    document["transport"] = json!({ "type": "ssh", "hops": [{
        "host": "127.0.0.1",
        "port": SSHD.port(),
        "user": SSHD.user(),
        "auth": [{ "type": "key", "privateKey": { "file": "key" } }],
        "hostKeys": { "type": "fingerprints", "fingerprints": [SSHD.host_key_fingerprint()] },
    }] });
    let run = Run::new(&["--json", "--spec", "a.json"])
        .file("a.json", &document.to_string())
        .secret_file("key", &KEY.private);
    let json = run.json();
    assert_eq!(json["ok"], json!(true), "{json}");
    let route = json["connection"]["route"].as_str().unwrap();
    assert!(route.starts_with("ssh "), "{route}");
}

#[test]
fn documents_that_cannot_be_used() {
    let sound = document(json!(SECRET)).to_string();
    let cases = [
        (
            "a.json",
            "{".to_owned(),
            "spec-syntax",
            "a.json: the document is not valid JSON",
        ),
        (
            "a.toml",
            sound.clone(),
            "spec-syntax",
            "a.toml: the document is not valid TOML",
        ),
        (
            "a.txt",
            sound.clone(),
            "config-invalid",
            "neither a .json nor a .toml",
        ),
        ("missing.json", String::new(), "config-file", "missing.json"),
        (
            "a.json",
            document(json!(7)).to_string(),
            "spec-field",
            "a.json: credentials.password: ",
        ),
        (
            "a.json",
            document(json!(null)).to_string(),
            "spec-secret-missing",
            "credentials.password: ",
        ),
    ];
    for (name, text, code, message) in cases {
        let mut run = Run::new(&["--json", "--spec", name]).secret("UNUSED", SECRET);
        if name != "missing.json" {
            run = run.file(name, &text);
        }
        let error = run.error();
        assert_eq!(
            (&error["kind"], &error["code"]),
            (&json!("Config"), &json!(code)),
            "{error}"
        );
        assert!(
            error["message"].as_str().unwrap().contains(message),
            "{error}"
        );
    }
    let wrong = Run::new(&["--json", "--spec", "a.json"])
        .secret("UNUSED", "wr0ng-word")
        .file("a.json", &document(json!("wr0ng-word")).to_string());
    assert_eq!(wrong.error()["sqlstate"], json!("28P01"));
}

#[test]
fn options_that_a_document_excludes() {
    let spec = ["--json", "--spec", "a.json"];
    for others in [
        &["host=127.0.0.1"][..],
        &[""],
        &["--parse"],
        &["--ssh", "bastion"],
        &["--ssh-agent"],
        &["--spec", "b.json"],
    ] {
        let run = Run::new(&[&spec[..], others].concat());
        let error = run
            .file("a.json", &document(json!("secret")).to_string())
            .error();
        assert_eq!(
            error["code"],
            json!("config-invalid"),
            "{others:?}: {error}"
        );
    }
    let error = Run::new(&["--json", "--spec"]).error();
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .starts_with("--spec needs "),
        "{error}"
    );
    let (_, help, _) = Run::new(&["--help"]).output();
    assert!(help.contains("--spec FILE"), "{help}");
}
