//! Stand-ins for Microsoft Entra, for the tools that log in to it, and for a server that takes its
//! tokens.
//!
//! The real ones cannot take part in a test: there is no tenant, no virtual machine of Azure and no
//! server of Azure Database for PostgreSQL on the machine that runs it. What is here speaks as they
//! do, over real sockets and real TLS, so that a client's own code runs unchanged, and does on
//! demand what the real ones do at the worst time.
//!
//! - [`FakeEntra`]: the token authority, and the services of a machine (IMDS, App Service,
//!   pipelines) that hand out its tokens.
//! - [`StubAz`]: the programs `az` and `azd`.
//! - [`EntraGateway`]: a server that takes tokens as passwords, in front of a real PostgreSQL.
//!
//! ```no_run
//! # async fn example() -> Result<(), pgreach_testkit::Error> {
//! use pgreach_testkit::entra::{EntraGateway, FakeEntra, RoleKind};
//! use pgreach_testkit::Postgres;
//!
//! let entra = FakeEntra::start().await?;
//! let app = entra.add_application("orders", "the client's secret");
//!
//! let postgres = Postgres::builder().with_sql("create role orders login").start()?;
//! let gateway = EntraGateway::start(&entra, &postgres).await?;
//! gateway.add_role("orders", RoleKind::Service, app.object_id());
//! // Let a client ask entra.authority_host() for a token and log in at gateway.addr(), trusting
//! // entra.root_pem() for both.
//! # Ok(())
//! # }
//! ```

mod authority;
mod az;
mod certificate;
mod directory;
mod fake;
mod form;
mod gateway;
mod issuer;
mod keys;
mod knobs;
mod metadata;
mod people;
mod server;
mod shared;

pub use az::StubAz;
pub use certificate::AppCertificate;
pub use directory::{Principal, PrincipalKind};
pub use fake::{FakeEntra, FakeEntraBuilder};
pub use gateway::{EntraGateway, EntraGatewayBuilder, Login, RoleKind};
pub use issuer::TokenIssuer;
pub use keys::Claims;
pub use knobs::{Endpoint, Outage};

/// What tokens for Azure Database for PostgreSQL are for, in the public cloud.
pub const OSS_RDBMS: &str = "https://ossrdbms-aad.database.windows.net";
