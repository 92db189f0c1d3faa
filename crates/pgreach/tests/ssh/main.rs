//! Connections through SSH servers of OpenSSH.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod fixture;
mod flow;
mod identity;
mod others;
mod patience;
mod report;
mod routes;
mod sessions;
mod trouble;
