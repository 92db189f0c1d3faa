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
        let mut args = args.into_iter().map(|arg| {
            arg.into_string().map_err(|_| wrong("an argument is not valid UTF-8".into()))
        });
        let (mut help, mut parse, mut check) = (false, false, false);
        let mut command = None;
        let mut conninfo: Option<String> = None;
        let mut only_positional = false;
        while let Some(arg) = args.next() {
            let arg = arg?;
            match arg.as_str() {
                _ if only_positional => place(&mut conninfo, arg)?,
                "--" => only_positional = true,
                "-h" | "--help" => help = true,
                "--json" => {}
                "--parse" => parse = true,
                "--check" => check = true,
                "-c" | "--command" => {
                    let sql = args.next().ok_or_else(|| wrong(format!("{arg} needs a statement")))??;
                    command = Some(sql);
                }
                _ if arg.starts_with("--command=") => {
                    command = arg.strip_prefix("--command=").map(str::to_owned);
                }
                // Not repeated: what looks like an option may be a misplaced password.
                _ if arg.starts_with('-') => {
                    return Err(wrong("unknown option".into()));
                }
                _ => place(&mut conninfo, arg)?,
            }
        }
        let action = match (help, parse, check, command) {
            (true, ..) => Action::Help,
            (_, true, true, _) => return Err(wrong("--parse and --check exclude each other".into())),
            (_, true, _, Some(_)) => {
                return Err(wrong("--parse and --command exclude each other".into()));
            }
            (_, _, true, Some(_)) => {
                return Err(wrong("--check and --command exclude each other".into()));
            }
            (_, true, ..) => Action::Parse,
            (_, _, true, _) => Action::Check,
            (.., command) => Action::Command(command.unwrap_or_else(|| "select 1".into())),
        };
        Ok(Self { action, conninfo: conninfo.unwrap_or_default() })
    }
}

fn place(conninfo: &mut Option<String>, arg: String) -> Result<(), Error> {
    match conninfo.replace(arg) {
        None => Ok(()),
        Some(_) => Err(wrong("more than one CONNINFO was given; quote it as one argument".into())),
    }
}

fn wrong(message: String) -> Error {
    Error::new(&codes::CONFIG_INVALID, Stage::CONFIG, message)
        .with_hint("run with --help to see the options")
}
