//! Connects to your own server, runs a statement and prints the rows.
//!
//! ```text
//! cargo run --example connect -- [OPTIONS] [CONNINFO]
//!
//!   CONNINFO            a connection string or URI, as for psql; empty: the environment alone
//!   -c, --command SQL   the statement (default: select 1)
//!       --check         walk the way stage by stage and report, instead of running a statement
//!       --json          one JSON object on standard output, for scripts
//!       --parse         print the parameters of CONNINFO as JSON, without connecting
//!   -h, --help          this text
//! ```
//!
//! The exit status is 0 or 1. There is never a prompt.

mod options;
mod output;

use std::process::ExitCode;

use options::{Action, Options};
use output::Output;
use pgreach::conninfo::Conninfo;
use pgreach::tokio_postgres::SimpleQueryMessage;
use pgreach::{Connection, Connector, Error};

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    // Known before the options are understood, so that a wrong option is reported as asked for.
    let output = Output::new(args.iter().any(|arg| arg == "--json"));
    let done = match Options::parse(args) {
        Ok(options) => run(&options, &output).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            output.error(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options, output: &Output) -> Result<bool, Error> {
    match &options.action {
        Action::Help => output.help(),
        Action::Parse => output.parameters(&Conninfo::parse(&options.conninfo)?),
        Action::Check => {
            let report = pgreach::connector(&options.conninfo)?.check().await;
            output.report(&report);
            return Ok(report.is_ok());
        }
        Action::Command(sql) => {
            let connection = pgreach::connect(&options.conninfo).await?;
            let messages = query(&connection, sql).await?;
            output.rows(&messages, connection.info());
            // The rows are there; how the session ends changes nothing.
            let _ = connection.close().await;
        }
    }
    Ok(true)
}

/// Runs `sql`; Ctrl-C cancels it on the server.
async fn query(connection: &Connection, sql: &str) -> Result<Vec<SimpleQueryMessage>, Error> {
    let running = connection.simple_query(sql);
    tokio::pin!(running);
    tokio::select! {
        done = &mut running => Ok(done?),
        _ = tokio::signal::ctrl_c() => {
            connection.cancel_handle().cancel().await?;
            Ok(running.await?)
        }
    }
}
