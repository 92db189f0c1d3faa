//! Every kind of identity gets in.

use std::io;
use std::sync::Arc;

use pgreach::azure::azure_core::credentials::TokenCredential;
use pgreach::azure::azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};
use pgreach::azure::{AssertionSource, EntraToken, azure_core};
use pgreach::prelude::*;
use pgreach_testkit::entra::{AppCertificate, Endpoint, Principal, StubAz, TokenIssuer};

use crate::child::Child;
use crate::machine::ImdsRedirected;
use crate::world::{SECRET, World, prove};

const SUBJECT: &str = "system:serviceaccount:shop:orders";

/// Gets in as the role, by an identity whose token names nobody, and shows no secret.
async fn by(world: &World, identity: EntraIdentity, label: &str, secrets: &[String]) {
    let credentials = world.credentials(identity).with_user("orders");
    let connector = world.map.connector(credentials.build().unwrap());
    let shown = prove(&connector, "orders", label).await;
    let twice = [("orders".to_owned(), true), ("orders".to_owned(), true)];
    assert_eq!(world.verdicts(), twice, "{label}");
    let mut all = world.tokens();
    all.extend_from_slice(secrets);
    shown.assert_silent(&all);
    // One token for both.
    assert_eq!(world.tokens()[0], world.tokens()[1], "{label}");
}

#[tokio::test]
async fn client_secret() {
    let (world, identity) = World::with_orders().await;
    by(&world, identity, "client secret", &[SECRET.to_owned()]).await;
    assert_eq!(world.entra.requests(Endpoint::Token), 1);
}

fn federated(world: &World) -> (TokenIssuer, Principal) {
    let issuer = TokenIssuer::generate("https://cluster.example").unwrap();
    let orders = world
        .entra
        .add_federated_application("orders", &issuer, SUBJECT);
    world.admit("orders", &orders);
    (issuer, orders)
}

fn assertions(issuer: &TokenIssuer) -> impl AssertionSource {
    let issuer = issuer.clone();
    move || {
        let token = issuer.token(SUBJECT);
        async move { token.map(Secret::new) }
    }
}

#[tokio::test]
async fn client_assertion() {
    let world = World::start().await;
    let (issuer, orders) = federated(&world);
    let (tenant, client) = (&world.map.tenant, orders.client_id());
    let identity = EntraIdentity::client_assertion(tenant, client, assertions(&issuer));
    let assertion = issuer.token(SUBJECT).unwrap();
    by(&world, identity, "client assertion", &[assertion]).await;
    assert_eq!(world.entra.requests(Endpoint::Token), 1);
}

#[cfg(all(unix, not(target_vendor = "apple")))]
pub(crate) fn pkcs12(certificate: &AppCertificate, passphrase: &str) -> Vec<u8> {
    let key = openssl::pkey::PKey::private_key_from_pem(certificate.key_pem().as_bytes()).unwrap();
    let own = openssl::x509::X509::from_pem(certificate.cert_pem().as_bytes()).unwrap();
    let mut builder = openssl::pkcs12::Pkcs12::builder();
    let file = builder
        .name("orders")
        .pkey(&key)
        .cert(&own)
        .build2(passphrase);
    file.unwrap().to_der().unwrap()
}

#[cfg(all(unix, not(target_vendor = "apple")))]
#[tokio::test]
async fn client_certificate() {
    let world = World::start().await;
    let certificate = AppCertificate::generate("orders").unwrap();
    let orders = world
        .entra
        .add_certificate_application("orders", &certificate);
    world.admit("orders", &orders);
    let identity = EntraIdentity::client_certificate(
        &world.map.tenant,
        orders.client_id(),
        pkcs12(&certificate, SECRET),
        Some(Secret::new(SECRET)),
    );
    let key = certificate.key_pem().lines().nth(3).unwrap().to_owned();
    by(
        &world,
        identity,
        "client certificate",
        &[SECRET.to_owned(), key],
    )
    .await;
    assert_eq!(world.entra.requests(Endpoint::Token), 1);
}

#[tokio::test]
async fn workload_identity() {
    let world = World::start().await;
    let (issuer, orders) = federated(&world);
    let file = issuer.write_token(SUBJECT).unwrap();
    let (tenant, client) = (&world.map.tenant, orders.client_id());
    let identity = EntraIdentity::workload_identity_from(tenant, client, &file);
    let token = std::fs::read_to_string(&file).unwrap();
    by(&world, identity, "workload identity", &[token]).await;
}

