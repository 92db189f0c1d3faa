mod ends;
mod rig;
mod served;

use futures_util::FutureExt as _;
use futures_util::future::join_all;

use self::rig::{Answer, HOUR, Rig};
use super::*;

/// Lets the tasks that can run do so.
async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn ten_thousand_calls_make_one_request() {
    let rig = Rig::gated([Answer::Token("a", HOUR)]);
    let calls: Vec<_> = (0..10_000)
        .map(|_| {
            let cache = rig.cache.clone();
            tokio::spawn(async move { cache.get().await.unwrap().token.expose().to_owned() })
        })
        .collect();
    settle().await;
    assert!(calls.iter().all(|call| !call.is_finished()));
    rig.script.gate.add_permits(10_000);
    for call in join_all(calls).await {
        assert_eq!(call.unwrap(), "a");
    }
    assert_eq!(rig.calls(), 1);
}

#[tokio::test]
async fn the_request_outlives_whoever_began_it() {
    let rig = Rig::gated([Answer::Token("a", HOUR)]);
    assert_eq!(rig.token_now(), None, "begun, and dropped");
    let other = rig.cache.get();
    rig.script.gate.add_permits(1);
    assert_eq!(other.await.unwrap().token.expose(), "a");
    assert_eq!(rig.calls(), 1);
}

#[tokio::test]
async fn nobody_waits_for_a_refresh_ahead() {
    let rig = Rig::gated([Answer::Token("a", HOUR), Answer::Token("b", HOUR)]);
    rig.script.gate.add_permits(1);
    assert_eq!(rig.token().await, "a");
    rig.clock.both(HOUR - 301);
    assert_eq!(rig.token_now().as_deref(), Some("a"));
    settle().await;
    assert_eq!(rig.calls(), 1, "not yet");

    rig.clock.both(1);
    for _ in 0..100 {
        assert_eq!(rig.token_now().as_deref(), Some("a"));
        settle().await;
    }
    assert_eq!(rig.calls(), 2);
    rig.script.gate.add_permits(1);
    settle().await;
    assert_eq!(rig.token_now().as_deref(), Some("b"));
}

#[tokio::test]
async fn a_valid_token_is_served_while_the_next_one_does_not_come() {
    let failures = (0..20).map(|_| Answer::Fail(&codes::ENTRA_UNREACHABLE));
    let rig = Rig::new(std::iter::once(Answer::Token("a", HOUR)).chain(failures));
    let before = rig.cache.get().await.unwrap();
    rig.clock.both(HOUR - 300);
    for _ in 300..569 {
        assert_eq!(rig.token_now().as_deref(), Some("a"));
        settle().await;
        rig.clock.both(1);
    }
    // At 0, then after pauses of at most 2, 4, 8, 16, 32, 60, 60… seconds.
    let tried = rig.calls() - 1;
    assert!((7..=14).contains(&tried), "{tried}");
    let held = rig.cache.get().await.unwrap();
    let warnings = held.credential.warnings();
    assert_eq!(
        warnings,
        ["the next token could not be fetched: as scripted"]
    );
    assert!(held.credential.same_as(&before.credential));

    rig.clock.both(1);
    assert_eq!(rig.code().await, "entra-unreachable", "it has ended");
}

#[tokio::test]
async fn a_refresh_that_works_again_ends_the_warning() {
    let rig = Rig::new([
        Answer::Token("a", HOUR),
        Answer::Fail(&codes::ENTRA_TIMEOUT),
        Answer::Token("b", HOUR),
    ]);
    rig.token().await;
    rig.clock.both(HOUR - 300);
    rig.token().await;
    settle().await;
    rig.clock.both(2);
    rig.token().await;
    settle().await;
    assert_eq!(rig.token_now().as_deref(), Some("b"));
    let held = rig.cache.get().await.unwrap();
    assert!(held.credential.warnings().is_empty());
}

#[tokio::test]
async fn a_failure_is_told_and_not_repeated_for_a_second() {
    let rig = Rig::new([
        Answer::Fail(&codes::ENTRA_REFUSED),
        Answer::Fail(&codes::ENTRA_TIMEOUT),
        Answer::Token("a", HOUR),
    ]);
    for _ in 0..1000 {
        assert_eq!(rig.code().await, "entra-refused");
    }
    assert_eq!(rig.calls(), 1);
    rig.clock.both(1);
    assert_eq!(rig.code().await, "entra-timeout");
    rig.clock.both(1);
    assert_eq!(rig.token().await, "a");
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let rig = Rig::new([
        Answer::Token("a", HOUR),
        Answer::Token("b", HOUR),
        Answer::Token("c", HOUR),
    ]);
    assert_eq!(rig.token().await, "a");
    // A thousand connections with the same token, all refused.
    for _ in 0..1000 {
        assert!(rig.reject("a"));
        assert_eq!(rig.token().await, "b");
    }
    assert_eq!(rig.calls(), 2);
    // The new one as well: another would fare no better.
    for _ in 0..1000 {
        assert!(!rig.reject("b"));
        assert_eq!(rig.token().await, "b");
    }
    assert_eq!(rig.calls(), 2);
    rig.clock.both(5);
    assert!(rig.reject("b"));
    assert_eq!(rig.token().await, "c");
    assert_eq!(rig.calls(), 3);
}

