//! Which connections share one run of a program, and when it is run anew.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use pgreach_auth_password::{CommandPassword, codes};
use pgreach_core::CredentialProvider as _;
use support::{ask, eventually, text, write};
use tokio::runtime::Runtime;

/// Counts its runs in `dir/runs`, waits for `dir/go`, and prints `dir/password`.
fn counted(dir: &Path) -> CommandPassword {
    let script = format!(
        "cd '{}'; echo run >> runs; while ! test -e go; do sleep 0.01; done; cat password",
        dir.display()
    );
    CommandPassword::new("sh").with_args(["-c", script.as_str()])
}

fn runs(dir: &Path) -> usize {
    fs::read_to_string(dir.join("runs")).map_or(0, |runs| runs.lines().count())
}

/// Driven only inside `block_on`.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[tokio::test]
async fn connections_at_the_same_time_share_a_run() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("password"), "pw");
    let source = counted(dir.path());
    let waiting = join_all((0..50).map(|_| ask(&source)));
    // `join!` polls in this order: all of them wait before the program may go on.
    let (answers, ()) = tokio::join!(waiting, async { write(&dir.path().join("go"), "") });
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(runs(dir.path()), 1);
    assert!(
        answers
            .iter()
            .all(|answer| Arc::ptr_eq(answer, &answers[0]))
    );

    ask(&source).await.unwrap();
    assert_eq!(runs(dir.path()), 2, "nothing is kept without a cache");
}

#[tokio::test]
async fn connections_at_the_same_time_share_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let source = counted(dir.path());
    let waiting = join_all((0..20).map(|_| ask(&source)));
    let (answers, ()) = tokio::join!(waiting, async { write(&dir.path().join("go"), "") });
    assert_eq!(runs(dir.path()), 1);
    for answer in answers {
        assert_eq!(answer.unwrap_err().code(), &codes::PASSWORD_COMMAND_FAILED);
    }
}

#[tokio::test]
async fn one_that_gives_up_does_not_take_the_others_along() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("password"), "pw");
    let source = counted(dir.path());
    let mut first = Box::pin(ask(&source));
    let mut second = Box::pin(ask(&source));
    assert!((&mut first).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());
    drop(first);
    write(&dir.path().join("go"), "");
    assert_eq!(text(&second.await.unwrap()), "pw");
    assert_eq!(runs(dir.path()), 1);
}

#[tokio::test]
async fn the_cache_ends_by_time_and_by_refusal() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(&dir.join("go"), "");
    write(&dir.join("password"), "old");
    let source = counted(dir).with_cache(Duration::from_secs(600));
    let old = ask(&source).await.unwrap();
    write(&dir.join("password"), "new");
    assert_eq!(text(&ask(&source).await.unwrap()), "old");
    assert_eq!(runs(dir), 1);

    assert!(source.invalidate(&old));
    assert_eq!(text(&ask(&source).await.unwrap()), "new");
    assert_eq!(runs(dir), 2);

    assert!(
        source.invalidate(&old),
        "refused late, on a slow connection"
    );
    assert_eq!(text(&ask(&source).await.unwrap()), "new");
    assert_eq!(runs(dir), 2, "the newer one stays");

    let brief = source.clone().with_cache(Duration::from_millis(50));
    eventually("the cache ends", async || {
        ask(&brief).await.unwrap();
        runs(dir) >= 4
    })
    .await;
}

#[tokio::test]
async fn a_run_that_began_before_the_refusal_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(&dir.join("password"), "old");
    let source = counted(dir).with_cache(Duration::from_secs(600));
    let mut running = Box::pin(ask(&source));
    assert!((&mut running).now_or_never().is_none());
    assert!(source.invalidate(&pgreach_core::Credential::password("old")));

    let mut after = Box::pin(ask(&source));
    assert!((&mut after).now_or_never().is_none());
    write(&dir.join("go"), "");
    running.await.unwrap();
    after.await.unwrap();
    assert_eq!(runs(dir), 2, "the later call did not join the earlier run");

    ask(&source).await.unwrap();
    assert_eq!(runs(dir), 2, "and it is the later one that is kept");
}

/// Connections opened before the password was rotated are refused one after the other, while the
/// program that the first of them started is still at work.
#[tokio::test]
async fn late_refusals_of_one_password_share_a_run() {
    for keep in [None, Some(Duration::from_secs(600))] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        write(&dir.join("password"), "old");
        write(&dir.join("go"), "");
        let source = match keep {
            Some(keep) => counted(dir).with_cache(keep),
            None => counted(dir),
        };
        let old = ask(&source).await.unwrap();

        fs::remove_file(dir.join("go")).unwrap();
        write(&dir.join("password"), "new");
        let mut waiting = Vec::new();
        for _ in 0..20 {
            assert!(source.invalidate(&old));
            let mut again = Box::pin(ask(&source));
            assert!((&mut again).now_or_never().is_none());
            waiting.push(again);
        }
        write(&dir.join("go"), "");
        for answer in join_all(waiting).await {
            assert_eq!(text(&answer.unwrap()), "new");
        }
        assert_eq!(runs(dir), 2, "one before and one after, keep: {keep:?}");

        ask(&source).await.unwrap();
        let expected = if keep.is_some() { 2 } else { 3 };
        assert_eq!(runs(dir), expected, "what the shared run brought is kept");
    }
}

#[tokio::test]
async fn a_refusal_of_another_password_starts_anew() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(&dir.join("password"), "third");
    let source = counted(dir);
    let mut waiting = Vec::new();
    for refused in ["first", "first", "second", "second"] {
        source.invalidate(&pgreach_core::Credential::password(refused));
        let mut again = Box::pin(ask(&source));
        assert!((&mut again).now_or_never().is_none());
        waiting.push(again);
    }
    write(&dir.join("go"), "");
    for answer in join_all(waiting).await {
        assert_eq!(text(&answer.unwrap()), "third");
    }
    assert_eq!(runs(dir), 2, "the first run could have brought the second");
}

/// A program's pipes and timer are the runtime's that started it.
#[test]
fn runtimes_do_not_wait_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(&dir.join("password"), "pw");
    write(&dir.join("go"), "");
    let source = counted(dir);
    let (stuck, live) = (runtime(), runtime());
    let mut leader = Box::pin(ask(&source));
    stuck.block_on(async { assert!((&mut leader).now_or_never().is_none()) });

    let follower = live.block_on(async {
        tokio::time::timeout(Duration::from_secs(10), ask(&source))
            .await
            .unwrap()
    });
    assert_eq!(text(&follower.unwrap()), "pw");
    assert_eq!(text(&stuck.block_on(leader).unwrap()), "pw");
    assert_eq!(runs(dir), 2);
}

/// As with a runtime for each thread: those of the same runtime share, whoever asks in between.
#[test]
fn each_runtime_has_one_run() {
    let runtimes: Vec<_> = (0..2).map(|_| runtime()).collect();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(&dir.join("password"), "pw");
    let source = counted(dir);
    let mut waiting = Vec::new();
    for runtime in runtimes.iter().cycle().take(10) {
        let mut call = Box::pin(ask(&source));
        runtime.block_on(async { assert!((&mut call).now_or_never().is_none()) });
        waiting.push((runtime, call));
    }
    write(&dir.join("go"), "");
    for (runtime, call) in waiting {
        assert_eq!(text(&runtime.block_on(call).unwrap()), "pw");
    }
    assert_eq!(runs(dir), 2);
}
