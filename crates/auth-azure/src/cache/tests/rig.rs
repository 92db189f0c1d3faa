//! A cache with a clock that is set by hand and a source that answers as scripted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use pgreach_core::Code;
use tokio::sync::Semaphore;

use super::super::*;
use crate::credentials::TokenMint;

pub(super) const HOUR: u64 = 3600;

/// Set by hand.
#[derive(Debug)]
pub(super) struct ManualClock(Mutex<Moment>);

impl ManualClock {
    pub(super) fn pass(&self, wall: u64, mono: u64) {
        let mut now = self.0.lock().unwrap();
        now.wall += Duration::from_secs(wall);
        now.mono += Duration::from_secs(mono);
    }

    /// As time does.
    pub(super) fn both(&self, seconds: u64) {
        self.pass(seconds, seconds);
    }

    pub(super) fn back(&self, wall: u64) {
        self.0.lock().unwrap().wall -= Duration::from_secs(wall);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Moment {
        *self.0.lock().unwrap()
    }
}

pub(super) enum Answer {
    /// A token of this text that lives for so many seconds.
    Token(&'static str, u64),
    Fail(&'static Code),
    /// A failure of these words.
    Say(&'static str),
    Panic,
}

pub(super) struct Script {
    calls: AtomicUsize,
    /// Whether there was a valid token at each call.
    pub(super) had_valid: Mutex<Vec<bool>>,
    answers: Mutex<VecDeque<Answer>>,
    /// Each answer takes a permit.
    pub(super) gate: Semaphore,
    pub(super) clock: Arc<ManualClock>,
    renewable: bool,
}

#[async_trait]
impl Source for Arc<Script> {
    async fn fetch(&self, budget: Duration, has_valid: bool) -> Result<Fetched, Error> {
        assert_eq!(budget, Duration::from_secs(30));
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.had_valid.lock().unwrap().push(has_valid);
        self.gate.acquire().await.unwrap().forget();
        let answer = self.answers.lock().unwrap().pop_front();
        match answer.expect("a scripted answer") {
            Answer::Token(text, life) => Ok(Fetched {
                token: Secret::new(text),
                expires_at: Some(self.clock.now().wall + Duration::from_secs(life)),
                of: "script",
            }),
            Answer::Fail(code) => Err(error(code, "as scripted")),
            Answer::Say(words) => Err(error(&codes::ENTRA_SOURCE, words)),
            Answer::Panic => panic!("as scripted"),
        }
    }

    fn is_renewable(&self) -> bool {
        self.renewable
    }
}

pub(super) struct Rig {
    pub(super) cache: Cache,
    pub(super) clock: Arc<ManualClock>,
    pub(super) script: Arc<Script>,
}

impl Rig {
    pub(super) fn of(
        renewable: bool,
        open: usize,
        answers: impl IntoIterator<Item = Answer>,
    ) -> Self {
        let clock = Arc::new(ManualClock(Mutex::new(Moment {
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            mono: Duration::from_secs(1000),
        })));
        let script = Arc::new(Script {
            calls: AtomicUsize::new(0),
            had_valid: Mutex::default(),
            answers: Mutex::new(answers.into_iter().collect()),
            gate: Semaphore::new(open),
            clock: Arc::clone(&clock),
            renewable,
        });
        let cache = Cache::new(
            Box::new(Arc::clone(&script)),
            Box::new(TokenMint {
                user: Some("app".to_owned()),
                cloud: "public",
                unverified_tls: false,
                endless: false,
            }),
            Arc::clone(&clock) as Arc<dyn Clock>,
            Duration::from_secs(300),
            Duration::from_secs(30),
        );
        Self {
            cache,
            clock,
            script,
        }
    }

    pub(super) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::of(true, 1000, answers)
    }

    /// No answer before `script.gate` gets a permit.
    pub(super) fn gated(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::of(true, 0, answers)
    }

    pub(super) fn calls(&self) -> usize {
        self.script.calls.load(Ordering::SeqCst)
    }

    pub(super) async fn token(&self) -> String {
        self.cache.get().await.unwrap().token.expose().to_owned()
    }

    /// Without waiting for anything.
    pub(super) fn token_now(&self) -> Option<String> {
        let held = self.cache.get().now_or_never()?;
        Some(held.unwrap().token.expose().to_owned())
    }

    pub(super) async fn code(&self) -> &'static str {
        self.cache.get().await.unwrap_err().code().name()
    }

    pub(super) fn reject(&self, token: &str) -> bool {
        self.cache.invalidate(&Credential::bearer_token(token))
    }
}
