//! The route: how a stream to a server is opened.

use std::fmt::{self, Debug};
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::trace::{ActiveStage, Trace};
use crate::{BoxStream, Endpoint, Error, Stage, Stream};

/// What a transport needs to know of the connection that it opens a stream for.
#[derive(Debug, Clone)]
pub struct DialContext {
    deadline: Instant,
    random_order: bool,
    trace: Trace,
}

impl DialContext {
    /// A context with a deadline and a trace of its own.
    #[must_use]
    pub fn new(deadline: Instant) -> Self {
        Self {
            deadline,
            random_order: false,
            trace: Trace::new(),
        }
    }

    /// Records stages in `trace`.
    #[must_use]
    pub fn with_trace(mut self, trace: Trace) -> Self {
        self.trace = trace;
        self
    }

    /// Asks for the addresses of a name to be tried in random order.
    #[must_use]
    pub fn with_random_order(mut self, random: bool) -> Self {
        self.random_order = random;
        self
    }

    /// When the caller gives up. The connector drops the dial at this moment; a transport reads it
    /// to divide the time between several addresses.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Whether the addresses of a name are to be tried in random order
    /// (`load_balance_hosts=random`).
    #[must_use]
    pub fn random_order(&self) -> bool {
        self.random_order
    }

    /// Begins a stage, for the report, the timings and `tracing`.
    pub fn enter(&self, stage: Stage) -> ActiveStage {
        self.trace.enter(stage)
    }

    /// The trace, to hand to a transport that this one dials through.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }
}

/// A stream, and where it goes.
#[non_exhaustive]
pub struct Dialed {
    /// The stream.
    pub stream: BoxStream,
    /// The address that was dialled, where there is one: a later cancel request goes there, and not
    /// to another server behind the same name. It has no say in what is verified.
    pub address: Option<SocketAddr>,
}

impl Dialed {
    /// A stream to wherever the endpoint's name leads.
    #[must_use]
    pub fn new(stream: impl Stream) -> Self {
        Self {
            stream: Box::new(stream),
            address: None,
        }
    }

    /// The address that was dialled.
    #[must_use]
    pub fn with_address(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// `endpoint`, pinned to the address that was dialled.
    pub(crate) fn pin(&self, endpoint: &Endpoint) -> Endpoint {
        match self.address {
            Some(address) => endpoint.clone().pinned_to(address),
            None => endpoint.clone(),
        }
    }
}

impl Debug for Dialed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialed")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Opens streams to servers.
///
/// A transport knows nothing of PostgreSQL, TLS or credentials. It names its stages through
/// [`DialContext::enter`]:
///
/// ```
/// use async_trait::async_trait;
/// use pgreach_core::{codes, DialContext, Dialed, Endpoint, Error, Stage, Transport};
///
/// #[derive(Debug)]
/// struct InMemory;
///
/// #[async_trait]
/// impl Transport for InMemory {
///     async fn dial(&self, _: &Endpoint, cx: &DialContext) -> Result<Dialed, Error> {
///         let stage = cx.enter(Stage::new("in-memory"));
///         let (near, _far) = tokio::io::duplex(4096);
///         stage.pass();
///         Ok(Dialed::new(near))
///     }
///
///     fn describe(&self, endpoint: &Endpoint) -> String {
///         format!("memory to {endpoint}")
///     }
/// }
/// ```
#[async_trait]
pub trait Transport: Debug + Send + Sync + 'static {
    /// Opens a new stream to `endpoint`, as seen from the far end of this transport.
    ///
    /// The future is dropped when the deadline of `cx` passes: it must be cancel-safe, leaving
    /// neither socket nor task behind.
    ///
    /// # Errors
    /// Any kind that fits: Resolve, Denied, Transport, HostKey, SshAuth, Timeout.
    async fn dial(&self, endpoint: &Endpoint, cx: &DialContext) -> Result<Dialed, Error>;

    /// The route for people and logs, without secrets, such as `ssh ops@bastion:22 to db:5432`.
    fn describe(&self, endpoint: &Endpoint) -> String;
}

#[async_trait]
impl<T: Transport + ?Sized> Transport for Arc<T> {
    async fn dial(&self, endpoint: &Endpoint, cx: &DialContext) -> Result<Dialed, Error> {
        (**self).dial(endpoint, cx).await
    }

    fn describe(&self, endpoint: &Endpoint) -> String {
        (**self).describe(endpoint)
    }
}
