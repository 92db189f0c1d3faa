//! What the environment says: variables, proxies and tools. Variables cannot be set in a running
//! program without `unsafe`, so each case runs this test binary again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::Duration;

use pgreach_auth_azure::{EntraCredentials, EntraIdentity};
use serde_json::json;
use support::{
    CLIENT, FakeHttp, MARKER, TENANT, ask, jwt, managed_response, secret_identity, with,
};

const CASE: &str = "PGREACH_TEST_CASE";
const PIPE: &str = "PGREACH_TEST_PIPE";

const CLEARED: &[&str] = &[
    "AZURE_TENANT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_AUTHORITY_HOST",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "IMDS_ENDPOINT",
    "MSI_ENDPOINT",
    "MSI_SECRET",
    "SYSTEM_OIDCREQUESTURI",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
];

fn child(case: &str, variables: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "as_a_child", "--nocapture"])
        .env(CASE, case);
    for name in CLEARED {
        command.env_remove(name);
    }
    let output = command.envs(variables.iter().copied()).output().unwrap();
    assert!(
        output.status.success(),
        "{case}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn as_a_child() {
    let alone = |identity| EntraCredentials::builder(identity).build().unwrap();
    match std::env::var(CASE).as_deref() {
        Ok("workload") => {
            let http = FakeHttp::entra(json!({ "upn": "pod" }));
            ask(&with(EntraIdentity::workload_identity(), &http))
                .await
                .unwrap();
            let asked = &http.asked()[0];
            // The variable for the authority is not looked at.
            let url = "https://login.microsoftonline.com/t-env/oauth2/v2.0/token";
            assert_eq!(asked.url, url);
            assert!(asked.body.contains("client_assertion=assertion-of-the-pod"));
            assert!(asked.body.contains("client_id=c-env"));
        }
        Ok("no workload") => {
            let http = FakeHttp::always(500, "");
            let error = ask(&with(EntraIdentity::workload_identity(), &http))
                .await
                .unwrap_err();
            assert_eq!(error.code().name(), "entra-no-identity");
            let message =
                "workload identity: the environment variable AZURE_FEDERATED_TOKEN_FILE is not set";
            assert_eq!(error.message(), message);
        }
        Ok("app service") => {
            let credential = ask(&alone(EntraIdentity::system_assigned())).await.unwrap();
            assert_eq!(credential.user(), Some("app"));
        }
        Ok("cloud shell") => {
            let error = ask(&alone(EntraIdentity::system_assigned()))
                .await
                .unwrap_err();
            assert_eq!(error.code().name(), "entra-no-identity");
            assert!(error.message().contains("CloudShell"), "{error}");
        }
        Ok("proxy") => {
            let credentials = EntraCredentials::builder(secret_identity())
                .with_fetch_timeout(Duration::from_secs(1))
                .build()
                .unwrap();
            let error = ask(&credentials).await.unwrap_err();
            assert_eq!(error.code().name(), "entra-unreachable", "{error:?}");
        }
        Ok("pipelines") => {
            let http = FakeHttp::new(|asked| {
                let body = if asked.url.starts_with("https://dev.azure.example/") {
                    json!({ "oidcToken": "of-the-pipeline" }).to_string().into()
                } else {
                    support::token_response(&jwt(&json!({ "upn": "x" })))
                };
                Box::pin(async move { Ok((200, body)) })
            });
            let identity = EntraIdentity::azure_pipelines(TENANT, CLIENT, "conn-1", MARKER);
            ask(&with(identity, &http)).await.unwrap();
            let asked = http.asked();
            assert!(asked[0].url.contains("serviceConnectionId=conn-1"));
            assert!(asked[1].body.contains("client_assertion=of-the-pipeline"));
        }
        Ok("az") => {
            let credential = ask(&alone(EntraIdentity::developer_tools())).await.unwrap();
            assert_eq!(credential.user(), Some("dev@x"));
            assert_eq!(credential.notes()[0].1, "Azure CLI");
        }
        Ok("no az") => {
            let error = ask(&alone(EntraIdentity::developer_tools()))
                .await
                .unwrap_err();
            let message = "no identity of the chain gave a token: Azure CLI: az not found on PATH; Azure Developer CLI: azd not found on PATH";
            assert_eq!(error.message(), message);
            assert_eq!(error.retry(), pgreach_core::Retry::Never);
        }
        Ok("az hangs") => {
            let credentials = alone(EntraIdentity::azure_cli());
            let asking = tokio::spawn(async move { ask(&credentials).await });
            let pipe = std::env::var(PIPE).unwrap();
            let pipe = tokio::task::spawn_blocking(move || {
                let mut pipe = BufReader::new(std::fs::File::open(pipe).unwrap());
                let mut line = String::new();
                pipe.read_line(&mut line).unwrap();
                assert_eq!(line, "begun\n");
                pipe
            });
            let mut pipe = pipe.await.unwrap();
            tokio::time::pause();
            let error = asking.await.unwrap().unwrap_err();
            assert_eq!(error.code().name(), "entra-timeout");
            assert_eq!(error.message(), "Azure CLI: az gave no token within 20s");
            // It ends when the last process that holds it does.
            let left = tokio::task::spawn_blocking(move || pipe.read_to_end(&mut Vec::new()));
            assert_eq!(left.await.unwrap().unwrap(), 0);
        }
        _ => {}
    }
}

