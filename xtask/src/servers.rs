//! The PostgreSQL and SSH servers that the tests run against.

use std::env;
use std::process::{Command, Stdio};

use pgreach_testkit::servers::{self, FETCHABLE, ServerBinaries};
use pgreach_testkit::ssh;

use crate::Failure;

/// `cargo xtask servers [--fetch]`
pub(crate) fn run(args: &[&str]) -> Result<(), Failure> {
    match args {
        [] => {}
        ["--fetch"] => {
            ensure_all()?;
            ensure_ssh()?;
        }
        _ => return Err("usage: cargo xtask servers [--fetch]".to_owned()),
    }
    let found = servers::find();
    for server in &found {
        println!(
            "PostgreSQL {} in {}",
            server.version(),
            server.bin().display()
        );
    }
    let missing = missing(&found);
    if !missing.is_empty() {
        println!(
            "not here: PostgreSQL {} (`cargo xtask servers --fetch` gets them)",
            list(&missing)
        );
    }
    match ssh::find() {
        Some(programs) => {
            let (version, sshd) = (programs.version(), programs.sshd().display());
            println!("OpenSSH {version} in {sshd}");
            match programs.dropbear() {
                Some(dropbear) => println!("Dropbear in {}", dropbear.display()),
                None => println!("not here: dropbear"),
            }
        }
        None => println!("not here: sshd (`cargo xtask servers --fetch` gets it on Debian)"),
    }
    Ok(())
}

/// Gets `sshd`, and `dropbear` where there is a package of it. In CI nothing may be missing;
/// elsewhere the tests that need it will say so.
pub(crate) fn ensure_ssh() -> Result<(), Failure> {
    match ssh::fetch() {
        Ok(programs) => {
            println!("testing with OpenSSH {}", programs.version());
            Ok(())
        }
        Err(error) if in_ci() => Err(error.to_string()),
        Err(error) => {
            println!("{error}");
            Ok(())
        }
    }
}

/// Where `CI` is set to anything but `false`, nothing may be missing.
pub(crate) fn in_ci() -> bool {
    env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false" && value != "0")
}

/// The major versions that are supported and not installed.
pub(crate) fn missing(found: &[ServerBinaries]) -> Vec<u16> {
    FETCHABLE
        .filter(|major| !found.iter().any(|server| server.major() == *major))
        .collect()
}

/// Gets every supported version that is not installed.
pub(crate) fn ensure_all() -> Result<(), Failure> {
    let missing = missing(&servers::find());
    if missing.is_empty() {
        return Ok(());
    }
    for (program, comes_with) in [("npm", "Node.js"), ("tar", "GNU tar or bsdtar")] {
        if !starts(program) {
            return Err(format!(
                "PostgreSQL {} must be fetched, which needs `{program}`: install {comes_with}",
                list(&missing)
            ));
        }
    }
    println!("fetching PostgreSQL {}", list(&missing));
    // Most of the time is waiting for the network.
    std::thread::scope(|scope| {
        let fetches: Vec<_> = missing
            .iter()
            .map(|major| scope.spawn(|| servers::fetch(*major)))
            .collect();
        for fetch in fetches {
            match fetch.join() {
                Ok(Ok(server)) => println!("fetched PostgreSQL {}", server.version()),
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err("a fetch panicked".to_owned()),
            }
        }
        Ok(())
    })
}

fn starts(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// `13, 14 and 18`
pub(crate) fn list(majors: &[u16]) -> String {
    let words: Vec<_> = majors.iter().map(u16::to_string).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_like_a_sentence() {
        for (majors, text) in [
            (&[][..], "none"),
            (&[13], "13"),
            (&[13, 18], "13 and 18"),
            (&[13, 14, 18], "13, 14 and 18"),
        ] {
            assert_eq!(list(majors), text);
        }
    }
}
