//! Running SQL from blocking code, inside or outside an async runtime.

use std::path::Path;
use std::time::Duration;

use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use super::template::ROLE;
use crate::Error;

/// The rows of a statement as text; `None` is NULL.
pub type Rows = Vec<Vec<Option<String>>>;

/// How long one statement, with its connection, may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// A session of the kit's own role.
pub(super) struct Session {
    runtime: tokio::runtime::Runtime,
    client: Client,
    driver: tokio::task::JoinHandle<()>,
}

impl Session {
    /// Runs SQL in this session.
    pub(super) fn run(&self, sql: &str) -> Result<Rows, Error> {
        self.runtime.block_on(async {
            tokio::time::timeout(DEADLINE, run_on(&self.client, sql))
                .await
                .map_err(too_late)?
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Connects over the Unix socket and hands the session to `work`, on a thread of its own: a
/// runtime cannot be entered from within another.
pub(super) fn with_session<T: Send>(
    socket_dir: &Path,
    port: u16,
    database: &str,
    work: impl FnOnce(&Session) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    let mut config = Config::new();
    config
        .host_path(socket_dir)
        .port(port)
        .user(ROLE)
        .dbname(database);
    config.application_name("pgreach-testkit");
    std::thread::scope(|scope| {
        scope
            .spawn(|| work(&connect(&config)?))
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn connect(config: &Config) -> Result<Session, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::network("start a runtime"))?;
    let (client, connection) = runtime.block_on(async {
        tokio::time::timeout(DEADLINE, config.connect(NoTls))
            .await
            .map_err(too_late)?
            .map_err(sql_error)
    })?;
    let driver = runtime.spawn(async move {
        // The client reports the same failure to whoever waits for an answer.
        let _ = connection.await;
    });
    Ok(Session {
        runtime,
        client,
        driver,
    })
}

async fn run_on(client: &Client, sql: &str) -> Result<Rows, Error> {
    let mut rows = Rows::new();
    for message in client.simple_query(sql).await.map_err(sql_error)? {
        if let SimpleQueryMessage::Row(row) = message {
            rows.push(
                (0..row.len())
                    .map(|column| row.get(column).map(str::to_owned))
                    .collect(),
            );
        }
    }
    Ok(rows)
}

fn too_late(_: tokio::time::error::Elapsed) -> Error {
    Error::Sql {
        message: format!("no answer within {} s", DEADLINE.as_secs()),
        source: None,
    }
}

fn sql_error(error: tokio_postgres::Error) -> Error {
    let message = match error.as_db_error() {
        Some(db) => {
            let detail = db
                .detail()
                .map(|detail| format!(" ({detail})"))
                .unwrap_or_default();
            format!(
                "{} {}: {}{detail}",
                db.severity(),
                db.code().code(),
                db.message()
            )
        }
        None => {
            let cause = std::error::Error::source(&error);
            cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
        }
    };
    Error::Sql {
        message,
        source: Some(Box::new(error)),
    }
}
