//! Which authentication methods the server may ask for.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Stage, codes};

/// An authentication method, in the words of libpq's `require_auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthMethod {
    /// The password in cleartext.
    Password,
    /// The password hashed with MD5.
    Md5,
    /// GSSAPI (not supported by this crate).
    Gss,
    /// SSPI (not supported by this crate).
    Sspi,
    /// SCRAM-SHA-256, with or without channel binding.
    ScramSha256,
    /// OAuth bearer tokens (not supported by this crate).
    OAuth,
    /// None: the server trusts the client, or asks the operating system, or the certificate is
    /// enough.
    None,
}

impl AuthMethod {
    /// All methods.
    pub const ALL: [Self; 7] = [
        Self::Password,
        Self::Md5,
        Self::Gss,
        Self::Sspi,
        Self::ScramSha256,
        Self::OAuth,
        Self::None,
    ];

    /// libpq's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Md5 => "md5",
            Self::Gss => "gss",
            Self::Sspi => "sspi",
            Self::ScramSha256 => "scram-sha-256",
            Self::OAuth => "oauth",
            Self::None => "none",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for AuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The authentication methods that the server may ask for (libpq's `require_auth`).
///
/// It is enforced before any secret leaves: a server that asks for another method gets nothing. A
/// list of methods allows just those, a list of negated ones (`!md5`) all others; the two cannot be
/// mixed. The default allows every method.
///
/// Source: <https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-CONNECT-REQUIRE-AUTH>.
///
/// ```
/// use pgreach_core::{AuthMethod, RequireAuth};
///
/// let require: RequireAuth = "scram-sha-256,none".parse()?;
/// assert!(require.allows(AuthMethod::None));
/// assert!(!require.allows(AuthMethod::Md5));
/// let negated: RequireAuth = "!password,!md5".parse()?;
/// assert!(!negated.allows(AuthMethod::Password));
/// assert!(negated.allows(AuthMethod::ScramSha256));
/// # Ok::<(), pgreach_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequireAuth(u8);

impl RequireAuth {
    /// Every method.
    #[must_use]
    pub fn any() -> Self {
        Self::only(AuthMethod::ALL)
    }

    /// Just these methods.
    #[must_use]
    pub fn only(methods: impl IntoIterator<Item = AuthMethod>) -> Self {
        Self(
            methods
                .into_iter()
                .fold(0, |bits, method| bits | method.bit()),
        )
    }

    /// Whether the server may ask for `method`.
    #[must_use]
    pub fn allows(self, method: AuthMethod) -> bool {
        self.0 & method.bit() != 0
    }

    /// The methods that are allowed.
    pub fn methods(self) -> impl Iterator<Item = AuthMethod> {
        AuthMethod::ALL
            .into_iter()
            .filter(move |method| self.allows(*method))
    }
}

impl Default for RequireAuth {
    fn default() -> Self {
        Self::any()
    }
}

impl FromStr for RequireAuth {
    type Err = Error;

    /// libpq's grammar. An empty string allows every method.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Self::any());
        }
        let invalid = |message: String| {
            Error::new(&codes::CONFIG_INVALID, Stage::CONFIG, message).with_hint(format!(
                "set require_auth to a list of {}, or to negated ones such as !password,!md5",
                AuthMethod::ALL.map(AuthMethod::as_str).join(", ")
            ))
        };
        let mut bits = 0u8;
        let mut negated = None;
        for word in text.split(',') {
            let (negation, name) = match word.strip_prefix('!') {
                Some(name) => (true, name),
                None => (false, word),
            };
            if *negated.get_or_insert(negation) != negation {
                return Err(invalid(format!(
                    "require_auth method \"{word}\" cannot be mixed with {} methods",
                    if negation { "non-negated" } else { "negated" }
                )));
            }
            let method = AuthMethod::ALL
                .into_iter()
                .find(|method| method.as_str() == name)
                .ok_or_else(|| invalid(format!("invalid require_auth value: \"{word}\"")))?;
            if bits & method.bit() != 0 {
                return Err(invalid(format!(
                    "require_auth method \"{word}\" is specified more than once"
                )));
            }
            bits |= method.bit();
        }
        Ok(Self(if negated == Some(true) {
            Self::any().0 & !bits
        } else {
            bits
        }))
    }
}

impl fmt::Display for RequireAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An empty list would be read back as every method.
        let nothing = self.methods().next().is_none();
        let (prefix, shown) = if nothing {
            ("!", Self::any())
        } else {
            ("", *self)
        };
        for (i, method) in shown.methods().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(f, "{comma}{prefix}{method}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for RequireAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequireAuth({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_libpqs_grammar() {
        let good = [
            ("", "password,md5,gss,sspi,scram-sha-256,oauth,none"),
            ("password", "password"),
            ("md5,scram-sha-256", "md5,scram-sha-256"),
            ("none,md5", "md5,none"),
            ("!none", "password,md5,gss,sspi,scram-sha-256,oauth"),
            ("!password,!md5", "gss,sspi,scram-sha-256,oauth,none"),
        ];
        for (text, methods) in good {
            assert_eq!(
                text.parse::<RequireAuth>().unwrap().to_string(),
                methods,
                "{text}"
            );
        }
        let nothing = RequireAuth::only([]);
        assert_eq!(nothing.to_string().parse::<RequireAuth>().unwrap(), nothing);
        for bad in [
            "x",
            "password, md5",
            ",",
            "password,",
            "!",
            "!x",
            "password,!md5",
            "!password,md5",
            "md5,md5",
            "!md5,!md5",
        ] {
            let error = bad.parse::<RequireAuth>().unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::Config, "{bad}");
        }
    }
}
