//! The seams of pgreach: what a route, an identity and a trust decision are, and the connector that
//! puts them together.

pub mod codes;
pub mod conninfo;
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

pub use choice::{ChannelBinding, LoadBalanceHosts, TargetSessionAttrs, TlsVersion};
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
