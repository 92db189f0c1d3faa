//! Tokens of the application, of credentials that it brings, and of the first that has one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use pgreach_auth_azure::azure_core::credentials::{
    AccessToken, TokenCredential, TokenRequestOptions,
};
use pgreach_auth_azure::azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};
use pgreach_auth_azure::{Cloud, EntraCredentials, EntraIdentity, EntraToken};
use pgreach_core::{CredentialProvider as _, Retry};
use serde_json::json;
use support::{CLIENT, FakeHttp, TENANT, ask, jwt, secret_identity, with};

#[tokio::test]
async fn tokens_of_the_application() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let identity = EntraIdentity::token(move || {
        let call = counted.fetch_add(1, Ordering::SeqCst);
        async move { Ok::<_, io::Error>(EntraToken::new(jwt(&json!({ "upn": "u", "jti": call })))) }
    });
    let credentials = EntraCredentials::builder(identity).build().unwrap();
    let first = ask(&credentials).await.unwrap();
    ask(&credentials).await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert!(credentials.invalidate(&first));
    assert!(!ask(&credentials).await.unwrap().same_as(&first));

    let soon = SystemTime::now() + Duration::from_secs(600);
    let exp = soon
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let fixed = EntraToken::new(jwt(&json!({ "upn": "u", "exp": exp })));
    let fixed = EntraCredentials::builder(EntraIdentity::fixed_token(fixed))
        .build()
        .unwrap();
    let credential = ask(&fixed).await.unwrap();
    let end = credential.expires_at().unwrap();
    assert!(soon.duration_since(end).unwrap() < Duration::from_secs(1));
    assert!(!fixed.invalidate(&credential), "there is no other");

    for end in [
        SystemTime::UNIX_EPOCH,
        SystemTime::now() - Duration::from_secs(1),
    ] {
        let past = EntraToken::new("opaque").with_expiry(end);
        let past = EntraCredentials::builder(EntraIdentity::fixed_token(past))
            .with_user("app")
            .build()
            .unwrap();
        assert_eq!(ask(&past).await.unwrap_err().code().name(), "entra-token");
    }
    // Beyond what can be written as a date.
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 50);
    let far = EntraToken::new("opaque").with_expiry(far);
    let far = EntraCredentials::builder(EntraIdentity::fixed_token(far))
        .with_user("app")
        .build()
        .unwrap();
    ask(&far).await.unwrap();
}

#[tokio::test]
async fn a_foreign_credential_is_used_as_it_is() {
    #[derive(Debug)]
    struct Mine(Arc<Mutex<Vec<String>>>);
    #[async_trait]
    impl TokenCredential for Mine {
        async fn get_token(
            &self,
            scopes: &[&str],
            _: Option<TokenRequestOptions<'_>>,
        ) -> pgreach_auth_azure::azure_core::Result<AccessToken> {
            self.0
                .lock()
                .unwrap()
                .extend(scopes.iter().map(ToString::to_string));
            let end = SystemTime::now() + Duration::from_secs(3600);
            Ok(AccessToken::new("opaque", end.into()))
        }
    }
    let scopes = Arc::new(Mutex::new(Vec::new()));
    let identity = EntraIdentity::credential(Arc::new(Mine(Arc::clone(&scopes))));
    let credentials = EntraCredentials::builder(identity)
        .with_cloud(Cloud::china())
        .with_user("app")
        .build()
        .unwrap();
    let credential = ask(&credentials).await.unwrap();
    assert_eq!(credential.notes()[0].1, "TokenCredential");
    assert_eq!(*scopes.lock().unwrap(), [Cloud::china().scope()]);

    // One with a cache of its own gives what was refused again.
    let http = FakeHttp::entra(json!({ "upn": "ann" }));
    let mut options = ClientSecretCredentialOptions::default();
    let transport = pgreach_auth_azure::azure_core::http::Transport::new(Arc::new(http));
    options.client_options.transport = Some(transport);
    let azure =
        ClientSecretCredential::new(TENANT, CLIENT.to_owned(), "x".into(), Some(options)).unwrap();
    let credentials = EntraCredentials::builder(EntraIdentity::credential(azure))
        .build()
        .unwrap();
    let first = ask(&credentials).await.unwrap();
    credentials.invalidate(&first);
    assert!(ask(&credentials).await.unwrap().same_as(&first));
}

#[tokio::test]
async fn a_chain_prefers_who_answered() {
    let works = Arc::new(Mutex::new([false, true]));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let link = |index: usize| {
        let (works, asked) = (Arc::clone(&works), Arc::clone(&asked));
        EntraIdentity::token(move || {
            asked.lock().unwrap().push(index);
            let works = works.lock().unwrap()[index];
            async move {
                if works {
                    Ok(EntraToken::new(format!("opaque-{index}")))
                } else {
                    Err(io::Error::other(format!("link {index} is down")))
                }
            }
        })
    };
    let credentials = EntraCredentials::builder(EntraIdentity::chain([link(0), link(1)]))
        .with_user("app")
        .build()
        .unwrap();
    let first = ask(&credentials).await.unwrap();
    assert_eq!(first.secret().unwrap().expose(), "opaque-1");
    assert!(credentials.invalidate(&first));
    *works.lock().unwrap() = [true, true];
    ask(&credentials).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), [0, 1, 1]);

    // Somebody else's token is no better than a valid one.
    let fixed = EntraCredentials::builder(EntraIdentity::chain([link(1), link(0)]))
        .with_user("app")
        .build()
        .unwrap();
    *works.lock().unwrap() = [true, true];
    let second = ask(&fixed).await.unwrap();
    *works.lock().unwrap() = [true, false];
    assert!(fixed.invalidate(&second));
    assert!(ask(&fixed).await.unwrap().same_as(&second));

    *works.lock().unwrap() = [false, false];
    let chain = EntraIdentity::chain([link(0), link(1), secret_identity()]);
    let refused = FakeHttp::always(401, r#"{"error":"invalid_client"}"#);
    let error = ask(&with(chain, &refused)).await.unwrap_err();
    assert_eq!(error.code().name(), "entra-chain");
    assert_eq!(error.retry(), Retry::Backoff, "a source may work again");
    let message = error.message();
    assert!(
        message.contains("link 0 is down; ") && message.contains("link 1 is down; "),
        "{message}"
    );
    assert!(message.contains("invalid_client"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_hangs_leaves_time_for_the_next() {
    let hangs = EntraIdentity::token(std::future::pending::<io::Result<EntraToken>>);
    let works = EntraIdentity::token(|| async {
        tokio::time::sleep(Duration::from_secs(9)).await;
        Ok::<_, io::Error>(EntraToken::new("opaque"))
    });
    let credentials = EntraCredentials::builder(EntraIdentity::chain([hangs, works]))
        .with_user("app")
        .build()
        .unwrap();
    ask(&credentials).await.unwrap();
}

#[tokio::test]
async fn the_servers_end_of_a_token_comes_before_the_answers() {
    // The answer counts whole seconds from when it comes, the server goes by the claim. Where they are
    // far apart it is this machine's clock that is ahead, and the answer does not depend on it.
    for (earlier, by_the_claim) in [(2, true), (3000, false)] {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let exp = now.as_secs() + 3599 - earlier;
        let http = FakeHttp::entra(json!({ "upn": "ann", "exp": exp }));
        let credential = ask(&with(secret_identity(), &http)).await.unwrap();
        let claim = UNIX_EPOCH + Duration::from_secs(exp);
        let is_the_claim = credential.expires_at().unwrap() == claim;
        assert_eq!(is_the_claim, by_the_claim, "{earlier}");
    }
}
