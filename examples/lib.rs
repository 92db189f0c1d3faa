//! Examples of pgreach: see the files beside this one.
//!
//! - `cargo run --example quickstart`: every route, against a throwaway server.
//! - `cargo run --example connect -- [OPTIONS] [CONNINFO]`: your own server.
//! - `cargo run --example ssh_tunnel`: a customer's bastion, from the key pair to the first row.
