//! What Entra, identity endpoints and the network answer, and which errors that makes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use pgreach_auth_azure::azure_core;
use pgreach_auth_azure::azure_core::error::ErrorKind as AzureKind;
use pgreach_auth_azure::{EntraCredentials, EntraIdentity, EntraToken};
use pgreach_core::{
    Connector as _, DialContext, Dialed, Endpoint, Error, ErrorKind, PgConnector, Retry, Secret,
    Stage, TlsPolicy, Transport,
};
use serde_json::json;
use support::{CLIENT, FakeHttp, MARKER, TENANT, ask, secret_identity, token_response, with};

fn entra(number: u32, words: &str) -> String {
    json!({
        "error": "invalid_client",
        "error_description": format!("AADSTS{number}: {words} Trace ID: aaaa-bbbb Correlation ID: c Timestamp: t"),
        "error_codes": [number],
        "trace_id": "aaaa-bbbb",
    })
    .to_string()
}

#[tokio::test]
async fn what_entra_refuses() {
    let table = [
        (401, 7_000_215, "the value of the client secret"),
        (401, 7_000_222, "has expired"),
        (400, 700_016, "does not know this application"),
        (400, 90_002, "tenant's id"),
        (401, 700_027, "add this certificate"),
        (400, 70_021, "federated credential"),
        (400, 700_213, "federated credential"),
        (400, 50_105, "assign the user"),
        (400, 65_001, "consent"),
        (400, 500_011, "check the cloud"),
        (400, 424_242, "Look the AADSTS number up"),
    ];
    for (status, number, hint) in table {
        let http = FakeHttp::always(status, entra(number, "Words of Entra."));
        let error = ask(&with(secret_identity(), &http)).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.stage(), error.code().name()),
            (ErrorKind::Credential, Stage::CREDENTIAL, "entra-refused")
        );
        assert_eq!(error.retry(), Retry::Never);
        assert_eq!(
            error.message(),
            format!(
                "client secret of application {CLIENT} in tenant {TENANT}: login.microsoftonline.com answered AADSTS{number}: Words of Entra (trace id aaaa-bbbb)"
            )
        );
        assert!(error.hint().contains(hint), "{number}: {}", error.hint());
        assert_eq!(http.asked().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_pass() {
    for (status, body) in [
        (429, entra(90_024, "Budget.")),
        (503, "<html>busy</html>".to_owned()),
        (400, entra(90_033, "A transient error has occurred.")),
    ] {
        let http = FakeHttp::always(status, body);
        let error = ask(&with(secret_identity(), &http)).await.unwrap_err();
        assert_eq!(error.code().name(), "entra-unavailable", "{error}");
        assert_eq!(error.retry(), Retry::Backoff);
        // Three more times at most.
        assert!(http.asked().len() <= 4);
    }
}

#[tokio::test]
async fn what_is_not_entra() {
    let table = [
        (403, "<html>blocked</html>", "entra-refused", "which proxy"),
        (407, "", "entra-refused", "demands authentication"),
        (302, "", "entra-refused", "which proxy"),
        (
            200,
            "<html>login to the wifi</html>",
            "entra-token",
            "fresh access tokens",
        ),
        (200, "", "entra-token", "fresh access tokens"),
    ];
    for (status, body, code, hint) in table {
        let http = FakeHttp::always(status, body);
        let error = ask(&with(secret_identity(), &http)).await.unwrap_err();
        assert_eq!(error.code().name(), code, "{error}");
        assert!(
            error.message().contains("login.microsoftonline.com"),
            "{error}"
        );
        assert!(error.hint().contains(hint), "{status}: {}", error.hint());
    }
}

/// An endless body ends.
#[tokio::test(start_paused = true)]
async fn a_body_is_bounded() {
    let http = FakeHttp::always(200, vec![b' '; 300 * 1024]);
    let error = ask(&with(secret_identity(), &http)).await.unwrap_err();
    assert!(error.message().contains("longer than 256 KiB"), "{error}");
}

fn cannot_connect(cause: &'static str) -> FakeHttp {
    FakeHttp::new(move |_| {
        Box::pin(async move {
            let cause = io::Error::other(cause);
            Err(azure_core::Error::with_error(
                AzureKind::Connection,
                cause,
                "failed to execute the request",
            ))
        })
    })
}

#[tokio::test(start_paused = true)]
async fn an_authority_that_cannot_be_reached() {
    let http = cannot_connect("Connection refused (os error 111)");
    let error = ask(&with(secret_identity(), &http)).await.unwrap_err();
    assert_eq!(error.code().name(), "entra-unreachable");
    assert_eq!(error.retry(), Retry::Backoff);
    assert!(
        error.message().ends_with(
            "login.microsoftonline.com cannot be reached (Connection refused (os error 111))"
        ),
        "{error}"
    );
    assert_eq!(http.asked().len(), 4);

    let http = cannot_connect("certificate verify failed: self-signed certificate in chain");
    let error = ask(&with(secret_identity(), &http)).await.unwrap_err();
    assert!(error.hint().contains("with_root_certificate"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_machine_without_an_identity() {
    let identity = EntraIdentity::system_assigned;
    // Nobody at the address: known at once, and not after 72 seconds of attempts.
    let http = cannot_connect("No route to host");
    let began = tokio::time::Instant::now();
    let error = ask(&with(identity(), &http)).await.unwrap_err();
    assert_eq!(error.code().name(), "entra-no-identity");
    assert_eq!(error.retry(), Retry::Backoff);
    assert_eq!(http.asked().len(), 1);
    assert!(began.elapsed() < Duration::from_secs(1));

    let table = [
        (
            400,
            r#"{"error":"invalid_request","error_description":"Identity not found"}"#,
            "entra-no-identity",
            "169.254.169.254 answered status 400: Identity not found",
            Retry::Never,
        ),
        // What is no Azure, or is only starting.
        (
            404,
            "<html>",
            "entra-no-identity",
            "169.254.169.254 answered status 404",
            Retry::Backoff,
        ),
        // While it is updated.
        (
            410,
            "",
            "entra-no-identity",
            "169.254.169.254 answered status 410",
            Retry::Backoff,
        ),
        (
            429,
            r#"{"error":"too_many_requests"}"#,
            "entra-unavailable",
            "169.254.169.254 answered status 429: too_many_requests",
            Retry::Backoff,
        ),
        (
            500,
            "",
            "entra-unavailable",
            "169.254.169.254 answered status 500",
            Retry::Backoff,
        ),
    ];
    for (status, body, code, message, retry) in table {
        let http = FakeHttp::always(status, body);
        let began = tokio::time::Instant::now();
        let error = ask(&with(identity(), &http)).await.unwrap_err();
        assert_eq!(error.code().name(), code, "{error}");
        assert!(error.message().ends_with(message), "{error}");
        assert_eq!(error.retry(), retry, "{status}");
        assert!(began.elapsed() <= Duration::from_secs(20));
    }
}

/// A route on which nothing comes back.
#[derive(Debug)]
struct Silent;

#[async_trait]
impl Transport for Silent {
    async fn dial(&self, _: &Endpoint, _: &DialContext) -> Result<Dialed, Error> {
        std::future::pending().await
    }

    fn describe(&self, endpoint: &Endpoint) -> String {
        endpoint.to_string()
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_answer_is_given_up() {
    let silent = FakeHttp::new(|_| Box::pin(std::future::pending()));
    let began = tokio::time::Instant::now();
    let error = ask(&with(secret_identity(), &silent)).await.unwrap_err();
    assert_eq!(began.elapsed(), Duration::from_secs(20));
    assert_eq!(error.code().name(), "entra-timeout");
    assert!(
        error
            .message()
            .ends_with("login.microsoftonline.com gave no token within 20s"),
        "{error}"
    );

    // A connector with its own default waits long enough to hear it.
    let connector = PgConnector::builder()
        .with_transport(Silent)
        .with_endpoint(Endpoint::tcp("db.postgres.database.azure.com", 5432))
        .with_tls_policy(TlsPolicy::dangerous_plaintext())
        .with_user("app")
        .with_credentials(with(secret_identity(), &silent))
        .build()
        .unwrap();
    let error = connector.connect().await.unwrap_err();
    assert_eq!(error.code().name(), "entra-timeout", "{error}");
    assert_eq!(error.stage(), Stage::CREDENTIAL);

    let source = EntraIdentity::token(std::future::pending::<io::Result<EntraToken>>);
    let credentials = EntraCredentials::builder(source)
        .with_fetch_timeout(Duration::from_secs(3))
        .build()
        .unwrap();
    let error = ask(&credentials).await.unwrap_err();
    assert_eq!(
        error.message(),
        "token source: the application's token source gave no token within 3s"
    );
}

#[tokio::test]
async fn sources_that_fail() {
    let source = EntraIdentity::token(|| async {
        Err::<EntraToken, _>(io::Error::other("the portal is closed"))
    });
    let error = ask(&EntraCredentials::builder(source).build().unwrap())
        .await
        .unwrap_err();
    assert_eq!(error.code().name(), "entra-source");
    assert_eq!(error.message(), "token source: the portal is closed");

    let http = FakeHttp::always(200, token_response("never asked"));
    let assertion = EntraIdentity::client_assertion(TENANT, CLIENT, || async {
        Err::<Secret, _>(io::Error::other("no key"))
    });
    let error = ask(&with(assertion, &http)).await.unwrap_err();
    assert_eq!(error.code().name(), "entra-source");
    assert!(error.message().ends_with(": no key"), "{error}");
    assert!(http.asked().is_empty());

    let missing = EntraIdentity::workload_identity_from(TENANT, CLIENT, "/nonexistent/token");
    let error = ask(&with(missing, &http)).await.unwrap_err();
    assert_eq!(error.code().name(), "entra-config");
    assert!(error.message().contains("/nonexistent/token"), "{error}");
}

#[tokio::test]
async fn foreign_credentials_that_fail() {
    use pgreach_auth_azure::azure_core::http::Transport;
    use pgreach_auth_azure::azure_identity::{
        ClientSecretCredential, ClientSecretCredentialOptions,
    };
    let foreign = |http: FakeHttp| {
        let mut options = ClientSecretCredentialOptions::default();
        options.client_options.transport = Some(Transport::new(std::sync::Arc::new(http)));
        options.client_options.retry = azure_core::http::RetryOptions::none();
        let credential =
            ClientSecretCredential::new(TENANT, CLIENT.to_owned(), MARKER.into(), Some(options));
        let identity = EntraIdentity::credential(credential.unwrap());
        EntraCredentials::builder(identity).build().unwrap()
    };
    let refused = foreign(FakeHttp::always(401, entra(7_000_222, "Expired.")));
    let error = ask(&refused).await.unwrap_err();
    assert_eq!(error.code().name(), "entra-refused");
    assert!(error.hint().contains("has expired"));

    let error = ask(&foreign(cannot_connect("refused"))).await.unwrap_err();
    assert_eq!(error.code().name(), "entra-unreachable");

    let error = ask(&foreign(FakeHttp::always(200, "?"))).await.unwrap_err();
    assert_eq!(error.code().name(), "entra-source", "{error}");
}
