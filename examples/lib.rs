//! Examples of pgreach: see the files beside this one.
//!
//! - `cargo run --example quickstart`: every route, against a throwaway server.
//! - `cargo run --example connect -- [OPTIONS] [CONNINFO]`: your own server.
