//! A connection as a document: [`ConnectionSpec`], in JSON or TOML.
//!
//! `docs/connection-spec.md` describes every field; the JSON Schema is in `docs/schema/`, and with the
//! feature `spec-schema` in [`ConnectionSpec::json_schema`].
//!
//! ```
//! use pgreach::ConnectionSpec;
//!
//! let spec = ConnectionSpec::from_json(
//!     r#"{
//!         "name": "orders",
//!         "endpoint": { "host": "db.example.com" },
//!         "database": "orders",
//!         "credentials": {
//!             "type": "password",
//!             "user": "app",
//!             "password": { "env": "ORDERS_PASSWORD" }
//!         }
//!     }"#,
//! )?;
//! let connector = spec.build()?;
//! assert_eq!(pgreach::Connector::route(&connector), "tcp to db.example.com:5432");
//! # Ok::<(), pgreach::Error>(())
//! ```
//!
//! # From strangers
//!
//! A platform that takes documents from its tenants does this: no document reaches this process'
//! environment, files, commands or identity, nor addresses inside its network.
//!
//! ```
//! use pgreach::prelude::*;
//! use pgreach::{ConnectionSpec, Error};
//!
//! fn from_tenant(json: &str) -> Result<PgConnector, Error> {
//!     let spec = ConnectionSpec::from_json(json)?;
//!     spec.for_stranger(AddressPolicy::public_only())?.build()
//! }
//! ```
//!
//! # Secrets
//!
//! A secret is never in `Debug`, in an error or in what [`to_json`](ConnectionSpec::to_json),
//! [`to_toml`](ConnectionSpec::to_toml) and `Serialize` write. A document that was written and read again
//! is complete but for its secrets: [`with_secret`](ConnectionSpec::with_secret) gives them back, and
//! [`build`](ConnectionSpec::build) names those that are missing. What is read passes through memory that
//! serde does not wipe.
//!
//! # Which part is where
//! - `document`, `transport`, `credentials`, `identity`: the fields; `secret`, `value`, `word`: what is in them
//! - `node`, `fault`: reading them, and errors with a path; `check`: contradictions
//! - `size`: how large they may be; `secrets`: where secrets stand, and what refers to this process
//! - `build`, `ssh`: the connector
//! - [`import`]: documents of other systems

pub mod codes;
pub mod import;

mod build;
#[cfg(feature = "cert")]
mod certificate;
mod check;
mod credentials;
mod document;
#[cfg(feature = "azure")]
mod entra;
mod fault;
mod identity;
#[cfg(any(feature = "ssh", feature = "cert", feature = "azure"))]
mod kept;
#[cfg(any(feature = "ssh", feature = "cert", feature = "azure"))]
mod lookup;
mod node;
#[cfg(feature = "spec-schema")]
mod schema;
mod secret;
mod secrets;
mod size;
#[cfg(feature = "ssh")]
mod ssh;
mod transport;
mod value;
mod word;

use std::fmt::{self, Debug};

use pgreach_core::{Error, PgConnector, Stage};
use pgreach_transport_tcp::AddressPolicy;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use self::document::Document;
use self::fault::Fault;
use self::node::Node;

pub use self::secret::SecretSource;

/// One connection as a document: the route, the identity and the trust decision; see the
/// [module](self).
///
/// Reading it touches no file, variable or network. It implements `Serialize` and `Deserialize`, so it can
/// be a part of another document. Secrets are not written.
#[derive(Clone)]
pub struct ConnectionSpec {
    document: Document,
    /// The program's own, which no document has a say in.
    address_policy: Option<AddressPolicy>,
    /// It refers to nothing of this process, and must not begin to.
    is_strangers: bool,
}

