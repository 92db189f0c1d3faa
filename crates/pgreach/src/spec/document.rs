//! The document itself: everything but route and identity.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use pgreach_core::{
    ChannelBinding, LoadBalanceHosts, RequireAuth, SslMode, SslNegotiation, TargetSessionAttrs,
    TlsVersion,
};
use serde::de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

use super::credentials::CredentialsSpec;
use super::fault::Fault;
use super::secret::no_key;
use super::transport::TransportSpec;
use super::value::{Port, Timeout, check_text, or_default};
use super::word::word;

/// How to reach one PostgreSQL database: the route, the identity and the trust decision.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "spec-schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "spec-schema", schemars(title = "ConnectionSpec"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Document {
    /// The address of this schema, for editors.
    #[serde(rename = "$schema", skip_serializing_if = "Option::is_none")]
    pub(crate) schema: Option<String>,
    /// What people call the connection.
    #[cfg_attr(feature = "spec-schema", schemars(length(min = 1, max = 128)))]
    pub(crate) name: String,
    /// What it is for.
    #[cfg_attr(feature = "spec-schema", schemars(length(max = 256)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// The database. Default: the user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) database: Option<String>,
    /// The route. Default: TCP.
    #[cfg_attr(feature = "spec-schema", schemars(with = "Option<TransportSpec>"))]
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) transport: TransportSpec,
    /// The server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) endpoint: Option<EndpointSpec>,
    /// Several servers, which are tried in turn.
    #[cfg_attr(feature = "spec-schema", schemars(length(min = 1, max = 32)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) endpoints: Option<Vec<EndpointSpec>>,
    /// The trust decision. Default: `verify-full` with the system's roots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<TlsSpec>,
    /// The identity.
    pub(crate) credentials: CredentialsSpec,
    /// What the session asks for, and which session is acceptable.
    #[cfg_attr(feature = "spec-schema", schemars(with = "Option<SessionSpec>"))]
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "SessionSpec::is_empty"
    )]
    pub(crate) session: SessionSpec,
    /// Bounds.
    #[cfg_attr(feature = "spec-schema", schemars(with = "Option<LimitsSpec>"))]
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "LimitsSpec::is_empty"
    )]
    pub(crate) limits: LimitsSpec,
    /// The paths of secrets that were left out when the document was written, such as
    /// `credentials.passphrase`, where nothing else of the document says that they are needed.
    #[cfg_attr(feature = "spec-schema", schemars(with = "Option<Vec<String>>"))]
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(crate) absent_secrets: Vec<String>,
}

/// A server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "spec-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct EndpointSpec {
    /// The name or address; the name is what the certificate must be for. Through SSH servers it may be
    /// the directory of a Unix socket on the last one.
    pub(crate) host: String,
    /// The port. Default: 5432.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<Port>,
    /// The address to dial instead of the host's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hostaddr: Option<IpAddr>,
}

/// Whether to encrypt, and what to verify.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "spec-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TlsSpec {
    /// What is encrypted and verified. Default: `verify-full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<TlsMode>,
    /// The authorities that are trusted. Default: the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) roots: Option<RootsSpec>,
    /// The least version of TLS. Default: TLS 1.2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min_version: Option<TlsVersionSpec>,
    /// The greatest version of TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_version: Option<TlsVersionSpec>,
    /// How TLS begins. Default: `postgres`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) negotiation: Option<TlsNegotiation>,
    /// A file with the revocation lists of all authorities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) crl: Option<String>,
}

impl TlsSpec {
    pub(crate) fn mode(&self) -> TlsMode {
        self.mode.unwrap_or(TlsMode::VerifyFull)
    }
}

word! {
    /// What is encrypted and verified.
    TlsMode for SslMode {
        /// No encryption.
        Disable = "disable",
        /// Encryption where the server insists. Protects from nothing.
        Allow = "allow",
        /// Encryption where the server offers it. Protects from nothing.
        Prefer = "prefer",
        /// Encryption, with whoever answers: the server is not verified.
        Require = "require",
        /// The certificate must come from a trusted authority.
        VerifyCa = "verify-ca",
        /// The certificate must come from a trusted authority and be for the host's name.
        VerifyFull = "verify-full",
    }
}

word! {
    /// How TLS begins.
    TlsNegotiation for SslNegotiation {
        /// After a question in PostgreSQL's protocol.
        Postgres = "postgres",
        /// At once. Needs PostgreSQL 17.
        Direct = "direct",
    }
}

word! {
    /// A version of TLS.
    TlsVersionSpec for TlsVersion {
        /// TLS 1.0, which is broken.
        V1_0 = "TLSv1",
        /// TLS 1.1, which is broken.
        V1_1 = "TLSv1.1",
        /// TLS 1.2.
        V1_2 = "TLSv1.2",
        /// TLS 1.3.
        V1_3 = "TLSv1.3",
    }
}

