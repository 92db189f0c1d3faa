//! The identities of a machine.

use std::sync::Arc;

use async_trait::async_trait;
use pgreach::azure::azure_core::http::{AsyncRawResponse, HttpClient, Request, Url};
use pgreach::azure::{EntraCredentialsBuilder, azure_core};
use pgreach::prelude::*;
use pgreach_testkit::entra::Endpoint;

use crate::child::Child;
use crate::world::{World, credential_stage, prove, refused};

/// Clients ask a fixed address of the link for the identities of a virtual machine. This is a real
/// HTTP client that goes to the stand-in instead, and does nothing else to requests and answers.
#[derive(Debug)]
pub(crate) struct ImdsRedirected {
    client: reqwest::Client,
    imds: Url,
}

impl ImdsRedirected {
    pub(crate) fn client(world: &World) -> Arc<dyn HttpClient> {
        let root = reqwest::Certificate::from_pem(world.map.root_pem.as_bytes()).unwrap();
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_merge([root])
            .build()
            .unwrap();
        Arc::new(Self {
            client,
            imds: world.entra.imds_url().parse().unwrap(),
        })
    }
}

#[async_trait]
impl HttpClient for ImdsRedirected {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let mut request = request.clone();
        let url = request.url_mut();
        if url.host_str() == Some("169.254.169.254") {
            assert_eq!((url.scheme(), url.port()), ("http", None));
            assert_eq!(url.path(), self.imds.path());
            url.set_host(self.imds.host_str()).unwrap();
            url.set_port(self.imds.port()).unwrap();
        }
        self.client.execute_request(&request).await
    }
}

fn through_imds(world: &World, identity: EntraIdentity) -> EntraCredentialsBuilder {
    let client = ImdsRedirected::client(world);
    world.map.credentials_through(client, identity)
}

#[tokio::test]
async fn a_virtual_machine_itself() {
    let world = World::start().await;
    let machine = world.entra.add_system_identity("vm-1");
    world.admit("vm-1", &machine);
    let credentials = through_imds(&world, EntraIdentity::system_assigned()).with_user("vm-1");
    let connector = world.map.connector(credentials.build().unwrap());
    let label = "system-assigned managed identity";
    let shown = prove(&connector, "vm-1", label).await;
    shown.assert_silent(&world.tokens());
    assert_eq!(world.entra.requests(Endpoint::Imds), 1);
    assert_eq!(world.entra.requests(Endpoint::Token), 0);
}

#[tokio::test]
async fn identities_that_were_assigned_to_a_virtual_machine() {
    let world = World::start().await;
    // Somebody else is there, too: the id has to decide.
    world.entra.add_system_identity("vm-1");
    world.entra.add_user_assigned_identity("idle");
    let orders = world.entra.add_user_assigned_identity("orders");
    world.admit("orders", &orders);
    let ids = [
        ManagedIdentityId::client_id(orders.client_id()),
        ManagedIdentityId::object_id(orders.object_id()),
        ManagedIdentityId::resource_id(orders.resource_id().unwrap()),
    ];
    for (i, id) in ids.into_iter().enumerate() {
        // The token names the role.
        let credentials = through_imds(&world, EntraIdentity::user_assigned(id));
        let connector = world.map.connector(credentials.build().unwrap());
        let shown = prove(&connector, "orders", "user-assigned managed identity").await;
        shown.assert_silent(&world.tokens());
        assert_eq!(world.entra.requests(Endpoint::Imds), i + 1);
    }
    assert!(world.verdicts().iter().all(|(_, accepted)| *accepted));
}

#[tokio::test]
async fn an_identity_that_the_machine_does_not_have() {
    let world = World::start().await;
    let unknown = world.entra.new_object_id();
    let identity = EntraIdentity::user_assigned(ManagedIdentityId::client_id(&unknown));
    let connector = world
        .map
        .connector(through_imds(&world, identity).build().unwrap());
    let error = refused(&connector).await;
    assert_eq!(error.code().name(), "entra-no-identity", "{error:?}");
    assert!(error.message().contains("Identity not found"), "{error}");
    assert!(error.message().contains(&unknown), "{error}");
    assert!(world.gateway.logins().is_empty());
    let report = connector.check().await;
    assert_eq!(credential_stage(&report).outcome, pgreach::Outcome::Failed);
}

#[tokio::test]
async fn an_app_service() {
    let world = World::start().await;
    let app = world.entra.add_system_identity("vm-1");
    let orders = world.entra.add_user_assigned_identity("orders");
    world.admit("vm-1", &app);
    world.admit("orders", &orders);
    let variables = world.entra.app_service_environment();
    let header = [variables[1].1.clone()];
    for (case, role) in [
        ("app service", "vm-1"),
        ("app service, assigned", "orders"),
        ("app service, by object id", "orders"),
    ] {
        let child = Child::new(&world, case, role)
            .with(variables.clone())
            .with_application(orders.client_id(), orders.object_id());
        child.run(&header).await;
    }
    assert_eq!(world.entra.requests(Endpoint::AppService), 3);
    assert_eq!(world.entra.requests(Endpoint::Imds), 0);
}
