//! What an error of the server, or of the driver, means.

use std::error::Error as StdError;

use tokio_postgres::error::DbError;

use crate::{Code, Error, Retry, Stage, codes};

/// The error for `error` of the driver, at `stage`.
pub(super) fn from_driver(error: tokio_postgres::Error, stage: Stage) -> Error {
    if let Some(db) = error.as_db_error() {
        return from_server(db, stage).with_source(error);
    }
    if error.is_closed() {
        let message = "the server closed the connection";
        return Error::new(&codes::CLOSED, stage, message).with_source(error);
    }
    let text = chain(&error);
    // The driver does not name its kinds but in its text.
    if text.starts_with("authentication error") {
        return Error::new(&codes::AUTH_FAILED, stage, text).with_source(error);
    }
    if let Some(io) = error
        .source()
        .and_then(|cause| cause.downcast_ref::<std::io::Error>())
    {
        // The route knows better what broke.
        if let Some(own) = Error::of_io(io) {
            return own.repeat().with_stage(stage).with_source(error);
        }
        let code = match io.kind() {
            std::io::ErrorKind::UnexpectedEof => &codes::CLOSED,
            std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput => &codes::PROTOCOL,
            _ => &codes::IO,
        };
        return Error::new(code, stage, format!("the connection broke: {io}")).with_source(error);
    }
    // During a statement, what is left is the program's: wrong parameters or types.
    let code = if stage == Stage::QUERY {
        &codes::STATEMENT
    } else {
        &codes::PROTOCOL
    };
    Error::new(code, stage, text).with_source(error)
}

impl Error {
    /// What the driver's error of a statement means: whether the server ended the session, the
    /// connection broke, or the statement itself was refused, with its SQLSTATE.
    #[must_use]
    pub fn of_statement(error: tokio_postgres::Error) -> Self {
        from_driver(error, Stage::QUERY)
    }
}

/// The server's own error, classified by SQLSTATE.
fn from_server(db: &DbError, stage: Stage) -> Error {
    let state = db.code().code();
    let message = match db.message() {
        // RAISE can send one; an error always says something.
        "" => "the server sent an error without a message",
        message => message,
    };
    let (code, hint): (&'static Code, Option<String>) = match state {
        "28P01" => (
            &codes::AUTH_REFUSED,
            Some("correct the user name or the password; the server does not say which, and an expired password looks the same".into()),
        ),
        // The file's name is not translated, so it tells this apart in every language.
        "28000" if message.contains("pg_hba.conf") => (&codes::AUTH_HBA, Some(hba_hint(message))),
        "28000" => (&codes::AUTH_REFUSED, Some(
            "check that the role exists and may log in, and that the client certificate, token or system user belongs to it".into(),
        )),
        "3D000" => (&codes::DATABASE_MISSING, None),
        "42501" => (&codes::PRIVILEGE, None),
        "53300" | "57P03" | "53000" | "53100" | "53200" | "53400" => (&codes::SERVER_BUSY, None),
        "57P01" | "57P02" | "57P04" | "57P05" | "25P03" | "25P04" => (&codes::SERVER_TERMINATED, None),
        _ => (&codes::SERVER_ERROR, db.hint().filter(|hint| !hint.is_empty()).map(str::to_owned)),
    };
    let mut error = Error::new(code, stage, message).with_sqlstate(state);
    if matches!(state, "40001" | "40P01") {
        error = error.with_retry(Retry::Backoff);
    }
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn hba_hint(message: &str) -> String {
    // In the words of 14 and later, and of 13.
    if message.contains("no encryption") || message.contains("SSL off") {
        "the server admits this client only with TLS or not at all: set sslmode=verify-full, or add a line for this user, database and address to the server's pg_hba.conf".into()
    } else {
        codes::AUTH_HBA.remedy().into()
    }
}

/// The whole chain in one line.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

impl From<tokio_postgres::Error> for Error {
    /// An error of a statement, with the stage [`Stage::QUERY`].
    fn from(error: tokio_postgres::Error) -> Self {
        from_driver(error, Stage::QUERY)
    }
}
