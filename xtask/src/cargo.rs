//! Running cargo, and asking it about the workspace.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::Failure;

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The cargo that runs this task, in the workspace's folder.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a command with its output shown; fails when it does.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let shown = show(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{shown}` failed ({status})")),
        Err(error) => Err(format!("`{shown}` could not be started: {error}")),
    }
}

/// As [`run`], with a heading and the time that it took.
pub(crate) fn step(name: &str, command: &mut Command) -> Result<(), Failure> {
    println!("--- {name}");
    let began = Instant::now();
    run(command)?;
    println!("--- {name}: {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// What a command prints; fails when it does.
pub(crate) fn output(command: &mut Command) -> Result<String, Failure> {
    let shown = show(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("`{shown}` could not be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("`{shown}` failed ({})", output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("`{shown}` printed no text"))
}

fn show(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default();
    let mut shown = program.to_string_lossy().into_owned();
    for arg in command.get_args() {
        shown.push(' ');
        shown.push_str(&arg.to_string_lossy());
    }
    shown
}

/// A package of this workspace.
pub(crate) struct Package {
    pub(crate) name: String,
    /// The names of its features, without `default`.
    pub(crate) features: Vec<String>,
    /// The names of its normal and build dependencies, as they are called in the registry.
    pub(crate) dependencies: Vec<String>,
    /// Kind and name of its targets, such as `("bench", "connect")`.
    pub(crate) targets: Vec<(String, String)>,
}

/// The packages of this workspace, in order of their names.
pub(crate) fn packages() -> Result<Vec<Package>, Failure> {
    let text = output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value =
        serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    let mut packages: Vec<_> = items(&metadata["packages"]).map(package).collect();
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

fn package(package: &Value) -> Package {
    let mut features: Vec<_> = package["features"]
        .as_object()
        .map(|features| features.keys().cloned().collect())
        .unwrap_or_default();
    features.retain(|feature| feature != "default");
    Package {
        name: text(&package["name"]),
        features,
        dependencies: items(&package["dependencies"])
            .filter(|dependency| dependency["kind"] != "dev")
            .map(|dependency| text(&dependency["name"]))
            .collect(),
        targets: items(&package["targets"])
            .flat_map(|target| {
                items(&target["kind"]).map(|kind| (text(kind), text(&target["name"])))
            })
            .collect(),
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
