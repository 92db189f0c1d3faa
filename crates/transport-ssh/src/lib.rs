//! SSH tunnels: the route to a database behind a bastion.
//!
//! [`SshTransport`] opens each connection as a channel of an SSH session, in this process: there is no
//! `ssh` program, no local port and no key file. It is a transport over a transport: TCP, with its
//! socket options and address policy, comes from the one below.
//!
//! ```no_run
//! use pgreach_core::Transport;
//! use pgreach_transport_ssh::{HostKeyPolicy, SshHop, SshKey, SshTransport};
//!
//! # fn tunnel(tcp: impl Transport) -> Result<SshTransport, pgreach_core::Error> {
//! let bastion = SshHop::new("bastion.example.com", "tunnel")
//!     .with_auth(SshKey::from_file("/etc/tunnel/id_ed25519", None)?)
//!     .with_host_keys(HostKeyPolicy::fingerprints([
//!         "SHA256:p3dsUAyHsdgu4ysNY5xyZ5eLfWDRNcTZKrO/k2QJ9zQ",
//!     ])?);
//! let transport = SshTransport::builder(tcp).with_hop(bastion).build()?;
//! # Ok(transport)
//! # }
//! ```
//!
//! - **Trust.** Host keys are verified strictly unless a [`HostKeyPolicy`] says otherwise, with
//!   OpenSSH's reading of `known_hosts`, before any credential is sent.
//! - **Identity.** [`SshAuth`]: keys in every format ([`SshKey`]), certificates, passwords,
//!   keyboard-interactive, the agent; several in order. [`SshKeyPair`] makes a key for a customer and
//!   the line for their `authorized_keys`.
//! - **Jump hosts.** Any number of [`SshHop`]s, each with its own user, credentials and policy.
//!   With the feature `config-file`, `SshConfig` reads them from `~/.ssh/config`.
//! - **Independence.** Every live connection has a session of its own, unless
//!   [told otherwise](SshTransportBuilder::with_channels_per_session): one that does not read holds
//!   up nobody else. Sessions are used again.
//! - **No silence.** A peer that stops answering is found within 20 seconds, also while a write is
//!   stuck. [`codes`] lists what can go wrong and what to change.
//!
//! # Which part is where
//! - `transport`, `route`, `pool`: the transport, its hops, its sessions
//! - `session`, `handler`, `wire`: one session, over russh
//! - `channel`, `buffer`: one connection
//! - `known_hosts`, `auth`, `key`, `algorithms`: trust, identity, cryptography
//! - `failure`: what an error means
//!
//! # What is not done here
//! Passwords are handed to russh as plain strings, which it does not wipe. GSSAPI and security keys
//! (`sk-` types, outside an agent) are not supported.

pub mod codes;

mod algorithms;
mod auth;
mod buffer;
mod channel;
#[cfg(feature = "config-file")]
mod config_file;
mod failure;
mod handler;
mod hop;
mod key;
mod known_hosts;
mod pool;
mod route;
mod session;
mod stages;
mod transport;
mod wire;

pub use algorithms::Algorithms;
pub use auth::{Challenge, ChallengePrompt, Prompter, SshAuth};
#[cfg(feature = "config-file")]
pub use config_file::{SshConfig, SshConfigHost};
pub use hop::SshHop;
pub use key::{AuthorizedKeyOptions, SshKey, SshKeyPair};
pub use known_hosts::HostKeyPolicy;
pub use stages::{CHANNEL, HOST_KEY, SSH_AUTH, SSH_HANDSHAKE, SSH_SESSION, SSH_TCP};
pub use transport::{SshTransport, SshTransportBuilder};

use std::time::Duration;

/// Full jitter: anything from nothing to `at_most`, so that many clients do not come back together.
fn jitter(at_most: Duration) -> Duration {
    at_most.mul_f64(rand::random::<f64>())
}
