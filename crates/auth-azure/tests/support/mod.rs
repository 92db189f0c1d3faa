//! An HTTP client that answers as it is told, and tokens to answer with.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::fmt::{self, Debug};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use data_encoding::BASE64URL_NOPAD;
use futures_util::future::BoxFuture;
use pgreach_auth_azure::azure_core;
use pgreach_auth_azure::azure_core::http::headers::Headers;
use pgreach_auth_azure::azure_core::http::{AsyncRawResponse, Body, HttpClient, Request};
use pgreach_auth_azure::{EntraCredentials, EntraIdentity};
use pgreach_core::{Credential, CredentialProvider, CredentialRequest, Endpoint, Error};
use serde_json::{Value, json};

/// In everything that must not be shown.
pub(crate) const MARKER: &str = "m4rker-s3cret";

pub(crate) const TENANT: &str = "contoso.example";
pub(crate) const CLIENT: &str = "11111111-2222-3333-4444-555555555555";

type Answer = BoxFuture<'static, azure_core::Result<(u16, Vec<u8>)>>;

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) url: String,
    pub(crate) body: String,
}

/// Answers each request by a function of it.
#[derive(Clone)]
pub(crate) struct FakeHttp {
    answer: Arc<dyn Fn(&Asked) -> Answer + Send + Sync>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl FakeHttp {
    pub(crate) fn new(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self {
            answer: Arc::new(answer),
            asked: Arc::default(),
        }
    }

    /// Always the same.
    pub(crate) fn always(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self::new(move |_| {
            let body = body.clone();
            Box::pin(async move { Ok((status, body)) })
        })
    }

    /// Tokens as Entra gives them: a new one for each request.
    pub(crate) fn entra(claims: Value) -> Self {
        let count = Mutex::new(0);
        Self::new(move |_| {
            let mut count = count.lock().unwrap();
            *count += 1;
            let mut claims = claims.clone();
            claims["jti"] = json!(*count);
            let body = token_response(&jwt(&claims));
            Box::pin(async move { Ok((200, body)) })
        })
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Debug for FakeHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeHttp")
    }
}

#[async_trait]
impl HttpClient for FakeHttp {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let body = match request.body() {
            Body::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Body::SeekableStream(_) => String::new(),
        };
        let asked = Asked {
            url: request.url().to_string(),
            body,
        };
        self.asked.lock().unwrap().push(asked.clone());
        let (status, body) = (self.answer)(&asked).await?;
        Ok(AsyncRawResponse::from_bytes(
            status.into(),
            Headers::new(),
            body,
        ))
    }
}

/// Unsigned, with the marker in the place of the signature.
pub(crate) fn jwt(claims: &Value) -> String {
    let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    format!(
        "{}.{}.{MARKER}",
        part(r#"{"alg":"RS256","typ":"JWT"}"#),
        part(&claims.to_string())
    )
}

/// An hour's.
pub(crate) fn token_response(token: &str) -> Vec<u8> {
    json!({ "token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token })
        .to_string()
        .into_bytes()
}

/// IMDS' and App Service's form.
pub(crate) fn managed_response(token: &str) -> Vec<u8> {
    let end = SystemTime::now() + Duration::from_secs(86_400);
    let end = end.duration_since(UNIX_EPOCH).unwrap().as_secs();
    json!({
        "access_token": token,
        "expires_on": end.to_string(),
        "resource": "https://ossrdbms-aad.database.windows.net",
        "token_type": "Bearer",
    })
    .to_string()
    .into_bytes()
}

pub(crate) fn secret_identity() -> EntraIdentity {
    EntraIdentity::client_secret(TENANT, CLIENT, MARKER)
}

pub(crate) fn with(identity: EntraIdentity, http: &FakeHttp) -> EntraCredentials {
    EntraCredentials::builder(identity)
        .with_http_client(Arc::new(http.clone()))
        .build()
        .unwrap()
}

pub(crate) async fn ask(provider: &dyn CredentialProvider) -> Result<Arc<Credential>, Error> {
    ask_as(provider, None).await
}

/// With the user that the connector was given.
pub(crate) async fn ask_as(
    provider: &dyn CredentialProvider,
    user: Option<&str>,
) -> Result<Arc<Credential>, Error> {
    let endpoint = Endpoint::tcp("db.postgres.database.azure.com", 5432);
    let request =
        CredentialRequest::new(&endpoint, Some("app"), user).with_default_user(Some("os-user"));
    provider.credential(&request).await
}
