//! Real servers for tests: PostgreSQL, OpenSSH, certificates, network faults and rogue servers.
//!
//! Tests of code that connects to databases are worth most against the real thing. This crate starts
//! it in under a second and removes it afterwards, also when the test panics:
//!
//! - [`Postgres`]: a server of any version from 13 to 18, with its own data folder, `pg_hba.conf`,
//!   TLS and standbys. [`servers`] says where the programs come from.
//! - [`Pki`]: certificates good and bad: expired, for another name, of another authority, revoked.
//! - [`FaultProxy`]: a slow, silent, slicing or dying network.
//! - [`Sshd`]: the server of OpenSSH with users, keys and settings of its own; see [`ssh`].
//! - [`Bastion`]: an SSH server inside the test's process, which needs nothing installed.
//! - [`Rogue`]: a scripted server that does what no PostgreSQL would.
//! - [`FakeEntra`] and [`EntraGateway`]: Microsoft's token authority, which cannot be had in a test,
//!   and a server that takes its tokens as passwords; see [`entra`].
//!
//! ```no_run
//! # fn main() -> Result<(), pgreach_testkit::Error> {
//! use pgreach_testkit::{Pki, Postgres};
//!
//! let pki = Pki::generate()?;
//! let certificate = pki.server("localhost").issue()?;
//! let server = Postgres::builder()
//!     .with_tls(certificate.chain_pem(), certificate.key_pem())
//!     .with_hba(["hostssl all all 127.0.0.1/32 scram-sha-256"])
//!     .with_sql("create role app login password 'secret'")
//!     .start()?;
//! println!("host=localhost port={} sslrootcert={}", server.port(), pki.root_file().display());
//! # Ok(())
//! # }
//! ```

mod account;
pub mod bastion;
mod command;
pub mod entra;
mod error;
pub mod fault;
mod files;
pub mod pki;
mod ports;
mod postgres;
pub mod rogue;
pub mod servers;
pub mod ssh;

pub use bastion::{Bastion, BastionBuilder};
pub use entra::{EntraGateway, FakeEntra};
pub use error::Error;
pub use fault::{Direction, Fault, FaultProxy};
pub use pki::Pki;
pub use postgres::{Postgres, PostgresBuilder, Rows};
pub use rogue::{Peer, Rogue};
pub use ssh::{Sshd, SshdBuilder};
