//! No secret in what is shown, logged or serialised.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fmt::{Debug, Write as _};
use std::io;
use std::sync::{Arc, Mutex};

use pgreach_auth_azure::{EntraCredentials, EntraIdentity, EntraToken, codes};
use pgreach_core::{CredentialProvider, ErrorKind, Secret, Stage, Trace};
use serde_json::json;
use support::{CLIENT, FakeHttp, MARKER, TENANT, ask, jwt, secret_identity, with};
use tracing::field::{Field, Visit};
use tracing::span;

/// Everything that is logged, fields and all.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = writeln!(self.0.lock().unwrap(), "{field}={value:?}");
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        attributes.record(&mut self.clone());
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Repeats the request's body, as an unkind proxy does.
fn echo(status: u16) -> FakeHttp {
    FakeHttp::new(move |asked| {
        let said = format!("you sent {} and {}", asked.body, jwt(&json!({})));
        let body = json!({ "error": said, "error_description": said, "message": said });
        Box::pin(async move { Ok((status, body.to_string().into_bytes())) })
    })
}

fn assertion() -> EntraIdentity {
    EntraIdentity::client_assertion(TENANT, CLIENT, || async {
        Ok::<_, io::Error>(Secret::new(jwt(&json!({ "sub": "us" }))))
    })
}

fn providers() -> Vec<EntraCredentials> {
    let ok = FakeHttp::entra(json!({ "upn": "ann" }));
    let alone = |identity| EntraCredentials::builder(identity).build().unwrap();
    let failing = || async {
        Err::<EntraToken, _>(io::Error::other(format!("cannot use {}", jwt(&json!({})))))
    };
    vec![
        with(secret_identity(), &ok),
        with(assertion(), &ok),
        with(secret_identity(), &echo(401)),
        with(assertion(), &echo(400)),
        with(EntraIdentity::system_assigned(), &echo(403)),
        with(EntraIdentity::system_assigned(), &echo(200)),
        with(secret_identity(), &FakeHttp::always(200, jwt(&json!({})))),
        with(
            secret_identity(),
            // In the place of a number.
            &FakeHttp::always(200, json!({ "expires_in": MARKER }).to_string()),
        ),
        alone(EntraIdentity::fixed_token(EntraToken::new(MARKER))),
        alone(EntraIdentity::fixed_token(EntraToken::new(jwt(
            &json!({ "exp": 1 }),
        )))),
        alone(EntraIdentity::token(failing)),
        with(
            EntraIdentity::chain([EntraIdentity::token(failing), secret_identity()]),
            &echo(400),
        ),
        alone(EntraIdentity::azure_pipelines(TENANT, CLIENT, "c", MARKER)),
    ]
}

#[tokio::test]
async fn the_marker_is_nowhere() {
    let log = Log::default();
    // For this thread, which is the only one of this test's runtime that logs.
    let _guard = tracing::subscriber::set_default(log.clone());
    let mut shown = String::new();
    let mut errors = 0;
    for provider in providers() {
        let trace = Trace::new();
        for _ in 0..2 {
            match trace.enter(Stage::CREDENTIAL).end(ask(&provider).await) {
                Ok(credential) => {
                    let _ = writeln!(shown, "{credential:?}\n{credential:#?}");
                    provider.invalidate(&credential);
                }
                Err(error) => {
                    errors += 1;
                    assert_eq!(error.kind(), ErrorKind::Credential);
                    let json = serde_json::to_string(&error).unwrap();
                    let _ = writeln!(shown, "{error}\n{error:?}\n{error:#?}\n{json}");
                    assert!(std::error::Error::source(&error).is_none());
                }
            }
            let records = serde_json::to_string(&trace.records()).unwrap();
            let _ = writeln!(shown, "{provider:?}\n{provider:#?}\n{trace:?}\n{records}");
        }
    }
    assert!(errors >= 18, "{errors}");
    let logged = log.0.lock().unwrap().clone();
    // The log is really of these failures, or its silence would prove nothing.
    for word in ["entra-refused", "entra-chain", "Request: url"] {
        assert!(logged.contains(word), "{logged}");
    }
    for text in [shown, logged] {
        assert!(!text.contains(MARKER), "{text}");
        assert!(!text.contains("eyJ"), "{text}");
        let bytes = format!("{:?}", MARKER.as_bytes());
        assert!(!text.contains(bytes.trim_matches(['[', ']'])), "{text}");
    }
}

#[test]
fn builders_show_no_secret() {
    let builder = EntraCredentials::builder(EntraIdentity::chain([
        secret_identity(),
        EntraIdentity::fixed_token(EntraToken::new(MARKER)),
        EntraIdentity::azure_pipelines(TENANT, CLIENT, "c", MARKER),
    ]));
    let shown = format!("{builder:?} {builder:#?}");
    assert!(shown.contains(TENANT) && !shown.contains(MARKER), "{shown}");
}

#[test]
fn codes_are_whole_and_unique() {
    let mut names: Vec<_> = codes::ALL.iter().map(|code| code.name()).collect();
    names.extend(pgreach_core::codes::ALL.iter().map(|code| code.name()));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a name is used twice");
    for code in codes::ALL {
        assert_eq!(code.kind(), ErrorKind::Credential);
        for sentence in [code.meaning(), code.remedy()] {
            assert!(
                sentence.ends_with('.') && !sentence.contains(". "),
                "{sentence}"
            );
        }
    }
}

#[test]
fn credentials_are_shared_between_tasks() {
    fn check<T: CredentialProvider + Clone + Send + Sync + 'static>() {}
    check::<EntraCredentials>();
}
