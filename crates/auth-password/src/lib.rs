//! Passwords for pgreach, wherever they are kept.
//!
//! Each source implements [`CredentialProvider`](pgreach_core::CredentialProvider) and is asked once
//! for every new connection, because passwords are rotated while a program runs. A source answers
//! only when asked: there are no background tasks, and a source that is dropped leaves nothing
//! behind.
//!
//! | source | the password is | after the server refused it |
//! |---|---|---|
//! | [`FixedPassword`] | given once | no second attempt |
//! | [`EnvPassword`] | in an environment variable | no second attempt |
//! | [`PassfilePassword`] | in `~/.pgpass` or a file like it | no second attempt |
//! | [`FilePassword`] | in a file that others rotate | read again |
//! | [`CommandPassword`] | printed by a program | run again |
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use pgreach_auth_password::{CommandPassword, FilePassword};
//! use pgreach_core::CredentialProvider;
//!
//! let sources: Vec<Arc<dyn CredentialProvider>> = vec![
//!     Arc::new(FilePassword::new("/run/secrets/db-password")),
//!     Arc::new(
//!         CommandPassword::new("/usr/local/bin/vault")
//!             .with_args(["kv", "get", "-field=password", "secret/db"])
//!             .with_cache(Duration::from_secs(300)),
//!     ),
//! ];
//! # assert_eq!(sources.len(), 2);
//! ```
//!
//! # Secrets
//!
//! A password lives in a [`Secret`], which is wiped from memory when it is dropped; the buffers that
//! it passes through on its way from a file or a program are wiped too. It is never in `Debug`,
//! errors, logs or anything serialised: errors name the variable, the file or the program. What the
//! driver makes of a password while it connects is beyond this crate.
//!
//! # Errors
//!
//! All are of kind [`Credential`](pgreach_core::ErrorKind::Credential), at the stage
//! [`Stage::CREDENTIAL`](pgreach_core::Stage::CREDENTIAL), with one of the [`codes`].

pub mod codes;

#[cfg(test)]
mod blocking;
mod command;
mod content;
mod env;
mod file;
mod fixed;
mod passfile;

use std::sync::Arc;

use pgreach_core::{Credential, Secret};

pub use command::CommandPassword;
pub use env::EnvPassword;
pub use file::FilePassword;
pub use fixed::FixedPassword;
pub use passfile::PassfilePassword;

/// A password, with its user where the source names one.
fn password(secret: Secret, user: Option<&str>) -> Arc<Credential> {
    let credential = Credential::password(secret);
    Arc::new(match user {
        Some(user) => credential.with_user(user),
        None => credential,
    })
}
