//! What is printed: JSON for scripts, a table and a report for people.

use std::ffi::OsString;
use std::io::{self, Write};

use pgreach::conninfo::Conninfo;
use pgreach::text::escape_control;
use pgreach::tokio_postgres::SimpleQueryMessage;
use pgreach::{ConnectionInfo, Error, Report};
use serde_json::{Value, json};

use crate::table;

const HELP: &str = "\
Connects to a PostgreSQL server, runs a statement and prints the rows.

connect [OPTIONS] [CONNINFO]

  CONNINFO            a connection string or URI, as for psql; empty: the environment alone
  -c, --command SQL   the statement (default: select 1)
      --check         walk the way stage by stage and report, instead of running a statement
      --json          one JSON object on standard output, for scripts
      --parse         print the parameters of CONNINFO as JSON, without connecting
      --spec FILE     a connection document instead of CONNINFO: FILE.json or FILE.toml; -: JSON from
                      standard input
  -h, --help          this text

Through SSH servers:
  --ssh [USER@]HOST[:PORT]      the SSH server that dials the database; of several, each dials
                                the next one, and the last one the database
  --ssh-key FILE                a private key; FILE-cert.pub beside it is its certificate
  --ssh-passphrase-env VAR      the environment variable with the passphrase of the keys
  --ssh-password-env VAR        the environment variable with the password
  --ssh-agent                   the keys of the agent that SSH_AUTH_SOCK names
  --known-hosts FILE            the trusted host keys; default: the user's and the system's
  --host-key-fingerprint SHA256:...
                                the host key of the last SSH server; given for each: in order

The same credentials serve all SSH servers; without any, the user's own keys in ~/.ssh and the
agent do. Key and password are both used where the server demands both.";

/// How results are shown. Each function says whether the result went out.
pub(crate) struct Output {
    json: bool,
}

impl Output {
    /// Looks for the options that ask for JSON before the rest is understood, so that a wrong option
    /// is reported as asked for, too.
    pub(crate) fn new(args: &[OsString]) -> Self {
        let mut options = args.iter().take_while(|arg| *arg != "--");
        Self {
            json: options.any(|arg| arg == "--json" || arg == "--parse"),
        }
    }

    pub(crate) fn help(&self) -> bool {
        self.print(|| HELP.to_owned(), || json!({ "ok": true, "help": HELP }))
    }

    pub(crate) fn parameters(&self, conninfo: &Conninfo) -> bool {
        self.print(String::new, || json!(conninfo))
    }

    pub(crate) fn report(&self, report: &Report) -> bool {
        self.print(|| report.to_string(), || json!(report))
    }

    /// The rows of all statements, in order.
    ///
    /// # Errors
    /// A value is not UTF-8: the database's encoding is `SQL_ASCII`, or the statement changed
    /// `client_encoding`.
    pub(crate) fn rows(
        &self,
        messages: &[SimpleQueryMessage],
        info: &ConnectionInfo,
    ) -> Result<bool, Error> {
        let results = table::results(messages)?;
        Ok(self.print(
            || {
                let report = Report::new(info.route(), info.stages().to_vec(), [], None, None);
                format!("{}\n\n{report}", table::draw(&results))
            },
            || {
                let rows: Vec<_> = results.iter().flat_map(|result| &result.rows).collect();
                let columns = results
                    .iter()
                    .rev()
                    .find_map(|result| result.columns.as_ref());
                json!({
                    "ok": true,
                    "columns": columns.map_or(&[][..], Vec::as_slice),
                    "rows": rows,
                    "server_version": info.server_version(),
                    "connection": info,
                })
            },
        ))
    }

    pub(crate) fn error(&self, error: &Error) {
        if self.json {
            write(
                io::stdout(),
                &printable(&json!({ "ok": false, "error": error })),
            );
            return;
        }
        let state = error
            .sqlstate()
            .map(|state| format!(", SQLSTATE {state}"))
            .unwrap_or_default();
        let text = format!(
            "{} [{}] at stage {}: {}\nwhat to change: {}\n(retry: {}{state})",
            error.kind(),
            error.code().name(),
            error.stage(),
            error.message(),
            error.hint(),
            error.retry(),
        );
        write(io::stderr(), &text);
    }

    fn print(&self, text: impl FnOnce() -> String, json: impl FnOnce() -> Value) -> bool {
        write(
            io::stdout(),
            &if self.json {
                printable(&json())
            } else {
                text()
            },
        )
    }
}

/// Whether all of it went out. A pipe that was closed early is nothing to complain about.
fn write(mut to: impl Write, text: &str) -> bool {
    writeln!(to, "{text}").and_then(|()| to.flush()).is_ok()
}

/// JSON that a terminal may show: what JSON leaves as it is, but [`escape_control`] does not, can
/// only stand inside a string, where an escape means the same.
fn printable(json: &Value) -> String {
    let mut out = String::new();
    for c in json.to_string().chars() {
        let mut buffer = [0; 4];
        let plain: &str = c.encode_utf8(&mut buffer);
        if escape_control(plain) == plain {
            out.push(c);
        } else {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        }
    }
    out
}
