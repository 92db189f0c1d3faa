//! What Entra refuses, as a connection's error says it.

use pgreach::prelude::*;
use pgreach::{Retry, Stage};
use pgreach_testkit::entra::{AppCertificate, TokenIssuer};

use crate::kinds::pkcs12;
use crate::shown::Shown;
use crate::within;
use crate::world::{SECRET, World, refused};

const WRONG: &str = "m4rker-wrong-s3cret";

/// The number is in the message, the hint says what to do, and nothing reached the server.
async fn told(world: &World, identity: EntraIdentity, number: u32, hint: &str, secret: &str) {
    let connector = world.orders(identity);
    let error = refused(&connector).await;
    assert_eq!(error.code().name(), "entra-refused", "{number} {error:?}");
    assert_eq!(error.stage(), Stage::CREDENTIAL);
    assert_eq!(error.retry(), Retry::Never);
    let message = error.message();
    assert!(message.contains(&format!("AADSTS{number}:")), "{message}");
    assert!(message.contains("trace id "), "{message}");
    assert!(error.hint().contains(hint), "{number}: {}", error.hint());
    let report = within(connector.check()).await;
    assert!(
        report.to_string().contains(&format!("AADSTS{number}")),
        "{report}"
    );
    let mut shown = Shown::default();
    shown.debug("the connector", &connector);
    shown.error("the error", &error);
    shown.report("the report", &report);
    shown.assert_silent(&[secret.to_owned()]);
    assert!(world.gateway.logins().is_empty());
}

#[tokio::test]
async fn secrets() {
    let (world, good) = World::with_orders().await;
    let tenant = &world.map.tenant;
    let orders = world.entra.add_application("orders", SECRET);
    let client = orders.client_id();
    let of =
        |tenant: &str, client: &str, secret| EntraIdentity::client_secret(tenant, client, secret);
    told(
        &world,
        of(tenant, client, WRONG),
        7_000_215,
        "value of the client secret",
        WRONG,
    )
    .await;
    let nobody = world.entra.new_object_id();
    told(
        &world,
        of(tenant, &nobody, WRONG),
        700_016,
        "client id",
        WRONG,
    )
    .await;
    told(
        &world,
        of(&nobody, client, WRONG),
        90_002,
        "tenant's id",
        WRONG,
    )
    .await;
    told(
        &world,
        of("nowhere.example", client, WRONG),
        90_002,
        "tenant's id",
        WRONG,
    )
    .await;
    // One that was good.
    world.entra.expire_client_secret(&orders).unwrap();
    told(
        &world,
        of(tenant, client, SECRET),
        7_000_222,
        "has expired",
        SECRET,
    )
    .await;
    // The other one's still is.
    within(world.orders(good).connect()).await.unwrap();
}

#[tokio::test]
async fn a_secret_that_was_replaced() {
    let (world, good) = World::with_orders().await;
    let orders = world.entra.add_application("orders", SECRET);
    world.admit("orders", &orders);
    let identity = EntraIdentity::client_secret(&world.map.tenant, orders.client_id(), SECRET);
    world.entra.set_client_secret(&orders, WRONG).unwrap();
    told(
        &world,
        identity,
        7_000_215,
        "value of the client secret",
        SECRET,
    )
    .await;
    drop(good);
    let identity = EntraIdentity::client_secret(&world.map.tenant, orders.client_id(), WRONG);
    within(world.orders(identity).connect()).await.unwrap();
}

#[cfg(all(unix, not(target_vendor = "apple")))]
#[tokio::test]
async fn certificates() {
    let world = World::start().await;
    let [known, other] = ["orders", "other"].map(|name| AppCertificate::generate(name).unwrap());
    let orders = world.entra.add_certificate_application("orders", &known);
    let identity = EntraIdentity::client_certificate(
        &world.map.tenant,
        orders.client_id(),
        pkcs12(&other, SECRET),
        Some(Secret::new(SECRET)),
    );
    told(&world, identity, 700_027, "add this certificate", SECRET).await;
}

#[tokio::test]
async fn assertions() {
    let world = World::start().await;
    let issuer = TokenIssuer::generate("https://cluster.example").unwrap();
    let orders = world.entra.add_federated_application(
        "orders",
        &issuer,
        "system:serviceaccount:shop:orders",
    );
    let file = issuer
        .write_token("system:serviceaccount:shop:another")
        .unwrap();
    let token = std::fs::read_to_string(&file).unwrap();
    let (tenant, client) = (&world.map.tenant, orders.client_id());
    let identity = EntraIdentity::workload_identity_from(tenant, client, file);
    told(
        &world,
        identity,
        70_021,
        "issuer, subject and audience",
        &token,
    )
    .await;
}

#[tokio::test]
async fn an_authority_that_is_not_trusted() {
    let (world, identity) = World::with_orders().await;
    let credentials = EntraCredentials::builder(identity)
        .with_cloud(world.map.cloud())
        .with_user("orders")
        .build()
        .unwrap();
    let connector = world.map.connector(credentials);
    let error = refused(&connector).await;
    assert_eq!(error.code().name(), "entra-unreachable", "{error:?}");
    assert!(error.message().contains("certificate"), "{error}");
    assert!(
        error.hint().contains("with_root_certificate"),
        "{}",
        error.hint()
    );
    assert_eq!(
        world
            .entra
            .requests(pgreach_testkit::entra::Endpoint::Token),
        0
    );
    let mut shown = Shown::default();
    shown.error("the error", &error);
    shown.assert_silent(&[SECRET.to_owned()]);
}
