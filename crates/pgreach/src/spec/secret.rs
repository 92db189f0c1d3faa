//! Secrets of a document: texts, and references to where they are kept.

use std::fmt;
use std::sync::Arc;

use pgreach_auth_password::{CommandPassword, EnvPassword, FilePassword, FixedPassword};
use pgreach_core::{CredentialProvider, Secret};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::fault::Fault;

/// Where a secret of a [`ConnectionSpec`](super::ConnectionSpec) comes from.
///
/// In a document it is a text, `{"env": "NAME"}`, `{"file": "path"}` or `{"command": ["program",
/// "argument"]}`. It is never written out, but for the name of a variable or a file: a command's
/// arguments may hold secrets.
///
/// ```
/// use pgreach::spec::SecretSource;
///
/// let secret = SecretSource::from("correct horse");
/// assert_eq!(format!("{secret:?}"), "Value(***)");
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum SecretSource {
    /// The secret itself.
    Value(Secret),
    /// The environment variable of this process that holds it.
    Env(String),
    /// The file that holds it.
    File(String),
    /// The program that prints it, and its arguments.
    Command(Vec<String>),
}

impl SecretSource {
    /// Asked for each new connection, as the password sources are.
    pub(crate) fn provider(&self) -> Arc<dyn CredentialProvider> {
        match self {
            Self::Value(secret) => Arc::new(FixedPassword::new(secret.clone())),
            Self::Env(name) => Arc::new(EnvPassword::new(name)),
            Self::File(path) => Arc::new(FilePassword::new(path)),
            Self::Command(words) => {
                let mut words = words.iter();
                let program = words.next().map_or("", String::as_str);
                Arc::new(CommandPassword::new(program).with_args(words))
            }
        }
    }

    /// Whether it may be written out.
    pub(crate) fn is_shown(&self) -> bool {
        matches!(self, Self::Env(_) | Self::File(_))
    }

    /// What of this process it refers to.
    pub(crate) fn local(&self) -> Option<&'static str> {
        match self {
            Self::Value(_) => None,
            Self::Env(_) => Some("this process' environment"),
            Self::File(_) => Some("a file of this machine"),
            Self::Command(_) => Some("a command of this machine"),
        }
    }

    /// # Errors
    /// What nobody can mean. The value is not repeated.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        match self {
            Self::Value(secret) if secret.expose().is_empty() => Err(Fault::field(
                "",
                "is empty; leave it out where there is none",
            )),
            // A zero byte ends a password in the protocol: the rest would be cut off.
            Self::Value(secret) if secret.expose().contains('\0') => {
                Err(Fault::field("", "contains a NUL character"))
            }
            // Anything else may be the secret itself, in the wrong place, and is written out.
            Self::Env(name)
                if name.is_empty()
                    || name.starts_with(|c: char| c.is_ascii_digit())
                    || !name.chars().all(plain) =>
            {
                Err(Fault::field(
                    "env",
                    "must be the name of an environment variable: letters, digits and underscores",
                ))
            }
            Self::File(path) if path.is_empty() || path.contains(['\0', '\n']) => {
                Err(Fault::field("file", "must be the path of a file"))
            }
            Self::Command(words) if words.first().is_none_or(String::is_empty) => Err(
                Fault::field("command", "must be a list that begins with a program"),
            ),
            _ => Ok(()),
        }
    }
}

/// Whether a field is left out on output.
pub(super) fn is_hidden(source: &Option<SecretSource>) -> bool {
    source.as_ref().is_none_or(|source| !source.is_shown())
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(_) => f.write_str("Value(***)"),
            Self::Env(name) => f.debug_tuple("Env").field(name).finish(),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Command(words) => {
                let program = words.first().map_or("", String::as_str);
                write!(f, "Command({program:?}, ***)")
            }
        }
    }
}

impl From<Secret> for SecretSource {
    fn from(secret: Secret) -> Self {
        Self::Value(secret)
    }
}

impl From<&str> for SecretSource {
    fn from(text: &str) -> Self {
        Self::Value(Secret::new(text))
    }
}

impl From<String> for SecretSource {
    fn from(text: String) -> Self {
        Self::Value(Secret::new(text))
    }
}

/// Only what may be shown; everything else as nothing.
impl Serialize for SecretSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Env(name) => reference(serializer, "env", name),
            Self::File(path) => reference(serializer, "file", path),
            Self::Value(_) | Self::Command(_) => serializer.serialize_none(),
        }
    }
}

fn reference<S: Serializer>(serializer: S, kind: &str, name: &str) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(kind, name)?;
    map.end()
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = deserializer.deserialize_any(SourceVisitor)?;
        source.check().map_err(Fault::through)?;
        Ok(source)
    }
}

struct SourceVisitor;

const REFERENCE: &str = "must be a text, or an object with one of the fields env, file and command";

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = SecretSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or an object with one of the fields env, file and command")
    }

    fn visit_str<E>(self, text: &str) -> Result<SecretSource, E> {
        Ok(SecretSource::from(text))
    }

    fn visit_string<E>(self, text: String) -> Result<SecretSource, E> {
        Ok(SecretSource::from(text))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretSource, A::Error> {
        let Some(kind) = map.next_key::<String>()? else {
            return Err(A::Error::custom(REFERENCE));
        };
        let source = match kind.as_str() {
            "env" => SecretSource::Env(map.next_value()?),
            "file" => SecretSource::File(map.next_value()?),
            "command" => SecretSource::Command(map.next_value()?),
            // Not repeated: it may be the secret.
            _ => return Err(A::Error::custom(REFERENCE)),
        };
        match map.next_key::<String>()? {
            None => Ok(source),
            Some(_) => Err(A::Error::custom(REFERENCE)),
        }
    }
}

/// A text that is no secret, such as a certificate, or a reference to it. It is written out, but for a
/// command.
#[derive(Debug, Clone)]
pub(crate) struct TextSource(pub(crate) SecretSource);

impl TextSource {
    /// Whether a field is left out on output.
    pub(super) fn is_hidden(text: &Option<Self>) -> bool {
        text.as_ref()
            .is_none_or(|text| matches!(text.0, SecretSource::Command(_)))
    }
}

impl Serialize for TextSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            SecretSource::Value(text) => serializer.serialize_str(text.expose()),
            reference => reference.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for TextSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = SecretSource::deserialize(deserializer)?;
        if let SecretSource::Value(text) = &source {
            no_key(text.expose()).map_err(Fault::through)?;
        }
        Ok(Self(source))
    }
}

/// Text that is written out must not hold a private key, as a file with everything in it does.
///
/// # Errors
/// It does.
pub(crate) fn no_key(text: &str) -> Result<(), Fault> {
    match text.contains("PRIVATE KEY") {
        true => Err(Fault::field(
            "",
            "holds a private key; give only what is public here",
        )),
        false => Ok(()),
    }
}
