//! The SSH servers on the way, and how the last one is reached.

use std::sync::Arc;

use pgreach_core::{BoxStream, DialContext, Endpoint, Error, Trace, Transport};

use crate::channel::{Target, TunnelStream};
use crate::hop::SshHop;
use crate::pool::Lease;
use crate::session::Session;
use crate::{SSH_TCP, failure};

/// The hops, in order, over a transport.
#[derive(Debug)]
pub(crate) struct Route {
    over: Arc<dyn Transport>,
    hops: Vec<SshHop>,
}

impl Route {
    pub(crate) fn new(over: Arc<dyn Transport>, hops: Vec<SshHop>) -> Self {
        Self { over, hops }
    }

    pub(crate) fn hops(&self) -> &[SshHop] {
        &self.hops
    }

    /// The stages of the last hop, which dials the database.
    pub(crate) fn last(&self, cx: &DialContext) -> DialContext {
        match self.hops.last() {
            Some(hop) => marked(cx, hop),
            None => cx.clone(),
        }
    }

    /// Shows in this caller's report what failed for another one, for which it waited.
    pub(crate) fn enter_failed(&self, error: Error, hop: usize, cx: &DialContext) -> Error {
        let cx = match self.hops.get(hop) {
            Some(hop) => marked(cx, hop),
            None => cx.clone(),
        };
        cx.enter(error.stage()).fail(error)
    }

    /// A new session with the last hop. It holds the sessions with the hops before it: its bytes flow
    /// through them. An error comes with the number of its hop. Cancel-safe.
    pub(crate) async fn connect(&self, cx: &DialContext) -> Result<Session, (Error, usize)> {
        let mut before: Option<Session> = None;
        for (number, hop) in self.hops.iter().enumerate() {
            let cx = marked(cx, hop);
            let carried = before.is_some();
            let session = async {
                let stream = self.reach(hop, before.take(), &cx).await?;
                Session::establish(hop, stream, carried, &cx).await
            };
            before = Some(session.await.map_err(|error| (error, number))?);
        }
        before.ok_or_else(|| {
            let message = "there is no SSH hop";
            let stage = pgreach_core::Stage::CONFIG;
            let error = Error::new(&crate::codes::SSH_CONFIG_INVALID, stage, message);
            (error, 0)
        })
    }

    /// A stream to a hop: through the hop before, or through the transport below.
    async fn reach(
        &self,
        hop: &SshHop,
        before: Option<Session>,
        cx: &DialContext,
    ) -> Result<BoxStream, Error> {
        let stage = cx.enter(SSH_TCP);
        if let Some(before) = before {
            let target = Target::Tcp {
                host: hop.host().to_owned(),
                port: hop.port(),
            };
            return match before.open(&target).await {
                Ok(channel) => {
                    stage.pass();
                    let stream = TunnelStream::new(channel, Lease::of(before), None);
                    Ok(Box::new(stream))
                }
                Err(error) => {
                    let hint = error.hint().to_owned();
                    Err(stage.fail(failure::way(error, hop).with_hint(hint)))
                }
            };
        }
        // The stages of the transport below are this one stage here.
        let below = cx.clone().with_trace(Trace::new());
        let endpoint = Endpoint::tcp(hop.host(), hop.port());
        match self.over.dial(&endpoint, &below).await {
            Ok(dialed) => {
                if let Some(address) = dialed.address {
                    stage.note("address", address);
                }
                stage.pass();
                Ok(dialed.stream)
            }
            Err(error) => Err(stage.fail(failure::way(error, hop))),
        }
    }
}

fn marked(cx: &DialContext, hop: &SshHop) -> DialContext {
    let trace = cx.trace().with_hop(&hop.address());
    cx.clone().with_trace(trace)
}