#[tokio::test]
async fn all_refused_connections_wait_for_one_request() {
    let rig = Rig::gated([Answer::Token("a", HOUR), Answer::Token("b", HOUR)]);
    rig.script.gate.add_permits(1);
    rig.token().await;
    let calls: Vec<_> = (0..1000)
        .map(|_| {
            assert!(rig.reject("a"));
            let cache = rig.cache.clone();
            tokio::spawn(async move { cache.get().await.unwrap().token.expose().to_owned() })
        })
        .collect();
    settle().await;
    rig.script.gate.add_permits(1000);
    for call in join_all(calls).await {
        assert_eq!(call.unwrap(), "b");
    }
    assert_eq!(rig.calls(), 2);
}

#[tokio::test]
async fn what_is_not_ours_is_not_dropped() {
    let rig = Rig::new([Answer::Token("a", HOUR)]);
    rig.token().await;
    assert!(rig.reject("older"), "there is a newer one");
    assert!(!rig.cache.invalidate(&Credential::none()));
    assert_eq!(rig.token_now().as_deref(), Some("a"));
    assert_eq!(rig.calls(), 1);
}

#[tokio::test]
async fn what_cannot_be_renewed_stays() {
    let rig = Rig::of(false, 9, [Answer::Token("a", HOUR)]);
    rig.token().await;
    assert!(!rig.reject("a") && !rig.reject("other"));
    assert_eq!(rig.token_now().as_deref(), Some("a"));
}

#[tokio::test]
async fn a_sleep_is_seen_by_the_other_clock() {
    let rig = Rig::new([
        Answer::Token("a", HOUR),
        Answer::Token("b", HOUR),
        Answer::Token("c", HOUR),
        Answer::Token("d", HOUR),
    ]);
    rig.token().await;
    // Beyond its end, of which the monotonic clock knows nothing.
    rig.clock.pass(HOUR, 5);
    assert_eq!(rig.token().await, "b");
    // Not beyond its end, but further than what is left.
    rig.clock.pass(HOUR - 600, 5);
    assert_eq!(rig.token().await, "c");
    // Set back: the wall clock would let it live for two hours more.
    rig.clock.back(2 * HOUR);
    rig.clock.both(HOUR);
    assert_eq!(rig.token().await, "d");
    assert_eq!(rig.calls(), 4);
}

#[tokio::test]
async fn a_doubtful_token_is_better_than_none() {
    let rig = Rig::new([
        Answer::Token("a", HOUR),
        Answer::Fail(&codes::ENTRA_UNREACHABLE),
        Answer::Fail(&codes::ENTRA_UNREACHABLE),
    ]);
    rig.token().await;
    rig.clock.pass(HOUR - 600, 5);
    for _ in 0..100 {
        assert_eq!(rig.token().await, "a");
    }
    // Its failure is not told any more, but the pause is not over.
    rig.clock.both(1);
    assert_eq!(rig.token().await, "a");
    assert_eq!(rig.calls(), 2, "not for each connection");
    rig.clock.both(600);
    assert_eq!(rig.code().await, "entra-unreachable");
}

#[tokio::test]
async fn expired_on_arrival() {
    for life in [0, 1] {
        let rig = Rig::new([Answer::Token("a", life)]);
        // One second, of which a tenth is the margin, is enough by itself.
        match life {
            0 => assert_eq!(rig.code().await, "entra-token"),
            _ => assert_eq!(rig.token().await, "a"),
        }
    }
}

#[tokio::test]
async fn a_panic_does_not_block_the_next_request() {
    let rig = Rig::new([Answer::Panic, Answer::Token("a", HOUR)]);
    assert_eq!(rig.code().await, "entra-source");
    rig.clock.both(1);
    assert_eq!(rig.token().await, "a");
}

#[test]
fn a_runtime_that_stands_still_holds_up_no_other() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let rig = Rig::gated([Answer::Token("a", HOUR), Answer::Token("b", HOUR)]);
    let stands = runtime();
    stands.block_on(async { assert_eq!(rig.token_now(), None) });
    rig.script.gate.add_permits(2);
    let moves = runtime();
    assert_eq!(moves.block_on(rig.token()), "a");
    // Its request goes on when it does, and its end is found in good order.
    stands.block_on(settle());
    assert_eq!(stands.block_on(rig.token()), "b");

    let rig = Rig::gated([Answer::Token("a", HOUR)]);
    let ends = runtime();
    ends.block_on(async { assert_eq!(rig.token_now(), None) });
    drop(ends);
    rig.script.gate.add_permits(1);
    assert_eq!(moves.block_on(rig.token()), "a");
}

#[test]
fn outside_of_a_runtime() {
    let rig = Rig::new([]);
    let failure = rig.cache.get().now_or_never().unwrap().unwrap_err();
    assert_eq!(failure.code().name(), "entra-config");
}