/// The authorities that are trusted.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "spec-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum RootsSpec {
    /// The system's.
    System,
    /// The certificates of this PEM text, and no others.
    Pem(String),
    /// The certificates of this PEM file, and no others.
    File(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRoots {
    pem: Option<String>,
    file: Option<String>,
}

impl<'de> Deserialize<'de> for RootsSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RootsVisitor;

        impl<'de> Visitor<'de> for RootsVisitor {
            type Value = RootsSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("system, or an object with one of the fields pem and file")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RootsSpec, E> {
                match text {
                    "system" => Ok(RootsSpec::System),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RootsSpec, A::Error> {
                let raw = RawRoots::deserialize(MapAccessDeserializer::new(map))?;
                check_text("pem", raw.pem.as_deref()).map_err(Fault::through)?;
                check_text("file", raw.file.as_deref()).map_err(Fault::through)?;
                match (raw.pem, raw.file) {
                    (Some(pem), None) => {
                        no_key(&pem).map_err(|fault| fault.below("pem").through())?;
                        Ok(RootsSpec::Pem(pem))
                    }
                    (None, Some(file)) => Ok(RootsSpec::File(file)),
                    (Some(_), Some(_)) => {
                        Err(Fault::conflict("file", "excludes pem; give one of them").through())
                    }
                    (None, None) => {
                        Err(A::Error::custom("must have one of the fields pem and file"))
                    }
                }
            }
        }

        deserializer.deserialize_any(RootsVisitor)
    }
}

/// What the session asks for, and which session is acceptable.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "spec-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SessionSpec {
    /// `application_name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) application_name: Option<String>,
    /// Command-line options for the session, such as `-c statement_timeout=5s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) options: Option<String>,
    /// Configuration parameters of the session, such as `statement_timeout` and `5s`.
    #[cfg_attr(
        feature = "spec-schema",
        schemars(with = "Option<BTreeMap<String, String>>")
    )]
    #[serde(
        default,
        deserialize_with = "or_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub(crate) parameters: BTreeMap<String, String>,
    /// Which session is acceptable. Default: `any`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target_session_attrs: Option<SessionAttrs>,
    /// In which order the servers and their addresses are tried. Default: `disable`, as given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) load_balance_hosts: Option<BalanceHosts>,
    /// The authentication methods that the server may ask for, as in libpq: `scram-sha-256,none`, or
    /// `!password,!md5`. Default: all.
    #[cfg_attr(feature = "spec-schema", schemars(with = "Option<String>"))]
    #[serde(
        default,
        deserialize_with = "methods",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) require_auth: Option<Methods>,
    /// Whether SCRAM is bound to TLS. Default: `prefer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channel_binding: Option<Binding>,
}

impl SessionSpec {
    fn is_empty(&self) -> bool {
        self.application_name.is_none()
            && self.options.is_none()
            && self.parameters.is_empty()
            && self.target_session_attrs.is_none()
            && self.load_balance_hosts.is_none()
            && self.require_auth.is_none()
            && self.channel_binding.is_none()
    }
}

word! {
    /// Which session is acceptable.
    SessionAttrs for TargetSessionAttrs {
        /// Any.
        Any = "any",
        /// Read-write transactions by default.
        ReadWrite = "read-write",
        /// Read-only transactions by default.
        ReadOnly = "read-only",
        /// A server that is not in recovery.
        Primary = "primary",
        /// A server that is in recovery.
        Standby = "standby",
        /// A server in recovery; any when no host is one.
        PreferStandby = "prefer-standby",
    }
}

word! {
    /// In which order servers and their addresses are tried.
    BalanceHosts for LoadBalanceHosts {
        /// As given.
        Disable = "disable",
        /// At random.
        Random = "random",
    }
}

word! {
    /// Whether SCRAM is bound to TLS.
    Binding for ChannelBinding {
        /// Never.
        Disable = "disable",
        /// Where both sides can.
        Prefer = "prefer",
        /// Always.
        Require = "require",
    }
}

/// Authentication methods, as they were written.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct Methods {
    text: String,
    #[serde(skip)]
    pub(crate) methods: RequireAuth,
}

fn methods<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Methods>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    // Its own message repeats the value.
    let methods = text.parse().map_err(|_| {
        D::Error::custom(
            "must be a list of password, md5, scram-sha-256 and none, or of the same with ! before each",
        )
    })?;
    Ok(Some(Methods { text, methods }))
}

/// Bounds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "spec-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LimitsSpec {
    /// How long a connection to one host may take. Default: 30 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connect_timeout: Option<Timeout>,
    /// The longest message, in bytes, that is taken from the server. Default: 1 GiB.
    #[cfg_attr(
        feature = "spec-schema",
        schemars(range(min = 65_536, max = 1_073_741_824))
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_message_size: Option<u64>,
}

impl LimitsSpec {
    fn is_empty(&self) -> bool {
        self.connect_timeout.is_none() && self.max_message_size.is_none()
    }
}
