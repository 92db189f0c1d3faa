//! Connections as other systems write them, converted to a [`ConnectionSpec`].
//!
//! Each type reads the fields of its system by that system's own names, and converts with `TryFrom`. What a
//! system leaves unsaid is decided on the safe side; each type says how. The secrets come along, so
//! the converted document can be built at once where it has all of them.
//!
//! | type | whose | says |
//! | --- | --- | --- |
//! | [`TunnelForm`] | Adobe Commerce Intelligence | a database behind a customer's SSH server |
//! | [`AppConnection`] | Infisical | a database, its password and TLS |
//! | [`TokenServer`], [`CliToken`] | pgAdmin and the Azure CLI | Azure Database for PostgreSQL with a token |
//! | [`IntegrationForm`] | integrator.io | a database in the cloud or behind an agent, client certificates |
//!
//! ```
//! use pgreach::ConnectionSpec;
//! use pgreach::spec::import::AppConnection;
//!
//! let connection = AppConnection::from_json(
//!     r#"{
//!         "name": "my-pg-connection",
//!         "method": "username-and-password",
//!         "credentials": {
//!             "host": "db.example.com",
//!             "port": 5432,
//!             "database": "default",
//!             "username": "app",
//!             "password": "my-password",
//!             "sslEnabled": true
//!         }
//!     }"#,
//! )?;
//! let spec = ConnectionSpec::try_from(connection)?;
//! assert_eq!(spec.database(), Some("default"));
//! # Ok::<(), pgreach::Error>(())
//! ```

mod app_connection;
mod cli_token;
mod integration_form;
mod token_server;
mod tunnel_form;

use std::fmt;

use pgreach_core::Secret;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer};

pub use self::app_connection::AppConnection;
pub use self::cli_token::CliToken;
pub use self::integration_form::IntegrationForm;
pub use self::token_server::TokenServer;
pub use self::tunnel_form::TunnelForm;

use super::ConnectionSpec;
use super::credentials::CredentialsSpec;
use super::document::{Document, EndpointSpec, LimitsSpec, SessionSpec};
use super::fault::Fault;
use super::secret::{SecretSource, no_key};
use super::transport::TransportSpec;
use super::value::Port;

/// Reading a public type from its fields, without a value in any error.
macro_rules! readable {
    ($name:ident from $fields:ident) => {
        impl $name {
            /// Reads JSON.
            ///
            /// # Errors
            /// `spec-syntax` with line and column, or `spec-field` with the path of the field.
            pub fn from_json(text: &str) -> Result<Self, pgreach_core::Error> {
                let fields: $fields = $crate::spec::node::Node::from_json(text)?.read()?;
                Ok(Self::from(fields))
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let node = $crate::spec::node::Node::deserialize(deserializer)?;
                let fields: $fields = node.read().map_err(serde::de::Error::custom)?;
                Ok(Self::from(fields))
            }
        }
    };
}

use readable;

/// A secret that is a text, and never a reference: these documents come from elsewhere.
#[derive(Debug, Clone)]
struct Literal(Secret);

impl Literal {
    /// Forms send an empty text for what was left out.
    fn given(literal: Option<Self>) -> Option<SecretSource> {
        literal
            .filter(|literal| !literal.0.expose().is_empty())
            .map(|literal| SecretSource::Value(literal.0))
    }
}

impl<'de> Deserialize<'de> for Literal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LiteralVisitor;

        impl Visitor<'_> for LiteralVisitor {
            type Value = Literal;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Literal, E> {
                Ok(Literal(Secret::new(text)))
            }
        }

        deserializer.deserialize_str(LiteralVisitor)
    }
}

/// A text that is written out, such as a certificate. People paste their private key into such fields, so
/// one is refused when it is read, and the text is not shown.
#[derive(Clone)]
struct PublicText(String);

impl PublicText {
    /// Forms send an empty text for what was left out.
    fn given(text: Option<Self>) -> Option<String> {
        filled(text.map(|text| text.0))
    }
}

impl fmt::Debug for PublicText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicText(***)")
    }
}

impl<'de> Deserialize<'de> for PublicText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        no_key(&text).map_err(Fault::through)?;
        Ok(Self(text))
    }
}

/// `true`, `false`, `Yes` or `No`.
#[derive(Debug, Clone, Copy)]
struct Toggle(bool);

impl<'de> Deserialize<'de> for Toggle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ToggleVisitor;

        impl Visitor<'_> for ToggleVisitor {
            type Value = Toggle;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("Yes or No")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Toggle, E> {
                Ok(Toggle(value))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Toggle, E> {
                match text.to_ascii_lowercase().as_str() {
                    "yes" => Ok(Toggle(true)),
                    "no" => Ok(Toggle(false)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
        }

        deserializer.deserialize_any(ToggleVisitor)
    }
}

/// `text`, where it is more than white space.
fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

/// A name for a connection that has none, as long as a name may be.
fn named(text: &str) -> String {
    text.chars().take(128).collect()
}

/// A document over TCP, with what nobody said left out.
fn document(
    name: String,
    host: String,
    port: Option<Port>,
    credentials: CredentialsSpec,
) -> Document {
    Document {
        schema: None,
        name,
        description: None,
        database: None,
        transport: TransportSpec::default(),
        endpoint: Some(EndpointSpec {
            host,
            port,
            hostaddr: None,
        }),
        endpoints: None,
        tls: None,
        credentials,
        session: SessionSpec::default(),
        limits: LimitsSpec::default(),
        absent_secrets: Vec::new(),
    }
}

fn checked(document: Document) -> Result<ConnectionSpec, pgreach_core::Error> {
    Ok(ConnectionSpec::from_document(document)?)
}
