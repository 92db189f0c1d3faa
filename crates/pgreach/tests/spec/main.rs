//! Connection documents.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod connect;
mod documents;
mod errors;
#[cfg(all(
    feature = "cert",
    not(any(target_os = "windows", target_vendor = "apple"))
))]
mod identities;
mod import;
#[cfg(feature = "spec-schema")]
mod schema;
mod secrets;
