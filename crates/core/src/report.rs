//! What a check found, stage by stage, with a remedy.

use std::fmt::{self, Write as _};

use serde::Serialize;

use crate::text::escape_control;
use crate::{ConnectionInfo, Error, Outcome, Stage, StageRecord};

/// What [`Connector::check`](crate::Connector::check) found: every stage with its outcome, its time
/// and what was seen, and for a failure its stable code and the remedy.
///
/// `Display` is made for a terminal, [`to_markdown`](Self::to_markdown) for a page, `Serialize` for
/// programs. None of them holds a secret.
#[derive(Debug, Serialize)]
pub struct Report {
    ok: bool,
    route: String,
    stages: Vec<StageRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Error>,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<ConnectionInfo>,
}

impl Report {
    /// A report of `stages`, which ended with `error`, if any. The stages of `usual`, in the order of
    /// the way, that do not occur count as skipped.
    #[must_use]
    pub fn new(
        route: impl AsRef<str>,
        mut stages: Vec<StageRecord>,
        usual: impl IntoIterator<Item = Stage>,
        error: Option<Error>,
        connection: Option<ConnectionInfo>,
    ) -> Self {
        let usual: Vec<Stage> = usual.into_iter().collect();
        for (i, stage) in usual.iter().enumerate() {
            if stages.iter().any(|record| record.stage == *stage) {
                continue;
            }
            // Before the first of those that come after it on the way: what the route adds of its own
            // comes before all of them, and the query after all.
            let after = |record: &StageRecord| {
                record.stage == Stage::QUERY || usual.iter().skip(i).any(|s| *s == record.stage)
            };
            let place = stages.iter().position(after).unwrap_or(stages.len());
            stages.insert(place, StageRecord::skipped(*stage));
        }
        Self {
            ok: error.is_none(),
            route: escape_control(route.as_ref()),
            stages,
            error,
            connection,
        }
    }

    /// Whether the connection works.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.ok
    }

    /// The route, without secrets.
    #[must_use]
    pub fn route(&self) -> &str {
        &self.route
    }

    /// The stages, in the order in which they began.
    #[must_use]
    pub fn stages(&self) -> &[StageRecord] {
        &self.stages
    }

    /// Why the connection does not work.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        self.error.as_ref()
    }

    /// What works now and will not for long: the warnings of all stages.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        let records = self.stages.iter();
        records.flat_map(|record| record.warnings.iter().map(String::as_str))
    }

    /// What was known of the connection, when it works.
    #[must_use]
    pub fn connection(&self) -> Option<&ConnectionInfo> {
        self.connection.as_ref()
    }

    /// The report as Markdown: a table, and the remedy below it.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "**Route:** {}\n", cell(&self.route));
        out.push_str("| Stage | Outcome | Time | Seen |\n| --- | --- | ---: | --- |\n");
        for record in &self.stages {
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} |",
                cell(&name(record)),
                word(record.outcome),
                time(record),
                cell(&seen(record)),
            );
        }
        for warning in self.warnings() {
            let _ = writeln!(out, "\n**Warning:** {}", cell(warning));
        }
        match &self.error {
            None => out.push_str("\nThe connection works.\n"),
            Some(error) => {
                let _ = writeln!(
                    out,
                    "\n**{}** (`{}`): {}\n\n**What to change:** {}",
                    error.kind(),
                    error.code().name(),
                    cell(error.message()),
                    cell(error.hint()),
                );
            }
        }
        out
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "route: {}", self.route)?;
        let width = self
            .stages
            .iter()
            .map(|record| name(record).len())
            .max()
            .unwrap_or(0);
        for record in &self.stages {
            let mark = match record.outcome {
                Outcome::Passed => "ok",
                Outcome::Failed => "FAIL",
                Outcome::Running | Outcome::CutOff => "...",
                Outcome::Skipped => "-",
            };
            let line = format!(
                "  {mark:4} {:width$}  {:>9}  {}",
                name(record),
                time(record),
                seen(record)
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        for warning in self.warnings() {
            writeln!(f, "warning: {warning}")?;
        }
        match &self.error {
            None => write!(f, "the connection works"),
            Some(error) => {
                writeln!(
                    f,
                    "{} [{}]: {}",
                    error.kind(),
                    error.code().name(),
                    error.message()
                )?;
                write!(f, "what to change: {}", error.hint())
            }
        }
    }
}

