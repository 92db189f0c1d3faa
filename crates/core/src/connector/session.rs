//! Whether a session is the kind that `target_session_attrs` asks for.

use super::connection::Connection;
use super::server_error;
use crate::{Error, Stage, TargetSessionAttrs, codes};

/// Checks `connection` against `wanted`, as libpq does: from the parameters that servers from 14 on
/// report by themselves, with a query on older ones.
pub(super) async fn check(
    connection: &Connection,
    wanted: TargetSessionAttrs,
) -> Result<(), Error> {
    use TargetSessionAttrs::{Any, PreferStandby, Primary, ReadOnly, ReadWrite, Standby};
    let (acceptable, is) = match wanted {
        Any => return Ok(()),
        ReadWrite | ReadOnly => {
            let read_only = read_only(connection).await?;
            (
                read_only == (wanted == ReadOnly),
                if read_only { "read-only" } else { "read-write" },
            )
        }
        Primary | Standby | PreferStandby => {
            let standby = in_recovery(connection).await?;
            (
                standby == (wanted != Primary),
                if standby { "a standby" } else { "a primary" },
            )
        }
    };
    if acceptable {
        return Ok(());
    }
    let message = format!(
        "session at {} is {is}, but target_session_attrs is {wanted}",
        connection.info().endpoint()
    );
    Err(Error::new(&codes::SESSION_ATTRS, Stage::SESSION, message))
}

async fn read_only(connection: &Connection) -> Result<bool, Error> {
    let info = connection.info();
    match (
        info.parameter("default_transaction_read_only"),
        info.parameter("in_hot_standby"),
    ) {
        (Some(by_default), Some(standby)) => Ok(by_default == "on" || standby == "on"),
        _ => ask(connection, "SHOW transaction_read_only", "on").await,
    }
}

async fn in_recovery(connection: &Connection) -> Result<bool, Error> {
    match connection.info().parameter("in_hot_standby") {
        Some(standby) => Ok(standby == "on"),
        None => ask(connection, "SELECT pg_catalog.pg_is_in_recovery()", "t").await,
    }
}

async fn ask(connection: &Connection, sql: &str, yes: &str) -> Result<bool, Error> {
    let messages = connection
        .simple_query(sql)
        .await
        .map_err(|error| server_error::from_driver(error, Stage::SESSION))?;
    Ok(messages.iter().any(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0) == Some(yes),
        _ => false,
    }))
}
