//! A passfile: which line is taken, and what makes the file unusable.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use pgreach_auth_password::{PassfilePassword, codes};
use pgreach_core::{
    CredentialKind, CredentialProvider, CredentialRequest, Endpoint, ErrorKind, Stage,
};
use support::{MARKER, ask, text, write};

async fn ask_for(
    source: &dyn CredentialProvider,
    endpoint: &Endpoint,
    database: impl Into<Option<&str>>,
    user: Option<&str>,
) -> String {
    let request = CredentialRequest::new(endpoint, database.into(), user);
    let credential = source.credential(&request).await.unwrap();
    assert!(!source.invalidate(&credential), "one attempt only");
    match credential.kind() {
        CredentialKind::None => "none".to_owned(),
        _ => text(&credential).to_owned(),
    }
}

#[tokio::test]
async fn the_first_line_that_matches_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pgpass");
    write(
        &path,
        "db:5432:app:alice:exact\ndb:*:*:alice:any\n10.1.2.3:5432:*:*:address\n\
         localhost:*:*:*:local\n",
    );
    let source = PassfilePassword::named(&path);
    let db = Endpoint::tcp("db", 5432);
    let cases = [
        (db.clone(), "app", Some("alice"), "exact"),
        (db.clone(), "other", Some("alice"), "any"),
        (Endpoint::tcp("db", 1), "app", Some("alice"), "any"),
        (db.clone(), "app", Some("bob"), "none"),
        (
            db.clone().with_hostaddr([10, 1, 2, 3]),
            "app",
            Some("bob"),
            "none",
        ),
        (
            Endpoint::tcp("", 5432).with_hostaddr([10, 1, 2, 3]),
            "app",
            Some("bob"),
            "address",
        ),
        (
            Endpoint::tcp("localhost", 5432),
            "app",
            Some("bob"),
            "local",
        ),
    ];
    for (endpoint, database, user, expected) in cases {
        let answer = ask_for(&source, &endpoint, database, user).await;
        assert_eq!(answer, expected, "{endpoint} {database} {user:?}");
    }
    let alice = source.clone().with_user("alice");
    assert_eq!(ask_for(&alice, &db, "app", None).await, "exact");
    assert_eq!(
        ask_for(&alice, &db, "app", Some("bob")).await,
        "none",
        "the connector comes first"
    );
    assert_eq!(ask(&alice).await.unwrap().user(), Some("alice"));

    write(&path, "*:*:*:*:new\n");
    assert_eq!(
        ask_for(&source, &db, "app", Some("bob")).await,
        "new",
        "read each time"
    );
}

/// A session without a database of its own has its user's, whoever named the user.
#[tokio::test]
async fn the_database_is_the_users_where_none_was_given() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pgpass");
    write(
        &path,
        "db:5432:alice:alice:hers\ndb:5432:bob:bob:his\ndb:5432:*:*:any\n",
    );
    let source = PassfilePassword::named(&path).with_user("alice");
    let db = Endpoint::tcp("db", 5432);
    assert_eq!(ask_for(&source, &db, None, None).await, "hers");
    assert_eq!(ask_for(&source, &db, None, Some("bob")).await, "his");
    assert_eq!(ask_for(&source, &db, "bob", None).await, "any");
}

#[tokio::test]
async fn an_unusable_file_is_told_without_its_content() {
    let dir = tempfile::tempdir().unwrap();
    let open = dir.path().join("open");
    write(&open, MARKER);
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let malformed = dir.path().join("malformed");
    write(&malformed, MARKER);
    for path in [
        open,
        malformed,
        dir.path().join("missing"),
        dir.path().to_owned(),
    ] {
        let error = ask(&PassfilePassword::named(&path)).await.unwrap_err();
        assert_eq!(error.code(), &codes::PASSFILE);
        assert_eq!(
            (error.kind(), error.stage()),
            (ErrorKind::Credential, Stage::CREDENTIAL)
        );
        assert!(error.message().contains(path.to_str().unwrap()), "{error}");
        assert!(!format!("{error:?}").contains(MARKER));
    }
}

/// Run by the test below in a process with an environment of its own.
#[tokio::test]
async fn as_a_child() {
    let Ok(expected) = std::env::var("PGREACH_TEST_PASSFILE_EXPECTED") else {
        return;
    };
    let answer = match ask(&PassfilePassword::default().with_user("app")).await {
        Ok(credential) => text(&credential).to_owned(),
        Err(error) => error.code().name().to_owned(),
    };
    assert_eq!(answer, expected);
}

#[test]
fn the_default_file() {
    let dir = tempfile::tempdir().unwrap();
    let (home, named) = (dir.path().join("home"), dir.path().join("named"));
    let missing = dir.path().join("missing");
    fs::create_dir(&home).unwrap();
    write(&home.join(".pgpass"), "*:*:*:*:home");
    write(&named, "*:*:*:*:named");
    for (home, passfile, expected) in [
        (&home, None, "home"),
        (&home, Some(&named), "named"),
        (&missing, None, ""),
        (&home, Some(&missing), "passfile"),
    ] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "as_a_child"])
            .env("PGREACH_TEST_PASSFILE_EXPECTED", expected)
            .env("HOME", home)
            .env_remove("PGPASSFILE");
        if let Some(passfile) = passfile {
            command.env("PGPASSFILE", passfile);
        }
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}
