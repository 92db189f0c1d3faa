//! What happened at which stage of a connection, as it happens.

use std::fmt::{self, Debug, Display};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::text::escape_control;
use crate::{Error, Stage};

/// How far a stage came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// It was begun and is not over.
    Running,
    /// It was begun, and dropped before it was over: something else failed, or time ran out.
    CutOff,
    /// It succeeded.
    Passed,
    /// It failed.
    Failed,
    /// It was not reached, or is not needed here.
    Skipped,
}

/// One stage of one connection.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct StageRecord {
    /// Which stage.
    pub stage: Stage,
    /// Which host or hop it was about, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop: Option<String>,
    /// How far it came.
    pub outcome: Outcome,
    /// How long it took.
    #[serde(serialize_with = "as_milliseconds", rename = "ms")]
    pub elapsed: Duration,
    /// What was seen, such as `("address", "10.1.2.3:5432")`. Never a secret.
    pub seen: Vec<(&'static str, String)>,
    /// What works now and will not for long, such as a certificate that is about to expire. One
    /// sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl StageRecord {
    pub(crate) fn skipped(stage: Stage) -> Self {
        Self {
            stage,
            hop: None,
            outcome: Outcome::Skipped,
            elapsed: Duration::ZERO,
            seen: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

fn as_milliseconds<S: serde::Serializer>(
    elapsed: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((elapsed.as_secs_f64() * 1e6).round() / 1e3)
}

/// The stages of one connection. Cheap to clone; clones share the record.
#[derive(Clone, Default)]
pub struct Trace {
    records: Arc<Mutex<Vec<StageRecord>>>,
    hop: Option<Arc<str>>,
}

impl Trace {
    /// An empty trace.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same record, with the stages that begin from here on marked as being about `hop`: one of
    /// several hosts, or a jump host. Hops within hops are joined by a space.
    #[must_use]
    pub fn with_hop(&self, hop: &str) -> Self {
        let hop = escape_control(hop);
        let hop = match &self.hop {
            Some(outer) => format!("{outer} {hop}"),
            None => hop,
        };
        Self {
            records: Arc::clone(&self.records),
            hop: Some(Arc::from(hop)),
        }
    }

    /// Begins a stage. It stays running until it is passed or failed; a stage that is dropped
    /// without either was cut off, by the deadline or by the caller.
    pub fn enter(&self, stage: Stage) -> ActiveStage {
        let span = tracing::debug_span!(
            target: "pgreach", "stage", stage = stage.as_str(), hop = self.hop.as_deref()
        );
        let index = self.with(|records| {
            records.push(StageRecord {
                stage,
                hop: self.hop.as_deref().map(str::to_owned),
                outcome: Outcome::Running,
                elapsed: Duration::ZERO,
                seen: Vec::new(),
                warnings: Vec::new(),
            });
            records.len() - 1
        });
        ActiveStage {
            trace: self.clone(),
            index,
            span,
            began: Instant::now(),
            over: false,
        }
    }

    /// Everything so far, in the order in which the stages began.
    #[must_use]
    pub fn records(&self) -> Vec<StageRecord> {
        self.with(|records| records.clone())
    }

    /// Time ran out: the last stage of this hop that is running, or was just cut off, has failed.
    pub(crate) fn fail_last(&self) -> Option<Stage> {
        self.mark(|record| matches!(record.outcome, Outcome::Running | Outcome::CutOff))
    }

    /// The last stage of this name has failed after all.
    pub(crate) fn fail_passed(&self, stage: Stage) {
        self.mark(|record| record.stage == stage);
    }

    fn mark(&self, which: impl Fn(&StageRecord) -> bool) -> Option<Stage> {
        let hop = self.hop.as_deref();
        self.with(|records| {
            let of_hop = |record: &StageRecord| match (hop, record.hop.as_deref()) {
                (None, _) => true,
                (Some(_), None) => false,
                // The hop itself, or one within it.
                (Some(hop), Some(of)) => of
                    .strip_prefix(hop)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')),
            };
            let mut newest_first = records.iter_mut().rev();
            let record = newest_first.find(|record| of_hop(record) && which(record))?;
            record.outcome = Outcome::Failed;
            Some(record.stage)
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut Vec<StageRecord>) -> T) -> T {
        // A panic elsewhere cannot leave the records half-written.
        f(&mut self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.records()).finish()
    }
}

/// A stage that is under way, with a `tracing` span (target `pgreach`, level debug) of its own.
#[derive(Debug)]
#[must_use = "a stage that is neither passed nor failed counts as cut off"]
pub struct ActiveStage {
    trace: Trace,
    index: usize,
    span: tracing::Span,
    began: Instant,
    over: bool,
}

impl ActiveStage {
    /// Notes something seen, for the report. It must not be a secret; control characters are
    /// escaped.
    pub fn note(&self, what: &'static str, value: impl Display) {
        let value = escape_control(&value.to_string());
        tracing::debug!(target: "pgreach", parent: &self.span, what, %value, "seen");
        self.trace.with(|records| {
            if let Some(record) = records.get_mut(self.index) {
                record.seen.push((what, value));
            }
        });
    }

    /// Warns of something that works now and will not for long. One sentence, without a secret;
    /// control characters are escaped.
    pub fn warn(&self, warning: impl Display) {
        let warning = escape_control(&warning.to_string());
        tracing::warn!(target: "pgreach", parent: &self.span, "{warning}");
        self.trace.with(|records| {
            if let Some(record) = records.get_mut(self.index) {
                record.warnings.push(warning);
            }
        });
    }

    /// The stage succeeded.
    pub fn pass(mut self) {
        let elapsed = self.finish(Outcome::Passed);
        tracing::debug!(target: "pgreach", parent: &self.span, ?elapsed, "passed");
    }

    /// The stage failed with `error`, which is handed back.
    pub fn fail(mut self, error: Error) -> Error {
        let elapsed = self.finish(Outcome::Failed);
        tracing::debug!(
            target: "pgreach", parent: &self.span, ?elapsed, code = error.code().name(), %error,
            "failed"
        );
        error
    }

    /// Passes or fails as `result` says.
    ///
    /// # Errors
    /// The error of `result`.
    pub fn end<T>(self, result: Result<T, Error>) -> Result<T, Error> {
        match result {
            Ok(value) => {
                self.pass();
                Ok(value)
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn finish(&mut self, outcome: Outcome) -> Duration {
        self.over = true;
        let elapsed = self.began.elapsed();
        self.trace.with(|records| {
            if let Some(record) = records.get_mut(self.index) {
                record.outcome = outcome;
                record.elapsed = elapsed;
            }
        });
        elapsed
    }
}

impl Drop for ActiveStage {
    fn drop(&mut self) {
        if !self.over {
            let elapsed = self.began.elapsed();
            self.trace.with(|records| {
                if let Some(record) = records.get_mut(self.index) {
                    record.outcome = Outcome::CutOff;
                    record.elapsed = elapsed;
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_is_not_mistaken_for_one_whose_name_begins_like_it() {
        let trace = Trace::new();
        let (short, long) = (trace.with_hop("db:543"), trace.with_hop("db:5432"));
        drop(short.enter(Stage::TCP));
        drop(long.with_hop("bastion").enter(Stage::TLS));
        assert_eq!(short.fail_last(), Some(Stage::TCP));
        assert_eq!(short.fail_last(), None);
        assert_eq!(long.fail_last(), Some(Stage::TLS), "a hop within it");
    }
}
