//! The authority is away, slow, or asked by many at once.

use std::time::Duration;

use pgreach::Stage;
use pgreach::prelude::*;
use pgreach_testkit::entra::{Endpoint, Outage};

use crate::common::Tap;
use crate::shown::Shown;
use crate::within;
use crate::world::{SECRET, World, credential_stage, refused};

#[tokio::test]
async fn a_token_that_is_there_is_enough() {
    let (world, identity) = World::with_orders().await;
    let connector = world.orders(identity);
    within(connector.connect()).await.unwrap();
    for outage in [Outage::Closed, Outage::Unavailable] {
        world.entra.set_outage(outage);
        within(connector.connect()).await.unwrap();
    }
    assert_eq!(world.entra.requests(Endpoint::Token), 1);
}

#[tokio::test]
async fn without_a_token_it_is_an_error_in_time() {
    for outage in [Some(Outage::Closed), None] {
        let (world, identity) = World::with_orders().await;
        let connector = world
            .map
            .builder(
                world
                    .credentials(identity)
                    .with_user("orders")
                    .build()
                    .unwrap(),
            )
            // The fetch is bounded by itself as well, and ends sooner.
            .with_connect_timeout(Duration::from_secs(100))
            .build()
            .unwrap();
        let World { entra, gateway, .. } = world;
        let entra = match outage {
            Some(outage) => {
                entra.set_outage(outage);
                Some(entra)
            }
            // Nobody listens any more.
            None => {
                drop(entra);
                None
            }
        };
        let error = refused(&connector).await;
        assert_eq!(error.code().name(), "entra-unreachable", "{error:?}");
        assert_eq!(error.stage(), Stage::CREDENTIAL);
        assert!(error.message().contains("localhost:"), "{error}");
        let report = within(connector.check()).await;
        assert_eq!(credential_stage(&report).outcome, pgreach::Outcome::Failed);
        let mut shown = Shown::default();
        shown.report("the report", &report);
        shown.error("the error", &error);
        shown.assert_silent(&[SECRET.to_owned()]);
        assert!(gateway.logins().is_empty());
        drop(entra);
    }
}

#[tokio::test]
async fn a_short_trouble_is_not_noticed() {
    let (world, identity) = World::with_orders().await;
    world.entra.fail_next(1, 503);
    let connector = world.orders(identity);
    within(connector.connect()).await.unwrap();
    assert_eq!(world.entra.requests(Endpoint::Token), 2);
}

#[tokio::test]
async fn a_slow_authority_is_named() {
    let (world, identity) = World::with_orders().await;
    world.entra.hold();
    let credentials = world
        .credentials(identity)
        .with_user("orders")
        .with_fetch_timeout(Duration::from_millis(500));
    let connector = world.map.connector(credentials.build().unwrap());
    let error = refused(&connector).await;
    assert_eq!(error.code().name(), "entra-timeout", "{error:?}");
    assert_eq!(error.stage(), Stage::CREDENTIAL);
    assert!(error.message().contains("localhost:"), "{error}");
}

#[tokio::test]
async fn a_connection_that_gives_up_leaves_its_request_to_the_next() {
    let (world, identity) = World::with_orders().await;
    world.entra.hold();
    let credentials = world.credentials(identity).with_user("orders");
    let credentials = credentials.build().unwrap();
    let impatient = world
        .map
        .builder(credentials.clone())
        .with_connect_timeout(Duration::from_millis(500))
        .build()
        .unwrap();
    let error = refused(&impatient).await;
    assert_eq!(error.code().name(), "timeout", "{error:?}");
    assert_eq!(error.stage(), Stage::CREDENTIAL);
    within(world.entra.wait_requests(Endpoint::Token, 1)).await;
    world.entra.release();
    within(world.map.connector(credentials).connect())
        .await
        .unwrap();
    assert_eq!(world.entra.requests(Endpoint::Token), 1);
}

#[tokio::test]
async fn many_connections_ask_once() {
    const MANY: usize = 200;
    let (world, identity) = World::with_orders().await;
    world.entra.hold();
    let tap = Tap::default();
    let credentials = world.credentials(identity).with_user("orders");
    let connector = world
        .map
        .builder(credentials.build().unwrap())
        .with_transport(tap.clone())
        .with_connect_timeout(Duration::from_secs(100))
        .build()
        .unwrap();
    let connecting: Vec<_> = (0..MANY)
        .map(|_| {
            let connector = connector.clone();
            tokio::spawn(async move { connector.connect().await })
        })
        .collect();
    // The dial runs beside the fetch and begins after it: who has dialled waits for the token.
    within(async {
        while tap.dials() < MANY {
            tokio::task::yield_now().await;
        }
        world.entra.wait_requests(Endpoint::Token, 1).await;
    })
    .await;
    world.entra.release();
    let mut connections = Vec::new();
    for connection in connecting {
        connections.push(within(connection).await.unwrap().unwrap());
    }
    assert_eq!(world.entra.requests(Endpoint::Token), 1);
    let tokens = world.tokens();
    assert_eq!(tokens.len(), MANY);
    assert!(tokens.iter().all(|token| *token == tokens[0]));
    for connection in connections {
        let row = connection.query_one("select current_user", &[]).await;
        assert_eq!(row.unwrap().get::<_, String>(0), "orders");
    }
}
