//! Which host comes next.

use rand::seq::SliceRandom;
use tokio::time::Instant;

use super::Settings;
use super::connection::Connection;
use crate::{
    DialContext, Endpoint, Error, ErrorKind, LoadBalanceHosts, Stage, TargetSessionAttrs, Trace,
    codes,
};

impl Settings {
    /// Tries the hosts in turn. Cancel-safe.
    pub(super) async fn connect(&self, trace: &Trace) -> Result<Connection, Error> {
        let began = std::time::Instant::now();
        let result = self.try_hosts(trace).await;
        match result {
            Ok(mut connection) => {
                connection.set_stages(trace.records(), began.elapsed());
                let info = connection.info();
                tracing::debug!(
                    target: "pgreach",
                    endpoint = %info.endpoint(), user = info.user(), elapsed = ?info.elapsed(),
                    "connected"
                );
                Ok(connection)
            }
            Err(error) => {
                tracing::debug!(
                    target: "pgreach",
                    kind = error.kind().as_str(), stage = error.stage().as_str(),
                    code = error.code().name(), %error,
                    "could not connect"
                );
                Err(error)
            }
        }
    }

    async fn try_hosts(&self, trace: &Trace) -> Result<Connection, Error> {
        let mut endpoints: Vec<&Endpoint> = self.endpoints.iter().collect();
        if self.load_balance_hosts == LoadBalanceHosts::Random {
            endpoints.shuffle(&mut rand::rng());
        }
        // prefer-standby looks at every host for a standby before it takes any.
        let passes: &[TargetSessionAttrs] = match self.target_session_attrs {
            TargetSessionAttrs::PreferStandby => {
                &[TargetSessionAttrs::PreferStandby, TargetSessionAttrs::Any]
            }
            TargetSessionAttrs::Any => &[TargetSessionAttrs::Any],
            TargetSessionAttrs::ReadWrite => &[TargetSessionAttrs::ReadWrite],
            TargetSessionAttrs::ReadOnly => &[TargetSessionAttrs::ReadOnly],
            TargetSessionAttrs::Primary => &[TargetSessionAttrs::Primary],
            TargetSessionAttrs::Standby => &[TargetSessionAttrs::Standby],
        };
        let mut failures = Vec::new();
        for wanted in passes {
            failures.clear();
            for endpoint in &endpoints {
                let trace = match endpoints.len() {
                    1 => trace.clone(),
                    _ => trace.with_hop(&endpoint.to_string()),
                };
                match self.try_host(endpoint, *wanted, &trace).await {
                    Ok(connection) => return Ok(connection),
                    Err(error) if may_try_next(&error) => failures.push(error),
                    Err(error) => return Err(error),
                }
            }
        }
        Err(combine(failures))
    }

    /// One host under one deadline.
    async fn try_host(
        &self,
        endpoint: &Endpoint,
        wanted: TargetSessionAttrs,
        trace: &Trace,
    ) -> Result<Connection, Error> {
        let deadline = Instant::now() + self.connect_timeout;
        let cx = DialContext::new(deadline)
            .with_trace(trace.clone())
            .with_random_order(self.load_balance_hosts == LoadBalanceHosts::Random);
        let mut verdict = None;
        let opening = self.open(endpoint, wanted, &cx, &mut verdict);
        match tokio::time::timeout_at(deadline, opening).await {
            Ok(result) => result,
            Err(_) => {
                let stage = trace.fail_last().unwrap_or(Stage::TCP);
                Err(verdict.unwrap_or_else(|| {
                    let message = format!(
                        "connection to {endpoint} timed out after {:?} in the stage {stage}",
                        self.connect_timeout
                    );
                    Error::new(&codes::TIMEOUT, stage, message)
                }))
            }
        }
    }
}

/// As libpq: on to the next host unless a server gave its verdict. A refusal by a policy of this
/// side is one, too.
fn may_try_next(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Resolve | ErrorKind::Transport | ErrorKind::Timeout => true,
        // What is not PostgreSQL, or attacks, gets no second chance elsewhere.
        ErrorKind::Closed => error.code() != &codes::PROTOCOL,
        ErrorKind::Database => error.sqlstate() == Some("57P03") || error.stage() == Stage::SESSION,
        _ => false,
    }
}

/// One error for all hosts: the last one's, with what was wrong with each.
fn combine(mut failures: Vec<Error>) -> Error {
    let others: Vec<String> = failures.iter().map(ToString::to_string).collect();
    match failures.pop() {
        // There is at least one endpoint, and each that is passed by leaves a failure.
        None => Error::new(
            &codes::CONFIG_MISSING,
            Stage::CONFIG,
            "the connector has no endpoint",
        ),
        Some(last) if failures.is_empty() => last,
        Some(last) => {
            let mut error = Error::new(last.code(), last.stage(), others.join("; "))
                .with_hint(last.hint())
                .with_retry(last.retry());
            if let Some(state) = last.sqlstate() {
                error = error.with_sqlstate(state);
            }
            error.with_source(last)
        }
    }
}
