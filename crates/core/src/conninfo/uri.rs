//! The URI grammar: `postgresql://[user[:password]@][host][:port][,…][/dbname][?keyword=value&…]`.

use zeroize::{Zeroize, Zeroizing};

use super::Keyword;
use super::keyword;
use super::string::{Conninfo, Origin, interpret, looks_like_keyword};
use super::value::is_integer;
use crate::{Error, Stage, codes};

const ENCODE: &str =
    "percent-encode special characters in user and password, such as %2F for / and %40 for @";

/// What follows the scheme, when `text` is a URI.
pub(super) fn strip_scheme(text: &str) -> Option<&str> {
    text.strip_prefix("postgresql://")
        .or_else(|| text.strip_prefix("postgres://"))
}

/// The place in `text` in characters, from 1, as a person counts.
pub(super) fn position(text: &str, at: usize) -> usize {
    text[..at].chars().count() + 1
}

/// Adds what `text` gives to `conninfo`.
pub(super) fn parse(text: &str, conninfo: &mut Conninfo) -> Result<(), Error> {
    let Some(rest) = strip_scheme(text) else {
        return Ok(());
    };
    let uri = Uri {
        text,
        stray_at: false,
    };
    let (userinfo, rest) = split_userinfo(rest);
    if let Some(userinfo) = userinfo {
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        uri.store(conninfo, Keyword::User, user, user)?;
        uri.store(conninfo, Keyword::Password, password, password)?;
    }
    // A password with an unescaped "/" or "@" leaves another "@" in what follows.
    let uri = Uri {
        text,
        stray_at: rest.contains('@'),
    };
    let has_password = userinfo.is_some_and(|userinfo| userinfo.contains(':'));
    let authority = rest;
    let (hosts, ports, rest) = uri.hosts(authority, has_password)?;
    let authority = &authority[..authority.len() - rest.len()];
    uri.store(conninfo, Keyword::Host, &hosts, rest)?;
    uri.store(conninfo, Keyword::Port, &ports, rest)?;

    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    if let Some(dbname) = path.strip_prefix('/') {
        if userinfo.is_none() && cut_off_password(authority, dbname) {
            return Err(invalid(
                "the database name in the URI looks like a part of user and password",
            )
            .with_hint(ENCODE));
        }
        uri.store(conninfo, Keyword::Dbname, dbname, dbname)?;
    }
    uri.query(query, conninfo)
}

/// The part before the first `@`, unless a `/` comes first.
fn split_userinfo(rest: &str) -> (Option<&str>, &str) {
    match rest.find(['@', '/']) {
        Some(at) if rest[at..].starts_with('@') => (Some(&rest[..at]), &rest[at + 1..]),
        _ => (None, rest),
    }
}

/// Whether the two look like `user:password@host`, cut by a `/` in the password or the user.
fn cut_off_password(authority: &str, dbname: &str) -> bool {
    let has_port = authority.contains(':') && !authority.starts_with('[');
    dbname
        .find('@')
        .is_some_and(|at| has_port || dbname[..at].contains(':'))
}

struct Uri<'a> {
    text: &'a str,
    /// Whether the URI may be a password that was not escaped; then no piece of it is repeated.
    stray_at: bool,
}

