//! Requests that end without an answer.

use std::sync::mpsc;
use std::thread;

use super::rig::{Answer, HOUR, Rig};
use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// A thread that hangs fails the test, which joining it would not.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(work()));
    told.recv_timeout(Duration::from_secs(20))
        .expect("it neither hangs nor panics")
}

#[test]
fn a_runtime_that_has_ended() {
    in_time(|| {
        let rig = Rig::new([Answer::Token("a", HOUR)]);
        let ended = runtime();
        let handle = ended.handle().clone();
        drop(ended);
        for _ in 0..2 {
            let failure = handle.block_on(rig.cache.get()).unwrap_err();
            assert_eq!(failure.code().name(), "entra-source");
            assert!(failure.message().ends_with("was cut off"), "{failure}");
        }
        assert_eq!(rig.calls(), 0);
        // It says nothing about the source, so others are not held up by it.
        assert_eq!(runtime().block_on(rig.token()), "a");
    });
}

#[test]
fn a_job_that_outlives_the_tasks_of_its_runtime() {
    struct AtEnd(mpsc::Sender<()>);
    impl Drop for AtEnd {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    in_time(|| {
        let rig = Arc::new(Rig::new([Answer::Token("a", HOUR)]));
        let ends = runtime();
        let (tell, ended) = mpsc::channel();
        let (begin, begun) = mpsc::channel();
        let guard = AtEnd(tell);
        ends.spawn(async move {
            let _guard = guard;
            begin.send(()).unwrap();
            std::future::pending::<()>().await;
        });
        begun.recv().unwrap();
        let in_job = Arc::clone(&rig);
        let job = ends.spawn_blocking(move || {
            ended.recv().unwrap();
            Handle::current().block_on(in_job.code())
        });
        drop(ends);
        assert_eq!(job.now_or_never().unwrap().unwrap(), "entra-source");
        assert_eq!(runtime().block_on(rig.token()), "a");
    });
}

#[tokio::test]
async fn a_panic_is_told_and_not_repeated_for_a_second() {
    let rig = Rig::gated([Answer::Panic, Answer::Panic, Answer::Token("a", HOUR)]);
    let waits = [rig.cache.clone(), rig.cache.clone()]
        .map(|cache| tokio::spawn(async move { cache.get().await.unwrap_err() }));
    settle().await;
    rig.script.gate.add_permits(10);
    for waits in waits {
        let failure = waits.await.unwrap();
        assert_eq!(failure.code().name(), "entra-source");
        assert!(failure.message().ends_with("was cut off"), "{failure}");
    }
    for _ in 0..1000 {
        assert_eq!(rig.code().await, "entra-source");
    }
    assert_eq!(rig.calls(), 1);
    rig.clock.both(1);
    assert_eq!(rig.code().await, "entra-source");
    rig.clock.both(1);
    assert_eq!(rig.token().await, "a");
}

#[tokio::test]
async fn a_panic_of_a_refresh_makes_the_next_one_wait() {
    let rig = Rig::new([Answer::Token("a", HOUR), Answer::Panic, Answer::Panic]);
    rig.token().await;
    rig.clock.both(HOUR - 300);
    for _ in 0..100 {
        assert_eq!(rig.token().await, "a");
        settle().await;
    }
    assert_eq!(rig.calls(), 2);
    let held = rig.cache.get().await.unwrap();
    assert!(held.credential.warnings()[0].ends_with("was cut off"));
}