impl ConnectionSpec {
    /// Reads JSON.
    ///
    /// # Errors
    /// Kind Config: `spec-syntax` with line and column; `spec-field` and `spec-conflict` with the path of
    /// the field. No value of the document is repeated.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        Ok(Self::from_node(Node::from_json(text)?)?)
    }

    /// Reads TOML.
    ///
    /// # Errors
    /// As of [`from_json`](Self::from_json).
    pub fn from_toml(text: &str) -> Result<Self, Error> {
        Ok(Self::from_node(Node::from_toml(text)?)?)
    }

    fn from_node(node: Node) -> Result<Self, Fault> {
        Self::from_document(node.read()?)
    }

    fn from_document(document: Document) -> Result<Self, Fault> {
        document.check()?;
        Ok(Self {
            document,
            address_policy: None,
            is_strangers: false,
        })
    }

    /// As JSON, without the secrets.
    ///
    /// # Errors
    /// None that is known of.
    pub fn to_json(&self) -> Result<String, Error> {
        serde_json::to_string_pretty(&self.document.to_write())
            .map_err(|error| unwritable("JSON", error))
    }

    /// As TOML, without the secrets.
    ///
    /// # Errors
    /// None that is known of.
    pub fn to_toml(&self) -> Result<String, Error> {
        toml::to_string_pretty(&self.document.to_write()).map_err(|error| unwritable("TOML", error))
    }

    /// What people call the connection.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.document.name
    }

    /// What it is for.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.document.description.as_deref()
    }

    /// The database, where one is named.
    #[must_use]
    pub fn database(&self) -> Option<&str> {
        self.document.database.as_deref()
    }

    /// The user, where one is named.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.document.credentials.user()
    }

    /// The paths of the secrets that are needed and missing, such as `credentials.password`: those that
    /// nothing works without, and those that were there when the document was written (`absentSecrets`).
    ///
    /// Of a client certificate without anything, `privateKey` and `certificate` are named; `pkcs12` may be
    /// given in their place.
    #[must_use]
    pub fn missing_secrets(&self) -> Vec<String> {
        self.document.missing()
    }

    /// Gives the secret at `path`, such as `credentials.password` or
    /// `transport.hops[0].auth[0].privateKey`, in place of the one that is there.
    ///
    /// # Errors
    /// `spec-field`: the document has no secret at that path, or the secret cannot be one. `spec-local`:
    /// a reference, after [`for_stranger`](Self::for_stranger).
    pub fn with_secret(
        mut self,
        path: &str,
        secret: impl Into<SecretSource>,
    ) -> Result<Self, Error> {
        let secret = secret.into();
        secrets::check_secret(&secret).map_err(|fault| fault.below(path))?;
        if let (true, Some(what)) = (self.is_strangers, secret.local()) {
            return Err(Fault::local(path, what).into());
        }
        let mut slots = self.document.slots();
        let Some(slot) = slots.iter_mut().find(|slot| slot.path == path) else {
            let paths: Vec<_> = slots.iter().map(|slot| slot.path.as_str()).collect();
            let fault = Fault::field(path, "is not the path of a secret of this document");
            return Err(match paths.as_slice() {
                [] => fault.into(),
                paths => Error::from(fault).with_hint(format!("use one of {}", paths.join(", "))),
            });
        };
        slot.give(secret).map_err(|fault| fault.below(path))?;
        self.document.check_archive()?;
        Ok(self)
    }

    /// The program's own policy for the addresses that may be dialled: the database's, or the first SSH
    /// server's. It takes the place of the document's `addressPolicy`.
    #[must_use]
    pub fn with_address_policy(mut self, policy: AddressPolicy) -> Self {
        self.address_policy = Some(policy);
        self
    }

    /// Checks that the document refers to nothing that belongs to this process or its machine: no
    /// environment variable, file, command, Unix socket or SSH agent, no identity that the machine has in a
    /// cloud, and no authority for tokens but those of the known clouds. For documents that strangers wrote.
    ///
    /// Defaults count: an SSH server without `hostKeys` would be looked up in this user's files. Which
    /// addresses may be dialled is another question; see
    /// [`with_address_policy`](Self::with_address_policy).
    ///
    /// # Errors
    /// `spec-local`, with the path of the first field that does.
    pub fn forbid_local(&self) -> Result<(), Error> {
        Ok(self.document.forbid_local()?)
    }

    /// The document of a stranger, such as a tenant of a platform: [`forbid_local`](Self::forbid_local),
    /// and `policy` for the addresses that may be dialled. It stays so:
    /// [`with_secret`](Self::with_secret) takes no reference from then on.
    ///
    /// # Errors
    /// As of [`forbid_local`](Self::forbid_local).
    pub fn for_stranger(mut self, policy: AddressPolicy) -> Result<Self, Error> {
        self.forbid_local()?;
        self.is_strangers = true;
        Ok(self.with_address_policy(policy))
    }

    /// The connector; see [`builder`](Self::builder) for replacing a part of it.
    ///
    /// Keys that are given as text are opened here. One that is encrypted takes seconds of computing, as it is
    /// meant to: in async code, call this in `tokio::task::spawn_blocking`.
    ///
    /// # Errors
    /// As of [`builder`](Self::builder).
    pub fn build(&self) -> Result<PgConnector, Error> {
        self.builder()?.build()
    }
}

fn unwritable(format: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let message = format!("the document cannot be written as {format}");
    Error::new(&codes::SPEC_SYNTAX, Stage::CONFIG, message).with_source(error)
}

impl Debug for ConnectionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.document.fmt(f)
    }
}

/// Without the secrets.
impl Serialize for ConnectionSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.document.to_write().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ConnectionSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let node = Node::deserialize(deserializer)?;
        Self::from_node(node).map_err(serde::de::Error::custom)
    }
}
