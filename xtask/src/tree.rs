//! What the crates may depend on, and how many crates they bring along.

use std::collections::BTreeSet;
use std::fs;

use crate::Failure;
use crate::cargo::{Package, cargo, output, packages, root};

/// The core knows no TLS library, no SSH library and no HTTP client.
const FORBIDDEN_IN_CORE: &[&str] = &[
    "native-tls",
    "tokio-native-tls",
    "postgres-native-tls",
    "openssl*",
    "rustls*",
    "tokio-rustls",
    "boring*",
    "aws-lc*",
    "ring",
    "schannel",
    "security-framework*",
    "russh*",
    "ssh*",
    "libssh*",
    "reqwest",
    "ureq",
    "curl*",
    "hyper*",
    "http",
    "http-*",
    "h2",
];

/// Nothing brings a second TLS stack beside the system's. Its types of certificates, `rustls-pki-types`,
/// are none.
const FORBIDDEN_ANYWHERE: &[&str] = &["rustls", "tokio-rustls", "hyper-rustls", "rustls-webpki"];

/// Crates that leaves may depend on; a leaf may not depend on another.
const BELOW_LEAVES: &[&str] = &["pgreach-core"];

/// Packages that are made of the others.
const NOT_LEAVES: &[&str] = &[
    "pgreach",
    "pgreach-core",
    "pgreach-testkit",
    "pgreach-examples",
    "pgreach-benches",
    "xtask",
];

/// Leaf, and the one leaf that it builds on.
const EXCEPTIONS: &[(&str, &str)] = &[("pgreach-rotate", "pgreach-provision")];

/// A package, what its users have already, and how many crates it may add to that.
const BUDGETS: &[(&str, &[&str], usize)] = &[
    ("pgreach", &["tokio-postgres", "postgres-native-tls"], 60),
    ("pgreach-core", &["tokio-postgres"], 25),
];

/// `cargo xtask tree`
pub(crate) fn run() -> Result<(), Failure> {
    let mut trouble = Vec::new();
    // On every platform: what Linux does not use, Windows might.
    let core = names(&["-p", "pgreach-core", "--all-features", "--target", "all"])?;
    for name in matching(&core, FORBIDDEN_IN_CORE) {
        trouble.push(format!("pgreach-core depends on {name}"));
    }
    let all = names(&["-p", "pgreach", "--all-features", "--target", "all"])?;
    for name in matching(&all, FORBIDDEN_ANYWHERE) {
        trouble.push(format!("pgreach with all features depends on {name}"));
    }
    trouble.extend(leaves_on_leaves(&packages()?));
    for (package, baseline, allowed) in BUDGETS {
        let own = names(&["-p", package])?;
        let before = baseline_names(package, baseline)?;
        let added: Vec<_> = own.difference(&before).map(String::as_str).collect();
        println!(
            "{package} adds {} crates to the {} of {} (at most {allowed})",
            added.len(),
            before.len(),
            baseline.join(" and "),
        );
        if added.len() > *allowed {
            trouble.push(format!(
                "{package} adds too many crates: {}",
                added.join(", ")
            ));
        }
    }
    if trouble.is_empty() {
        println!("dependencies are as they should be");
        return Ok(());
    }
    Err(trouble.join("\nxtask: "))
}

/// The names of all crates that are built for a package on this platform.
fn names(args: &[&str]) -> Result<BTreeSet<String>, Failure> {
    let tree = output(
        cargo()
            .args([
                "tree", "--edges", "normal", "--prefix", "none", "--format", "{p}",
            ])
            .args(args),
    )?;
    Ok(parse(&tree))
}

