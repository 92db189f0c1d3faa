//! Connections and requests, up to the endpoint that a request is for.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_native_tls::TlsAcceptor;

use super::form::Form;
use super::knobs::Endpoint;
use super::shared::Shared;
use super::{authority, metadata};

/// The longest body that is read.
const LONGEST_BODY: usize = 256 * 1024;

/// What is answered: a status and JSON.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Reply {
    pub(super) fn ok(body: Value) -> Self {
        Self { status: 200, body }
    }
}

impl From<Reply> for Response<Full<Bytes>> {
    fn from(reply: Reply) -> Self {
        let mut response = Response::new(Full::from(reply.body.to_string()));
        *response.status_mut() =
            StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/json; charset=utf-8"),
        );
        headers.insert(
            CACHE_CONTROL,
            HeaderValue::from_static("no-store, no-cache"),
        );
        response
    }
}

/// A request that has been read.
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) query: Form,
    pub(super) headers: HeaderMap,
    pub(super) form: Form,
}

impl Asked {
    /// A header's value; empty where there is none or it is no text.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// Accepts connections, with TLS or without; those it holds end with it.
pub(super) async fn run(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => {
                    // Out of descriptors, most likely: let some connections end.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        connections.spawn(serve(stream, tls.clone(), Arc::clone(&shared)));
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let exchange = async {
        match tls {
            // How a client leaves, or why it does not trust the certificate, is its own affair.
            Some(tls) => {
                if let Ok(stream) = tls.accept(stream).await {
                    answer_all(stream, true, &shared).await;
                }
            }
            None => answer_all(stream, false, &shared).await,
        }
    };
    tokio::select! {
        biased;
        () = shared.knobs.closing() => {}
        () = exchange => {}
    }
}

async fn answer_all<S>(stream: S, encrypted: bool, shared: &Shared)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request| async move {
        let response: Response<Full<Bytes>> = answer(request, encrypted, shared).await.into();
        Ok::<_, Infallible>(response)
    });
    // How a connection ends is the client's to judge.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// Which endpoint a request is for. The authority answers over TLS only, a machine's own services
/// without TLS only, as the real ones.
fn endpoint(request: &Request<Incoming>, encrypted: bool) -> Option<Endpoint> {
    let path = request.uri().path();
    match (encrypted, request.method()) {
        (true, &Method::POST) if path.ends_with("/oauth2/v2.0/token") => Some(Endpoint::Token),
        (true, &Method::GET) if path.ends_with("/discovery/v2.0/keys") => Some(Endpoint::Keys),
        (true, &Method::POST) if path == metadata::OIDC_PATH => Some(Endpoint::Pipelines),
        (false, &Method::GET) if path == metadata::IMDS_PATH => Some(Endpoint::Imds),
        (false, &Method::GET) if path == metadata::APP_SERVICE_PATH => Some(Endpoint::AppService),
        _ => None,
    }
}

async fn answer(request: Request<Incoming>, encrypted: bool, shared: &Shared) -> Reply {
    let Some(endpoint) = endpoint(&request, encrypted) else {
        return Reply {
            status: 404,
            body: json!({"error": "not_found"}),
        };
    };
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, LONGEST_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let asked = Asked {
        path: head.uri.path().to_owned(),
        query: Form::parse(head.uri.query().unwrap_or_default()),
        headers: head.headers,
        form: Form::parse(&String::from_utf8_lossy(&body)),
    };
    if let Err(status) = shared.knobs.admit(endpoint).await {
        return match endpoint {
            Endpoint::Token => authority::transient(status),
            _ => metadata::transient(status),
        };
    }
    match endpoint {
        Endpoint::Token => authority::token(&asked, shared),
        Endpoint::Keys => Reply::ok(json!({"keys": [shared.key.jwk()]})),
        Endpoint::Imds => metadata::imds(&asked, shared),
        Endpoint::AppService => metadata::app_service(&asked, shared),
        Endpoint::Pipelines => metadata::pipelines(&asked, shared),
    }
}
