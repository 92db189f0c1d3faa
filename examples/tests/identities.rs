//! The examples of identities and pools run to their end, and say what they should.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::process::Command;

use common::program;

fn said_by(example: &str) -> String {
    let output = Command::new(program(example)).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    for secret in ["PRIVATE", "sesame", "application's secret", "eyJ"] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
    said
}

#[test]
fn client_certificate_is_renewed_while_it_runs() {
    let said = said_by("client_certificate");
    for text in ["cert-expired", "cert-key-mismatch", "expires"] {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert_eq!(said.matches("the connection works").count(), 3, "{said}");
}

#[test]
fn azure_token_replaces_its_tokens() {
    let said = said_by("azure_token");
    assert!(said.contains("auth-unverified-tls"), "{said}");
    let tokens: Vec<u32> = said
        .lines()
        .filter_map(|line| line.strip_suffix(" tokens so far"))
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(tokens.len(), 12, "{said}");
    assert!(tokens[0] < tokens[11] && tokens[11] <= 12, "{said}");
}

#[test]
fn pool_loses_nothing_to_rotations() {
    let said = said_by("pool");
    let rotations = said.matches("the password was rotated").count();
    assert_eq!(rotations, 2, "{said}");
    assert!(said.contains("the server was restarted"), "{said}");
    assert!(
        said.trim_end().ends_with("app still has a working pool"),
        "{said}"
    );
}
