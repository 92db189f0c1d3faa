//! What is found wrong before anybody is asked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::Duration;

use pgreach_auth_azure::{Cloud, EntraCredentials, EntraIdentity, EntraToken, ToolOptions};
use support::{CLIENT, TENANT, ask, secret_identity};

#[test]
fn settings_that_cannot_be_right() {
    let fine = secret_identity;
    let build = |identity| EntraCredentials::builder(identity).build();
    let custom = |host, scope| {
        EntraCredentials::builder(fine())
            .with_cloud(Cloud::custom(host, scope))
            .build()
    };
    let tool = ToolOptions::new;
    let table = [
        (
            build(EntraIdentity::client_secret("a b", CLIENT, "x")),
            "tenant",
        ),
        (
            build(EntraIdentity::client_secret(TENANT, "", "x")),
            "client",
        ),
        (
            build(EntraIdentity::client_secret(TENANT, CLIENT, "")),
            "secret",
        ),
        (
            build(EntraIdentity::workload_identity_from("", CLIENT, "f")),
            "tenant",
        ),
        (
            build(EntraIdentity::azure_cli_with(tool().with_tenant("a;b"))),
            "tenant",
        ),
        (
            build(EntraIdentity::azure_cli_with(
                tool().with_subscription("$(x)"),
            )),
            "subscription",
        ),
        (
            build(EntraIdentity::azure_developer_cli_with(
                tool().with_subscription("x"),
            )),
            "subscription",
        ),
        (build(EntraIdentity::chain([])), "chain"),
        (
            build(EntraIdentity::chain([
                fine(),
                EntraIdentity::client_secret("a b", CLIENT, "x"),
            ])),
            "tenant",
        ),
        (
            custom("http://login.example", "https://x/.default"),
            "https",
        ),
        (custom("https://login.example", ""), "scope"),
        (custom("https://login.example", "x; rm"), "scope"),
        (
            EntraCredentials::builder(fine()).with_user("").build(),
            "user",
        ),
        (
            EntraCredentials::builder(fine())
                .with_fetch_timeout(Duration::ZERO)
                .build(),
            "timeout",
        ),
        (
            EntraCredentials::builder(fine())
                .with_root_certificate("no pem")
                .build(),
            "root",
        ),
        #[cfg(feature = "client-certificate")]
        (
            build(EntraIdentity::client_certificate(
                TENANT,
                CLIENT,
                b"no pkcs12".to_vec(),
                None,
            )),
            "client certificate",
        ),
    ];
    for (built, word) in table {
        let error = built.err().unwrap_or_else(|| panic!("{word}"));
        assert_eq!(error.code().name(), "entra-config", "{error}");
        assert!(error.message().contains(word), "{word}: {error}");
    }
    // With the system's roots and TLS: it can be made.
    build(fine()).unwrap();
}

#[tokio::test]
async fn times_without_end() {
    for identity in [
        EntraIdentity::fixed_token(EntraToken::new("opaque")),
        EntraIdentity::chain([EntraIdentity::fixed_token(EntraToken::new("opaque"))]),
    ] {
        let credentials = EntraCredentials::builder(identity)
            .with_fetch_timeout(Duration::MAX)
            .with_refresh_ahead(Duration::MAX)
            .with_user("app")
            .build()
            .unwrap();
        ask(&credentials).await.unwrap();
    }
}
