//! The connection document that `--spec` names.

use std::io;
use std::path::Path;

use pgreach::{ConnectionSpec, Error, Stage, codes};

/// Reads the document in `file`, by the end of its name, or JSON from standard input.
///
/// # Errors
/// Kind Config, naming the file, and the field where one is wrong.
pub(crate) fn read(file: &str) -> Result<ConnectionSpec, Error> {
    if file == "-" {
        let text = io::read_to_string(io::stdin()).map_err(|cause| unreadable(file, cause))?;
        return ConnectionSpec::from_json(&text)
            .map_err(|error| error.with_context("standard input"));
    }
    let end = Path::new(file).extension().and_then(|end| end.to_str());
    let is = |format: &str| end.is_some_and(|end| end.eq_ignore_ascii_case(format));
    let parse: fn(&str) -> Result<ConnectionSpec, Error> = if is("json") {
        ConnectionSpec::from_json
    } else if is("toml") {
        ConnectionSpec::from_toml
    } else {
        let message = format!("--spec: \"{file}\" is neither a .json nor a .toml file");
        return Err(Error::new(&codes::CONFIG_INVALID, Stage::CONFIG, message)
            .with_hint("name the file by what is in it"));
    };
    let text = std::fs::read_to_string(file).map_err(|cause| unreadable(file, cause))?;
    parse(&text).map_err(|error| error.with_context(file))
}

fn unreadable(file: &str, cause: io::Error) -> Error {
    let message = format!("--spec: \"{file}\" cannot be read: {cause}");
    Error::new(&codes::CONFIG_FILE, Stage::CONFIG, message).with_source(cause)
}
