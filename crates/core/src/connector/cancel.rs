//! Cancelling a statement, over the same route.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::time::Instant;
use tokio_postgres::CancelToken;

use super::negotiate::{Encryption, Negotiated, Tls};
use super::startup::Handover;
use crate::{ClientIdentity, DialContext, Endpoint, Error, Stage, Trace, Transport, codes};

/// Cancels the statement that runs on a connection: through the same transport, to the very address
/// that the connection goes to, encrypted and verified as the connection is.
///
/// It is cheap to clone and may outlive the connection.
#[derive(Clone)]
pub struct CancelHandle(Arc<Inner>);

struct Inner {
    token: CancelToken,
    transport: Arc<dyn Transport>,
    endpoint: Endpoint,
    tls: Tls,
    encryption: Encryption,
    identity: Option<ClientIdentity>,
    timeout: Duration,
}

impl CancelHandle {
    pub(super) fn new(
        token: CancelToken,
        transport: Arc<dyn Transport>,
        endpoint: Endpoint,
        tls: Tls,
        encrypted: bool,
        identity: Option<ClientIdentity>,
        timeout: Duration,
    ) -> Self {
        let encryption = if encrypted {
            Encryption::Tls { or_plain: false }
        } else {
            Encryption::Plain
        };
        Self(Arc::new(Inner {
            token,
            transport,
            endpoint,
            tls,
            encryption,
            identity,
            timeout,
        }))
    }

    /// Asks the server to cancel the statement that runs on the connection, and waits until the
    /// server has taken the request. The statement then fails with SQLSTATE 57014, unless it ended
    /// before.
    ///
    /// The deadline is the connector's `connect_timeout`. Cancel-safe: a dropped request may or may
    /// not have reached the server.
    ///
    /// # Errors
    /// As for connecting: Transport, Tls, Timeout, Closed.
    pub async fn cancel(&self) -> Result<(), Error> {
        let trace = Trace::new();
        let deadline = Instant::now() + self.0.timeout;
        match tokio::time::timeout_at(deadline, self.0.send(&trace, deadline)).await {
            Ok(result) => result,
            Err(_) => {
                let stage = trace.fail_last().unwrap_or(Stage::CANCEL);
                let message = format!(
                    "cancel request to {} did not go through within {:?} (stage {stage})",
                    self.0.endpoint, self.0.timeout
                );
                Err(Error::new(&codes::TIMEOUT, stage, message))
            }
        }
    }
}

impl Inner {
    async fn send(&self, trace: &Trace, deadline: Instant) -> Result<(), Error> {
        let cx = DialContext::new(deadline).with_trace(trace.clone());
        let dialed = self.transport.dial(&self.endpoint, &cx).await?;
        let identity = self.identity.as_ref();
        let negotiated = self.tls.negotiate(
            dialed.stream,
            &self.endpoint,
            self.encryption,
            identity,
            trace,
        );
        let Negotiated { mut stream, .. } = negotiated.await?;
        let stage = trace.enter(Stage::CANCEL);
        // The token knows whether the connection is encrypted; the handover adds nothing.
        let handover = Handover { binding: None };
        let sent = self.token.cancel_query_raw(&mut stream, handover).await;
        if let Err(error) = sent {
            let error = super::server_error::from_driver(error, Stage::CANCEL)
                .with_context(format!("cancel request to {} failed", self.endpoint));
            return Err(stage.fail(error));
        }
        // The server closes when it has handled the request (as PQcancel waits for). What it sends
        // or how it closes says nothing more.
        let mut rest = [0u8; 64];
        while matches!(stream.read(&mut rest).await, Ok(n) if n > 0) {}
        stage.pass();
        Ok(())
    }
}

impl fmt::Debug for CancelHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelHandle")
            .field("endpoint", &self.0.endpoint)
            .finish_non_exhaustive()
    }
}
