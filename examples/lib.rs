//! Examples of pgreach: see the files beside this one.
//!
//! - `cargo run --example quickstart`: every route, against a throwaway server.
//! - `cargo run --example connect -- [OPTIONS] [CONNINFO]`: your own server.
//! - `cargo run --example ssh_tunnel`: a customer's bastion, from the key pair to the first row.
//! - `cargo run --example client_certificate`: a certificate that is renewed while the program runs.
//! - `cargo run --example azure_token`: Microsoft Entra tokens, against stand-ins for Microsoft.
//! - `cargo run --example pool`: a pool under load, across rotations and a restart.