impl Uri<'_> {
    /// Where `part`, which is a slice of the URI, begins in it.
    fn position(&self, part: &str) -> usize {
        let at = (part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        position(self.text, at.min(self.text.len()))
    }

    /// Reads hosts and ports up to the path or the query, each joined by commas.
    fn hosts<'t>(
        &self,
        mut rest: &'t str,
        has_password: bool,
    ) -> Result<(String, String, &'t str), Error> {
        let (mut hosts, mut ports) = (String::new(), String::new());
        loop {
            let host;
            if let Some(bracketed) = rest.strip_prefix('[') {
                let Some((address, after)) = bracketed.split_once(']') else {
                    return Err(invalid(format!(
                        "end of string reached when looking for the \"]\" of the IPv6 host address at position {} in URI",
                        self.position(rest)
                    )));
                };
                if address.is_empty() {
                    return Err(invalid(format!(
                        "IPv6 host address may not be empty at position {} in URI",
                        self.position(rest)
                    )));
                }
                if !after.is_empty() && !after.starts_with([':', '/', '?', ',']) {
                    return Err(invalid(format!(
                        "unexpected character at position {} in URI (expected \":\" or \"/\")",
                        self.position(after)
                    )));
                }
                (host, rest) = (address, after);
            } else {
                let end = rest.find([':', '/', '?', ',']).unwrap_or(rest.len());
                (host, rest) = rest.split_at(end);
            }
            if has_password && host.contains('@') {
                return Err(invalid(format!(
                    "more than one \"@\" before the host at position {} in URI",
                    self.position(host)
                ))
                .with_hint(ENCODE));
            }
            self.decode(Keyword::Host, host, host)?;
            hosts.push_str(host);
            if let Some(after) = rest.strip_prefix(':') {
                let end = after.find(['/', '?', ',']).unwrap_or(after.len());
                let port;
                (port, rest) = after.split_at(end);
                let decoded = self.decode(Keyword::Port, port, port)?;
                // Checked here already: in "user:password" without a host, it is the password.
                if !decoded.is_empty() && !decoded.split(',').all(|p| p.is_empty() || is_integer(p))
                {
                    return Err(invalid(format!(
                        "port is not a number at position {} in URI",
                        self.position(port)
                    ))
                    .with_hint(format!("write user:password@host:port, and {ENCODE}")));
                }
                ports.push_str(port);
            }
            match rest.strip_prefix(',') {
                Some(after) => rest = after,
                None => return Ok((hosts, ports, rest)),
            }
            hosts.push(',');
            ports.push(',');
        }
    }

    fn query(&self, query: &str, conninfo: &mut Conninfo) -> Result<(), Error> {
        let mut after_secret = self.stray_at;
        let mut rest = query;
        while !rest.is_empty() {
            let (parameter, after) = rest.split_once('&').unwrap_or((rest, ""));
            rest = after;
            let (raw_name, raw_value) = match parameter.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (parameter, None),
            };
            let name = self.decode_parameter(raw_name)?;
            let shown = Shown {
                name: &name,
                uri: self,
                part: parameter,
                // An unescaped "&" in a secret makes its rest look like a parameter; and what has no
                // "=" may be a keyword and its secret in one.
                hidden: after_secret || raw_value.is_none(),
            };
            let Some(raw_value) = raw_value else {
                return Err(invalid(format!(
                    "missing key/value separator \"=\" in URI query parameter{shown}"
                )));
            };
            if raw_value.contains('=') {
                return Err(invalid(format!(
                    "extra key/value separator \"=\" in URI query parameter{shown}"
                ))
                .with_hint("percent-encode \"=\" in a value as %3D"));
            }
            let value = decode(raw_value).map_err(|fault| {
                invalid(format!(
                    "{} in the value of URI query parameter{shown}",
                    fault.text()
                ))
            })?;
            let stored = match (name.as_str(), value.as_str()) {
                // As JDBC writes it.
                ("ssl", "true") => Some((Keyword::SslMode, Zeroizing::new("require".to_owned()))),
                _ => interpret(&name, value),
            };
            let Some((keyword, value)) = stored else {
                return Err(self.unknown(&shown));
            };
            after_secret |= keyword.is_secret();
            conninfo.put(keyword, value, Origin::Given);
        }
        Ok(())
    }

    fn unknown(&self, shown: &Shown<'_>) -> Error {
        if shown.name == "ssl" {
            return invalid("ssl in a URI can only be true")
                .with_hint("use sslmode instead of ssl");
        }
        if !shown.hidden && looks_like_keyword(shown.name) {
            return keyword::unknown(shown.name).with_context("invalid URI query parameter");
        }
        let error = Error::new(
            &codes::CONFIG_UNKNOWN,
            Stage::CONFIG,
            format!("invalid URI query parameter{shown}"),
        );
        match Keyword::nearest(shown.name) {
            Some(keyword) => error.with_hint(format!("did you mean {keyword}?")),
            None => error,
        }
    }

    fn decode_parameter(&self, raw: &str) -> Result<Zeroizing<String>, Error> {
        decode(raw).map_err(|fault| {
            invalid(format!(
                "{} in the name of the URI query parameter at position {}",
                fault.text(),
                self.position(raw)
            ))
        })
    }

    fn decode(&self, keyword: Keyword, raw: &str, place: &str) -> Result<Zeroizing<String>, Error> {
        decode(raw).map_err(|fault| {
            let place = self.position(place);
            invalid(format!(
                "{} in {keyword} at position {place} in URI",
                fault.text()
            ))
            .with_hint("write %25 for a percent sign")
        })
    }

    /// Stores what is not empty: an empty text would hide the environment and the default.
    fn store(
        &self,
        conninfo: &mut Conninfo,
        keyword: Keyword,
        raw: &str,
        place: &str,
    ) -> Result<(), Error> {
        if !raw.is_empty() {
            let value = self.decode(keyword, raw, place)?;
            conninfo.put(keyword, value, Origin::Uri);
        }
        Ok(())
    }
}

/// A parameter's name in an error, as far as it may be shown.
struct Shown<'a> {
    name: &'a str,
    uri: &'a Uri<'a>,
    part: &'a str,
    hidden: bool,
}

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if Keyword::find(self.name).is_some() || !self.hidden && looks_like_keyword(self.name) {
            write!(f, " \"{}\"", self.name)
        } else {
            write!(f, " at position {}", self.uri.position(self.part))
        }
    }
}

fn invalid(message: impl AsRef<str>) -> Error {
    Error::new(&codes::CONFIG_INVALID, Stage::CONFIG, message)
}

enum Fault {
    Token,
    Nul,
    Spaces,
    Utf8,
}

impl Fault {
    fn text(&self) -> &'static str {
        match self {
            Self::Token => "invalid percent-encoded token",
            Self::Nul => "forbidden value %00",
            Self::Spaces => "unexpected spaces (write %20)",
            Self::Utf8 => "percent-encoded bytes that are not UTF-8",
        }
    }
}

/// Spaces around a part are ignored, and forbidden within, as in libpq 18.
fn decode(raw: &str) -> Result<Zeroizing<String>, Fault> {
    let raw = raw.trim_matches(' ');
    let mut bytes = Zeroizing::new(Vec::with_capacity(raw.len()));
    let mut rest = raw.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b' ' {
            return Err(Fault::Spaces);
        }
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let [high, low, after @ ..] = after else {
            return Err(Fault::Token);
        };
        match (hex(*high), hex(*low)) {
            (Some(0), Some(0)) => return Err(Fault::Nul),
            (Some(high), Some(low)) => bytes.push(high << 4 | low),
            _ => return Err(Fault::Token),
        }
        rest = after;
    }
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(error) => {
            error.into_bytes().zeroize();
            Err(Fault::Utf8)
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}
