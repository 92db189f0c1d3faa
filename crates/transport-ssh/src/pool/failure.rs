//! A failure to begin a session, and who shares it.

use std::time::Duration;

use pgreach_core::{Error, ErrorKind};
use tokio::time::Instant;

use crate::codes;

/// Pauses after failed attempts: doubling from the first to the last, with full jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// The last failure to begin a session.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    /// Which hop it was about.
    pub(super) hop: usize,
    /// No attempt before then.
    pub(super) until: Instant,
}

impl Failure {
    /// Offering the same credential again only leads to being locked out.
    pub(super) fn is_verdict(&self) -> bool {
        is_verdict(&self.error)
    }

    /// For another caller.
    pub(super) fn repeat(&self) -> (Error, usize) {
        let error = &self.error;
        let left = self.until.saturating_duration_since(Instant::now());
        if !self.is_verdict() || left.is_zero() {
            return (error.repeat(), self.hop);
        }
        let seconds = left.as_secs() + 1;
        let message =
            format!("{error}; not tried again for {seconds} s, so as not to be locked out");
        let error = Error::new(error.code(), error.stage(), message)
            .with_hint(error.hint())
            .with_retry(error.retry());
        (error, self.hop)
    }
}

/// Whether a server has judged a credential.
pub(super) fn is_verdict(error: &Error) -> bool {
    let unjudged = [&codes::SSH_AUTH_LOST, &codes::SSH_AGENT];
    error.kind() == ErrorKind::SshAuth
        && !unjudged
            .iter()
            .any(|code| code.name() == error.code().name())
}

/// How long to wait at most after so many failures in a row.
pub(super) fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    FIRST_PAUSE.saturating_mul(1 << doublings).min(LAST_PAUSE)
}
