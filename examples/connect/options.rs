//! The command line.

use std::ffi::OsString;

use crate::ssh_options::SshOptions;
use pgreach::{Error, Stage, codes};

/// What to do.
pub(crate) enum Action {
    Help,
    Parse,
    Check,
    Command(String),
}

/// The command line, understood.
pub(crate) struct Options {
    pub(crate) action: Action,
    pub(crate) conninfo: String,
    /// The file of a connection document, or `-`; then there is no connection string.
    pub(crate) spec: Option<String>,
    pub(crate) ssh: SshOptions,
}

impl Options {
    pub(crate) fn parse(args: Vec<OsString>) -> Result<Self, Error> {
        let (mut help, mut parse, mut check) = (false, false, false);
        let mut command: Option<String> = None;
        let mut conninfo: Option<String> = None;
        let mut spec: Option<String> = None;
        let mut ssh = SshOptions::default();
        let mut options_end = false;
        let mut args = (1..).zip(args);
        while let Some((position, arg)) = args.next() {
            let arg = text(position, arg)?;
            match arg.as_str() {
                _ if options_end || !arg.starts_with('-') => once(&mut conninfo, arg, "CONNINFO")?,
                "--" => options_end = true,
                "-h" | "--help" => help = true,
                "--parse" => parse = true,
                "--check" => check = true,
                // See `Output::new`.
                "--json" => {}
                "--ssh-agent" => ssh.agent = true,
                _ => {
                    let (name, attached) = match arg.split_once('=') {
                        Some((name, value)) if name.starts_with("--") => (name, Some(value)),
                        _ => (arg.as_str(), None),
                    };
                    let Some(needed) = value_of(name) else {
                        // Not repeated: what looks like an option may be a misplaced password.
                        return Err(wrong(format!("argument {position} is not an option")));
                    };
                    let value = match attached {
                        Some(value) => value.to_owned(),
                        None => {
                            let (position, value) = args
                                .next()
                                .ok_or_else(|| wrong(format!("{name} needs {needed}")))?;
                            text(position, value)?
                        }
                    };
                    match name {
                        "-c" | "--command" => once(&mut command, value, "--command")?,
                        "--spec" => once(&mut spec, value, name)?,
                        _ => ssh.add(name, value)?,
                    }
                }
            }
        }
        ssh.check()?;
        if spec.is_some() {
            let others = [
                ("CONNINFO", conninfo.is_some()),
                ("--parse", parse),
                ("--ssh", !ssh.hops.is_empty()),
            ];
            if let Some((other, _)) = others.iter().find(|(_, given)| *given) {
                return Err(wrong(format!("--spec and {other} exclude each other"))
                    .with_hint("put everything into the document; docs/connection-spec.md lists its fields"));
            }
        }
        let action = match (help, parse, check, command) {
            (true, ..) => Action::Help,
            (_, true, false, None) => Action::Parse,
            (_, false, true, None) => Action::Check,
            (_, false, false, command) => {
                Action::Command(command.unwrap_or_else(|| "select 1".into()))
            }
            _ => return Err(wrong("--command, --check and --parse exclude each other")),
        };
        Ok(Self {
            action,
            conninfo: conninfo.unwrap_or_default(),
            spec,
            ssh,
        })
    }
}

/// What the option `name` needs; `None`: there is no such option with a value.
fn value_of(name: &str) -> Option<&'static str> {
    match name {
        "-c" | "--command" => Some("a statement"),
        "--spec" => Some("the file of a connection document, or -"),
        _ => SshOptions::value_of(name),
    }
}

pub(crate) fn once(place: &mut Option<String>, value: String, name: &str) -> Result<(), Error> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(wrong(format!("{name} was given more than once"))
            .with_hint("put quotes around a value with spaces, so that it is one argument")),
    }
}

fn text(position: usize, arg: OsString) -> Result<String, Error> {
    arg.into_string()
        .map_err(|_| wrong(format!("argument {position} is not UTF-8")))
}

pub(crate) fn wrong(message: impl AsRef<str>) -> Error {
    Error::new(&codes::CONFIG_INVALID, Stage::CONFIG, message)
        .with_hint("run with --help to see the options")
}
