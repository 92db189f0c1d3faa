//! The choices that a connection string or a builder can make, in libpq's words.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::{Error, SslMode, SslNegotiation, Stage, codes};

macro_rules! choice {
    (
        $(#[$outer:meta])*
        $name:ident as $keyword:literal {
            $($(#[$inner:meta])* $variant:ident = $word:literal,)*
        }
    ) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        pub enum $name {
            $($(#[$inner])* #[serde(rename = $word)] $variant,)*
        }
        words!($name as $keyword { $($variant = $word,)* });
        impl $name {
            /// libpq's spelling.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

macro_rules! words {
    ($name:ident as $keyword:literal { $($variant:ident = $word:literal,)* }) => {
        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(invalid_choice($keyword, text, &[$($word),*])),
                }
            }
        }
    };
}

fn invalid_choice(keyword: &str, text: &str, words: &[&str]) -> Error {
    Error::new(
        &codes::CONFIG_INVALID,
        Stage::CONFIG,
        format!("invalid {keyword} value: \"{text}\""),
    )
    .with_hint(format!("set {keyword} to one of {}", words.join(", ")))
}

words!(SslMode as "sslmode" {
    Disable = "disable",
    Allow = "allow",
    Prefer = "prefer",
    Require = "require",
    VerifyCa = "verify-ca",
    VerifyFull = "verify-full",
});

words!(SslNegotiation as "sslnegotiation" {
    Postgres = "postgres",
    Direct = "direct",
});

choice! {
    /// Whether SCRAM is bound to the TLS session (libpq's `channel_binding`): an attacker who
    /// relays the exchange through a TLS session of his own is then found out.
    #[derive(Default)]
    ChannelBinding as "channel_binding" {
        /// Never.
        Disable = "disable",
        /// Where both sides can. The default.
        #[default]
        Prefer = "prefer",
        /// Always; a connection without it fails before the password is used.
        Require = "require",
    }
}

choice! {
    /// Whether a client certificate is sent (libpq's `sslcertmode`). Its `require` is not here: the
    /// TLS libraries do not tell whether the server asked for a certificate.
    #[derive(Default)]
    SslCertMode as "sslcertmode" {
        /// Never, not even the one at the default place.
        Disable = "disable",
        /// If there is one and the server asks for it. The default.
        #[default]
        Allow = "allow",
    }
}

choice! {
    /// Which session is acceptable (libpq's `target_session_attrs`).
    #[derive(Default)]
    TargetSessionAttrs as "target_session_attrs" {
        /// Any. The default.
        #[default]
        Any = "any",
        /// Read-write transactions by default.
        ReadWrite = "read-write",
        /// Read-only transactions by default.
        ReadOnly = "read-only",
        /// A server that is not in recovery.
        Primary = "primary",
        /// A server that is in recovery.
        Standby = "standby",
        /// A server in recovery; any when no host is one.
        PreferStandby = "prefer-standby",
    }
}

choice! {
    /// In which order hosts and their addresses are tried (libpq's `load_balance_hosts`).
    #[derive(Default)]
    LoadBalanceHosts as "load_balance_hosts" {
        /// As given. The default.
        #[default]
        Disable = "disable",
        /// At random.
        Random = "random",
    }
}

/// A version of the TLS protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum TlsVersion {
    /// TLS 1.0, which is broken.
    #[serde(rename = "TLSv1")]
    V1_0,
    /// TLS 1.1, which is broken.
    #[serde(rename = "TLSv1.1")]
    V1_1,
    /// TLS 1.2.
    #[serde(rename = "TLSv1.2")]
    V1_2,
    /// TLS 1.3.
    #[serde(rename = "TLSv1.3")]
    V1_3,
}

impl TlsVersion {
    /// libpq's spelling, such as `TLSv1.2`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "TLSv1",
            Self::V1_1 => "TLSv1.1",
            Self::V1_2 => "TLSv1.2",
            Self::V1_3 => "TLSv1.3",
        }
    }
}

impl FromStr for TlsVersion {
    type Err = Error;

    /// Case does not matter, as in libpq.
    fn from_str(text: &str) -> Result<Self, Error> {
        const ALL: [TlsVersion; 4] = [
            TlsVersion::V1_0,
            TlsVersion::V1_1,
            TlsVersion::V1_2,
            TlsVersion::V1_3,
        ];
        ALL.into_iter()
            .find(|version| version.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| {
                invalid_choice("TLS protocol version", text, &ALL.map(TlsVersion::as_str))
            })
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
