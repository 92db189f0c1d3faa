//! The name that is verified and sent as SNI.

use std::net::IpAddr;

use pgreach_core::{Error, Stage, Verification};

use crate::codes;

/// A name that can be given to the TLS library.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServerName<'a> {
    /// The name without the root's dot; empty when there is none that is fit for TLS.
    pub(crate) text: &'a str,
    pub(crate) is_dns: bool,
}

impl<'a> ServerName<'a> {
    /// Refuses a name that could not be verified although `verification` asks for it.
    ///
    /// Where no name is verified, one that is not fit for TLS is left out: the library would refuse
    /// it as SNI (or, for a zero byte in it, end the process).
    pub(crate) fn new(name: &'a str, verification: Verification) -> Result<Self, Error> {
        if name.parse::<IpAddr>().is_ok() {
            return Ok(Self {
                text: name,
                is_dns: false,
            });
        }
        // "db.example.com." is the same name written in full; neither SNI (RFC 6066, section 3) nor
        // certificates carry the dot.
        let text = name.strip_suffix('.').unwrap_or(name);
        let problem = problem_of(text);
        match problem {
            None => Ok(Self { text, is_dns: true }),
            Some(_) if verification != Verification::Full => Ok(Self {
                text: "",
                is_dns: false,
            }),
            Some(Problem::Empty) => Err(Error::new(
                &codes::TLS_SERVER_NAME,
                Stage::TLS,
                "a host name must be specified for a verified TLS connection",
            )),
            Some(Problem::NotAscii) => Err(refusal(name).with_hint(
                "write an internationalised name in its ASCII form (xn--…), as certificates do",
            )),
            Some(Problem::NotDns) => Err(refusal(name)),
        }
    }
}

fn refusal(name: &str) -> Error {
    Error::new(
        &codes::TLS_SERVER_NAME,
        Stage::TLS,
        format!(
            "host name \"{name}\" is neither a DNS name nor an IP address that a certificate could be for"
        ),
    )
}

enum Problem {
    Empty,
    NotAscii,
    NotDns,
}

/// The limits of RFC 1035; underscores are common in private networks.
fn problem_of(name: &str) -> Option<Problem> {
    let label_fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    if name.is_empty() {
        Some(Problem::Empty)
    } else if !name.is_ascii() {
        Some(Problem::NotAscii)
    } else if name.len() > 253 || !name.split('.').all(label_fits) {
        Some(Problem::NotDns)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_certificates_can_have() {
        for (name, text, is_dns) in [
            ("db.example.com", "db.example.com", true),
            ("db.example.com.", "db.example.com", true),
            ("my_db", "my_db", true),
            ("10.1.2.3", "10.1.2.3", false),
            ("2001:db8::1", "2001:db8::1", false),
        ] {
            let expected = ServerName { text, is_dns };
            assert_eq!(
                ServerName::new(name, Verification::Full).unwrap(),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn other_names_are_refused_only_where_they_are_verified() {
        let long = "a.".repeat(128);
        for name in [
            "",
            ".",
            "a..b",
            "a b",
            "db\0.example.com",
            "db/..",
            "*.example.com",
            "bücher.example",
            &long,
        ] {
            let error = ServerName::new(name, Verification::Full).unwrap_err();
            assert_eq!(error.code().name(), "tls-server-name", "{name:?}");
            assert!(!error.to_string().contains('\0'));
            let left_out = ServerName::new(name, Verification::Ca).unwrap();
            assert_eq!(left_out.text, "", "{name:?}");
        }
    }
}
