//! What is printed: JSON for scripts, a table for people.

use std::io::Write as _;

use pgreach::conninfo::Conninfo;
use pgreach::text::escape_control;
use pgreach::tokio_postgres::SimpleQueryMessage;
use pgreach::{ConnectionInfo, Error, Report};
use serde_json::{Value, json};

/// Where results go.
pub(crate) struct Output {
    json: bool,
}

const HELP: &str = "\
Connects to a PostgreSQL server, runs a statement and prints the rows.

connect [OPTIONS] [CONNINFO]

  CONNINFO            a connection string or URI, as for psql; empty: the environment alone
  -c, --command SQL   the statement (default: select 1)
      --check         walk the way stage by stage and report, instead of running a statement
      --json          one JSON object on standard output, for scripts
      --parse         print the parameters of CONNINFO as JSON, without connecting
  -h, --help          this text";

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) fn help(&self) {
        if self.json { print(&json!({ "ok": true, "help": HELP }).to_string()) } else { print(HELP) }
    }

    /// The parameters as given: JSON in either form.
    pub(crate) fn parameters(&self, conninfo: &Conninfo) {
        print(&json!(conninfo).to_string());
    }

    pub(crate) fn report(&self, report: &Report) {
        print(&if self.json { json!(report).to_string() } else { report.to_string() });
    }

    pub(crate) fn rows(&self, messages: &[SimpleQueryMessage], info: &ConnectionInfo) {
        let mut columns: Vec<&str> = Vec::new();
        let mut rows: Vec<Vec<Option<&str>>> = Vec::new();
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(described) => {
                    columns = described.iter().map(|column| column.name()).collect();
                }
                SimpleQueryMessage::Row(row) => {
                    rows.push((0..row.len()).map(|i| row.get(i)).collect());
                }
                _ => {}
            }
        }
        if self.json {
            let out = json!({ "ok": true, "columns": columns, "rows": rows, "connection": info });
            print(&out.to_string());
        } else {
            print(&table(&columns, &rows));
            print(&summary(info));
        }
    }

    pub(crate) fn error(&self, error: &Error) {
        if self.json {
            let out: Value = json!({ "ok": false, "error": error });
            print(&out.to_string());
            return;
        }
        let state = error.sqlstate().map(|state| format!(", SQLSTATE {state}")).unwrap_or_default();
        let text = format!(
            "{} at {}: {}\nwhat to change: {}\n(code {}, retry: {}{state})",
            error.kind(),
            error.stage(),
            error.message(),
            error.hint(),
            error.code().name(),
            error.retry(),
        );
        // A closed pipe is nobody's error.
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }
}

fn print(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

fn summary(info: &ConnectionInfo) -> String {
    let ms = info.elapsed().as_secs_f64() * 1e3;
    let mut text = format!(
        "({}, user {}, PostgreSQL {}, {}, connected in {ms:.1} ms)",
        info.route(),
        escape_control(info.user()),
        info.server_version().unwrap_or("of unknown version"),
        if info.tls().is_some() { "TLS" } else { "no TLS" },
    );
    for stage in info.stages() {
        text.push_str(&format!("\n  {:14} {:>7.1} ms", stage.stage, stage.elapsed.as_secs_f64() * 1e3));
    }
    text
}

fn table(columns: &[&str], rows: &[Vec<Option<&str>>]) -> String {
    let shown: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| escape_control(cell.unwrap_or("NULL"))).collect())
        .collect();
    let columns: Vec<String> = columns.iter().map(|name| escape_control(name)).collect();
    let width = |i: usize| {
        let cells = shown.iter().filter_map(|row| row.get(i)).chain(columns.get(i));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let line = |cells: &[String]| {
        let padded: Vec<String> =
            cells.iter().enumerate().map(|(i, cell)| format!("{cell:w$}", w = width(i))).collect();
        padded.join(" | ").trim_end().to_owned()
    };
    let mut out = Vec::new();
    if !columns.is_empty() {
        out.push(line(&columns));
        let rule: Vec<String> = (0..columns.len()).map(|i| "-".repeat(width(i))).collect();
        out.push(rule.join("-+-"));
    }
    out.extend(shown.iter().map(|row| line(row)));
    let count = rows.len();
    out.push(format!("({count} {})", if count == 1 { "row" } else { "rows" }));
    out.join("\n")
}
