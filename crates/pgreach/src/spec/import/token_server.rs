//! A server of Azure as pgAdmin is told of it.

use pgreach_core::Error;
use serde::Deserialize;

use super::{checked, document, named, readable};
use crate::spec::ConnectionSpec;
use crate::spec::credentials::CredentialsSpec;
use crate::spec::document::{TlsMode, TlsSpec};
use crate::spec::fault::Fault;
use crate::spec::identity::{CloudName, CloudSpec, IdentitySpec};
use crate::spec::value::{Port, check_host, check_text};

/// A server of Azure Database for PostgreSQL, as it is entered into pgAdmin: `Host name/address` (or
/// `Database Hostname`), `Username` (or `Database Username`), `SSL mode`.
///
/// - The token is that of the Azure CLI, fetched anew for the connections: `az login` comes before. For a token
///   that was copied, see [`CliToken`](super::CliToken).
/// - `SSL mode` must be `Require` at least, and becomes `verify-full`: `require` does not verify the server, and
///   whoever poses as it would have the token.
/// - The host must be a server of Azure, by the end of its name, which also tells the cloud: the token opens more
///   than this server, and goes to nobody else; see [`with_any_host`](Self::with_any_host).
/// - The database is `postgres`, where pgAdmin goes, unless `Maintenance database` names another.
#[derive(Debug, Clone)]
pub struct TokenServer {
    server: Fields,
    any_host: bool,
}

impl TokenServer {
    /// Takes every host, such as a name of one's own for a server of Azure. The token of whoever runs this
    /// program goes to **whoever has a certificate for that name**, and is worth the same at every server that
    /// the user may use: only for a host that the user chose, never for a form from elsewhere.
    #[must_use]
    pub fn with_any_host(mut self) -> Self {
        self.any_host = true;
        self
    }
}

readable!(TokenServer from Fields);

impl From<Fields> for TokenServer {
    fn from(server: Fields) -> Self {
        Self {
            server,
            any_host: false,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(rename = "Name")]
    name: Option<String>,
    #[serde(rename = "Host name/address", alias = "Database Hostname")]
    host: String,
    #[serde(rename = "Port")]
    port: Option<Port>,
    #[serde(rename = "Maintenance database")]
    database: Option<String>,
    #[serde(rename = "Username", alias = "Database Username")]
    username: String,
    #[serde(rename = "SSL mode")]
    ssl_mode: String,
}

const HOST: &str = "Host name/address";

/// The cloud that a server of Azure is in, by its name.
fn cloud(host: &str) -> Option<CloudName> {
    let host = host.to_ascii_lowercase();
    let host = host.strip_suffix('.').unwrap_or(&host);
    let clouds = [
        (".postgres.database.azure.com", CloudName::Public),
        (
            ".postgres.database.usgovcloudapi.net",
            CloudName::UsGovernment,
        ),
        (".postgres.database.chinacloudapi.cn", CloudName::China),
    ];
    let is_in = |end: &str| host.strip_suffix(end).is_some_and(|name| !name.is_empty());
    clouds
        .into_iter()
        .find(|(end, _)| is_in(end))
        .map(|(_, cloud)| cloud)
}

impl TryFrom<TokenServer> for ConnectionSpec {
    type Error = Error;

    fn try_from(TokenServer { server, any_host }: TokenServer) -> Result<Self, Error> {
        check_host(HOST, &server.host)?;
        let cloud = cloud(&server.host);
        if cloud.is_none() && !any_host {
            return Err(Fault::field(
                HOST,
                "must be a server of Azure, such as name.postgres.database.azure.com: it is sent the token",
            )
            .into());
        }
        check_text("Username", Some(&server.username))?;
        match server.ssl_mode.to_ascii_lowercase().as_str() {
            "require" | "verify-ca" | "verify-full" => {}
            "disable" | "allow" | "prefer" => {
                return Err(Fault::conflict(
                    "SSL mode",
                    "must be Require at least: a token is sent over TLS only",
                )
                .into());
            }
            _ => {
                return Err(Fault::field(
                    "SSL mode",
                    "must be one of Require, Verify-CA, Verify-Full",
                )
                .into());
            }
        }
        let credentials = CredentialsSpec::Entra {
            identity: IdentitySpec::AzureCli {},
            user: Some(server.username),
            cloud: cloud
                .filter(|cloud| *cloud != CloudName::Public)
                .map(CloudSpec::Named),
        };
        let name = server.name.unwrap_or_else(|| named(&server.host));
        let mut spec = document(name, server.host, server.port, credentials);
        spec.database = Some(server.database.unwrap_or_else(|| "postgres".to_owned()));
        spec.tls = Some(TlsSpec {
            mode: Some(TlsMode::VerifyFull),
            ..TlsSpec::default()
        });
        checked(spec)
    }
}
