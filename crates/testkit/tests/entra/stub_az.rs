//! The programs `az` and `azd`, run as a client runs them.

use std::process::{Command, Output};

use pgreach_testkit::FakeEntra;
use pgreach_testkit::entra::StubAz;
use serde_json::Value;

use crate::authority::claims;

const AZ: &str = "az account get-access-token -o json --scope https://x/.default --tenant 't 1'";
const AZD: &str = "azd auth token -o json --no-prompt --scope https://x/.default";

/// Runs a line in another folder, as azure_identity does.
fn run(az: &StubAz, line: &str) -> Output {
    let line = format!("cd / && {line}");
    let mut command = Command::new("sh");
    command.args(["-c", &line]).env("PATH", az.path());
    command.output().unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn both_answer_with_the_users_token() {
    let entra = FakeEntra::start().await.unwrap();
    let ann = entra.add_user("ann@example.com", [entra.new_object_id()]);
    let az = StubAz::new().unwrap();
    az.log_in(&entra, &ann).unwrap();

    let answer = json(&run(&az, AZ));
    let token = claims(&entra, answer["accessToken"].as_str().unwrap()).await;
    assert_eq!(token["oid"], ann.object_id());
    assert_eq!(answer["expires_on"], token["exp"]);
    assert_eq!(answer["tenant"], entra.tenant());
    assert_eq!(answer["tokenType"], "Bearer");
    let expires = answer["expiresOn"].as_str().unwrap();
    assert_eq!(expires.len(), "2025-01-02 03:04:05.000000".len());

    let answer = json(&run(&az, AZD));
    let token = claims(&entra, answer["token"].as_str().unwrap()).await;
    assert_eq!(token["oid"], ann.object_id());
    let expires = answer["expiresOn"].as_str().unwrap();
    assert!(expires.contains('T') && expires.ends_with('Z'), "{expires}");
    assert_eq!(az.calls()[0][..3], ["az", "account", "get-access-token"]);
    assert_eq!(az.calls()[0].last().unwrap(), "t 1");
    assert_eq!(az.calls()[1][0], "azd");
    assert_eq!(az.calls().len(), 2);
}

#[test]
fn logged_out_they_fail_as_the_real_ones() {
    let az = StubAz::new().unwrap();
    let assert_logged_out = || {
        let output = run(&az, AZ);
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said, "ERROR: Please run 'az login' to setup account.\n");

        let output = run(&az, AZD);
        assert_eq!(output.status.code(), Some(1));
        let said: Value = serde_json::from_slice(&output.stderr).unwrap();
        let message = said["data"]["message"].as_str().unwrap();
        assert!(message.contains("not logged in, run `azd auth login`"));
    };
    assert_logged_out();
    az.answer("tenant", "a token", 1_700_000_000).unwrap();
    let answer = json(&run(&az, AZ));
    assert_eq!(answer["accessToken"], "a token");
    assert_eq!(answer["expiresOn"], "2023-11-14 22:13:20.000000");
    assert_eq!(json(&run(&az, AZD))["expiresOn"], "2023-11-14T22:13:20Z");
    az.log_out().unwrap();
    assert_logged_out();
}

#[test]
fn they_say_what_they_are_told_to() {
    let az = StubAz::new().unwrap();
    az.print("<html>").unwrap();
    assert_eq!(run(&az, AZ).stdout, b"<html>");
    az.fail("ERROR: AADSTS50076: use multi-factor authentication\n")
        .unwrap();
    let output = run(&az, AZ);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("AADSTS50076")
    );
    assert_eq!(
        run(&az, "az acount get-access-token").status.code(),
        Some(2)
    );
}