#[tokio::test]
async fn workload_identity_of_the_environment() {
    let world = World::start().await;
    let (issuer, orders) = federated(&world);
    let mut variables = world.entra.workload_environment(&orders).unwrap();
    // Nothing to hear there: authority and scope belong together.
    for (name, value) in &mut variables {
        if *name == "AZURE_AUTHORITY_HOST" {
            *value = "https://localhost:1".to_owned();
        }
    }
    let token = std::fs::read_to_string(issuer.token_file(SUBJECT)).unwrap();
    let child = Child::new(&world, "workload identity", "orders");
    child.with(variables).run(&[token]).await;
    assert_eq!(world.entra.requests(Endpoint::Token), 1);
}

#[tokio::test]
async fn azure_pipelines() {
    let world = World::start().await;
    let (_, orders) = federated(&world);
    let variables = world.entra.pipelines_environment();
    let (_, job_token) = variables[1].clone();
    let child = Child::new(&world, "pipelines", "orders").with(variables);
    let child = child.with_application(orders.client_id(), orders.object_id());
    child.run(&[job_token]).await;
    assert_eq!(world.entra.requests(Endpoint::Pipelines), 1);
    assert_eq!(world.entra.requests(Endpoint::Token), 1);
}

#[tokio::test]
async fn command_line_tools() {
    let world = World::start().await;
    let ann = world.entra.add_user::<&str>("ann@example.com", []);
    world.admit("ann@example.com", &ann);
    let az = StubAz::new().unwrap();
    az.log_in(&world.entra, &ann).unwrap();
    for case in ["az", "azd", "tools, az first"] {
        let child = Child::new(&world, case, ann.name());
        child.with(vec![("PATH", az.path())]).run(&[]).await;
    }
    let programs = || {
        az.calls()
            .iter()
            .map(|call| call[0].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(programs(), ["az", "azd", "az"]);
    // What az is asked for.
    assert!(
        az.calls()[0].join(" ").contains("ossrdbms-aad"),
        "{:?}",
        az.calls()
    );

    std::fs::remove_file(az.folder().join("az.out")).unwrap();
    let child = Child::new(&world, "tools, azd only", ann.name());
    child.with(vec![("PATH", az.path())]).run(&[]).await;
    assert_eq!(programs()[3..], ["az", "azd"]);
    assert_eq!(world.entra.requests(Endpoint::Token), 0);
}

#[tokio::test]
async fn a_token_that_the_program_has() {
    let (world, _) = World::with_orders().await;
    let orders = world.entra.add_application("other", SECRET);
    world.admit("orders", &orders);
    let token = world.entra.token_for(&orders).unwrap();
    let identity = EntraIdentity::fixed_token(EntraToken::new(token));
    by(&world, identity, "fixed token", &[]).await;
    assert_eq!(world.entra.requests(Endpoint::Token), 0);
}

#[tokio::test]
async fn a_token_that_the_program_gets() {
    let (world, _) = World::with_orders().await;
    let orders = world.entra.add_application("other", SECRET);
    world.admit("orders", &orders);
    let token = world.entra.token_for(&orders).unwrap();
    let identity = EntraIdentity::token(move || {
        let token = token.clone();
        async move { Ok::<_, io::Error>(EntraToken::new(token)) }
    });
    by(&world, identity, "token source", &[]).await;
}

#[tokio::test]
async fn any_token_credential() {
    let (world, _) = World::with_orders().await;
    let orders = world.entra.add_application("other", SECRET);
    world.admit("orders", &orders);
    // azure_identity's own, set up by the program.
    let mut cloud = azure_core::cloud::CustomConfiguration::default();
    cloud.authority_host.clone_from(&world.map.authority);
    let client_options = azure_core::http::ClientOptions {
        transport: Some(azure_core::http::Transport::new(ImdsRedirected::client(
            &world,
        ))),
        cloud: Some(Arc::new(cloud.into())),
        ..Default::default()
    };
    let credential: Arc<dyn TokenCredential> = ClientSecretCredential::new(
        &world.map.tenant,
        orders.client_id().to_owned(),
        SECRET.into(),
        Some(ClientSecretCredentialOptions { client_options }),
    )
    .unwrap();
    let identity = EntraIdentity::credential(credential);
    by(&world, identity, "TokenCredential", &[SECRET.to_owned()]).await;
    assert_eq!(world.entra.requests(Endpoint::Token), 1);
}

#[tokio::test]
async fn a_chain_whose_first_links_fail() {
    let (world, identity) = World::with_orders().await;
    let nowhere = tempfile::tempdir().unwrap();
    let (tenant, client) = (&world.map.tenant, world.entra.new_object_id());
    let chain = EntraIdentity::chain([
        EntraIdentity::workload_identity_from(tenant, &client, nowhere.path().join("token")),
        EntraIdentity::client_secret(tenant, &client, SECRET),
        identity,
    ]);
    by(&world, chain, "client secret", &[SECRET.to_owned()]).await;
    assert_eq!(world.entra.requests(Endpoint::Token), 2);
}
