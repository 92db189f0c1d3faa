//! A token leaves only over TLS that is verified in full.

use pgreach::SslMode;
use pgreach::prelude::*;

use crate::common::Tap;
use crate::shown::Shown;
use crate::within;
use crate::world::{World, refused};

fn policies() -> [(SslMode, TlsPolicy); 5] {
    [
        SslMode::Disable,
        SslMode::Allow,
        SslMode::Prefer,
        SslMode::Require,
        SslMode::VerifyCa,
    ]
    .map(|mode| (mode, TlsPolicy::from_sslmode(mode)))
}

#[tokio::test]
async fn weaker_tls_gets_no_token() {
    let (world, identity) = World::with_orders().await;
    let credentials = world.credentials(identity).with_user("orders");
    let credentials = credentials.build().unwrap();
    for (mode, policy) in policies() {
        let tap = Tap::default();
        let builder = world.map.builder(credentials.clone());
        let connector = builder
            .with_tls_policy(policy)
            .with_transport(tap.clone())
            .build()
            .unwrap();
        let error = refused(&connector).await;
        assert_eq!(
            error.code().name(),
            "auth-unverified-tls",
            "{mode:?} {error:?}"
        );
        assert!(world.gateway.logins().is_empty(), "{mode:?}");
        let sent = String::from_utf8_lossy(&tap.sent().concat()).into_owned();
        assert!(!sent.contains("eyJ"), "{mode:?}");
    }
    // The token was there all the time.
    let connector = world.map.connector(credentials);
    within(connector.connect()).await.unwrap();
    assert_eq!(world.verdicts(), [("orders".to_owned(), true)]);
    let mut shown = Shown::default();
    shown.debug("the connector", &connector);
    shown.assert_silent(&world.tokens());
}

#[tokio::test]
async fn weaker_tls_gets_the_token_where_the_program_insists() {
    let (world, identity) = World::with_orders().await;
    let credentials = world
        .credentials(identity)
        .with_user("orders")
        .dangerous_allow_unverified_tls()
        .build()
        .unwrap();
    let mut sent = 0;
    for (mode, policy) in policies() {
        let builder = world.map.builder(credentials.clone());
        let connector = builder.with_tls_policy(policy).build().unwrap();
        let connected = within(connector.connect()).await;
        if mode == SslMode::Disable {
            // Now it is the server that insists.
            assert_eq!(connected.unwrap_err().code().name(), "auth-hba");
        } else {
            connected.unwrap();
            sent += 1;
        }
        assert_eq!(world.gateway.logins().len(), sent, "{mode:?}");
    }
}
