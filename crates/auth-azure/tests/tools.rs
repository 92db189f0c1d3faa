//! The Azure CLI and the Azure Developer CLI, as they are asked and as they fail.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::ffi::OsStr;
use std::io;
use std::process::{ExitStatus, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use pgreach_auth_azure::azure_identity::Executor;
use pgreach_auth_azure::{EntraCredentials, EntraIdentity, ToolOptions};
use pgreach_core::Retry;
use serde_json::json;
use support::{TENANT, ask, jwt};

#[derive(Debug)]
struct FakeTool {
    status: i32,
    stdout: String,
    stderr: String,
    ran: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Executor for FakeTool {
    async fn run(&self, _: &OsStr, args: &[&OsStr]) -> io::Result<Output> {
        let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
        self.ran.lock().unwrap().push(args.join(" "));
        Ok(Output {
            status: exit(self.status),
            stdout: self.stdout.clone().into_bytes(),
            stderr: self.stderr.clone().into_bytes(),
        })
    }
}

#[cfg(unix)]
fn exit(code: i32) -> ExitStatus {
    std::os::unix::process::ExitStatusExt::from_raw(code << 8)
}

#[cfg(windows)]
fn exit(code: i32) -> ExitStatus {
    std::os::windows::process::ExitStatusExt::from_raw(code as u32)
}

fn tool(status: i32, stdout: &str, stderr: &str) -> (ToolOptions, Arc<Mutex<Vec<String>>>) {
    let ran = Arc::new(Mutex::new(Vec::new()));
    let tool = FakeTool {
        status,
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
        ran: Arc::clone(&ran),
    };
    (ToolOptions::new().with_executor(Arc::new(tool)), ran)
}

#[tokio::test]
async fn tools_are_asked() {
    let token = jwt(&json!({ "upn": "dev@x" }));
    let end = SystemTime::now() + Duration::from_secs(3600);
    let end = end
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let stdout = json!({ "accessToken": token, "expires_on": end, "tokenType": "Bearer" });
    let (options, ran) = tool(0, &stdout.to_string(), "");
    let options = options.with_tenant(TENANT).with_subscription("My Sub");
    let credentials = EntraCredentials::builder(EntraIdentity::azure_cli_with(options))
        .build()
        .unwrap();
    assert_eq!(ask(&credentials).await.unwrap().user(), Some("dev@x"));
    let command = ran.lock().unwrap()[0].clone();
    for part in [
        "az account get-access-token",
        "--scope https://ossrdbms-aad.database.windows.net/.default",
        "--tenant contoso.example",
        "--subscription \"My Sub\"",
    ] {
        assert!(command.contains(part), "{command}");
    }

    let stdout = json!({ "token": token, "expiresOn": "2999-01-01T00:00:00Z" });
    let (options, ran) = tool(0, &stdout.to_string(), "");
    let identity = EntraIdentity::azure_developer_cli_with(options);
    let credentials = EntraCredentials::builder(identity).build().unwrap();
    ask(&credentials).await.unwrap();
    assert!(ran.lock().unwrap()[0].contains("azd auth token"));
}

#[tokio::test]
async fn tools_that_fail() {
    let jwt = jwt(&json!({}));
    let table = [
        (
            1,
            "ERROR: Please run 'az login' to setup account.",
            "Please run 'az login' to setup account",
            "run az login",
            Retry::Never,
        ),
        (
            1,
            "WARNING: something\nERROR: AADSTS70043: The refresh token has expired.\nTrace ID: 1",
            "AADSTS70043: The refresh token has expired",
            "the login has expired",
            Retry::Never,
        ),
        (
            127,
            "sh: az: not found",
            "az not found on PATH",
            "install az",
            Retry::Never,
        ),
        (
            1,
            "ERROR: HTTPSConnectionPool(host='login.microsoftonline.com', port=443): Max retries exceeded",
            "HTTPSConnectionPool(host='login.microsoftonline.com', port=443): Max retries exceeded",
            "Run az login",
            Retry::Backoff,
        ),
        (1, jwt.as_str(), "***", "Run az login", Retry::Backoff),
        (
            1,
            "",
            "it failed without a word",
            "Run az login",
            Retry::Backoff,
        ),
    ];
    for (status, stderr, message, hint, retry) in table {
        let (options, _) = tool(status, "", stderr);
        let credentials = EntraCredentials::builder(EntraIdentity::azure_cli_with(options))
            .build()
            .unwrap();
        let error = ask(&credentials).await.unwrap_err();
        assert_eq!(error.code().name(), "entra-tool");
        assert_eq!(error.message(), format!("Azure CLI: {message}"));
        assert!(error.hint().contains(hint), "{}", error.hint());
        assert_eq!(error.retry(), retry, "{message}");
    }
    let (options, _) = tool(
        1,
        "",
        r#"{"type":"consoleMessage","data":{"message":"\nERROR: not logged in, run `azd auth login` to login\n"}}"#,
    );
    let identity = EntraIdentity::azure_developer_cli_with(options);
    let credentials = EntraCredentials::builder(identity).build().unwrap();
    let error = ask(&credentials).await.unwrap_err();
    assert_eq!(error.code().name(), "entra-tool");
    assert!(error.hint().contains("azd auth login"), "{error:?}");
    assert_eq!(error.retry(), Retry::Never);
}
