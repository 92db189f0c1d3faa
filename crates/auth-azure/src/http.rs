//! HTTP for azure_core: one TLS stack, and a log of how the last exchange went.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use azure_core::Bytes;
use azure_core::error::ErrorKind;
use azure_core::http::{AsyncRawResponse, HttpClient, Request};
use futures_util::StreamExt as _;
use reqwest::{Certificate, Client, ClientBuilder, redirect};

use crate::identity::EntraIdentity;
use crate::reply::Reply;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The identity endpoint is on this machine or its host: who does not answer at once is not there.
const LOCAL_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Answers are a few kilobytes long.
const MAX_BODY: usize = 256 * 1024;

/// The clients of all fetches, as far as they are needed: each one reads the system's roots.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    /// For the authority: HTTPS only, through the system's proxy where there is one.
    authority: Option<Arc<dyn HttpClient>>,
    /// For identity endpoints, which are link-local: never through a proxy.
    local: Option<Arc<dyn HttpClient>>,
}

impl Clients {
    /// For this identity, with roots beside the system's.
    pub(crate) fn new(
        identity: &EntraIdentity,
        roots: &[Certificate],
    ) -> Result<Self, reqwest::Error> {
        let authority = builder()
            .https_only(true)
            .tls_certs_merge(roots.iter().cloned())
            .connect_timeout(CONNECT_TIMEOUT);
        let local = builder().no_proxy().connect_timeout(LOCAL_CONNECT_TIMEOUT);
        let client = |builder: ClientBuilder| -> Result<Arc<dyn HttpClient>, _> {
            Ok(Arc::new(builder.build()?))
        };
        Ok(Self {
            authority: identity
                .asks(false)
                .then(|| client(authority))
                .transpose()?,
            local: identity.asks(true).then(|| client(local)).transpose()?,
        })
    }

    /// Everything through this one.
    pub(crate) fn of(client: Arc<dyn HttpClient>) -> Self {
        Self {
            authority: Some(Arc::clone(&client)),
            local: Some(client),
        }
    }

    pub(crate) fn recorded(&self, local: bool, log: &Arc<Log>) -> Option<Arc<dyn HttpClient>> {
        let inner = if local { &self.local } else { &self.authority };
        Some(Arc::new(Recorded {
            inner: Arc::clone(inner.as_ref()?),
            local,
            log: Arc::clone(log),
        }))
    }
}

fn builder() -> ClientBuilder {
    Client::builder()
        .tls_backend_native()
        .redirect(redirect::Policy::none())
        .read_timeout(READ_TIMEOUT)
        // Tokens are rare, and a pooled connection would belong to the runtime of its first request.
        .pool_max_idle_per_host(0)
}

/// How the last exchange of one fetch went. azure_identity does not always tell, and cannot when the
/// fetch runs out of time.
#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<Last>);

#[derive(Debug, Clone, Default)]
pub(crate) enum Last {
    #[default]
    Nothing,
    /// No answer yet.
    Asked { host: String },
    /// Not with success.
    Refused { host: String, reply: Reply },
    /// With success.
    Answered { host: String },
    /// No answer: the innermost cause.
    Failed { host: String, cause: String },
    /// The application's assertion source failed.
    Source { cause: String },
}

impl Log {
    pub(crate) fn set(&self, last: Last) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }

    pub(crate) fn last(&self) -> Last {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[derive(Debug)]
struct Recorded {
    inner: Arc<dyn HttpClient>,
    local: bool,
    log: Arc<Log>,
}

#[async_trait]
impl HttpClient for Recorded {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let url = request.url();
        let mut host = url.host_str().unwrap_or_default().to_owned();
        if let Some(port) = url.port() {
            host = format!("{host}:{port}");
        }
        self.log.set(Last::Asked { host: host.clone() });
        let failed = |error: &azure_core::Error| {
            let cause = innermost(error);
            self.log.set(Last::Failed {
                host: host.clone(),
                cause,
            });
        };
        let response = match self.inner.execute_request(request).await {
            Ok(response) => response,
            Err(error) => {
                failed(&error);
                if self.local {
                    // Another kind, so that it is not tried again for 72 seconds: there is nobody.
                    return Err(azure_core::Error::with_error(
                        ErrorKind::Credential,
                        error,
                        "the identity endpoint does not answer",
                    ));
                }
                return Err(error);
            }
        };
        let (status, headers, mut stream) = response.deconstruct();
        let mut body = Vec::new();
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.inspect_err(failed)?;
            if body.len() + chunk.len() > MAX_BODY {
                let error = azure_core::Error::with_message(
                    ErrorKind::Other,
                    "the answer is longer than 256 KiB",
                );
                failed(&error);
                return Err(error);
            }
            body.extend_from_slice(&chunk);
        }
        self.log.set(if status.is_success() {
            Last::Answered { host }
        } else {
            Last::Refused {
                host,
                reply: Reply::read(*status, &body),
            }
        });
        Ok(AsyncRawResponse::from_bytes(
            status,
            headers,
            Bytes::from(body),
        ))
    }
}

/// What is at the bottom of it: "Connection refused" rather than "error sending request".
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
