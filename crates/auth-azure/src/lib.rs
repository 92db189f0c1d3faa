//! Microsoft Entra tokens for pgreach, on azure_identity.
//!
//! Azure Database for PostgreSQL takes an Entra access token in the place of a password.
//! [`EntraCredentials`] gets such tokens for an [`EntraIdentity`], keeps one for all connections and
//! replaces it ahead of its end. What the server and the tenant need, and what failures look like, is
//! in `docs/entra.md`.
//!
//! ```
//! use pgreach_auth_azure::{EntraCredentials, EntraIdentity, ManagedIdentityId};
//!
//! # fn main() -> Result<(), pgreach_core::Error> {
//! // In Azure a managed identity, on a developer's machine whoever is logged in.
//! let identity = EntraIdentity::chain([
//!     EntraIdentity::user_assigned(ManagedIdentityId::client_id(
//!         "11111111-2222-3333-4444-555555555555",
//!     )),
//!     EntraIdentity::azure_cli(),
//! ]);
//! let credentials = EntraCredentials::builder(identity).build()?;
//! # drop(credentials);
//! # Ok(())
//! # }
//! ```
//!
//! # Identities
//!
//! | [`EntraIdentity`] | who it is | the PostgreSQL user |
//! |---|---|---|
//! | [`system_assigned`](EntraIdentity::system_assigned) | the managed identity of this virtual machine, app, … | [`with_user`](EntraCredentialsBuilder::with_user): the resource's name |
//! | [`user_assigned`](EntraIdentity::user_assigned) | a managed identity that is assigned to it | from the token |
//! | [`workload_identity`](EntraIdentity::workload_identity) | a Kubernetes service account | from the token of a managed identity, else `with_user` |
//! | [`client_secret`](EntraIdentity::client_secret) | an application with a secret | `with_user`: the application's display name |
//! | `client_certificate` (feature `client-certificate`) | an application with a certificate | `with_user` |
//! | [`client_assertion`](EntraIdentity::client_assertion) | an application that another issuer vouches for | `with_user` |
//! | [`azure_pipelines`](EntraIdentity::azure_pipelines) | a service connection of Azure Pipelines | `with_user` |
//! | [`azure_cli`](EntraIdentity::azure_cli), [`azure_developer_cli`](EntraIdentity::azure_developer_cli), [`developer_tools`](EntraIdentity::developer_tools) | who is logged in | from the token |
//! | [`token`](EntraIdentity::token), [`fixed_token`](EntraIdentity::fixed_token) | the application gets the token | from the token, else `with_user` |
//! | [`credential`](EntraIdentity::credential) | any `TokenCredential` | from the token, else `with_user` |
//! | [`chain`](EntraIdentity::chain) | the first of several that gives a token | as for that one |
//!
//! A user given to the connector, or with `with_user`, comes first. From the token it is, as in
//! Microsoft's own libraries, the name of the user-assigned managed identity (`xms_mirid`), else `upn`,
//! `preferred_username` or `unique_name`. Members of a group that log in as the group give its name
//! with `with_user`, and so do guests give their role's: their tokens usually hold no `upn` that
//! could be used.
//!
//! # HTTP
//!
//! Entra is spoken to over HTTPS with the certificate verified against the system's roots, through
//! the system's proxy where there is one, without following redirects. The identity endpoint of the
//! machine is never asked through a proxy. TLS is native-tls, as everywhere in pgreach.
//!
//! # Secrets
//!
//! Tokens and secrets are never in `Debug`, errors, logs or anything serialised: what Entra, proxies
//! and tools write is cut to a line, and whatever looks like a token is taken out. They are kept in
//! [`Secret`](pgreach_core::Secret)s, which are wiped; copies that azure_core and the HTTP client make
//! for a request are not. A connector sends a token only over TLS that is verified in full.
//!
//! # Errors
//!
//! All are of kind [`Credential`](pgreach_core::ErrorKind::Credential), at the stage
//! [`Stage::CREDENTIAL`](pgreach_core::Stage::CREDENTIAL), with one of the [`codes`].

pub mod codes;

mod cache;
mod chain;
mod claims;
mod clock;
mod cloud;
mod credentials;
#[cfg(test)]
mod ear;
mod failure;
mod freshness;
mod http;
mod identity;
mod pause;
#[cfg(feature = "client-certificate")]
mod pkcs12;
mod redact;
mod reply;
mod source;
mod token;
mod tool;

pub use azure_core;
pub use azure_identity;
pub use cloud::Cloud;
pub use credentials::{EntraCredentials, EntraCredentialsBuilder};
pub use identity::{EntraIdentity, ManagedIdentityId};
pub use token::{AssertionSource, EntraToken, TokenSource};
pub use tool::ToolOptions;
