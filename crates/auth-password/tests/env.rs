//! A password in the environment.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::process::Command;

use pgreach_auth_password::{EnvPassword, FixedPassword, codes};
use pgreach_core::{Credential, CredentialProvider as _, ErrorKind, Stage};
use support::{MARKER, ask, text};

const VARIABLE: &str = "PGREACH_TEST_ENV_PASSWORD";
const EXPECTED: &str = "PGREACH_TEST_ENV_EXPECTED";

/// Run by the test below in a process with an environment of its own: a process cannot change its
/// own environment safely while other threads run.
#[tokio::test]
async fn as_a_child() {
    let Ok(expected) = std::env::var(EXPECTED) else {
        return;
    };
    match ask(&EnvPassword::new(VARIABLE).with_user("app")).await {
        Ok(credential) => {
            assert_eq!(text(&credential), expected);
            assert_eq!(credential.user(), Some("app"));
        }
        Err(error) => {
            assert_eq!(error.code(), &codes::PASSWORD_ENV);
            assert_eq!(
                (error.kind(), error.stage()),
                (ErrorKind::Credential, Stage::CREDENTIAL)
            );
            let message = error.message();
            assert_eq!(
                message,
                format!(
                    "environment variable {VARIABLE}, which should hold the password, {expected}"
                )
            );
            assert!(!format!("{error:?}").contains(MARKER));
        }
    }
}

fn child(value: Option<&std::ffi::OsStr>, expected: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "as_a_child"])
        .env(EXPECTED, expected)
        .env_remove(VARIABLE);
    if let Some(value) = value {
        command.env(VARIABLE, value);
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn what_the_variable_holds() {
    child(Some(MARKER.as_ref()), MARKER);
    child(Some(" with space \n".as_ref()), " with space \n");
    child(Some("".as_ref()), "is empty");
    child(None, "is not set");
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt as _;
        let value = std::ffi::OsStr::from_bytes(b"m4rker-s3cret\xff");
        child(Some(value), "is not Unicode text");
    }
}

#[tokio::test]
async fn a_name_that_no_variable_can_have() {
    for name in ["", "A=B", "A\0B"] {
        let error = ask(&EnvPassword::new(name)).await.unwrap_err();
        assert!(error.message().ends_with("is not set"), "{error}");
        assert!(!error.message().contains('\0'));
    }
}

#[tokio::test]
async fn neither_is_asked_twice() {
    let fixed = FixedPassword::new(MARKER).with_user("app");
    let credential = ask(&fixed).await.unwrap();
    assert_eq!(
        (text(&credential), credential.user()),
        (MARKER, Some("app"))
    );
    assert!(!fixed.invalidate(&credential));
    assert!(!EnvPassword::new(VARIABLE).invalidate(&Credential::none()));
}
