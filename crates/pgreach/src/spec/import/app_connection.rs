//! The PostgreSQL connection of Infisical.

use pgreach_core::Error;
use serde::Deserialize;

use super::{Literal, PublicText, checked, document, readable};
use crate::spec::ConnectionSpec;
use crate::spec::credentials::CredentialsSpec;
use crate::spec::document::{RootsSpec, TlsMode, TlsSpec};
use crate::spec::fault::Fault;
use crate::spec::transport::TransportSpec;
use crate::spec::value::{AddressRules, Port, check_host, check_text};

/// A PostgreSQL connection of Infisical's API: the request that creates one, or the response.
///
/// - `sslEnabled` and `sslRejectUnauthorized` are on by default: `verify-full`. With `sslRejectUnauthorized`
///   off, the mode is `require`: encrypted, and **with whoever answers**; `sslCertificate` is then not used.
///   Without `sslEnabled` there is no TLS.
/// - `sslCertificate` is the certificate of an **authority**. It replaces the system's.
/// - Only public addresses are dialled, as that platform does unless its `ALLOW_INTERNAL_IP_CONNECTIONS` is
///   set; see [`with_internal_addresses`](Self::with_internal_addresses).
/// - A response has no password: the document is then incomplete.
/// - `isPlatformManagedCredentials` asks the platform to change the password; it is no part of a
///   connection. See [`is_platform_managed`](Self::is_platform_managed).
#[derive(Debug, Clone)]
pub struct AppConnection {
    connection: Fields,
    internal_addresses: bool,
}

impl AppConnection {
    /// Dials private addresses, too (`ALLOW_INTERNAL_IP_CONNECTIONS`).
    #[must_use]
    pub fn with_internal_addresses(mut self) -> Self {
        self.internal_addresses = true;
        self
    }

    /// Whether the platform is to replace the password, so that nobody outside knows it.
    #[must_use]
    pub fn is_platform_managed(&self) -> bool {
        self.connection.is_platform_managed_credentials
    }

    /// The project that the connection belongs to.
    #[must_use]
    pub fn project_id(&self) -> Option<&str> {
        self.connection.project_id.as_deref()
    }
}

readable!(AppConnection from Body);

impl From<Body> for AppConnection {
    fn from(body: Body) -> Self {
        Self {
            connection: body.0,
            internal_addresses: false,
        }
    }
}

/// A request, or a response with its envelope opened.
struct Body(Fields);

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let body = Flat::deserialize(deserializer)?;
        let request = body.name.is_some() || body.method.is_some() || body.credentials.is_some();
        match body.app_connection {
            Some(_) if request => Err(Fault::conflict(
                "appConnection",
                "is a response, which a request has not",
            )
            .through()),
            Some(connection) => Ok(Self(connection)),
            None => body.request().map(Self).map_err(Fault::through),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Flat {
    app_connection: Option<Fields>,
    name: Option<String>,
    description: Option<String>,
    method: Option<String>,
    project_id: Option<String>,
    is_platform_managed_credentials: Option<bool>,
    credentials: Option<Credentials>,
}

impl Flat {
    fn request(self) -> Result<Fields, Fault> {
        Ok(Fields {
            name: self.name.ok_or_else(|| Fault::missing("name"))?,
            description: self.description,
            method: self.method.ok_or_else(|| Fault::missing("method"))?,
            project_id: self.project_id,
            is_platform_managed_credentials: self.is_platform_managed_credentials.unwrap_or(false),
            credentials: self
                .credentials
                .ok_or_else(|| Fault::missing("credentials"))?,
        })
    }
}

/// What else a response has (`id`, `version`, dates) is passed over.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    name: String,
    description: Option<String>,
    method: String,
    project_id: Option<String>,
    #[serde(default)]
    is_platform_managed_credentials: bool,
    credentials: Credentials,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Credentials {
    host: String,
    port: Option<Port>,
    database: String,
    username: String,
    password: Option<Literal>,
    #[serde(default = "yes")]
    ssl_enabled: bool,
    #[serde(default = "yes")]
    ssl_reject_unauthorized: bool,
    ssl_certificate: Option<PublicText>,
}

fn yes() -> bool {
    true
}

impl TryFrom<AppConnection> for ConnectionSpec {
    type Error = Error;

    fn try_from(app: AppConnection) -> Result<Self, Error> {
        let Fields {
            name,
            description,
            method,
            credentials,
            ..
        } = app.connection;
        if method != "username-and-password" {
            return Err(Fault::field("method", "must be username-and-password").into());
        }
        check_host("credentials.host", &credentials.host)?;
        check_text("credentials.database", Some(&credentials.database))?;
        check_text("credentials.username", Some(&credentials.username))?;
        let authority = PublicText::given(credentials.ssl_certificate);
        let verified = credentials.ssl_reject_unauthorized;
        let tls = match (credentials.ssl_enabled, authority) {
            (false, Some(_)) => {
                return Err(Fault::conflict(
                    "credentials.sslCertificate",
                    "goes with sslEnabled, which is off",
                )
                .into());
            }
            (false, None) => TlsSpec {
                mode: Some(TlsMode::Disable),
                ..TlsSpec::default()
            },
            (true, _) if !verified => TlsSpec {
                mode: Some(TlsMode::Require),
                ..TlsSpec::default()
            },
            (true, authority) => TlsSpec {
                mode: Some(TlsMode::VerifyFull),
                roots: authority.map(RootsSpec::Pem),
                ..TlsSpec::default()
            },
        };
        let identity = CredentialsSpec::Password {
            user: credentials.username,
            password: Literal::given(credentials.password),
        };
        let mut spec = document(name, credentials.host, credentials.port, identity);
        spec.description = description;
        spec.database = Some(credentials.database);
        spec.tls = Some(tls);
        if !app.internal_addresses {
            spec.transport = TransportSpec::Tcp {
                address_policy: Some(AddressRules::public()),
            };
        }
        checked(spec)
    }
}
