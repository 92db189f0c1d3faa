//! What each identity asks, and whom its token is for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pgreach_auth_azure::{Cloud, EntraCredentials, EntraIdentity, ManagedIdentityId};
use pgreach_core::{CredentialKind, CredentialProvider as _, Retry, Secret};
use serde_json::json;
use support::{
    CLIENT, FakeHttp, MARKER, TENANT, ask, ask_as, jwt, managed_response, secret_identity, with,
};

#[tokio::test]
async fn a_client_secret_asks_for_the_scope_of_its_cloud() {
    let clouds = [
        (
            Cloud::public(),
            "https://login.microsoftonline.com/",
            "windows.net",
        ),
        (
            Cloud::us_government(),
            "https://login.microsoftonline.us/",
            "usgovcloudapi.net",
        ),
        (
            Cloud::china(),
            "https://login.chinacloudapi.cn/",
            "chinacloudapi.cn",
        ),
        (
            Cloud::custom("https://login.example:8443", "https://pg.example/.default"),
            "https://login.example:8443/",
            "pg.example",
        ),
    ];
    for (cloud, authority, suffix) in clouds {
        let http = FakeHttp::entra(json!({ "upn": "ann" }));
        let credentials = EntraCredentials::builder(secret_identity())
            .with_cloud(cloud)
            .with_http_client(Arc::new(http.clone()))
            .build()
            .unwrap();
        ask(&credentials).await.unwrap();
        let asked = http.asked();
        assert_eq!(asked.len(), 1);
        assert_eq!(
            asked[0].url,
            format!("{authority}{TENANT}/oauth2/v2.0/token")
        );
        let body = &asked[0].body;
        assert!(body.contains(&format!("client_secret={MARKER}")), "{body}");
        assert!(body.contains(&format!("{suffix}%2F.default")), "{body}");
    }
}

#[tokio::test]
async fn a_managed_identity_asks_the_machine() {
    let ids = [
        (EntraIdentity::system_assigned(), None),
        (
            EntraIdentity::user_assigned(ManagedIdentityId::client_id("c-1")),
            Some("client_id=c-1"),
        ),
        (
            EntraIdentity::user_assigned(ManagedIdentityId::object_id("o-1")),
            Some("object_id=o-1"),
        ),
        (
            EntraIdentity::user_assigned(ManagedIdentityId::resource_id("r-1")),
            Some("msi_res_id=r-1"),
        ),
    ];
    for (identity, id) in ids {
        let http = FakeHttp::always(200, managed_response(&jwt(&json!({ "upn": "x" }))));
        let credential = ask(&with(identity, &http)).await.unwrap();
        let url = &http.asked()[0].url;
        assert!(
            url.starts_with("http://169.254.169.254/metadata/identity/oauth2/token?"),
            "{url}"
        );
        assert!(
            url.contains("resource=https%3A%2F%2Fossrdbms-aad.database.windows.net"),
            "{url}"
        );
        assert!(!url.contains(".default"), "{url}");
        assert!(id.is_none_or(|id| url.contains(id)), "{url}");
        let left = credential
            .expires_at()
            .unwrap()
            .duration_since(SystemTime::now());
        assert!(left.unwrap() > Duration::from_secs(86_000));
    }
}

#[tokio::test]
async fn a_token_file_is_read_for_each_token() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "first-assertion").unwrap();
    let http = FakeHttp::entra(json!({ "upn": "pod" }));
    let identity = EntraIdentity::workload_identity_from(TENANT, CLIENT, &file);
    let credentials = with(identity, &http);
    let credential = ask(&credentials).await.unwrap();
    std::fs::write(&file, "second-assertion").unwrap();
    assert!(credentials.invalidate(&credential));
    ask(&credentials).await.unwrap();
    let bodies: Vec<_> = http.asked().into_iter().map(|asked| asked.body).collect();
    assert!(bodies[0].contains("client_assertion=first-assertion"));
    assert!(bodies[1].contains("client_assertion=second-assertion"));
}

#[tokio::test]
async fn assertions_are_asked_for() {
    let http = FakeHttp::entra(json!({ "upn": "x" }));
    let identity = EntraIdentity::client_assertion(TENANT, CLIENT, || async {
        Ok::<_, io::Error>(Secret::new("signed-by-us"))
    });
    ask(&with(identity, &http)).await.unwrap();
    assert!(
        http.asked()[0]
            .body
            .contains("client_assertion=signed-by-us")
    );
}

#[tokio::test]
async fn a_refused_token_does_not_come_back_out_of_a_cache() {
    let http = FakeHttp::entra(json!({ "upn": "ann" }));
    let credentials = with(secret_identity(), &http);
    let first = ask(&credentials).await.unwrap();
    let again = ask(&credentials.clone()).await.unwrap();
    assert!(Arc::ptr_eq(&first, &again), "clones share");
    assert!(credentials.invalidate(&first));
    let second = ask(&credentials).await.unwrap();
    assert!(!second.same_as(&first));
    assert_eq!(http.asked().len(), 2);
}

#[tokio::test]
async fn whose_token_it_is() {
    let identity = "/subscriptions/1/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/reports";
    let http = FakeHttp::entra(json!({ "xms_mirid": identity, "tid": "t-1" }));
    let credential = ask(&with(secret_identity(), &http)).await.unwrap();
    assert_eq!(credential.kind(), CredentialKind::BearerToken);
    assert!(credential.needs_verified_tls());
    assert_eq!(credential.user(), Some("reports"));
    let notes = credential.notes();
    assert_eq!(
        notes[..3],
        [
            ("token of", "client secret".to_owned()),
            ("cloud", "public".to_owned()),
            ("tenant", "t-1".to_owned()),
        ]
    );
    assert_eq!(notes[3].0, "expires");

    let credentials = EntraCredentials::builder(secret_identity())
        .with_http_client(Arc::new(http))
        .with_user("Data Team")
        .dangerous_allow_unverified_tls()
        .build()
        .unwrap();
    let credential = ask(&credentials).await.unwrap();
    assert_eq!(credential.user(), Some("Data Team"));
    assert!(!credential.needs_verified_tls());
}

#[tokio::test]
async fn whoever_is_not_named_is_asked_for() {
    let machine =
        "/subscriptions/1/resourcegroups/g/providers/Microsoft.Compute/virtualMachines/vm-7";
    let table = [
        (
            jwt(&json!({ "appid": CLIENT, "idtyp": "app" })),
            "entra-user",
            "display name of the service principal",
        ),
        (
            jwt(&json!({ "xms_mirid": machine })),
            "entra-user",
            "\"vm-7\"",
        ),
        ("opaque".to_owned(), "entra-token", "with_user"),
    ];
    for (token, code, hint) in table {
        let credentials = with(
            secret_identity(),
            &FakeHttp::always(200, support::token_response(&token)),
        );
        let error = ask(&credentials).await.unwrap_err();
        assert_eq!(error.code().name(), code);
        assert!(error.hint().contains(hint), "{}", error.hint());
        assert_eq!(error.retry(), Retry::Never);
        // The connector's own user needs no name in the token.
        let credential = ask_as(&credentials, Some("app")).await.unwrap();
        assert_eq!(credential.secret().unwrap().expose(), token);
        assert_eq!(credential.user(), None);
    }
}
