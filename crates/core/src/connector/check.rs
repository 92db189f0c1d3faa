//! "Save & Test": the way of a connection, as a report.

use super::Settings;
use crate::{Report, Stage, Trace, codes};

/// The stages that every way has, for those that were not reached.
const USUAL: &[Stage] = &[
    Stage::RESOLVE,
    Stage::TCP,
    Stage::TLS,
    Stage::CREDENTIAL,
    Stage::AUTHENTICATION,
    Stage::SESSION,
];

/// Connects, asks for one row, closes, and tells.
pub(super) async fn check(settings: &Settings, route: String) -> Report {
    let trace = Trace::new();
    let outcome = async {
        let connection = settings.connect(&trace).await?;
        let query = trace.enter(Stage::QUERY);
        let asked = tokio::time::timeout(
            settings.connect_timeout,
            connection.simple_query("SELECT 1"),
        );
        let answered = match asked.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(super::server_error::from_driver(error, Stage::QUERY)),
            Err(_) => Err(crate::Error::new(
                &codes::TIMEOUT,
                Stage::QUERY,
                format!(
                    "SELECT 1 was not answered within {:?}",
                    settings.connect_timeout
                ),
            )),
        };
        query.end(answered)?;
        let info = connection.info().clone();
        // How it ends says nothing about whether it works.
        let _ = connection.close().await;
        Ok(info)
    };
    let (info, error) = match outcome.await {
        Ok(info) => (Some(info), None),
        Err(error) => (None, Some(error)),
    };
    let usual = USUAL.iter().filter(|stage| {
        // A Unix socket has neither name nor TLS.
        let local = settings.endpoints.iter().all(crate::Endpoint::is_unix);
        !local || !matches!(**stage, Stage::RESOLVE | Stage::TLS)
    });
    Report::new(route, trace.records(), usual.copied(), error, info)
}
