//! The command line.

use std::ffi::OsString;

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
}

impl Options {
    pub(crate) fn parse(args: Vec<OsString>) -> Result<Self, Error> {
        let (mut help, mut parse, mut check) = (false, false, false);
        let mut command: Option<String> = None;
        let mut conninfo: Option<String> = None;
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
                "-c" | "--command" => {
                    let (position, sql) = args
                        .next()
                        .ok_or_else(|| wrong(format!("{arg} needs a statement")))?;
                    once(&mut command, text(position, sql)?, "--command")?;
                }
                _ => match arg.strip_prefix("--command=") {
                    Some(sql) => once(&mut command, sql.to_owned(), "--command")?,
                    // Not repeated: what looks like an option may be a misplaced password.
                    None => return Err(wrong(format!("argument {position} is not an option"))),
                },
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
        })
    }
}

fn once(place: &mut Option<String>, value: String, name: &str) -> Result<(), Error> {
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

fn wrong(message: impl AsRef<str>) -> Error {
    Error::new(&codes::CONFIG_INVALID, Stage::CONFIG, message)
        .with_hint("run with --help to see the options")
}
