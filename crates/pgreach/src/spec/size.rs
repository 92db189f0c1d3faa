//! How large a document may be: it may come from a stranger, and is kept in memory.

use serde_json::Value;

use super::document::Document;
use super::fault::{Fault, join};
use super::node::at;
use super::secret::SecretSource;

/// Bytes of a text.
const TEXT: usize = 1 << 16;
/// Bytes of certificates, keys, archives and lists of host keys.
const PEM: usize = 1 << 20;
/// Elements of a list without a bound of its own.
const LIST: usize = 1024;
/// Words of a command.
const WORDS: usize = 64;

/// The most elements of the list or object in a field.
fn most(field: &str) -> usize {
    match field {
        "hops" | "auth" => 8,
        "endpoints" => 32,
        "parameters" => 64,
        _ => LIST,
    }
}

impl Document {
    /// # Errors
    /// The first field, as it is written out, that is too long.
    pub(super) fn check_size(&self) -> Result<(), Fault> {
        // Whatever fields there are: none is forgotten. Secrets are not among them.
        match serde_json::to_value(self) {
            Ok(written) => check(&written, "", ""),
            Err(_) => Err(Fault::field("", "cannot be written")),
        }
    }
}

fn check(value: &Value, path: &str, field: &str) -> Result<(), Fault> {
    match value {
        Value::String(text) => {
            let public = matches!(field, "pem" | "text" | "certificate");
            bytes(text.len(), if public { PEM } else { TEXT }).map_err(|fault| fault.below(path))
        }
        Value::Array(values) => {
            elements(values.len(), most(field)).map_err(|fault| fault.below(path))?;
            let mut values = values.iter().enumerate();
            values.try_for_each(|(i, value)| check(value, &at(path, i), ""))
        }
        Value::Object(fields) => {
            elements(fields.len(), most(field)).map_err(|fault| fault.below(path))?;
            fields.iter().try_for_each(|(name, value)| {
                // The parameters of a session have names that are not ours.
                let known = if field == "parameters" { "" } else { name };
                check(value, &join(path, name), known)
            })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// # Errors
/// The secret, or the reference to it, is too long.
pub(super) fn check_source(source: &SecretSource) -> Result<(), Fault> {
    match source {
        SecretSource::Value(secret) => bytes(secret.expose().len(), PEM),
        SecretSource::Env(name) => bytes(name.len(), TEXT),
        SecretSource::File(path) => bytes(path.len(), TEXT),
        SecretSource::Command(words) => {
            elements(words.len(), WORDS)?;
            words.iter().try_for_each(|word| bytes(word.len(), TEXT))
        }
    }
}

fn bytes(length: usize, most: usize) -> Result<(), Fault> {
    within(length, most, "bytes")
}

fn elements(number: usize, most: usize) -> Result<(), Fault> {
    within(number, most, "elements")
}

fn within(number: usize, most: usize, what: &str) -> Result<(), Fault> {
    match number <= most {
        true => Ok(()),
        false => Err(Fault::field(
            "",
            format!("has {number} {what}; at most {most} are allowed"),
        )),
    }
}