#[test]
fn a_pod_with_a_workload_identity() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "assertion-of-the-pod").unwrap();
    child(
        "workload",
        &[
            ("AZURE_TENANT_ID", "t-env"),
            ("AZURE_CLIENT_ID", "c-env"),
            ("AZURE_FEDERATED_TOKEN_FILE", file.to_str().unwrap()),
            ("AZURE_AUTHORITY_HOST", "https://elsewhere.example"),
        ],
    );
    child(
        "no workload",
        &[("AZURE_TENANT_ID", "t-env"), ("AZURE_CLIENT_ID", "c-env")],
    );
}

/// Answers one HTTP request, and returns its head.
fn serve_once(listener: TcpListener, answer: Vec<u8>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(&stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
        (&stream).write_all(&answer).unwrap();
        // Until the other side has read it.
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = reader.read_to_end(&mut Vec::new());
        head
    })
}

#[test]
fn the_machine_is_asked_without_a_proxy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let body = managed_response(&jwt(&json!({ "upn": "app" })));
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend(body);
    let served = serve_once(listener, answer);
    // Nobody listens there.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let proxy = format!("http://{}", nobody.unwrap());
    child(
        "app service",
        &[
            (
                "IDENTITY_ENDPOINT",
                &format!("http://127.0.0.1:{port}/msi/token"),
            ),
            ("IDENTITY_HEADER", "header-of-the-app"),
            ("http_proxy", &proxy),
            ("HTTPS_PROXY", &proxy),
            ("ALL_PROXY", &proxy),
        ],
    );
    let head = served.join().unwrap().to_ascii_lowercase();
    assert!(head.starts_with("get /msi/token?"), "{head}");
    assert!(
        head.contains("x-identity-header: header-of-the-app"),
        "{head}"
    );
}

#[test]
fn the_authority_is_asked_through_the_proxy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("http://{}", listener.local_addr().unwrap());
    let served = serve_once(listener, b"HTTP/1.1 403 Forbidden\r\n\r\n".to_vec());
    child("proxy", &[("HTTPS_PROXY", &proxy)]);
    let head = served.join().unwrap();
    assert!(
        head.starts_with("CONNECT login.microsoftonline.com:443 "),
        "{head}"
    );
    assert!(!head.contains(MARKER));
}

#[test]
fn what_azure_identity_does_not_know() {
    child("cloud shell", &[("MSI_ENDPOINT", "http://127.0.0.1:1/")]);
}

#[test]
fn a_pipeline() {
    let uri = "https://dev.azure.example/oidc";
    child("pipelines", &[("SYSTEM_OIDCREQUESTURI", uri)]);
}

#[cfg(unix)]
mod tools {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::*;

    fn az(dir: &Path, script: &str) -> String {
        let file = dir.join("az");
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        format!("{}:/bin:/usr/bin", dir.display())
    }

    #[test]
    fn az_on_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let json = json!({
            "accessToken": jwt(&json!({ "upn": "dev@x" })),
            "expires_on": 32_503_680_000_i64,
            "tokenType": "Bearer",
        });
        // It fails if it is given anything to read.
        let path = az(dir.path(), &format!("read line && exit 1\necho '{json}'"));
        child("az", &[("PATH", &path)]);
        child("no az", &[("PATH", "/nonexistent")]);
    }

    #[test]
    fn a_tool_that_hangs_is_killed_with_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let path = az(
            dir.path(),
            &format!(
                "(echo begun; exec sleep 1000) > '{}' & wait",
                pipe.display()
            ),
        );
        child(
            "az hangs",
            &[("PATH", &path), (PIPE, pipe.to_str().unwrap())],
        );
    }
}
