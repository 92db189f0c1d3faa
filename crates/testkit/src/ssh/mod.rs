//! Real OpenSSH for tests: a server, keys, certificates and an agent.
//!
//! [`Sshd`] is the `sshd` of OpenSSH on a free port of 127.0.0.1, with users, passwords, keys and
//! settings of its own; [`Dropbear`] is the other server one meets on small bastions. [`SshKeypair`],
//! [`SshCa`] and [`SshAgent`] are what their clients need. [`programs`] says where all of it comes
//! from; [`Bastion`](crate::Bastion) is a server that needs no program at all.
//!
//! # As root, and otherwise
//!
//! As root on Linux the servers run in a mount namespace of their own, with a user database of their
//! own: any user name, passwords, PAM, locked accounts, home folders with any mode. Nothing on the
//! machine changes: `/etc` is a folder of the test there, `/run` and `/var/log` are empty.
//! (What a session runs is the machine's, but for what is a link through `/etc/alternatives`.)
//!
//! Otherwise (and where [`without_namespace`](SshdBuilder::without_namespace) says so) `sshd` runs as
//! the current user, for root that of the PostgreSQL servers. Only that user can log in, and only
//! with a key or a certificate; whatever else is asked for is an [`Error::State`](crate::Error).
//! A user made with [`SshUser::default`] works in both cases, and [`has_namespaces`] tells which it
//! is: in a container, root often may not mount.

mod agent;
mod authority;
mod dropbear;
mod fetch;
mod keys;
mod place;
mod processes;
mod programs;
mod server;
mod sshd;
mod users;

pub use agent::SshAgent;
pub use authority::{SshCa, Validity};
pub use dropbear::{Dropbear, DropbearBuilder};
pub use fetch::{dropbear_is_packaged, fetch};
pub(crate) use keys::fingerprint;
pub use keys::{KeyFormat, SshKeyType, SshKeypair, SshKeypairBuilder};
pub use place::has_namespaces;
pub use programs::{SshPrograms, find, programs};
pub use sshd::{Sshd, SshdBuilder};
pub use users::SshUser;
