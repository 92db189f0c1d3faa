//! Benchmarks: those of the package `pgreach-benches`.

use crate::Failure;
use crate::cargo::{cargo, packages, run as run_command};

const PACKAGE: &str = "pgreach-benches";

/// `cargo xtask bench [NAME [--json FILE]]`
pub(crate) fn run(args: &[&str]) -> Result<(), Failure> {
    let (name, json) = match args {
        [] => (None, None),
        // Every benchmark writes a file of its own.
        ["--json", ..] => return Err("--json needs the NAME of one benchmark".to_owned()),
        [name] => (Some(*name), None),
        [name, "--json", file] => (Some(*name), Some(*file)),
        _ => return Err("usage: cargo xtask bench [NAME [--json FILE]]".to_owned()),
    };
    let targets: Vec<_> = packages()?
        .into_iter()
        .filter(|package| package.name == PACKAGE)
        .flat_map(|package| package.targets)
        .filter(|(kind, target)| {
            (kind == "bench" || kind == "bin") && name.is_none_or(|name| name == target)
        })
        .collect();
    if targets.is_empty() {
        return Err(match name {
            Some(name) => format!("there is no benchmark {name} in {PACKAGE}"),
            None => format!("there are no benchmarks in {PACKAGE}"),
        });
    }
    for (kind, target) in targets {
        let mut command = cargo();
        if kind == "bench" {
            // Criterion writes its own JSON below `target/criterion`.
            command.args(["bench", "--package", PACKAGE, "--bench", &target]);
        } else {
            command.args([
                "run",
                "--release",
                "--package",
                PACKAGE,
                "--bin",
                &target,
                "--",
            ]);
            if let Some(file) = json {
                command.args(["--json", file]);
            }
        }
        run_command(&mut command)?;
    }
    Ok(())
}