/// Text of a server or a user inside Markdown, and inside the HTML that may be made of it.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '#' | '!' | '|' | '~' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

fn name(record: &StageRecord) -> String {
    match &record.hop {
        Some(hop) => format!("{} {hop}", record.stage),
        None => record.stage.to_string(),
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed => "failed",
        Outcome::Running => "running",
        Outcome::CutOff => "cut off",
        Outcome::Skipped => "skipped",
    }
}

fn time(record: &StageRecord) -> String {
    match record.outcome {
        Outcome::Skipped => String::new(),
        _ => format!("{:.1} ms", record.elapsed.as_secs_f64() * 1e3),
    }
}

fn seen(record: &StageRecord) -> String {
    let notes: Vec<String> = record
        .seen
        .iter()
        .map(|(what, value)| format!("{what} {value}"))
        .collect();
    notes.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Trace, codes};

    /// A dial that failed while the credential was still being fetched.
    fn failed() -> Report {
        let trace = Trace::new();
        let credential = trace.enter(Stage::CREDENTIAL);
        let resolve = trace.enter(Stage::RESOLVE);
        resolve.note("addresses", "10.0.0.1 | \u{1b}[31m <b> [x](y)");
        resolve.warn("soon | \u{1b}[31m over");
        resolve.pass();
        let error = Error::new(&codes::TIMEOUT, Stage::TCP, "timed out | after 1s");
        let tcp = trace.enter(Stage::TCP);
        drop((credential, tcp));
        assert_eq!(trace.fail_last(), Some(Stage::TCP));
        let usual = [
            Stage::CREDENTIAL,
            Stage::RESOLVE,
            Stage::TCP,
            Stage::TLS,
            Stage::SESSION,
        ];
        Report::new("tcp to db:5432", trace.records(), usual, Some(error), None)
    }

    #[test]
    fn only_the_stage_that_ran_out_of_time_failed() {
        let report = failed();
        let outcomes: Vec<_> = report
            .stages()
            .iter()
            .map(|r| (r.stage, r.outcome))
            .collect();
        assert_eq!(
            outcomes,
            [
                (Stage::CREDENTIAL, Outcome::CutOff),
                (Stage::RESOLVE, Outcome::Passed),
                (Stage::TCP, Outcome::Failed),
                (Stage::TLS, Outcome::Skipped),
                (Stage::SESSION, Outcome::Skipped),
            ]
        );
        assert!(!report.is_ok());
    }

    #[test]
    fn every_rendering_names_code_and_remedy_and_escapes() {
        let report = failed();
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["ok"], false);
        assert_eq!(json["error"]["code"], "timeout");
        assert_eq!(json["error"]["hint"], codes::TIMEOUT.remedy());
        assert_eq!(json["stages"][2]["outcome"], "failed");
        let markdown = report.to_markdown();
        assert!(markdown.contains("10.0.0.1 \\| "), "{markdown}");
        assert!(markdown.contains("&lt;b&gt; \\[x\\]\\(y\\)"), "{markdown}");
        assert!(markdown.contains("`timeout`"), "{markdown}");
        assert!(
            markdown.contains(&cell(codes::TIMEOUT.remedy())),
            "{markdown}"
        );
        assert!(
            report.to_string().contains(codes::TIMEOUT.remedy()),
            "{report}"
        );
        for text in [report.to_string(), markdown, json.to_string()] {
            assert!(!text.contains('\u{1b}'), "{text}");
            assert!(text.contains("soon "), "{text}");
        }
    }
}
