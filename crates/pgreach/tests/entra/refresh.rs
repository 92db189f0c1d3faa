//! Tokens that end, and tokens that the server refuses.

use std::time::{Duration, SystemTime};

use pgreach::azure::EntraToken;
use pgreach::prelude::*;
use pgreach_testkit::entra::Endpoint;

use crate::within;
use crate::world::{World, refused};

async fn current_user(connection: &Connection) -> String {
    let row = connection.query_one("select current_user", &[]).await;
    row.unwrap().get(0)
}

#[tokio::test]
async fn a_token_that_ended_is_replaced() {
    let (world, identity) = World::with_orders().await;
    world.entra.set_lifetime(Duration::from_secs(4));
    let connector = world.orders(identity);
    let first = within(connector.connect()).await.unwrap();
    let end = SystemTime::now() + Duration::from_secs(4);
    // The wall clock is the subject: nobody can put it forward here.
    while let Ok(left) = end.duration_since(SystemTime::now()) {
        tokio::time::sleep(left).await;
    }
    let second = within(connector.connect()).await.unwrap();
    assert_eq!(world.entra.requests(Endpoint::Token), 2);
    let tokens = world.tokens();
    assert_ne!(tokens[0], tokens[1]);
    assert!(world.verdicts().iter().all(|(_, accepted)| *accepted));
    // A session outlives its token, and the end of a token ends no epoch.
    assert_eq!(current_user(&first).await, "orders");
    assert_eq!(second.info().credential_epoch(), 0);
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let (world, identity) = World::with_orders().await;
    let connector = world.orders(identity);
    let before = within(connector.connect()).await.unwrap();
    assert_eq!(world.entra.requests(Endpoint::Token), 1);

    world.gateway.reject_next(1);
    let after = within(connector.connect()).await.unwrap();
    assert_eq!(current_user(&after).await, "orders");
    assert_eq!(world.entra.requests(Endpoint::Token), 2);
    let accepted: Vec<_> = world.verdicts().into_iter().map(|(_, yes)| yes).collect();
    assert_eq!(accepted, [true, false, true]);
    let tokens = world.tokens();
    assert_eq!(tokens[0], tokens[1]);
    assert_ne!(tokens[1], tokens[2]);
    assert_eq!(before.info().credential_epoch(), 0);
    assert_eq!(after.info().credential_epoch(), 1);
    assert_eq!(connector.credential_epoch(), 1);

    // The fresh one is kept.
    within(connector.connect()).await.unwrap();
    assert_eq!(world.tokens()[3], tokens[2]);
    assert_eq!(world.entra.requests(Endpoint::Token), 2);
}

#[tokio::test]
async fn a_second_refusal_is_the_last() {
    let (world, identity) = World::with_orders().await;
    let connector = world.orders(identity);
    world.gateway.reject_next(3);
    let error = refused(&connector).await;
    assert_eq!(error.code().name(), "auth-refused", "{error:?}");
    assert_eq!(error.sqlstate(), Some("28P01"));
    let verdicts = world.verdicts();
    assert_eq!(
        verdicts,
        [("orders".to_owned(), false), ("orders".to_owned(), false)]
    );
    let tokens = world.tokens();
    assert_ne!(tokens[0], tokens[1]);
    assert_eq!(world.entra.requests(Endpoint::Token), 2);
    assert_eq!(connector.credential_epoch(), 0);

    world.gateway.reject_next(0);
    within(connector.connect()).await.unwrap();
    assert_eq!(world.entra.requests(Endpoint::Token), 2);
}

#[tokio::test]
async fn a_fixed_token_is_shown_once() {
    let (world, _) = World::with_orders().await;
    let orders = world.entra.add_application("other", "another-s3cret");
    world.admit("orders", &orders);
    let good = world.entra.token_for(&orders).unwrap();
    let forged = world.entra.forged_token_for(&orders).unwrap();
    for (token, rejected, state) in [(good, 1, "28P01"), (forged, 0, "28000")] {
        let shown = world.gateway.logins().len();
        world.gateway.reject_next(rejected);
        let connector = world.orders(EntraIdentity::fixed_token(EntraToken::new(token)));
        let error = refused(&connector).await;
        assert_eq!(error.code().name(), "auth-refused", "{error:?}");
        assert_eq!(error.sqlstate(), Some(state));
        assert_eq!(world.gateway.logins().len(), shown + 1);
    }
}
