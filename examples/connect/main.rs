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
//!       --spec FILE     a connection document instead of CONNINFO: FILE.json or FILE.toml; -: JSON from
//!                       standard input
//!   -h, --help          this text
//!
//! Through SSH servers:
//!   --ssh [USER@]HOST[:PORT]      the SSH server that dials the database; of several, each dials
//!                                 the next one, and the last one the database
//!   --ssh-key FILE                a private key; FILE-cert.pub beside it is its certificate
//!   --ssh-passphrase-env VAR      the environment variable with the passphrase of the keys
//!   --ssh-password-env VAR        the environment variable with the password
//!   --ssh-agent                   the keys of the agent that SSH_AUTH_SOCK names
//!   --known-hosts FILE            the trusted host keys; default: the user's and the system's
//!   --host-key-fingerprint SHA256:...
//!                                 the host key of the last SSH server; given for each: in order
//! ```
//!
//! The same credentials serve all SSH servers; without any, the user's own keys in `~/.ssh` and the
//! agent do. The SSH servers have keepalives of their own: those of CONNINFO have no effect there.
//!
//! The exit status is 0 or 1. There is never a prompt.

mod options;
mod output;
mod spec;
mod ssh;
mod ssh_options;
mod table;

use std::process::ExitCode;

use options::{Action, Options};
use output::Output;
use pgreach::assembly;
use pgreach::conninfo::{Conninfo, Environment};
use pgreach::tokio_postgres::SimpleQueryMessage;
use pgreach::{Connection, Connector, Error, PgConnector, Stage, codes};

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let output = Output::new(&args);
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let message = format!("the async runtime does not start: {error}");
            output.error(&Error::new(&codes::IO, Stage::CONFIG, message));
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async { run(&Options::parse(args)?, &output).await });
    // A look-up by the system's resolver may still be under way; nobody waits for it any more.
    runtime.shutdown_background();
    let succeeded = done.unwrap_or_else(|error| {
        output.error(&error);
        false
    });
    if succeeded {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Does what was asked for, and says whether it succeeded.
async fn run(options: &Options, output: &Output) -> Result<bool, Error> {
    Ok(match &options.action {
        Action::Help => output.help(),
        Action::Parse => output.parameters(&Conninfo::parse(&options.conninfo)?),
        Action::Check => {
            let report = connector(options)?.check().await;
            output.report(&report) && report.is_ok()
        }
        Action::Command(sql) => {
            let connection = connector(options)?.connect().await?;
            let info = connection.info().clone();
            let answer = query(&connection, sql).await;
            let closed = connection.close().await;
            let messages = match (answer, closed) {
                // What ended the connection says more than that it has ended.
                (Err(error), Err(reason)) if error.code() == &codes::CLOSED => return Err(reason),
                // The rows are there; how the session ends changes nothing.
                (answer, _) => answer?,
            };
            output.rows(&messages, &info)?
        }
    })
}

/// Everything that the document, or the connection string and the options say.
fn connector(options: &Options) -> Result<PgConnector, Error> {
    if let Some(file) = &options.spec {
        return spec::read(file)?.build();
    }
    let settings = Conninfo::parse(&options.conninfo)?.resolve(&Environment::process())?;
    let builder = assembly::assemble(&settings)?;
    if options.ssh.hops.is_empty() {
        return builder.build();
    }
    builder
        .with_transport(ssh::transport(&options.ssh, &settings)?)
        .build()
}

/// Runs `sql`. Ctrl-C cancels it on the server, a second one gives up.
async fn query(connection: &Connection, sql: &str) -> Result<Vec<SimpleQueryMessage>, Error> {
    let running = connection.simple_query(sql);
    tokio::pin!(running);
    tokio::select! {
        done = &mut running => return Ok(done?),
        Ok(()) = tokio::signal::ctrl_c() => connection.cancel_handle().cancel().await?,
    }
    tokio::select! {
        done = &mut running => Ok(done?),
        Ok(()) = tokio::signal::ctrl_c() => {
            Err(Error::new(&codes::CLOSED, Stage::QUERY, "interrupted before the server answered"))
        }
    }
}
