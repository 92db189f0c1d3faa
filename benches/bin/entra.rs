//! The cached Entra token beside azure_identity's own cache: `cargo xtask bench entra`.
//!
//! Both sides have the same application and an HTTP client that answers after 20 ms without a network.
//! What is timed is a batch of calls that find the token in the cache. Then 10,000 connections begin
//! at once with an empty cache, and the requests that reach the HTTP client are counted.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::try_join_all;
use pgreach::azure::azure_core::credentials::TokenCredential;
use pgreach::azure::azure_core::http::headers::Headers;
use pgreach::azure::azure_core::http::{AsyncRawResponse, HttpClient, Request, Transport};
use pgreach::azure::azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};
use pgreach::azure::{Cloud, azure_core};
use pgreach::prelude::*;
use pgreach::{CredentialProvider, CredentialRequest};
use pgreach_benches::{alternate, median};
use serde_json::json;

type Failure = Box<dyn Error + Send + Sync>;

const ROUNDS: usize = 200;
const BATCH: u32 = 10_000;
const CONNECTIONS: usize = 10_000;

/// A token that is no JWT, so that nothing but the caches is measured.
#[derive(Debug, Default)]
struct Authority {
    requests: AtomicUsize,
}

#[async_trait]
impl HttpClient for Authority {
    async fn execute_request(&self, _: &Request) -> azure_core::Result<AsyncRawResponse> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let body =
            json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": "x".repeat(2000) });
        Ok(AsyncRawResponse::from_bytes(
            200.into(),
            Headers::new(),
            body.to_string(),
        ))
    }
}

fn ours(authority: &Arc<Authority>) -> Result<EntraCredentials, Failure> {
    let identity = EntraIdentity::client_secret("tenant", "client", "a secret");
    let client = Arc::clone(authority) as Arc<dyn HttpClient>;
    let builder = EntraCredentials::builder(identity).with_http_client(client);
    Ok(builder.with_user("app").build()?)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let json: Option<PathBuf> = match args.as_slice() {
        [] => None,
        [flag, file] if flag == "--json" => Some(file.into()),
        _ => return Err("usage: entra [--json FILE]".into()),
    };
    let endpoint = Endpoint::tcp("db.postgres.database.azure.com", 5432);
    let request = CredentialRequest::new(&endpoint, Some("app"), None);

    let authority = Arc::<Authority>::default();
    let credentials = ours(&authority)?;
    let mut options = ClientSecretCredentialOptions::default();
    options.client_options.transport = Some(Transport::new(Arc::clone(&authority) as _));
    let peer = ClientSecretCredential::new("tenant", "client".into(), "x".into(), Some(options))?;
    let cloud = Cloud::public();
    let (mine, theirs) = alternate(
        ROUNDS / 10,
        ROUNDS,
        async || {
            let began = Instant::now();
            for _ in 0..BATCH {
                credentials.credential(&request).await?;
            }
            Ok::<_, Failure>(began.elapsed() / BATCH)
        },
        async || {
            let began = Instant::now();
            for _ in 0..BATCH {
                peer.get_token(&[cloud.scope()], None).await?;
            }
            Ok(began.elapsed() / BATCH)
        },
    )
    .await?;
    let (mine, theirs) = (median(mine).as_nanos(), median(theirs).as_nanos());

    let authority = Arc::<Authority>::default();
    let credentials = ours(&authority)?;
    let connections = (0..CONNECTIONS).map(|_| {
        let (credentials, endpoint) = (credentials.clone(), endpoint.clone());
        tokio::spawn(async move {
            let request = CredentialRequest::new(&endpoint, Some("app"), None);
            credentials.credential(&request).await
        })
    });
    for credential in try_join_all(connections.collect::<Vec<_>>()).await? {
        credential?;
    }
    let requests = authority.requests.load(Ordering::Relaxed);

    let text = format!(
        "cached token: {mine} ns (azure_identity's cache: {theirs} ns; bound: 1000 ns)\n\
         {CONNECTIONS} connections at once: {requests} requests for a token (bound: 1)\n"
    );
    std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes())?;
    if let Some(file) = json {
        let row = |ours: f64, peer: f64, unit: &str| json!({ "ours": ours, "peer": peer, "unit": unit, "ratio": peer / ours.max(0.001) });
        let out = json!({
            "entra cached token": row(mine as f64, theirs as f64, "ns"),
            "entra requests for 10,000 cold connections": row(requests as f64, 1.0, "requests"),
        });
        std::fs::write(file, format!("{out:#}\n"))?;
    }
    Ok(())
}