/// The first word of each line is a crate's name.
fn parse(tree: &str) -> BTreeSet<String> {
    tree.lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

/// The crates of a program that uses `baseline` alone, in the versions of this workspace. A package
/// of its own is needed to ask for that: in the workspace, the features of others are mixed in.
fn baseline_names(package: &str, baseline: &[&str]) -> Result<BTreeSet<String>, Failure> {
    let folder = root()
        .join("target/xtask")
        .join(format!("baseline-{package}"));
    let mut manifest =
        "[package]\nname = \"baseline\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n"
            .to_owned();
    for name in baseline {
        manifest.push_str(&format!("{name} = \"*\"\n"));
    }
    let written = fs::create_dir_all(folder.join("src"))
        .and_then(|()| fs::write(folder.join("src/lib.rs"), ""))
        .and_then(|()| fs::write(folder.join("Cargo.toml"), manifest))
        .and_then(|()| fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")));
    written.map_err(|error| format!("cannot write to {}: {error}", folder.display()))?;
    let manifest = folder.join("Cargo.toml");
    let mut names = names(&["--manifest-path", &manifest.to_string_lossy()])?;
    names.remove("baseline");
    Ok(names)
}

/// The names that a pattern is about.
fn matching<'a>(
    names: &'a BTreeSet<String>,
    patterns: &'a [&str],
) -> impl Iterator<Item = &'a str> {
    names
        .iter()
        .map(String::as_str)
        .filter(move |name| forbidden(name, patterns))
}

fn forbidden(name: &str, patterns: &[&str]) -> bool {
    patterns
        .iter()
        .any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == *pattern,
        })
}

fn leaves_on_leaves(packages: &[Package]) -> Vec<String> {
    let mut trouble = Vec::new();
    for package in packages {
        for dependency in &package.dependencies {
            let ours = packages.iter().any(|other| other.name == *dependency);
            let allowed = match package.name.as_str() {
                "pgreach-core" => false,
                name if NOT_LEAVES.contains(&name) => true,
                name => {
                    BELOW_LEAVES.contains(&dependency.as_str())
                        || EXCEPTIONS.contains(&(name, dependency))
                }
            };
            if ours && !allowed {
                trouble.push(format!("{} must not depend on {dependency}", package.name));
            }
        }
    }
    trouble
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_sets_of_names() {
        let tree = "a v1.0.0 (/somewhere)\nb v2.0.0\nc v1.0.0 (proc-macro)\nb v2.0.0 (*)\n\n";
        assert_eq!(parse(tree).into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn families_of_crates_are_recognised() {
        for name in [
            "openssl-sys",
            "native-tls",
            "security-framework-sys",
            "http",
        ] {
            assert!(forbidden(name, FORBIDDEN_IN_CORE), "{name}");
        }
        for name in ["httparse2", "tokio-postgres", "stringprep"] {
            assert!(!forbidden(name, FORBIDDEN_IN_CORE), "{name}");
        }
    }

    #[test]
    fn another_tls_stack_is_found() {
        let names = parse("reqwest v0.13.5\nrustls v0.23.0\nrustls-pki-types v1.0.0\n");
        let found: Vec<_> = matching(&names, FORBIDDEN_ANYWHERE).collect();
        assert_eq!(found, ["rustls"]);
    }

    #[test]
    fn a_leaf_depends_on_core_alone() {
        let package = |name: &str, dependencies: &[&str]| Package {
            name: name.to_owned(),
            features: Vec::new(),
            dependencies: dependencies.iter().map(|&name| name.to_owned()).collect(),
            targets: Vec::new(),
        };
        let packages = [
            package("pgreach-core", &["tokio"]),
            package("pgreach-tls", &["pgreach-core", "native-tls"]),
            package("pgreach-transport-tcp", &["pgreach-core", "pgreach-tls"]),
            package("pgreach-provision", &["pgreach-core"]),
            package("pgreach-rotate", &["pgreach-provision"]),
            package("pgreach", &["pgreach-tls", "pgreach-transport-tcp"]),
        ];
        assert_eq!(
            leaves_on_leaves(&packages),
            ["pgreach-transport-tcp must not depend on pgreach-tls"]
        );
    }
}
