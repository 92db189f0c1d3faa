//! Which PostgreSQL user a token is for.

use std::sync::Arc;

use pgreach::azure::EntraToken;
use pgreach::prelude::*;
use pgreach_testkit::entra::{Principal, RoleKind};

use crate::shown::Shown;
use crate::within;
use crate::world::{World, prove, refused};

/// Fresh tokens of somebody, as a program gets them by itself.
fn tokens_of(world: &Arc<World>, principal: &Principal) -> EntraIdentity {
    let (world, principal) = (Arc::clone(world), principal.clone());
    EntraIdentity::token(move || {
        let token = world.entra.token_for(&principal);
        async move { token.map(EntraToken::new) }
    })
}

/// With no user but the token's.
fn nameless(world: &World, identity: EntraIdentity) -> PgConnector {
    world
        .map
        .connector(world.credentials(identity).build().unwrap())
}

fn named(world: &World, identity: EntraIdentity, user: &str) -> PgConnector {
    let credentials = world.credentials(identity).with_user(user);
    world.map.connector(credentials.build().unwrap())
}

#[tokio::test]
async fn a_persons_name_is_in_the_token() {
    let world = Arc::new(World::start().await);
    let ann = world.entra.add_user::<&str>("ann@example.com", []);
    world.admit("ann@example.com", &ann);
    let connector = nameless(&world, tokens_of(&world, &ann));
    let shown = prove(&connector, "ann@example.com", "token source").await;
    shown.assert_silent(&world.tokens());
}

#[tokio::test]
async fn the_connectors_user_comes_first() {
    let (world, identity) = World::with_orders().await;
    let credentials = world.credentials(identity).with_user("idle");
    let connector = world
        .map
        .builder(credentials.build().unwrap())
        .with_user("orders")
        .build()
        .unwrap();
    prove(&connector, "orders", "client secret").await;
}

#[tokio::test]
async fn an_applications_token_names_nobody() {
    let (world, identity) = World::with_orders().await;
    let connector = nameless(&world, identity);
    let error = refused(&connector).await;
    assert_eq!(error.code().name(), "entra-user", "{error:?}");
    assert!(error.hint().contains("with_user"), "{}", error.hint());
    // Nor does that of a machine, but for its resource.
    let machine = world.entra.add_system_identity("vm-1");
    let token = world.entra.token_for(&machine).unwrap();
    let identity = EntraIdentity::fixed_token(EntraToken::new(token.clone()));
    let error = refused(&nameless(&world, identity)).await;
    assert_eq!(error.code().name(), "entra-user", "{error:?}");
    assert!(error.hint().contains("\"vm-1\""), "{}", error.hint());
    let mut shown = Shown::default();
    shown.error("the error", &error);
    shown.assert_silent(&[token]);
    assert!(world.gateway.logins().is_empty());
}

#[tokio::test]
async fn members_of_a_group_log_in_as_the_group() {
    let world = Arc::new(World::start().await);
    let group = world.entra.new_object_id();
    let ann = world.entra.add_user("ann@example.com", [group.as_str()]);
    let bob = world.entra.add_user::<&str>("bob@example.com", []);
    world.gateway.add_role("analysts", RoleKind::Group, &group);
    let connector = named(&world, tokens_of(&world, &ann), "analysts");
    prove(&connector, "analysts", "token source").await;
    // Who is no member is told so, by the server.
    let error = refused(&named(&world, tokens_of(&world, &bob), "analysts")).await;
    assert_eq!(error.code().name(), "auth-refused", "{error:?}");
    assert_eq!(error.sqlstate(), Some("28000"));
    assert!(error.message().contains(&group), "{error}");
}

#[tokio::test]
async fn names_are_case_sensitive() {
    let (world, identity) = World::with_orders().await;
    world.gateway.remove_role("orders");
    let orders = world.entra.add_application("Orders", "another-s3cret");
    world.admit("Orders", &orders);
    let identity_of_orders =
        EntraIdentity::client_secret(&world.map.tenant, orders.client_id(), "another-s3cret");
    prove(
        &named(&world, identity_of_orders.clone(), "Orders"),
        "Orders",
        "client secret",
    )
    .await;
    // There is such a role in the server, but it is not Entra's.
    let error = refused(&named(&world, identity, "orders")).await;
    assert_eq!(error.code().name(), "auth-refused");
    let error = refused(&named(&world, identity_of_orders, "orders")).await;
    assert_eq!(error.code().name(), "auth-refused");
    assert_eq!(error.sqlstate(), Some("28P01"));
    assert!(error.message().contains("\"orders\""), "{error}");
    assert!(error.hint().contains("case"), "{}", error.hint());
}

#[tokio::test]
async fn somebody_who_was_deleted_and_made_again_is_somebody_else() {
    let world = Arc::new(World::start().await);
    let ann = world.entra.add_user::<&str>("ann@example.com", []);
    world.admit("ann@example.com", &ann);
    let connector = nameless(&world, tokens_of(&world, &ann));
    within(connector.connect()).await.unwrap();

    world.entra.remove(&ann);
    let again = world.entra.add_user::<&str>("ann@example.com", []);
    assert_ne!(ann.object_id(), again.object_id());
    let connector = nameless(&world, tokens_of(&world, &again));
    let error = refused(&connector).await;
    assert_eq!(error.code().name(), "auth-refused", "{error:?}");
    assert_eq!(error.sqlstate(), Some("28P01"));
    // It is no password that is wrong here.
    let report = within(connector.check()).await;
    let hint = report.error().unwrap().hint().to_owned();
    assert!(
        hint.contains("token") && hint.contains("made again"),
        "{hint}"
    );
    assert!(!hint.contains("password"), "{hint}");
    let mut shown = Shown::default();
    shown.report("the report", &report);
    shown.error("the error", &error);
    shown.assert_silent(&world.tokens());

    // The role is dropped and made anew.
    world.admit("ann@example.com", &again);
    prove(&connector, "ann@example.com", "token source").await;
}
