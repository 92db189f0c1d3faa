//! The grammar `keyword = value …`.

use zeroize::Zeroizing;

use super::keyword;
use super::string::{Conninfo, Origin, interpret, looks_like_keyword};
use super::{Keyword, uri};
use crate::{Error, Stage, codes};

/// What C calls white space in its default locale; Rust's ASCII white space lacks the vertical tab.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

/// Adds what `text` gives to `conninfo`.
pub(super) fn parse(text: &str, conninfo: &mut Conninfo) -> Result<(), Error> {
    let mut rest = Cursor { text, at: 0 };
    // An unquoted password with a space in it goes on as what looks like the next keyword. From the
    // first secret on, no unknown word is repeated.
    let mut after_secret = false;
    loop {
        rest.skip_spaces();
        if rest.is_at_end() {
            return Ok(());
        }
        let start = rest.at;
        let name = rest.name();
        rest.skip_spaces();
        if rest.peek() != Some('=') {
            return Err(missing_equals(name, uri::position(text, start), text));
        }
        rest.next();
        let known = name == "requiressl" || Keyword::find(name).is_some();
        if !known {
            return Err(unknown(
                name,
                uri::position(text, start),
                after_secret,
                text,
            ));
        }
        rest.skip_spaces();
        let value = rest.value(name)?;
        if let Some((keyword, value)) = interpret(name, value) {
            after_secret |= keyword.is_secret();
            conninfo.put(keyword, value, Origin::Given);
        }
    }
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    fn skip_spaces(&mut self) {
        while self.peek().is_some_and(is_space) {
            self.next();
        }
    }

    fn name(&mut self) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(|c| c != '=' && !is_space(c)) {
            self.next();
        }
        &self.text[start..self.at]
    }

    fn value(&mut self, name: &str) -> Result<Zeroizing<String>, Error> {
        let start = self.at;
        let unterminated = || {
            let position = uri::position(self.text, start);
            invalid(format!(
                "unterminated quoted value of \"{name}\" at position {position} in connection string"
            ))
            .with_hint(
                "close the value with a single quote; inside quotes, write \\' and \\\\ for ' and \\",
            )
        };
        // Once for the length: the buffer is never reallocated, so no copy of a secret stays behind.
        let mut length = 0;
        let mut ahead = Cursor { ..*self };
        if !ahead.walk_value(|c| length += c.len_utf8()) {
            return Err(unterminated());
        }
        let mut value = Zeroizing::new(String::with_capacity(length));
        self.walk_value(|c| value.push(c));
        Ok(value)
    }

    /// Walks over a value and hands its characters on. False when its closing quote is missing.
    fn walk_value(&mut self, mut take: impl FnMut(char)) -> bool {
        let quoted = self.peek() == Some('\'');
        if quoted {
            self.next();
        }
        loop {
            match self.next() {
                None => return !quoted,
                Some('\'') if quoted => return true,
                Some(c) if !quoted && is_space(c) => return true,
                // A backslash at the very end stands for nothing, as in libpq.
                Some('\\') => self.next().into_iter().for_each(&mut take),
                Some(c) => take(c),
            }
        }
    }
}

fn invalid(message: String) -> Error {
    Error::new(&codes::CONFIG_INVALID, Stage::CONFIG, message)
}

fn missing_equals(name: &str, position: usize, text: &str) -> Error {
    // A bare word can be anything, a password too: only a keyword is repeated.
    let error = if Keyword::find(name).is_some() {
        invalid(format!(
            "missing \"=\" after \"{name}\" at position {position} in connection string"
        ))
    } else {
        invalid(format!(
            "missing \"=\" after the word at position {position} in connection string"
        ))
    };
    error.with_hint(hint(text).unwrap_or(
        "write keyword=value, and put single quotes around a value with spaces; a database name alone is written dbname=NAME",
    ))
}

fn unknown(name: &str, position: usize, after_secret: bool, text: &str) -> Error {
    if looks_like_keyword(name) && !after_secret {
        return keyword::unknown(name);
    }
    let error = Error::new(
        &codes::CONFIG_UNKNOWN,
        Stage::CONFIG,
        format!("unknown keyword at position {position} in connection string"),
    );
    match (hint(text), Keyword::nearest(name)) {
        (Some(hint), _) => error.with_hint(hint),
        (None, Some(keyword)) => error.with_hint(format!("did you mean {keyword}?")),
        (None, None) if after_secret => {
            error.with_hint("put single quotes around a value that has spaces in it")
        }
        (None, None) => error,
    }
}

/// What to say to a URI of another kind.
fn hint(text: &str) -> Option<&'static str> {
    text.contains("://")
        .then_some("begin a URI with postgresql:// or postgres://")
}
