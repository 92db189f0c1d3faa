//! An authority, a gateway and a server, and the ways of a test to them.

use std::sync::{Arc, OnceLock};

use pgreach::azure::Cloud;
use pgreach::azure::azure_core::http::HttpClient;
use pgreach::prelude::*;
use pgreach::{CredentialProvider, PgConnectorBuilder, Report, Stage, StageRecord};
use pgreach_testkit::Postgres;
use pgreach_testkit::entra::{
    EntraGateway, FakeEntra, Login, OSS_RDBMS, Principal, PrincipalKind, RoleKind,
};

use crate::shown::{self, Shown};
use crate::within;

pub(crate) const SECRET: &str = "m4rker-client-s3cret";

/// Every role that a test logs in as.
const ROLES: [&str; 6] = [
    "orders",
    "Orders",
    "vm-1",
    "analysts",
    "ann@example.com",
    "idle",
];

/// One server for all tests. The kit removes it when this process ends.
fn postgres() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| {
        let roles = ROLES.map(|role| format!("create role \"{role}\" login;"));
        Postgres::builder()
            .with_setting("max_connections", "400")
            .with_sql(roles.concat())
            .start()
            .unwrap()
    })
}

/// What a connector needs to know of an authority and a gateway, also in a child process.
#[derive(Clone)]
pub(crate) struct Map {
    pub(crate) authority: String,
    pub(crate) tenant: String,
    pub(crate) root_pem: String,
    pub(crate) port: u16,
}

impl Map {
    pub(crate) fn cloud(&self) -> Cloud {
        Cloud::custom(&self.authority, format!("{OSS_RDBMS}/.default"))
    }

    /// Trusts the authority.
    pub(crate) fn credentials(
        &self,
        identity: EntraIdentity,
    ) -> pgreach::azure::EntraCredentialsBuilder {
        EntraCredentials::builder(identity)
            .with_cloud(self.cloud())
            .with_root_certificate(self.root_pem.as_str())
    }

    /// Speaks HTTP through this client.
    pub(crate) fn credentials_through(
        &self,
        client: Arc<dyn HttpClient>,
        identity: EntraIdentity,
    ) -> pgreach::azure::EntraCredentialsBuilder {
        EntraCredentials::builder(identity)
            .with_cloud(self.cloud())
            .with_http_client(client)
    }

    /// To the gateway, with TLS verified in full, which is the default.
    pub(crate) fn builder(&self, credentials: impl CredentialProvider) -> PgConnectorBuilder {
        let tls = NativeTls::builder().with_roots(Roots::from_pem(self.root_pem.as_str()));
        PgConnector::builder()
            .with_transport(TcpTransport::new())
            .with_endpoint(Endpoint::tcp("localhost", self.port).with_hostaddr([127, 0, 0, 1]))
            .with_tls(tls.build().unwrap())
            .with_database("postgres")
            .with_credentials(credentials)
    }

    pub(crate) fn connector(&self, credentials: impl CredentialProvider) -> PgConnector {
        self.builder(credentials).build().unwrap()
    }
}

/// An authority with a directory of its own, and a gateway for its tokens.
pub(crate) struct World {
    pub(crate) entra: FakeEntra,
    pub(crate) gateway: EntraGateway,
    pub(crate) map: Map,
}

impl World {
    pub(crate) async fn start() -> Self {
        shown::listen();
        let entra = FakeEntra::start().await.unwrap();
        let gateway = EntraGateway::start(&entra, postgres()).await.unwrap();
        let map = Map {
            authority: entra.authority_host().to_owned(),
            tenant: entra.tenant().to_owned(),
            root_pem: entra.root_pem().to_owned(),
            port: gateway.port(),
        };
        Self {
            entra,
            gateway,
            map,
        }
    }

    /// With an application that may log in as `orders`, and how it proves itself.
    pub(crate) async fn with_orders() -> (Self, EntraIdentity) {
        let world = Self::start().await;
        let orders = world.entra.add_application("orders", SECRET);
        world.admit("orders", &orders);
        let identity = EntraIdentity::client_secret(&world.map.tenant, orders.client_id(), SECRET);
        (world, identity)
    }

    /// Gives a principal this role on the server.
    pub(crate) fn admit(&self, role: &str, principal: &Principal) {
        let kind = match principal.kind() {
            PrincipalKind::User => RoleKind::User,
            _ => RoleKind::Service,
        };
        self.gateway.add_role(role, kind, principal.object_id());
    }

    pub(crate) fn credentials(
        &self,
        identity: EntraIdentity,
    ) -> pgreach::azure::EntraCredentialsBuilder {
        self.map.credentials(identity)
    }

    /// As `orders`.
    pub(crate) fn orders(&self, identity: EntraIdentity) -> PgConnector {
        let credentials = self.credentials(identity).with_user("orders");
        self.map.connector(credentials.build().unwrap())
    }

    /// Who showed a password so far, and whether they were let in.
    pub(crate) fn verdicts(&self) -> Vec<(String, bool)> {
        let logins = self.gateway.logins();
        let verdict = |login: &Login| (login.user().to_owned(), login.accepted());
        logins.iter().map(verdict).collect()
    }

    /// The tokens that reached the gateway.
    pub(crate) fn tokens(&self) -> Vec<String> {
        let logins = self.gateway.logins();
        logins
            .iter()
            .map(|login| login.token().to_owned())
            .collect()
    }
}

/// Goes the whole way, twice: with `connect`, and with `check` for the report. What was shown on the
/// way comes back.
pub(crate) async fn prove(connector: &PgConnector, role: &str, label: &str) -> Shown {
    let mut shown = Shown::default();
    shown.debug("the connector", connector);
    let connection = within(connector.connect()).await.unwrap();
    let row = connection.query_one("select current_user", &[]).await;
    assert_eq!(row.unwrap().get::<_, String>(0), role, "{label}");
    assert_eq!(connection.info().user(), role);
    shown.debug("the connection", &connection);
    let json = serde_json::to_string(connection.info()).unwrap();
    shown.text("the connection as JSON", json);
    connection.close().await.unwrap();

    let report = within(connector.check()).await;
    assert!(report.is_ok(), "{report}");
    let seen = &credential_stage(&report).seen;
    let note = |name: &str| {
        let found = seen.iter().find(|(what, _)| *what == name);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(note("token of"), Some(label), "{report}");
    assert_eq!(note("cloud"), Some("custom"), "{report}");
    for name in ["tenant", "expires"] {
        assert!(
            note(name).is_some_and(|value| !value.is_empty()),
            "{report}"
        );
    }
    shown.report("the report", &report);
    shown
}

pub(crate) fn credential_stage(report: &Report) -> &StageRecord {
    let stages = report.stages();
    let stage = stages
        .iter()
        .find(|record| record.stage == Stage::CREDENTIAL);
    stage.expect("a stage for the credential")
}

/// The error of a connection that must not succeed.
pub(crate) async fn refused(connector: &PgConnector) -> Error {
    match within(connector.connect()).await {
        Ok(connection) => panic!("it connects: {connection:?}"),
        Err(error) => error,
    }
}
