//! "Save & Test": the way of a connection, as a report.

use super::Settings;
use crate::{Report, SslMode, Stage, Trace, codes};

/// The stages of the way, for those that were not reached.
const USUAL: &[Stage] = &[
    Stage::CREDENTIAL,
    Stage::RESOLVE,
    Stage::TCP,
    Stage::TLS,
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
    let records = trace.records();
    // A route of another kind has stages of its own, a Unix socket neither a name nor TLS.
    let over_tcp = records
        .iter()
        .any(|r| r.stage == Stage::RESOLVE || r.stage == Stage::TCP);
    let local = settings.endpoints.iter().all(crate::Endpoint::is_unix);
    let plain = local || settings.tls.policy.mode() == SslMode::Disable;
    let usual = USUAL.iter().copied().filter(|stage| match *stage {
        Stage::RESOLVE => over_tcp && !local,
        Stage::TCP => over_tcp,
        Stage::TLS => !plain,
        _ => true,
    });
    Report::new(route, records, usual, error, info)
}
