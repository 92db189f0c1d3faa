//! The seams of pgreach: what a route, an identity and a trust decision are, and the connector that
//! puts them together.
//!
//! A connection to PostgreSQL is three decisions, each taken on its own:
//!
//! - the **route**: a [`Transport`] opens a byte stream to an [`Endpoint`];
//! - the **identity**: a [`CredentialProvider`] gives a [`Credential`] for each new connection;
//! - the **trust**: a [`TlsPolicy`] says what to verify, a [`TlsProvider`] verifies it.
//!
//! [`PgConnector`] puts them together. [`Connector::connect`] walks `credential ∥ dial → TLS → guard →
//! startup → session` under one deadline and returns a [`Connection`], which derefs to
//! [`tokio_postgres::Client`]; [`Connector::check`] walks the same way and returns a [`Report`] with a
//! remedy. Whatever fails is an [`Error`] with a stable [`Code`].
//!
//! This crate knows no TLS, SSH or HTTP library: each is a crate of its own behind one of these
//! traits, and so is yours. Most programs want the facade, `pgreach`.
//!
//! [`conninfo`] has libpq's connection strings, environment, service file and passfile; [`mod@file`] reads
//! private files, for credential sources.

pub mod codes;
pub mod conninfo;
pub mod file;
pub mod text;

mod choice;
mod code;
mod connector;
mod credential;
mod endpoint;
mod error;
mod report;
mod require_auth;
mod secret;
mod stage;
mod stream;
mod tls;
mod trace;
mod transport;

pub use choice::{ChannelBinding, LoadBalanceHosts, SslCertMode, TargetSessionAttrs, TlsVersion};
pub use code::Code;
pub use connector::{
    CancelHandle, Connection, ConnectionInfo, Connector, DEFAULT_CONNECT_TIMEOUT,
    DEFAULT_MAX_MESSAGE_SIZE, Driver, MessageHandler, PgConnector, PgConnectorBuilder,
};
pub use credential::{
    ClientIdentity, Credential, CredentialKind, CredentialProvider, CredentialRequest, NoCredential,
};
pub use endpoint::{DEFAULT_PORT, Endpoint};
pub use error::{Error, ErrorKind, Result, Retry};
pub use report::Report;
pub use require_auth::{AuthMethod, RequireAuth};
pub use secret::Secret;
pub use stage::Stage;
pub use stream::{BoxStream, Stream};
pub use tls::{
    PeerCertificate, Secured, SslMode, SslNegotiation, TlsInfo, TlsPolicy, TlsProvider, TlsRequest,
    Verification,
};
pub use trace::{ActiveStage, Outcome, StageRecord, Trace};
pub use transport::{DialContext, Dialed, Transport};

/// The driver: the client, rows and types.
pub use tokio_postgres;
