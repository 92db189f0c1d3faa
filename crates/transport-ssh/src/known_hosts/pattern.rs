//! Which hosts a line is about: patterns and hashed names.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

use super::base64;

/// OpenSSH copies each pattern into 1,024 bytes; a list with one that does not fit matches nothing.
const MAX_PATTERN: usize = 1023;

/// The salt and the hash of a hashed name are those of SHA-1.
const HASH_LEN: usize = 20;

/// The first field of a line.
#[derive(Debug)]
pub(super) enum Hosts<'a> {
    /// Patterns, with commas between them.
    Patterns(&'a [u8]),
    /// `|1|salt|hash`: the name is known to those only who know it already.
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
}

impl<'a> Hosts<'a> {
    /// `None` for a hashed name that is none.
    pub(super) fn parse(field: &'a [u8]) -> Option<Self> {
        if !field.starts_with(b"|") {
            return Some(Self::Patterns(field));
        }
        let mut parts = field.strip_prefix(b"|1|")?.split(|byte| *byte == b'|');
        let mut part = || {
            let text = parts.next()?;
            let bytes = base64::decode(text)?;
            // OpenSSH compares the text of the whole field, which has one spelling only.
            (bytes.len() == HASH_LEN && base64::encode(&bytes).as_bytes() == text).then_some(bytes)
        };
        let (salt, hash) = (part()?, part()?);
        parts
            .next()
            .is_none()
            .then_some(Self::Hashed { salt, hash })
    }

    /// Whether the line is about `name`, which is in lower case.
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Patterns(list) => matches_list(list, name.as_bytes()),
            Self::Hashed { salt, hash } => Hmac::<Sha1>::new_from_slice(salt)
                .is_ok_and(|mac| mac.chain_update(name).verify_slice(hash).is_ok()),
        }
    }
}

/// A pattern that matches, and none with `!` that does.
fn matches_list(list: &[u8], name: &[u8]) -> bool {
    let mut found = false;
    for pattern in list.split(|byte| *byte == b',') {
        let (negated, pattern) = match pattern.strip_prefix(b"!") {
            Some(pattern) => (true, pattern),
            None => (false, pattern),
        };
        if pattern.len() >= MAX_PATTERN {
            return false;
        }
        if matches_pattern(pattern, name) {
            if negated {
                return false;
            }
            found = true;
        }
    }
    found
}

/// `*` stands for any text and `?` for one byte; the pattern's letters may be capitals.
///
/// Only the last `*` is ever gone back to, so the time is bounded by the product of the lengths.
pub(super) fn matches_pattern(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut pos) = (0, 0);
    let mut star = None;
    while pos < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, pos));
                at += 1;
                continue;
            }
            Some(byte) if *byte == b'?' || byte.to_ascii_lowercase() == name[pos] => {
                at += 1;
                pos += 1;
                continue;
            }
            _ => {}
        }
        let Some((star_at, taken)) = star else {
            return false;
        };
        star = Some((star_at, taken + 1));
        at = star_at + 1;
        pos = taken + 1;
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let cases = [
            ("host", "host", true),
            ("HOST", "host", true),
            ("host", "hosts", false),
            ("hosts", "host", false),
            ("*", "host", true),
            ("**", "host", true),
            ("h*t", "host", true),
            ("h*t", "ht", true),
            ("h?t", "ht", false),
            ("?ost", "host", true),
            ("?*", "h", true),
            ("*?", "h", true),
            ("??*", "h", false),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "[a.example.com]:2222", false),
            ("[*.example.com]:2222", "[a.example.com]:2222", true),
            ("[a]:*", "[a]:2222", true),
            ("*a*b*c", "xaybzc", true),
            ("*a*b*c", "xaybzcd", false),
            ("", "host", false),
            ("a.b", "axb", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(
                matches_pattern(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn lists() {
        let long = format!("host,{}", "x".repeat(MAX_PATTERN));
        let short = format!("host,{}", "x".repeat(MAX_PATTERN - 1));
        let cases = [
            ("a,host,b", true),
            ("a,,host", true),
            ("a,b", false),
            (",", false),
            ("*,!host", false),
            ("!host,*", false),
            ("*,!other", true),
            ("!other", false),
            ("!", false),
            ("!!host", false),
            ("*,!h*", false),
            ("*,!HOST", false),
            (long.as_str(), false),
            (short.as_str(), true),
        ];
        for (list, expected) in cases {
            assert_eq!(matches_list(list.as_bytes(), b"host"), expected, "{list}");
        }
    }

    #[test]
    fn patterns_made_to_be_slow_are_not() {
        let pattern = "*a".repeat(500);
        let name = "a".repeat(255);
        let begun = std::time::Instant::now();
        for _ in 0..100 {
            assert!(!matches_pattern(pattern.as_bytes(), name.as_bytes()));
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(5));
    }

    #[test]
    fn hashed_names() {
        // Made by ssh-keygen -H.
        let hashed = "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg=";
        let hosts = Hosts::parse(hashed.as_bytes()).unwrap();
        assert!(hosts.matches("192.168.1.61"));
        assert!(!hosts.matches("192.168.1.6"));
        for broken in [
            "|",
            "|1|",
            "|1||",
            "|2|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg=",
            "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y|3988QV0VE8wmZL7suNrYQLITLCg=",
            "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg",
            "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCh=",
            "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg=|",
            "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg=,host",
            "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y\x0b=|3988QV0VE8wmZL7suNrYQLITLCg=",
            "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg=\r",
            "|1|YQ==|YQ==",
        ] {
            assert!(Hosts::parse(broken.as_bytes()).is_none(), "{broken}");
        }
    }
}
