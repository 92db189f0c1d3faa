//! A server that refuses: when another credential is asked for, and what is told when none comes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use async_trait::async_trait;
use pgreach_core::{
    Connector as _, Credential, CredentialProvider, CredentialRequest, DialContext, Dialed,
    Endpoint, Error, PgConnector, Retry, Stage, TlsPolicy, Transport, codes,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Leads to a server that answers the startup with this error.
#[derive(Debug, Clone)]
struct Refuses {
    sqlstate: &'static str,
    words: &'static str,
    dials: Arc<AtomicUsize>,
}

#[async_trait]
impl Transport for Refuses {
    async fn dial(&self, _: &Endpoint, _: &DialContext) -> Result<Dialed, Error> {
        self.dials.fetch_add(1, SeqCst);
        let (client, mut server) = tokio::io::duplex(4096);
        let mut error = Vec::new();
        for (field, value) in [(b'S', "FATAL"), (b'C', self.sqlstate), (b'M', self.words)] {
            error.push(field);
            error.extend_from_slice(value.as_bytes());
            error.push(0);
        }
        error.push(0);
        tokio::spawn(async move {
            let length = server.read_u32().await.unwrap();
            let mut startup = vec![0; length as usize - 4];
            server.read_exact(&mut startup).await.unwrap();
            server.write_u8(b'E').await.unwrap();
            let length = u32::try_from(error.len() + 4).unwrap();
            server.write_u32(length).await.unwrap();
            server.write_all(&error).await.unwrap();
        });
        Ok(Dialed::new(client))
    }

    fn describe(&self, endpoint: &Endpoint) -> String {
        endpoint.to_string()
    }
}

/// What comes after the first credential was refused.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Then {
    Another,
    /// The same with this warning.
    Same(Option<&'static str>),
    Fails(Retry),
}

#[derive(Debug, Clone)]
struct Source {
    then: Then,
    calls: Arc<AtomicUsize>,
    invalidated: Arc<AtomicUsize>,
}

#[async_trait]
impl CredentialProvider for Source {
    async fn credential(&self, _: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        let first = Credential::password("first");
        let credential = match (self.calls.fetch_add(1, SeqCst), self.then) {
            (0, _) | (_, Then::Same(None)) => first,
            (_, Then::Same(Some(warning))) => first.with_warning(warning),
            (_, Then::Another) => Credential::password("second"),
            (_, Then::Fails(retry)) => {
                let message = "the authority cannot be reached";
                let error = Error::new(&codes::STARTUP_CREDENTIAL, Stage::CREDENTIAL, message);
                return Err(error.with_retry(retry));
            }
        };
        Ok(Arc::new(credential))
    }

    fn invalidate(&self, _: &Credential) -> bool {
        self.invalidated.fetch_add(1, SeqCst);
        true
    }
}

/// The error, how often was dialled, asked for a credential and told that one is refused.
async fn refused(sqlstate: &'static str, words: &'static str, then: Then) -> (Error, [usize; 3]) {
    let transport = Refuses {
        sqlstate,
        words,
        dials: Arc::default(),
    };
    let source = Source {
        then,
        calls: Arc::default(),
        invalidated: Arc::default(),
    };
    let connector = PgConnector::builder()
        .with_transport(transport.clone())
        .with_credentials(source.clone())
        .with_endpoint(Endpoint::tcp("db.internal", 5432))
        .with_tls_policy(TlsPolicy::dangerous_plaintext())
        .with_user("app")
        .build()
        .unwrap();
    let error = connector.connect().await.unwrap_err();
    let counts = [&transport.dials, &source.calls, &source.invalidated];
    (error, counts.map(|count| count.load(SeqCst)))
}

const WRONG: &str = "password authentication failed for user \"app\"";

#[tokio::test]
async fn what_is_not_about_the_credential_costs_none() {
    let hba = "no pg_hba.conf entry for host \"10.0.0.1\", user \"app\", database \"app\", SSL encryption";
    let table = [
        ("28P01", WRONG, "auth-refused", [2, 2, 1]),
        (
            "28000",
            "The access token is invalid",
            "auth-refused",
            [2, 2, 1],
        ),
        ("28000", hba, "auth-hba", [1, 1, 0]),
        (
            "3D000",
            "database \"app\" does not exist",
            "database-missing",
            [1, 1, 0],
        ),
    ];
    for (sqlstate, words, code, counts) in table {
        let (error, counted) = refused(sqlstate, words, Then::Another).await;
        assert_eq!(error.code().name(), code, "{error}");
        assert_eq!(counted, counts, "{words}");
    }
}

#[tokio::test]
async fn why_no_other_credential_came_is_told() {
    for retry in [Retry::Backoff, Retry::Never] {
        let (error, counted) = refused("28P01", WRONG, Then::Fails(retry)).await;
        assert_eq!(counted, [1, 2, 1]);
        assert_eq!(error.code().name(), "auth-refused");
        assert!(error.message().ends_with(WRONG), "{error}");
        assert_eq!(error.sqlstate(), Some("28P01"));
        assert_eq!(error.retry(), retry);
        let hint = error.hint();
        assert!(hint.starts_with("correct the user name"), "{hint}");
        assert!(hint.ends_with("the authority cannot be reached"), "{hint}");
    }
    // A source that goes on with the one that it has says it in a warning.
    let warned = Then::Same(Some("the next token could not be fetched"));
    let (error, _) = refused("28P01", WRONG, warned).await;
    assert!(error.hint().ends_with("could not be fetched"), "{error:?}");
    let (error, _) = refused("28P01", WRONG, Then::Same(None)).await;
    assert!(error.hint().ends_with("looks the same"), "{error:?}");
    assert_eq!(error.retry(), Retry::RefreshCredential);
}
