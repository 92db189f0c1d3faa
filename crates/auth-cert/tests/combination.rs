//! A certificate together with a password, and whose it is.
#![cfg(not(any(target_os = "windows", target_vendor = "apple")))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use pgreach_auth_cert::{FixedCertificate, codes};
use pgreach_core::{
    Credential, CredentialKind, CredentialProvider, CredentialRequest, Endpoint, Error,
};
use support::*;

/// Gives credentials in turn; remembers for whom it was asked, and what was refused.
#[derive(Debug, Clone, Default)]
struct Source(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: Vec<Credential>,
    given: Vec<Arc<Credential>>,
    asked: Vec<(Option<String>, Option<String>)>,
    rejected: Vec<bool>,
}

impl Source {
    fn new(next: impl IntoIterator<Item = Credential>) -> Self {
        let source = Self::default();
        source.0.lock().unwrap().next.extend(next);
        source
    }
}

#[async_trait]
impl CredentialProvider for Source {
    async fn credential(&self, request: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        let mut state = self.0.lock().unwrap();
        let owned = |text: Option<&str>| text.map(str::to_owned);
        state
            .asked
            .push((owned(request.user), owned(request.default_user)));
        let credential = Arc::new(state.next.remove(0));
        state.given.push(Arc::clone(&credential));
        Ok(credential)
    }

    /// As sources do that keep what they gave: something else than the last is old, and left alone.
    fn invalidate(&self, rejected: &Credential) -> bool {
        let mut state = self.0.lock().unwrap();
        let known = state.given.iter().any(|given| given.same_as(rejected));
        state.rejected.push(known);
        known
    }
}

fn certificate() -> FixedCertificate {
    let (certificate, key) = simple("app");
    FixedCertificate::from_bytes(certificate, key, None).unwrap()
}

#[tokio::test]
async fn a_password_and_a_certificate() {
    let soon = SystemTime::now() + Duration::from_secs(60);
    let far = SystemTime::now() + Duration::from_secs(10 * 365 * 86400);
    let source = Source::new([
        Credential::password("secret").with_user("inner"),
        Credential::bearer_token("token")
            .with_expiry(soon)
            .with_note("source", "vault")
            .with_warning("soon over"),
        Credential::password("secret").with_expiry(far),
        Credential::none().with_user("nobody"),
    ]);
    let both = certificate().with_password_from(source);
    let password = ask(&both).await.unwrap();
    assert_eq!(password.kind(), CredentialKind::Password);
    assert_eq!(password.secret().unwrap().expose(), "secret");
    assert_eq!(password.user(), Some("inner"));
    assert!(password.identity().is_some());
    let ends = password.expires_at().unwrap();

    // A token is still a token, and what ends first ends both.
    let token = ask(&both).await.unwrap();
    assert!(token.needs_verified_tls() && token.identity().is_some());
    assert_eq!(token.expires_at(), Some(soon));
    let notes: Vec<_> = token.notes().iter().map(|(what, _)| *what).collect();
    assert_eq!(notes, ["source", "subject", "issuer", "expires"]);
    assert_eq!(token.warnings(), ["soon over"]);

    assert_eq!(ask(&both).await.unwrap().expires_at(), Some(ends));
    // A passfile without a line for this server.
    let none = ask(&both).await.unwrap();
    assert_eq!(none.kind(), CredentialKind::Certificate);
    assert_eq!(
        (none.user(), none.secret().is_none()),
        (Some("nobody"), true)
    );
}

#[tokio::test]
async fn the_source_of_the_password_knows_what_was_refused() {
    let source = Source::new([
        Credential::password("one").with_user("inner"),
        Credential::password("two").with_user("inner"),
    ]);
    let both = certificate()
        .with_user("outer")
        .with_password_from(source.clone());
    let one = ask(&both).await.unwrap();
    let two = ask(&both).await.unwrap();
    assert!(both.invalidate(&one) && both.invalidate(&two));
    let copy = Credential::clone(&one);
    assert!(both.invalidate(&copy));
    assert_eq!(source.0.lock().unwrap().rejected, [true, true, true]);
    assert!(!both.invalidate(&Credential::password("strange")));
    // Alone, there is nothing else to try.
    let alone = certificate();
    assert!(!alone.invalidate(&ask(&alone).await.unwrap()));
}

#[tokio::test]
async fn who_the_user_is() {
    let inner = || Source::new([Credential::password("x").with_user("inner")]);
    let endpoint = Endpoint::tcp("db", 5432);
    // The source; the connector's user; the credential's; whose password is asked for.
    #[rustfmt::skip]
    let table = [
        (certificate(), None, None, None),
        (certificate().with_user("named"), None, Some("named"), Some("named")),
        (certificate().with_user_from_subject(), None, Some("app"), Some("app")),
        (certificate().with_user_from_subject().with_user("named"), None, Some("named"), Some("named")),
        (certificate().with_user("named"), Some("settings"), Some("named"), Some("settings")),
        (certificate(), Some("settings"), None, Some("settings")),
    ];
    for (alone, given, user, asked) in table {
        let source = inner();
        let both = alone.clone().with_password_from(source.clone());
        let request =
            CredentialRequest::new(&endpoint, None, given).with_default_user(Some("system"));
        let credential = alone.credential(&request).await.unwrap();
        assert_eq!(credential.user(), user);
        let credential = both.credential(&request).await.unwrap();
        assert_eq!(credential.user(), user.or(Some("inner")));
        let expected = (asked.map(str::to_owned), Some("system".to_owned()));
        assert_eq!(source.0.lock().unwrap().asked, [expected]);
    }
}

#[tokio::test]
async fn a_subject_without_a_name_is_no_user() {
    let key = p256();
    let own = Wanted::nameless().self_signed(&key);
    let source = FixedCertificate::from_bytes(pem(&own), pkcs8(&key), None).unwrap();
    assert_eq!(ask(&source).await.unwrap().user(), None);
    let error = ask(&source.with_user_from_subject()).await.unwrap_err();
    assert_eq!(error.code(), &codes::CERT_SUBJECT);
    assert!(error.message().contains("O=Test"), "{error}");
}

#[tokio::test]
async fn failures_of_the_password_are_its_own() {
    #[derive(Debug)]
    struct Broken;
    #[async_trait]
    impl CredentialProvider for Broken {
        async fn credential(&self, _: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
            let stage = pgreach_core::Stage::CREDENTIAL;
            Err(Error::new(&codes::CERT_FILE, stage, "as a test"))
        }
    }
    let both = certificate().with_password_from(Broken);
    assert_eq!(ask(&both).await.unwrap_err().message(), "as a test");
}
