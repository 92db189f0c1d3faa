//! Which token is served while there is trouble with the next one.

use super::rig::{Answer, HOUR, Rig};
use super::*;
use crate::ear::Ear;

#[tokio::test(start_paused = true)]
async fn nobody_waits_long_when_a_valid_token_is_in_doubt() {
    let rig = Rig::gated([Answer::Token("a", HOUR), Answer::Token("b", HOUR)]);
    rig.script.gate.add_permits(1);
    rig.token().await;
    rig.clock.pass(HOUR - 600, 5);
    let began = tokio::time::Instant::now();
    let token = tokio::time::timeout(Duration::from_secs(60), rig.token()).await;
    assert_eq!(token.unwrap(), "a");
    assert_eq!(began.elapsed(), Duration::from_secs(3));
    assert_eq!(rig.calls(), 2);
    // The request has gone on.
    rig.script.gate.add_permits(1);
    settle().await;
    assert_eq!(rig.token_now().as_deref(), Some("b"));
    assert_eq!(rig.calls(), 2);
}

#[tokio::test]
async fn one_server_that_refuses_takes_the_token_from_nobody() {
    let rig = Rig::new([
        Answer::Token("a", HOUR),
        Answer::Fail(&codes::ENTRA_UNREACHABLE),
        Answer::Token("b", HOUR),
    ]);
    rig.token().await;
    for _ in 0..1000 {
        assert!(rig.reject("a"));
        assert_eq!(rig.token().await, "a", "valid, and all there is");
    }
    assert_eq!(rig.calls(), 2);
    let held = rig.cache.get().await.unwrap();
    assert_eq!(
        held.credential.warnings(),
        ["the next token could not be fetched: as scripted"]
    );
    // It is not forgotten that it was refused.
    rig.clock.both(2);
    assert_eq!(rig.token().await, "b");
    assert_eq!(rig.calls(), 3);
}

#[tokio::test]
async fn a_refusal_is_not_put_off_by_an_earlier_failure() {
    let rig = Rig::new([
        Answer::Token("a", HOUR),
        Answer::Fail(&codes::ENTRA_UNREACHABLE),
        Answer::Fail(&codes::ENTRA_UNREACHABLE),
        Answer::Token("b", HOUR),
    ]);
    rig.token().await;
    rig.clock.both(HOUR - 300);
    for pause in [2, 1] {
        rig.token().await;
        settle().await;
        rig.clock.both(pause);
    }
    assert_eq!(rig.calls(), 3);
    assert!(rig.reject("a"));
    assert_eq!(rig.token().await, "b");
}

#[tokio::test]
async fn a_refused_token_that_ends_is_not_served() {
    let rig = Rig::new([
        Answer::Token("a", HOUR),
        Answer::Fail(&codes::ENTRA_UNREACHABLE),
        Answer::Fail(&codes::ENTRA_UNREACHABLE),
    ]);
    rig.token().await;
    assert!(rig.reject("a"));
    assert_eq!(rig.token().await, "a");
    rig.clock.both(HOUR);
    assert_eq!(rig.code().await, "entra-unreachable");
    assert_eq!(*rig.script.had_valid.lock().unwrap(), [false, true, false]);
}

#[tokio::test]
async fn the_warning_is_that_of_the_last_failure() {
    let rig = Rig::new([
        Answer::Token("a", HOUR),
        Answer::Say("first"),
        Answer::Say("second"),
    ]);
    rig.token().await;
    rig.clock.both(HOUR - 300);
    for said in ["first", "second"] {
        rig.token().await;
        settle().await;
        let held = rig.cache.get().await.unwrap();
        let expected = format!("the next token could not be fetched: {said}");
        assert_eq!(held.credential.warnings(), [expected]);
        rig.clock.both(2);
    }
}

/// Two runtimes, of which one stands still while the other gets a token.
fn late(answers: [Answer; 2]) -> (Rig, String) {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let rig = Rig::gated(answers);
    let stands = runtime();
    stands.block_on(async { assert_eq!(rig.token_now(), None) });
    rig.script.gate.add_permits(2);
    runtime().block_on(rig.token());
    let late = stands.block_on(async {
        settle().await;
        rig.token().await
    });
    (rig, late)
}

#[test]
fn what_comes_late_does_not_replace_what_ends_later() {
    let (rig, late) = late([Answer::Token("a", 2 * HOUR), Answer::Token("b", HOUR)]);
    assert_eq!(late, "a");
    assert_eq!(rig.token_now().as_deref(), Some("a"));
    assert_eq!(rig.calls(), 2);
}

#[test]
fn what_fails_late_does_not_mark_the_new_token() {
    let (rig, late) = late([Answer::Token("a", HOUR), Answer::Say("late")]);
    assert_eq!(late, "a");
    let held = rig.cache.get().now_or_never().unwrap().unwrap();
    assert!(held.credential.warnings().is_empty());
}

#[test]
fn the_log_may_ask_for_a_token_itself() {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let rig = Arc::new(Rig::new([Answer::Token("a", HOUR), Answer::Say("no")]));
        let (asks, heard) = (Arc::clone(&rig), Arc::new(Mutex::new(Vec::new())));
        let notes = Arc::clone(&heard);
        let ear = Ear::new(move |target| {
            notes.lock().unwrap().push((target, asks.token_now()));
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        tracing::subscriber::with_default(ear, || {
            runtime.block_on(async {
                rig.token().await;
                rig.clock.both(HOUR - 300);
                rig.token().await;
                settle().await;
            });
        });
        let heard = heard.lock().unwrap().clone();
        tell.send(heard)
    });
    let heard = told.recv_timeout(Duration::from_secs(20));
    let heard = heard.expect("no lock is held while it is written");
    assert_eq!(heard, [("pgreach".to_owned(), Some("a".to_owned()))]);
}
