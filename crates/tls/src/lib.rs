//! TLS for pgreach on [`native_tls`]: OpenSSL on Linux and the BSDs, Secure Transport on Apple's
//! systems, SChannel on Windows.
//!
//! [`NativeTls`] is the [`TlsProvider`](pgreach_core::TlsProvider) to give to a connector. It holds
//! what is *trusted*: the [`Roots`], the protocol versions, revocation lists, and whether the name is
//! sent as SNI. What is *verified* is the connector's
//! [`TlsPolicy`](pgreach_core::TlsPolicy), with libpq's meaning:
//!
//! | `sslmode` | chain | name | roots |
//! |---|---|---|---|
//! | `allow`, `prefer` | no | no | |
//! | `require` | only where a root file is given | no | |
//! | `verify-ca` | yes | no | a file: the system's are refused, as by libpq |
//! | `verify-full` | yes | yes | a file or the system's |
//!
//! - Roots from a file *replace* the system's: a certificate of a public authority is then refused.
//! - DNS names and IP addresses are found in the subject alternative names; a certificate without any
//!   DNS name there is matched by its common name, but never for an IP address. A wildcard stands
//!   for one whole label.
//! - ALPN `postgresql` is always offered. Direct TLS (`sslnegotiation=direct`) insists that the server
//!   chooses it, which PostgreSQL 17 and later do; otherwise the server may choose nothing.
//! - Revocation lists are enforced for the whole chain, or refused with an error where that is
//!   not possible; they are never ignored.
//! - Channel binding (`tls-server-end-point`) is offered for every certificate with a hash of its own;
//!   Ed25519 and RSA-PSS certificates have none in OpenSSL's sense.
//! - A handshake that failed says why: [`codes`] tell a wrong name from an unknown authority, an
//!   expired certificate and so on, and [`NativeTls::inspect`](pgreach_core::TlsProvider::inspect)
//!   shows the certificate.
//!
//! ```no_run
//! # fn main() -> Result<(), pgreach_core::Error> {
//! use pgreach_core::TlsVersion;
//! use pgreach_tls::{NativeTls, Roots};
//!
//! let tls = NativeTls::builder()
//!     .with_roots(Roots::from_file("/etc/pgreach/corporate-ca.pem"))
//!     .with_min_version(TlsVersion::V1_3)
//!     .with_crl_file("/etc/pgreach/corporate-ca.crl")
//!     .build()?;
//! # let _ = tls;
//! # Ok(())
//! # }
//! ```

pub mod codes;

mod builder;
mod cause;
mod certificate;
mod connectors;
#[cfg(not(any(target_os = "windows", target_vendor = "apple")))]
mod crl;
#[cfg(any(target_os = "windows", target_vendor = "apple"))]
#[path = "crl_unsupported.rs"]
mod crl;
mod explain;
mod pem;
mod provider;
mod roots;
mod server_name;
mod verdict;

pub use builder::NativeTlsBuilder;
pub use provider::NativeTls;
pub use roots::Roots;
