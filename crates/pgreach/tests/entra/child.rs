//! What the environment says. Variables cannot be set in a running program without `unsafe`, so each
//! case runs this test binary again.

use std::process::Stdio;

use pgreach::prelude::*;

use crate::shown::{self, assert_silent};
use crate::within;
use crate::world::{Map, World, prove};

const CASE: &str = "PGREACH_E2E_CASE";
const AUTHORITY: &str = "PGREACH_E2E_AUTHORITY";
const TENANT: &str = "PGREACH_E2E_TENANT";
const ROOT: &str = "PGREACH_E2E_ROOT";
const PORT: &str = "PGREACH_E2E_PORT";
const ROLE: &str = "PGREACH_E2E_ROLE";
const CLIENT: &str = "PGREACH_E2E_CLIENT";
const CONNECTION: &str = "PGREACH_E2E_CONNECTION";

/// What this process may have that would lead a child elsewhere.
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
    "SYSTEM_ACCESSTOKEN",
    "SYSTEM_OIDCREQUESTURI",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
];

/// A case for a child process.
pub(crate) struct Child<'a> {
    world: &'a World,
    case: &'static str,
    role: String,
    variables: Vec<(&'static str, String)>,
}

impl<'a> Child<'a> {
    pub(crate) fn new(world: &'a World, case: &'static str, role: &str) -> Self {
        Self {
            world,
            case,
            role: role.to_owned(),
            variables: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, variables: Vec<(&'static str, String)>) -> Self {
        self.variables.extend(variables);
        self
    }

    pub(crate) fn with_application(self, client: &str, connection: &str) -> Self {
        self.with(vec![
            (CLIENT, client.to_owned()),
            (CONNECTION, connection.to_owned()),
        ])
    }

    /// Runs it. It must log in twice under its role, and show none of these and no token.
    pub(crate) async fn run(self, secrets: &[String]) {
        let before = self.world.gateway.logins().len();
        let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "child::as_a_child", "--nocapture"])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        for name in CLEARED {
            command.env_remove(name);
        }
        command
            .env(CASE, self.case)
            .env(AUTHORITY, &self.world.map.authority)
            .env(TENANT, &self.world.map.tenant)
            .env(ROOT, self.world.entra.root_file())
            .env(PORT, self.world.map.port.to_string())
            .env(ROLE, &self.role)
            .envs(self.variables);
        let output = within(command.output()).await.unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let errors = || {
            let lines = said.lines().filter(|line| line.contains("panicked"));
            lines.collect::<Vec<_>>().join("\n")
        };
        assert!(output.status.success(), "{}: {}", self.case, errors());
        // Else the name of the test below has changed, and nothing was run.
        assert!(said.contains("1 passed"), "{}: no test ran", self.case);
        let verdicts = self.world.verdicts()[before..].to_vec();
        assert_eq!(verdicts, [(self.role.clone(), true), (self.role, true)]);
        let mut all = self.world.tokens();
        all.extend_from_slice(secrets);
        assert_silent(self.case, &said, &all);
    }
}

#[tokio::test]
async fn as_a_child() {
    let Ok(case) = std::env::var(CASE) else {
        return;
    };
    shown::listen();
    let variable = |name: &str| std::env::var(name).unwrap();
    let map = Map {
        authority: variable(AUTHORITY),
        tenant: variable(TENANT),
        root_pem: std::fs::read_to_string(variable(ROOT)).unwrap(),
        port: variable(PORT).parse().unwrap(),
    };
    let role = variable(ROLE);
    let (identity, label) = match case.as_str() {
        "workload identity" => (EntraIdentity::workload_identity(), "workload identity"),
        "app service" => (
            EntraIdentity::system_assigned(),
            "system-assigned managed identity",
        ),
        "app service, assigned" => (
            EntraIdentity::user_assigned(ManagedIdentityId::client_id(variable(CLIENT))),
            "user-assigned managed identity",
        ),
        "app service, by object id" => (
            EntraIdentity::user_assigned(ManagedIdentityId::object_id(variable(CONNECTION))),
            "user-assigned managed identity",
        ),
        "pipelines" => {
            let (client, connection) = (variable(CLIENT), variable(CONNECTION));
            let token = variable("SYSTEM_ACCESSTOKEN");
            (
                EntraIdentity::azure_pipelines(&map.tenant, client, connection, token),
                "Azure Pipelines",
            )
        }
        "az" => (EntraIdentity::azure_cli(), "Azure CLI"),
        "azd" => (EntraIdentity::azure_developer_cli(), "Azure Developer CLI"),
        "tools, az first" => (EntraIdentity::developer_tools(), "Azure CLI"),
        "tools, azd only" => (EntraIdentity::developer_tools(), "Azure Developer CLI"),
        other => panic!("no such case: {other}"),
    };
    let mut credentials = map.credentials(identity);
    // The tokens of the others name it.
    if ["workload identity", "app service", "pipelines"].contains(&case.as_str()) {
        credentials = credentials.with_user(&role);
    }
    let connector = map.connector(credentials.build().unwrap());
    let shown = prove(&connector, &role, label).await;
    // The parent knows the secrets.
    println!("{}", shown.all());
}
