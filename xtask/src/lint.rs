//! Format, lints and documentation, without a single warning.

use crate::Failure;
use crate::cargo::{cargo, packages, step};

/// `cargo xtask lint`
pub(crate) fn run() -> Result<(), Failure> {
    step("rustfmt", cargo().args(["fmt", "--all", "--check"]))?;
    step(
        "clippy, all features",
        cargo()
            .args(["clippy", "--workspace", "--all-targets", "--all-features"])
            .args(["--", "-D", "warnings"]),
    )?;
    for package in packages()? {
        if package.features.is_empty() {
            continue;
        }
        // Libraries only: tests and examples may need features together, and say so.
        let alone = |name: String, feature: Option<&str>| {
            let mut command = cargo();
            command.args([
                "clippy",
                "--package",
                &package.name,
                "--lib",
                "--no-default-features",
            ]);
            if let Some(feature) = feature {
                command.args(["--features", feature]);
            }
            step(&name, command.args(["--", "-D", "warnings"]))
        };
        alone(format!("clippy, {} without features", package.name), None)?;
        for feature in &package.features {
            alone(
                format!("clippy, {} with {feature} alone", package.name),
                Some(feature),
            )?;
        }
    }
    step(
        "rustdoc",
        cargo()
            .args(["doc", "--workspace", "--all-features", "--no-deps"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}
