//! The services of a machine.

use pgreach_testkit::FakeEntra;
use pgreach_testkit::entra::{Endpoint, PrincipalKind, TokenIssuer};

use crate::authority::claims;
use crate::http::{Ask, Reply, ask, form, get, with_assertion};

const RESOURCE: &str = "https://ossrdbms-aad.database.windows.net";
const VERSION: (&str, &str) = ("api-version", "2019-08-01");

async fn imds(entra: &FakeEntra, pairs: &[(&str, &str)]) -> Reply {
    let pairs = [&[VERSION, ("resource", RESOURCE)], pairs].concat();
    let url = format!("{}?{}", entra.imds_url(), form(&pairs));
    get(entra, url, &[("Metadata", "true")]).await
}

#[tokio::test]
async fn imds_finds_identities_by_every_id() {
    let entra = FakeEntra::start().await.unwrap();
    let assigned = entra.add_user_assigned_identity("orders");
    // The only one there is will do.
    assert_eq!(
        imds(&entra, &[]).await.text("client_id"),
        assigned.client_id()
    );
    let second = entra.add_user_assigned_identity("second");
    assert_eq!(imds(&entra, &[]).await.status, 400);
    let system = entra.add_system_identity("machine");
    assert_eq!(system.kind(), PrincipalKind::SystemIdentity);

    let upper = assigned.resource_id().unwrap().to_uppercase();
    for (pair, expected) in [
        (None, &system),
        (Some(("client_id", assigned.client_id())), &assigned),
        (Some(("object_id", assigned.object_id())), &assigned),
        (Some(("msi_res_id", upper.as_str())), &assigned),
        (Some(("client_id", second.client_id())), &second),
        (Some(("client_id", system.client_id())), &system),
    ] {
        let pairs: Vec<_> = pair.into_iter().collect();
        let reply = imds(&entra, &pairs).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.text("client_id"), expected.client_id());
        let claims = claims(&entra, reply.token()).await;
        assert_eq!(claims["oid"], expected.object_id());
        assert_eq!(claims["aud"], RESOURCE);
        assert_eq!(claims["xms_mirid"], expected.resource_id().unwrap());
        // Numbers are texts here.
        assert_eq!(reply.text("expires_on"), claims["exp"].to_string());
        assert_eq!(reply.text("expires_in"), "3600");
        assert_eq!(reply.text("resource"), RESOURCE);
        assert_eq!(reply.text("token_type"), "Bearer");
    }
    let both = [
        ("client_id", assigned.client_id()),
        ("object_id", second.object_id()),
    ];
    for pairs in [&both[..], &[("client_id", "nobody")]] {
        let reply = imds(&entra, pairs).await;
        assert_eq!(reply.status, 400);
        assert_eq!(reply.text("error"), "invalid_request");
        assert_eq!(reply.text("error_description"), "Identity not found");
    }
}

#[tokio::test]
async fn imds_insists_on_its_header_and_parameters() {
    let entra = FakeEntra::start().await.unwrap();
    entra.add_system_identity("machine");
    let url = |pairs: &[(&str, &str)]| format!("{}?{}", entra.imds_url(), form(pairs));
    let resource = ("resource", RESOURCE);
    let header = [("Metadata", "true")];
    let without_header = get(&entra, url(&[VERSION, resource]), &[]).await;
    assert_eq!(without_header.status, 400);
    assert!(
        without_header
            .text("error_description")
            .contains("metadata header")
    );
    let without_version = get(&entra, url(&[resource]), &header).await;
    assert_eq!(without_version.status, 400);
    assert!(without_version.text("error").contains("api-version"));
    let without_resource = get(&entra, url(&[VERSION]), &header).await;
    assert_eq!(without_resource.status, 400);
    assert_eq!(entra.requests(Endpoint::Imds), 3);
    // The authority does not answer for the machine, nor the other way round.
    let elsewhere = entra.imds_url().replace(
        entra.imds_url().split("/metadata").next().unwrap(),
        entra.authority_host(),
    );
    assert_eq!(get(&entra, elsewhere, &header).await.status, 404);
}

#[tokio::test]
async fn app_service_insists_on_its_header() {
    let entra = FakeEntra::start().await.unwrap();
    let assigned = entra.add_user_assigned_identity("orders");
    let environment = entra.app_service_environment();
    let [("IDENTITY_ENDPOINT", endpoint), ("IDENTITY_HEADER", header)] = environment.as_slice()
    else {
        panic!("{environment:?}");
    };
    let ask = async |header: &str, pairs: &[(&str, &str)]| {
        let pairs = [&[VERSION, ("resource", RESOURCE)], pairs].concat();
        let url = format!("{endpoint}?{}", form(&pairs));
        get(&entra, url, &[("X-IDENTITY-HEADER", header)]).await
    };
    assert_eq!(ask("wrong", &[]).await.status, 401);
    // Unlike IMDS it chooses none that was not asked for.
    let reply = ask(header, &[]).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text("message").contains("No User Assigned"));
    for pair in [
        ("client_id", assigned.client_id()),
        ("principal_id", assigned.object_id()),
        ("object_id", assigned.object_id()),
        ("mi_res_id", assigned.resource_id().unwrap()),
    ] {
        let reply = ask(header, &[pair]).await;
        let claims = claims(&entra, reply.token()).await;
        assert_eq!(claims["oid"], assigned.object_id(), "{pair:?}");
        assert_eq!(reply.text("expires_on"), claims["exp"].to_string());
    }
    let system = entra.add_system_identity("machine");
    let reply = ask(header, &[]).await;
    assert_eq!(reply.text("client_id"), system.client_id());
    assert_eq!(entra.requests(Endpoint::AppService), 7);
}

#[tokio::test]
async fn a_pipelines_assertion_is_good_at_the_authority() {
    let entra = FakeEntra::start().await.unwrap();
    let issuer = TokenIssuer::generate("https://vstoken.dev.azure.com/1").unwrap();
    let app = entra.add_federated_application("deploy", &issuer, "sc://org/project/deploy");
    let environment = entra.pipelines_environment();
    let [
        ("SYSTEM_OIDCREQUESTURI", endpoint),
        ("SYSTEM_ACCESSTOKEN", access),
    ] = environment.as_slice()
    else {
        panic!("{environment:?}");
    };
    let request = async |access: &str, connection: &str| {
        let pairs = [("api-version", "7.1"), ("serviceConnectionId", connection)];
        let request = Ask {
            method: "POST",
            url: format!("{endpoint}?{}", form(&pairs)),
            headers: vec![("Authorization", format!("Bearer {access}"))],
            body: String::new(),
        };
        ask(&entra, request).await.unwrap()
    };
    assert_eq!(request("wrong", app.object_id()).await.status, 401);
    assert_eq!(request(access, "no connection").await.status, 404);
    let reply = request(access, app.object_id()).await;
    let reply = with_assertion(&entra, &app, reply.text("oidcToken")).await;
    assert_eq!(claims(&entra, reply.token()).await["oid"], app.object_id());
    assert_eq!(entra.requests(Endpoint::Pipelines), 3);
}
