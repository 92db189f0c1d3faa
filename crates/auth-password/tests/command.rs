//! A program that prints the password: its answers, its failures, and that nothing of it stays.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pgreach_auth_password::{CommandPassword, codes};
use pgreach_core::{Code, ErrorKind, Stage};
use support::{MARKER, ask, eventually, text, write};

fn shell(script: impl AsRef<str>) -> CommandPassword {
    CommandPassword::new("sh").with_args(["-c", script.as_ref()])
}

#[tokio::test]
async fn the_first_line_is_the_password() {
    let cases = [
        ("printf pw", "pw"),
        ("printf 'pw\\n'", "pw"),
        ("printf 'pw\\r\\n'", "pw"),
        ("printf ' p w \\nuser: x\\n'", " p w "),
        ("head -c 1000000 /dev/zero >&2; echo pw", "pw"),
        ("cat; echo pw", "pw"),
        ("head -c 65535 /dev/zero | tr '\\0' x", &"x".repeat(65535)),
    ];
    for (script, password) in cases {
        let credential = ask(&shell(script).with_user("app")).await.unwrap();
        assert_eq!(text(&credential), password, "{script}");
        assert_eq!(credential.user(), Some("app"));
    }
}

#[tokio::test]
async fn the_whole_output_where_that_is_wanted() {
    let whole = |script: &str| shell(script).with_whole_output();
    let cases = [
        ("printf 'a\\nb\\n'", "a\nb\n"),
        (
            "head -c 1048576 /dev/zero | tr '\\0' x",
            &"x".repeat(1024 * 1024),
        ),
    ];
    for (script, text_of_it) in cases {
        assert_eq!(text(&ask(&whole(script)).await.unwrap()), text_of_it);
    }
    for (script, message) in [
        (
            "head -c 1048577 /dev/zero",
            "command sh printed more than 1024 KiB",
        ),
        ("true", "command sh ended well, but its output is empty"),
        ("exit 3", "command sh failed (exit status: 3)"),
    ] {
        let error = ask(&whole(script)).await.unwrap_err();
        assert_eq!(error.message(), message);
    }
}

#[tokio::test]
async fn what_fails_and_how_it_is_told() {
    let cases: &[(&str, &Code, &str)] = &[
        (
            "exit 3",
            &codes::PASSWORD_COMMAND_FAILED,
            "password command sh failed (exit status: 3)",
        ),
        (
            "echo first >&2; printf 'no such entry\\033[31m\\n' >&2; exit 1",
            &codes::PASSWORD_COMMAND_FAILED,
            "password command sh failed (exit status: 1): no such entry\\u{1b}[31m",
        ),
        (
            "echo m4rker-s3cret; echo not: m4rker-s3cret >&2; exit 1",
            &codes::PASSWORD_COMMAND_FAILED,
            "password command sh failed (exit status: 1)",
        ),
        (
            "kill -9 $$",
            &codes::PASSWORD_COMMAND_FAILED,
            "password command sh failed (signal: 9 (SIGKILL))",
        ),
        (
            "true",
            &codes::PASSWORD_COMMAND_OUTPUT,
            "password command sh ended well, but its output is empty",
        ),
        (
            "echo; echo m4rker-s3cret",
            &codes::PASSWORD_COMMAND_OUTPUT,
            "password command sh ended well, but its output is empty",
        ),
        (
            "printf 'm4rker-s3cret\\377'",
            &codes::PASSWORD_COMMAND_OUTPUT,
            "password command sh ended well, but its output is not UTF-8 text",
        ),
        (
            "printf 'm4rker-s3cret\\0'",
            &codes::PASSWORD_COMMAND_OUTPUT,
            "password command sh ended well, but its output contains a zero byte",
        ),
        (
            "yes m4rker-s3cret",
            &codes::PASSWORD_COMMAND_OUTPUT,
            "password command sh printed more than 64 KiB",
        ),
    ];
    for (script, code, message) in cases {
        let error = ask(&shell(script)).await.unwrap_err();
        assert_eq!(error.code(), *code, "{script}");
        assert_eq!(error.message(), *message, "{script}");
        assert_eq!(
            (error.kind(), error.stage()),
            (ErrorKind::Credential, Stage::CREDENTIAL)
        );
        assert!(!format!("{error:?}").contains(MARKER), "{script}");
    }
}

