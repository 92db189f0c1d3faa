//! TCP and Unix sockets: the route for everything that can be reached directly.
//!
//! [`TcpTransport`] resolves a host name once, checks every address against an [`AddressPolicy`],
//! and dials the *checked* addresses, several of them as RFC 8305 ("happy eyeballs") has it. The name
//! stays with the endpoint for TLS to verify. What comes back is a stream with keepalive and
//! `TCP_NODELAY` set, and the endpoint pinned to the address that answered, so that a cancel request
//! finds the same server.
//!
//! A program that lets its own users say where to connect should use
//! [`AddressPolicy::public_only`], or [`AddressPolicy::only`] with the networks it serves:
//!
//! ```
//! use std::time::Duration;
//! use pgreach_core::{DialContext, Endpoint, ErrorKind, Transport};
//! use pgreach_transport_tcp::{AddressPolicy, TcpTransport};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), pgreach_core::Error> {
//! let transport = TcpTransport::builder()
//!     .with_address_policy(AddressPolicy::public_only())
//!     .build()?;
//! let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
//! let endpoint = Endpoint::tcp("::ffff:127.0.0.1", 5432);
//! let error = transport.dial(&endpoint, &DialContext::new(deadline)).await.unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::Denied);
//! # Ok(())
//! # }
//! ```
//!
//! - `policy`: [`AddressPolicy`], [`Refusal`]
//! - `resolve`: [`Resolver`], [`SystemResolver`]
//! - `keepalive`: [`Keepalive`]
//! - [`codes`]: what can go wrong, and what to change

pub mod codes;

mod builder;
#[cfg(test)]
mod corpus;
mod eyeballs;
mod failure;
mod keepalive;
mod options;
mod policy;
mod quickack;
mod resolve;
mod transport;
#[cfg(unix)]
mod unix;

pub use builder::TcpTransportBuilder;
pub use ipnet::IpNet;
pub use keepalive::Keepalive;
pub use policy::{AddressPolicy, Refusal};
pub use resolve::{Resolver, SystemResolver};
pub use transport::TcpTransport;
