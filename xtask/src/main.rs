//! The tasks of this workspace: `cargo xtask <task>`.
//!
//! They are Rust rather than shell so that they run wherever the workspace builds. `.ci/run` is
//! made of them: what it finds can be reproduced by running one task.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a task talks to the person who started it"
)]

mod bench;
mod cargo;
mod lint;
mod servers;
mod test;
mod tree;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <task>

  test [--all-servers] [-- ARGS]  unit, integration and documentation tests; ARGS go to `cargo test`.
                                  With --all-servers, and where CI=true, against PostgreSQL 13 to 18,
                                  otherwise against the servers that are installed
  servers [--fetch]               list the PostgreSQL and SSH servers; with --fetch, get the missing ones
  lint                            rustfmt, clippy with all features and with each one alone, rustdoc
  tree                            what the crates may depend on, and how many crates they add
  bench [NAME [--json FILE]]      all benchmarks, or one
";

/// A message for the person who started the task.
type Failure = String;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        ["test", rest @ ..] => test::run(rest),
        ["servers", rest @ ..] => servers::run(rest),
        ["lint"] => lint::run(),
        ["tree"] => tree::run(),
        ["bench", rest @ ..] => bench::run(rest),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("unknown or missing task\n{USAGE}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}
