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
/// - The cloud is told by the end of the host's name.
/// - The database is `postgres`, where pgAdmin goes, unless `Maintenance database` names another.
#[derive(Debug, Clone)]
pub struct TokenServer(Fields);

readable!(TokenServer from Fields);

impl From<Fields> for TokenServer {
    fn from(fields: Fields) -> Self {
        Self(fields)
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

impl TryFrom<TokenServer> for ConnectionSpec {
    type Error = Error;

    fn try_from(TokenServer(server): TokenServer) -> Result<Self, Error> {
        check_host("Host name/address", &server.host)?;
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
        let host = server.host.to_ascii_lowercase();
        let cloud = [
            (".chinacloudapi.cn", CloudName::China),
            (".usgovcloudapi.net", CloudName::UsGovernment),
        ];
        let cloud = cloud.into_iter().find(|(end, _)| host.ends_with(end));
        let credentials = CredentialsSpec::Entra {
            identity: IdentitySpec::AzureCli {},
            user: Some(server.username),
            cloud: cloud.map(|(_, name)| CloudSpec::Named(name)),
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
