//! What is wrong with a document, and where.
//!
//! serde's own messages repeat the value that was wrong, which may be a password in the wrong place.
//! The document is therefore read with an error type of our own, which never takes a value over.

use std::fmt::{self, Display};

use pgreach_core::{Code, Error, Stage};
use serde::de::{Expected, Unexpected};

use super::codes;

/// An error at a path of the document.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    code: &'static Code,
    path: String,
    message: String,
}

/// Begins the text form of a fault, in which it passes through [`serde::de::Error::custom`]: that takes
/// text alone, from code that is generic over the error. No message of serde begins like that.
const MARK: char = '\u{1}';

impl Fault {
    fn new(code: &'static Code, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code,
            path: path.into(),
            message: message.into(),
        }
    }

    /// The field at `path` has a value that cannot be used.
    pub(crate) fn field(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(&codes::SPEC_FIELD, path, message)
    }

    /// The field at `path` is missing.
    pub(crate) fn missing(path: impl Into<String>) -> Self {
        Self::field(path, "is missing")
    }

    /// The field at `path` is excluded by another one.
    pub(crate) fn conflict(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(&codes::SPEC_CONFLICT, path, message)
    }

    /// The field at `path` asks for what this build cannot do.
    pub(crate) fn unsupported(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(&codes::SPEC_UNSUPPORTED, path, message)
    }

    /// The field at `path` refers to what belongs to this process.
    pub(crate) fn local(path: impl Into<String>, what: &str) -> Self {
        Self::new(
            &codes::SPEC_LOCAL,
            path,
            format!("refers to {what}, which this document may not"),
        )
    }

    /// The secret at `path` is missing.
    pub(crate) fn secret_missing(path: impl Into<String>) -> Self {
        Self::new(
            &codes::SPEC_SECRET_MISSING,
            path,
            "the secret is missing; it is never written out with a document",
        )
    }

    /// The same, below the field `parent`.
    pub(crate) fn below(mut self, parent: &str) -> Self {
        self.path = join(parent, &self.path);
        self
    }

    /// For [`serde::de::Error::custom`].
    pub(crate) fn through<E: serde::de::Error>(self) -> E {
        E::custom(Marked(&self))
    }

    fn decode(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(MARK)?.splitn(3, MARK);
        let code = parts.next()?;
        let code = codes::ALL.iter().find(|known| known.name() == code)?;
        Some(Self::new(code, parts.next()?, parts.next()?))
    }
}

struct Marked<'a>(&'a Fault);

impl Display for Marked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault {
            code,
            path,
            message,
        } = self.0;
        write!(f, "{MARK}{}{MARK}{path}{MARK}{message}", code.name())
    }
}

/// `parent.child`, where a child of a list begins with its index in brackets.
pub(crate) fn join(parent: &str, child: &str) -> String {
    match (parent, child) {
        ("" | ".", path) | (path, "") => path.to_owned(),
        (parent, child) if child.starts_with('[') => format!("{parent}{child}"),
        (parent, child) => format!("{parent}.{child}"),
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::new(fault.code, Stage::CONFIG, fault.to_string())
    }
}

impl serde::de::Error for Fault {
    fn custom<T: Display>(message: T) -> Self {
        let message = message.to_string();
        Self::decode(&message).unwrap_or_else(|| Self::field("", message))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::field(
            "",
            format!("must be {}, not {}", wanted(expected), kind(found)),
        )
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::field("", format!("must be {}", wanted(expected)))
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::field("", format!("must be {}", wanted(expected)))
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        Self::field("", format!("must be one of {}", known.join(", ")))
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        // Its name is the end of the path that is put in front.
        let message = match known {
            [] => "there is no such field".to_owned(),
            known => format!("there is no such field; there are {}", known.join(", ")),
        };
        Self::field("", message)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::missing(field)
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::field(field, "is given twice")
    }
}

/// What a visitor expects, in the words of a document instead of Rust's.
fn wanted(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "a string" | "string" => "a text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        "u64" => "a whole number".to_owned(),
        text if text.starts_with("struct ") => "an object".to_owned(),
        _ => text,
    }
}

/// The kind of a value, without the value.
fn kind(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
        Unexpected::Char(_) | Unexpected::Str(_) | Unexpected::Bytes(_) => "a text",
        Unexpected::Seq => "a list",
        Unexpected::Map => "an object",
        Unexpected::Unit | Unexpected::Option => "null",
        _ => "something else",
    }
}

#[cfg(test)]
mod tests {
    use serde::de::Error as _;

    use super::*;

    #[test]
    fn a_fault_survives_serde_and_takes_no_value_over() {
        let fault: Fault = Fault::conflict("hops", "goes with ssh").through();
        let error = Error::from(fault.below("transport"));
        assert_eq!(error.to_string(), "transport.hops: goes with ssh");
        assert_eq!(error.code(), &codes::SPEC_CONFLICT);
        let faults = [
            Fault::invalid_type(Unexpected::Str("hunter2"), &"a boolean"),
            Fault::invalid_value(Unexpected::Str("hunter2"), &"a port"),
            Fault::unknown_variant("hunter2", &["tcp", "ssh"]),
        ];
        for fault in faults {
            assert!(!fault.to_string().contains("hunter2"), "{fault}");
        }
    }
}