#[tokio::test]
async fn a_program_that_cannot_be_started() {
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain");
    write(&plain, "not a program");
    for program in [dir.path().join("missing"), plain] {
        let source = CommandPassword::new(&program).with_args([MARKER]);
        let error = ask(&source).await.unwrap_err();
        assert_eq!(error.code(), &codes::PASSWORD_COMMAND_START);
        let start = format!("password command {} cannot be started: ", program.display());
        assert!(error.message().starts_with(&start), "{error}");
        assert!(!format!("{error:?}").contains(MARKER));
    }
}

/// A program that ignores SIGTERM and has a child; both their ids are in `dir/pids`.
fn stubborn(dir: &Path) -> CommandPassword {
    shell(format!(
        "cd '{}'; trap '' TERM INT HUP; sleep 1000 & echo $$ $! > new; mv new pids; \
         while :; do sleep 1000; done",
        dir.display()
    ))
}

fn pids(dir: &Path) -> Option<Vec<Pid>> {
    let text = fs::read_to_string(dir.join("pids")).ok()?;
    Some(
        text.split_whitespace()
            .map(|pid| Pid::from_raw(pid.parse().unwrap()))
            .collect(),
    )
}

/// A dead process that nobody has waited for yet still has its id, and counts as gone.
fn gone(pid: Pid) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return kill(pid, None).is_err();
    };
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    state.starts_with(['Z', 'X'])
}

async fn all_gone(pids: &[Pid]) {
    assert_eq!(pids.len(), 2);
    eventually("program and child are gone", async || {
        pids.iter().all(|pid| gone(*pid))
    })
    .await;
}

#[tokio::test]
async fn the_timeout_kills_the_program_and_its_children() {
    // On a busy machine the program may not come as far as its first line within a second.
    for seconds in [1, 8] {
        let dir = tempfile::tempdir().unwrap();
        let timeout = Duration::from_secs(seconds);
        let began = Instant::now();
        let error = ask(&stubborn(dir.path()).with_timeout(timeout))
            .await
            .unwrap_err();
        assert!(began.elapsed() >= timeout);
        assert_eq!(error.code(), &codes::PASSWORD_COMMAND_TIMEOUT);
        assert_eq!(
            error.message(),
            format!("password command sh did not end within {seconds}s")
        );
        if let Some(pids) = pids(dir.path()) {
            return all_gone(&pids).await;
        }
    }
    panic!("the program never began");
}

#[tokio::test]
async fn dropping_the_future_kills_the_program_and_its_children() {
    let dir = tempfile::tempdir().unwrap();
    let source = stubborn(dir.path());
    let task = tokio::spawn(async move { ask(&source).await });
    let mut found = None;
    eventually("the program runs", async || {
        found = pids(dir.path());
        found.is_some()
    })
    .await;
    let found = found.unwrap();
    assert!(
        found.iter().all(|pid| !gone(*pid)),
        "they run until the future is dropped"
    );
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    all_gone(&found).await;
}

#[tokio::test]
async fn a_process_left_behind_with_standard_error_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    for (end, expected) in [("echo pw", Ok("pw")), ("echo no >&2; exit 1", Err(": no"))] {
        let source = shell(format!(
            "cd '{}'; sleep 1000 >/dev/null & echo $! > left; {end}",
            dir.path().display()
        ));
        let began = Instant::now();
        let answer = ask(&source).await;
        assert!(began.elapsed() < Duration::from_secs(20));
        match expected {
            Ok(password) => assert_eq!(text(&answer.unwrap()), password),
            Err(end) => assert!(answer.unwrap_err().message().ends_with(end)),
        }
        let left = fs::read_to_string(dir.path().join("left")).unwrap();
        let left = Pid::from_raw(left.trim().parse().unwrap());
        assert!(
            !gone(left),
            "a program that ended by itself may leave a process behind"
        );
        kill(left, Signal::SIGKILL).unwrap();
    }
}
