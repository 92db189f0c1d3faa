//! What is asked of an idle connection before it is handed out again.

use deadpool_postgres::ClientWrapper;
use pgreach_core::Error;
use pgreach_core::tokio_postgres::{self, SimpleQueryMessage};

/// How a connection is checked before it is handed out again.
///
/// A `Transaction` that is dropped without a commit is no concern of the check: the driver has queued
/// its rollback already, before anything that the next user sends. A `begin` that was sent as plain
/// SQL is: nobody but the check ends that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RecyclingCheck {
    /// Asks the server nothing. A connection that the network lost is found out by the next
    /// statement, a statement that was given up is still in the way of the next one, and a
    /// transaction that somebody began with plain SQL goes to the next user. For programs that
    /// count round trips and have none of these.
    Fast,
    /// One round trip: the server answers, and no transaction is open. One that is gets rolled back,
    /// which takes a second round trip.
    #[default]
    Verified,
    /// As [`Verified`](Self::Verified), and in the same round trip the session is as new: cursors,
    /// role, settings, `listen`, advisory locks, temporary tables and sequence values. Prepared
    /// statements stay, and so does the statement cache. What the session was opened with (user,
    /// `options`, `application_name`) stays as well.
    Clean,
}

/// Whether a transaction is open: outside of one, the transaction of this statement began with it.
/// Everything is named in full, since the user before may have set another `search_path`.
macro_rules! inside {
    () => {
        "select pg_catalog.now() operator(pg_catalog.<>) pg_catalog.statement_timestamp()"
    };
}

const INSIDE: &str = inside!();

/// `discard all` in parts: without `deallocate all`, which would take the statements of the cache
/// away, and it may not stand beside other statements.
const CLEAN: &str = concat!(
    inside!(),
    "; close all; reset role; set session authorization default; reset all; unlisten *; \
     select pg_catalog.pg_advisory_unlock_all(); discard temp; discard sequences"
);

impl RecyclingCheck {
    /// Runs it. The caller holds the deadline.
    pub(crate) async fn run(self, client: &ClientWrapper) -> Result<(), Error> {
        let sql = match self {
            Self::Fast => return Ok(()),
            Self::Verified => INSIDE,
            Self::Clean => CLEAN,
        };
        match is_inside(client, sql).await {
            Ok(false) => return Ok(()),
            Ok(true) => {}
            Err(error) if is_ended_by_rollback(&error) => {}
            Err(error) => return Err(Error::of_statement(error)),
        }
        let rollback = client.batch_execute("rollback").await;
        rollback.map_err(Error::of_statement)?;
        if self == Self::Clean {
            // The rollback took back what was cleaned up before it.
            is_inside(client, sql).await.map_err(Error::of_statement)?;
        }
        Ok(())
    }
}

/// Whether a rollback makes the session fit that answered so.
fn is_ended_by_rollback(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|state| match state.code() {
        // A transaction that has failed, or is read-only, takes nothing more, only its end.
        "25P02" | "25006" => true,
        // A request to cancel a statement of the user before came late, and hit the question.
        "57014" => true,
        // The server does not know what it is asked: syntax, function, schema, feature. A rollback
        // ends what may be open there, and does no harm.
        "42601" | "42883" | "3F000" | "0A000" => true,
        _ => false,
    })
}

/// The answer to the first question of `sql`.
async fn is_inside(client: &ClientWrapper, sql: &str) -> Result<bool, tokio_postgres::Error> {
    let answers = client.simple_query(sql).await?;
    Ok(answers
        .iter()
        .find_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .is_some_and(|inside| inside == "t"))
}
