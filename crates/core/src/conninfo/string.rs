//! Keywords and their texts.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use zeroize::Zeroizing;

use super::{Keyword, keyword_value, uri};
use crate::{Error, Stage, codes};

/// Far above what anybody writes; bounds the work that a stranger's text can cause.
const MAX_LENGTH: usize = 64 * 1024;

/// What a secret is shown as.
const REDACTED: &str = "***";

/// The keywords that were given, and their texts.
///
/// The texts are not looked at until [`settings`](Self::settings); they are wiped from memory on
/// drop, and `Debug` and `Serialize` show secrets as `***`.
///
/// ```
/// use pgreach_core::conninfo::{Conninfo, Keyword};
///
/// let mut conninfo = Conninfo::parse("host=db user=app password='it\\'s secret'")?;
/// conninfo.set(Keyword::SslMode, "verify-full");
/// assert_eq!(conninfo.get(Keyword::Password), Some("it's secret"));
/// assert_eq!(
///     format!("{conninfo:?}"),
///     r#"{"host": "db", "user": "app", "password": "***", "sslmode": "verify-full"}"#,
/// );
/// # Ok::<(), pgreach_core::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Conninfo {
    entries: Vec<Entry>,
    /// Server settings that come from variables without a keyword, such as `PGTZ`.
    pub(super) session_parameters: Vec<(String, String)>,
    /// Whether the `service` that is given now has been looked up.
    pub(super) service_merged: bool,
}

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) keyword: Keyword,
    pub(super) value: Zeroizing<String>,
    pub(super) origin: Origin,
}

/// Where a text comes from: errors name it, and it decides what may replace it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    Given,
    /// Host, port, user, password or database of a URI. A password with an unescaped `/` ends up
    /// in them, so errors do not repeat them.
    Uri,
    Environment(&'static str),
    Service {
        file: PathBuf,
        line: usize,
    },
}

impl Origin {
    /// Adds to an error where the text is to be corrected, when that is not the string itself.
    pub(super) fn explain(&self, error: Error) -> Error {
        match self {
            Self::Given | Self::Uri => error,
            Self::Environment(variable) => {
                error.with_context(format!("environment variable {variable}"))
            }
            Self::Service { file, line } => {
                error.with_context(format!("service file \"{}\", line {line}", file.display()))
            }
        }
    }
}

impl Conninfo {
    /// No keywords.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Parses a connection string: `keyword=value …` or a `postgresql://` URI.
    ///
    /// It has at most 64 KiB. Only the grammar and the names of the keywords are checked, and nothing is added: an empty
    /// string gives no keywords. A keyword that is given twice has its last value.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) when the grammar is violated or a keyword is
    /// not known. The message never repeats what may be a part of a secret.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut conninfo = Self::new();
        if text.len() > MAX_LENGTH {
            let message = format!("connection string is longer than {MAX_LENGTH} bytes");
            return Err(Error::new(&codes::CONFIG_INVALID, Stage::CONFIG, message));
        }
        if let Some(position) = text.chars().position(|c| c == '\0') {
            return Err(Error::new(
                &codes::CONFIG_INVALID,
                Stage::CONFIG,
                format!(
                    "NUL character at position {} in connection string",
                    position + 1
                ),
            ));
        }
        match uri::strip_scheme(text) {
            Some(_) => uri::parse(text, &mut conninfo)?,
            None => keyword_value::parse(text, &mut conninfo)?,
        }
        Ok(conninfo)
    }

    /// The text of `keyword`, secrets included.
    #[must_use]
    pub fn get(&self, keyword: Keyword) -> Option<&str> {
        self.entry(keyword).map(|entry| entry.value.as_str())
    }

    /// Gives `keyword` a text in place of the one it has.
    pub fn set(&mut self, keyword: Keyword, value: impl Into<String>) -> &mut Self {
        self.put(keyword, Zeroizing::new(value.into()), Origin::Given);
        self
    }

    /// Forgets `keyword`. Returns whether it was given.
    pub fn remove(&mut self, keyword: Keyword) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.keyword != keyword);
        before != self.entries.len()
    }

    /// The keywords that are given and their texts, secrets included, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = (Keyword, &str)> {
        self.entries
            .iter()
            .map(|entry| (entry.keyword, entry.value.as_str()))
    }

    /// Whether no keyword is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Checks that no other keyword is given than these: for a string from somebody who may choose
    /// a server, but not which files of this machine are read.
    ///
    /// ```
    /// use pgreach_core::conninfo::{Conninfo, Keyword};
    ///
    /// let conninfo = Conninfo::parse("host=db passfile=/etc/passwd")?;
    /// let error = conninfo.allow_only(&[Keyword::Host, Keyword::Port]).unwrap_err();
    /// assert_eq!(error.to_string(), "keyword \"passfile\" is not allowed here");
    /// # Ok::<(), pgreach_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`codes::CONFIG_UNSUPPORTED`], naming the first keyword that is not allowed.
    pub fn allow_only(&self, keywords: &[Keyword]) -> Result<(), Error> {
        match self
            .entries
            .iter()
            .find(|entry| !keywords.contains(&entry.keyword))
        {
            None => Ok(()),
            Some(entry) => Err(entry.origin.explain(
                Error::new(
                    &codes::CONFIG_UNSUPPORTED,
                    Stage::CONFIG,
                    format!("keyword \"{}\" is not allowed here", entry.keyword),
                )
                .with_hint(format!("remove {}", entry.keyword)),
            )),
        }
    }

    pub(super) fn entry(&self, keyword: Keyword) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.keyword == keyword)
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn put(&mut self, keyword: Keyword, value: Zeroizing<String>, origin: Origin) {
        if keyword == Keyword::Service {
            self.service_merged = false;
        }
        let entry = Entry {
            keyword,
            value,
            origin,
        };
        match self
            .entries
            .iter_mut()
            .find(|entry| entry.keyword == keyword)
        {
            Some(place) => *place = entry,
            None => self.entries.push(entry),
        }
    }
}

/// The keyword and the text that a name and a text in a connection string stand for; `None` when
/// the name is not known.
pub(super) fn interpret(
    name: &str,
    value: Zeroizing<String>,
) -> Option<(Keyword, Zeroizing<String>)> {
    // The obsolete spelling of sslmode, which libpq still translates.
    if name == "requiressl" {
        let mode = if value.starts_with('1') {
            "require"
        } else {
            "prefer"
        };
        return Some((Keyword::SslMode, Zeroizing::new(mode.to_owned())));
    }
    Keyword::find(name).map(|keyword| (keyword, value))
}

/// Whether an unknown name looks like a mistyped keyword rather than like a piece of something
/// else, which could be a secret.
pub(super) fn looks_like_keyword(name: &str) -> bool {
    name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

impl FromStr for Conninfo {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl Entry {
    fn shown(&self) -> &str {
        if self.keyword.is_secret() {
            REDACTED
        } else {
            &self.value
        }
    }
}

impl fmt::Debug for Conninfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.entries
                    .iter()
                    .map(|entry| (entry.keyword.as_str(), entry.shown())),
            )
            .finish()
    }
}

impl Serialize for Conninfo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.entries.len()))?;
        for entry in &self.entries {
            map.serialize_entry(entry.keyword.as_str(), entry.shown())?;
        }
        map.end()
    }
}
