//! Texts of keywords, read as numbers, switches and words.

use std::str::FromStr;

use super::keyword_value::is_space;
use super::string::{Conninfo, Entry};
use super::{Keyword, Support};
use crate::{Error, Stage, codes};

/// Whether `text` is an integer as libpq reads it: white space around it and a sign are allowed.
pub(super) fn is_integer(text: &str) -> bool {
    let digits = text.trim_matches(is_space);
    let digits = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

pub(super) fn integer(text: &str) -> Option<i32> {
    is_integer(text)
        .then(|| text.trim_matches(is_space).parse().ok())
        .flatten()
}

/// The error for a text that `entry`'s keyword does not allow.
pub(super) fn invalid(entry: &Entry) -> Error {
    let keyword = entry.keyword;
    let message = if keyword.is_secret() {
        format!("invalid {keyword} value")
    } else {
        format!("invalid {keyword} value: \"{}\"", entry.value.as_str())
    };
    entry
        .origin
        .explain(Error::new(&codes::CONFIG_INVALID, Stage::CONFIG, message))
}

/// The error for a text that libpq allows and that cannot be honoured here.
pub(super) fn unsupported(entry: &Entry) -> Error {
    let keyword = entry.keyword;
    let (message, hint) = match keyword.support() {
        Support::Refused(reason) => (
            format!("{keyword} is not supported: {reason}"),
            format!("remove {keyword}"),
        ),
        Support::Limited(values) => (
            format!(
                "{keyword} value \"{}\" is not supported",
                entry.value.as_str()
            ),
            format!(
                "remove {keyword}, or give it what is supported: {}",
                values.replace('`', "")
            ),
        ),
        Support::Honoured => (
            format!(
                "{keyword} value \"{}\" is not supported",
                entry.value.as_str()
            ),
            format!("remove {keyword}"),
        ),
    };
    entry
        .origin
        .explain(Error::new(&codes::CONFIG_UNSUPPORTED, Stage::CONFIG, message).with_hint(hint))
}

impl Conninfo {
    /// The text of `keyword`, unless it is empty.
    pub(super) fn text(&self, keyword: Keyword) -> Option<&str> {
        self.get(keyword).filter(|text| !text.is_empty())
    }

    /// The text as one of libpq's words. An empty text is no word, as in libpq.
    pub(super) fn word<T: FromStr<Err = Error>>(
        &self,
        keyword: Keyword,
    ) -> Result<Option<T>, Error> {
        self.entry(keyword)
            .map(|entry| {
                entry
                    .value
                    .parse()
                    .map_err(|error| entry.origin.explain(error))
            })
            .transpose()
    }

    /// The text as an integer. An empty text is none, as in libpq.
    pub(super) fn number(&self, keyword: Keyword) -> Result<Option<i32>, Error> {
        self.entry(keyword)
            .map(|entry| {
                integer(&entry.value).ok_or_else(|| {
                    invalid(entry).with_hint(format!("give {keyword} a whole number"))
                })
            })
            .transpose()
    }

    /// The text as a switch: 1, or 0 or nothing.
    pub(super) fn switch(&self, keyword: Keyword) -> Result<Option<bool>, Error> {
        self.entry(keyword)
            .map(|entry| match entry.value.as_str() {
                "1" => Ok(true),
                "0" | "" => Ok(false),
                _ => Err(invalid(entry).with_hint(format!("set {keyword} to 0 or 1"))),
            })
            .transpose()
    }

    /// Checks the keywords that have just one meaning here. They are libpq's own words, so a word
    /// that libpq does not know is told apart from one that cannot be honoured.
    pub(super) fn check_limited(&self) -> Result<(), Error> {
        for entry in self.entries() {
            let value = entry.value.as_str();
            match entry.keyword {
                keyword
                    if matches!(keyword.support(), Support::Refused(_)) && !value.is_empty() =>
                {
                    return Err(unsupported(entry));
                }
                Keyword::ClientEncoding => check_encoding(entry)?,
                Keyword::SslKey => check_key(entry)?,
                Keyword::SslCertMode => check(entry, &["disable", "allow"], &["require"])?,
                Keyword::GssEncMode => check(entry, &["disable", "prefer"], &["require"])?,
                Keyword::SslCompression | Keyword::GssDelegation => {
                    check(entry, &["0", ""], &["1"])?
                }
                Keyword::Replication => check(
                    &lower(entry),
                    &["", "false", "off", "no", "0"],
                    &["true", "on", "yes", "1", "database"],
                )?,
                Keyword::MinProtocolVersion => check(entry, &["3.0"], &["3.2", "latest"])?,
                Keyword::MaxProtocolVersion => check(entry, &["3.0", "3.2", "latest"], &[])?,
                _ => {}
            }
        }
        Ok(())
    }
}

fn check(entry: &Entry, accepted: &[&str], refused: &[&str]) -> Result<(), Error> {
    let value = entry.value.as_str();
    if accepted.contains(&value) {
        Ok(())
    } else if refused.contains(&value) {
        Err(unsupported(entry))
    } else {
        let words: Vec<_> = accepted
            .iter()
            .filter(|word| !word.is_empty())
            .copied()
            .collect();
        Err(invalid(entry).with_hint(format!("set {} to {}", entry.keyword, words.join(" or "))))
    }
}

/// As in libpq: a colon, but for the one after a drive's letter on Windows, makes it a key of an engine.
fn check_key(entry: &Entry) -> Result<(), Error> {
    let value = entry.value.as_str();
    // Not repeated: it is the key itself.
    if value.contains("-----BEGIN") {
        let keyword = entry.keyword;
        let error = Error::new(
            &codes::CONFIG_INVALID,
            Stage::CONFIG,
            format!("invalid {keyword} value: the text of a key"),
        );
        let hint = format!("write the key to a file, and give {keyword} its path");
        return Err(entry.origin.explain(error.with_hint(hint)));
    }
    let path = match value.get(1..) {
        Some(rest) if cfg!(windows) => rest.strip_prefix(':').unwrap_or(value),
        _ => value,
    };
    if path.contains(':') {
        return Err(unsupported(entry));
    }
    Ok(())
}

fn lower(entry: &Entry) -> Entry {
    let mut entry = entry.clone();
    entry.value.make_ascii_lowercase();
    entry
}

fn check_encoding(entry: &Entry) -> Result<(), Error> {
    // The server compares names of encodings by their letters and digits alone.
    let name: String = entry
        .value
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    match name.as_str() {
        "utf8" | "unicode" | "auto" => Ok(()),
        "" if entry.value.is_empty() => Ok(()),
        _ => Err(unsupported(entry)),
    }
}
