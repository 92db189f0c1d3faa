//! All tests.

use std::env;

use pgreach_testkit::servers::{self, FETCHABLE};

use crate::Failure;
use crate::cargo::{cargo, run as run_command};
use crate::servers::{ensure_all, ensure_ssh, in_ci, list, missing};

const VERSIONS: &str = "PGREACH_TEST_VERSIONS";

/// `cargo xtask test [--all-servers] [-- ARGS]`
pub(crate) fn run(args: &[&str]) -> Result<(), Failure> {
    let (all, rest) = match args {
        ["--all-servers", rest @ ..] => (true, rest),
        rest => (in_ci(), rest),
    };
    let rest = match rest {
        [] => &[],
        ["--", rest @ ..] => rest,
        _ => return Err("usage: cargo xtask test [--all-servers] [-- ARGS]".to_owned()),
    };
    let mut command = cargo();
    // Plain `cargo test`: it needs nothing else installed, and runs the documentation's examples.
    command.args(["test", "--all-features", "--no-fail-fast"]);
    let one = rest
        .iter()
        .any(|arg| *arg == "-p" || arg.starts_with("--package"));
    if !one {
        command.arg("--workspace");
    }
    command.args(rest);
    if env::var_os("RUST_BACKTRACE").is_none() {
        command.env("RUST_BACKTRACE", "1");
    }
    if all {
        ensure_all()?;
        let majors: Vec<_> = FETCHABLE.collect();
        println!("testing against PostgreSQL {}", list(&majors));
        let majors: Vec<_> = majors.iter().map(u16::to_string).collect();
        command.env(VERSIONS, majors.join(","));
    } else {
        say_what_is_skipped();
    }
    ensure_ssh()?;
    // Nothing is printed after this: the test runner's own lines are the result.
    run_command(&mut command)
}

fn say_what_is_skipped() {
    if let Ok(versions) = env::var(VERSIONS)
        && !versions.trim().is_empty()
    {
        println!("testing against PostgreSQL {versions}, as {VERSIONS} says");
        return;
    }
    let found = servers::find();
    if found.is_empty() {
        println!(
            "no PostgreSQL server is installed: the tests fetch the newest one and skip the others \
             (`cargo xtask test --all-servers` skips none)"
        );
        return;
    }
    let mut majors: Vec<_> = found.iter().map(servers::ServerBinaries::major).collect();
    majors.sort_unstable();
    majors.dedup();
    println!("testing against PostgreSQL {}", list(&majors));
    let missing = missing(&found);
    if !missing.is_empty() {
        println!(
            "skipping PostgreSQL {} (`cargo xtask test --all-servers` skips none)",
            list(&missing)
        );
    }
}
