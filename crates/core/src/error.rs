//! The one error type of pgreach.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use crate::text::escape_control;
use crate::{Code, Stage};

type Source = Box<dyn StdError + Send + Sync + 'static>;

/// The part of the way to the database that an error belongs to.
///
/// The names are stable: they are what [`Display`](fmt::Display) and serialisation print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is wrong, missing, contradictory or not supported; nothing was sent.
    Config,
    /// A host name could not be resolved.
    Resolve,
    /// A policy of this side forbids the address.
    Denied,
    /// The route to the server could not be opened.
    Transport,
    /// An SSH host key is unknown, changed or revoked.
    HostKey,
    /// An SSH server refused the user or the key, or there was none to offer.
    SshAuth,
    /// TLS could not be established or the server's certificate was not accepted.
    Tls,
    /// A credential source failed: an unreadable file, a failed command, an unreachable authority.
    Credential,
    /// The database refused the identity, or asked for a method that is not allowed.
    Authentication,
    /// The database answered with an error that is not about the identity.
    Database,
    /// The deadline passed.
    Timeout,
    /// The connection ended before or while it was used.
    Closed,
}

impl ErrorKind {
    /// All kinds, for documentation and tests.
    pub const ALL: &'static [Self] = &[
        Self::Config,
        Self::Resolve,
        Self::Denied,
        Self::Transport,
        Self::HostKey,
        Self::SshAuth,
        Self::Tls,
        Self::Credential,
        Self::Authentication,
        Self::Database,
        Self::Timeout,
        Self::Closed,
    ];

    /// The stable word, such as `Config`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "Config",
            Self::Resolve => "Resolve",
            Self::Denied => "Denied",
            Self::Transport => "Transport",
            Self::HostKey => "HostKey",
            Self::SshAuth => "SshAuth",
            Self::Tls => "Tls",
            Self::Credential => "Credential",
            Self::Authentication => "Authentication",
            Self::Database => "Database",
            Self::Timeout => "Timeout",
            Self::Closed => "Closed",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a program may do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Retry {
    /// Trying again changes nothing until somebody changes a setting.
    Never,
    /// Nothing reached the server: trying again at once is safe.
    Safe,
    /// Try again with a fresh credential.
    RefreshCredential,
    /// Try again later, with growing, jittered pauses.
    Backoff,
}

impl Retry {
    /// The stable word, such as `refresh-credential`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Safe => "safe",
            Self::RefreshCredential => "refresh-credential",
            Self::Backoff => "backoff",
        }
    }
}

impl fmt::Display for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a connection could not be made or was lost: which stage, of which kind, and what to change.
///
/// `Display` is one line that names the host, keyword or file; the causes are found through
/// [`source`](StdError::source). Text that came from elsewhere is shown with control characters
/// escaped; a source of another crate prints as that crate does, a server's words as they came. An
/// error never holds a secret, so it may be logged, serialised and shown.
///
/// ```
/// use pgreach_core::{codes, Error, ErrorKind, Stage};
///
/// let error = Error::new(&codes::CONFIG_INVALID, Stage::CONFIG, "port \"x\" is not a number")
///     .with_hint("give a port between 1 and 65535");
/// assert_eq!(error.kind(), ErrorKind::Config);
/// assert_eq!(error.to_string(), "port \"x\" is not a number");
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    code: &'static Code,
    stage: Stage,
    retry: Retry,
    sqlstate: Option<String>,
    message: String,
    hint: Option<String>,
    source: Option<Source>,
}

/// A `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with `code` at `stage`; `message` is one lower-case line without a full stop that
    /// names the host, keyword or file. Control characters in it are escaped.
    #[must_use]
    pub fn new(code: &'static Code, stage: Stage, message: impl AsRef<str>) -> Self {
        Self(Box::new(Inner {
            code,
            stage,
            retry: code.retry(),
            sqlstate: None,
            message: escape_control(message.as_ref()),
            hint: None,
            source: None,
        }))
    }

    /// Says what to change, in one sentence, more specifically than the code's remedy.
    #[must_use]
    pub fn with_hint(mut self, hint: impl AsRef<str>) -> Self {
        self.0.hint = Some(escape_control(hint.as_ref()));
        self
    }

    /// Keeps the cause. It must not hold a secret.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Replaces the code's retry advice.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// Adds the server's SQLSTATE.
    #[must_use]
    pub fn with_sqlstate(mut self, sqlstate: impl AsRef<str>) -> Self {
        self.0.sqlstate = Some(escape_control(sqlstate.as_ref()));
        self
    }

    /// Moves the error to another stage: a transport that dials through another one tells of its own
    /// stages.
    #[must_use]
    pub fn with_stage(mut self, stage: Stage) -> Self {
        self.0.stage = stage;
        self
    }

    /// Puts `context` and a colon in front of the message.
    #[must_use]
    pub fn with_context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!(
            "{}: {}",
            escape_control(&context.to_string()),
            self.0.message
        );
        self
    }

    /// As an I/O error, for a stream that fails with it. The connector finds it again.
    #[must_use]
    pub fn into_io(self) -> io::Error {
        let kind = match self.kind() {
            ErrorKind::Timeout => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::ConnectionReset,
        };
        io::Error::new(kind, self)
    }

    /// The error that a stream failed with, out of its [I/O error](Self::into_io).
    #[must_use]
    pub fn of_io(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// The same error again, without its source.
    #[must_use]
    pub fn repeat(&self) -> Self {
        Self(Box::new(Inner {
            code: self.0.code,
            stage: self.0.stage,
            retry: self.0.retry,
            sqlstate: self.0.sqlstate.clone(),
            message: self.0.message.clone(),
            hint: self.0.hint.clone(),
            source: None,
        }))
    }

    /// What kind of trouble it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.code.kind()
    }

    /// The stable code; see `docs/errors.md`.
    #[must_use]
    pub fn code(&self) -> &'static Code {
        self.0.code
    }

    /// Where on the way it happened.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.0.stage
    }

    /// Whether, and how, to try again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// The server's SQLSTATE (five characters), when the server answered with an error.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        self.0.sqlstate.as_deref()
    }

    /// The message, as `Display` prints it.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to change, in one sentence: specific to this error where possible, else the remedy of
    /// its code.
    #[must_use]
    pub fn hint(&self) -> &str {
        self.0.hint.as_deref().unwrap_or(self.0.code.remedy())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.kind())
            .field("code", &self.0.code.name())
            .field("stage", &self.0.stage)
            .field("retry", &self.0.retry)
            .field("sqlstate", &self.0.sqlstate)
            .field("message", &self.0.message)
            .field("hint", &self.hint())
            // By Display: a foreign Debug could print more than a log should hold.
            .field("source", &self.0.source.as_ref().map(ToString::to_string))
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Error", 7)?;
        out.serialize_field("kind", &self.kind())?;
        out.serialize_field("code", self.0.code.name())?;
        out.serialize_field("stage", &self.0.stage)?;
        out.serialize_field("sqlstate", &self.0.sqlstate)?;
        out.serialize_field("retry", &self.0.retry)?;
        out.serialize_field("message", &self.0.message)?;
        out.serialize_field("hint", self.hint())?;
        out.end()
    }
}
