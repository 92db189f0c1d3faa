//! The keywords of libpq 18, and what becomes of each.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::{Error, Stage, codes};

/// What becomes of a keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Support {
    /// It has libpq's meaning.
    Honoured,
    /// Just some of libpq's values are accepted, as the text says; any other is an error.
    Limited(&'static str),
    /// It is an error, for the reason that the text gives. An empty value, which asks for nothing,
    /// is not.
    Refused(&'static str),
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Honoured => f.write_str("honoured"),
            Self::Limited(values) => write!(f, "limited: {values}"),
            Self::Refused(reason) => write!(f, "refused: {reason}"),
        }
    }
}

struct Row {
    name: &'static str,
    env: Option<&'static str>,
    secret: bool,
    support: Support,
    doc: &'static str,
}

macro_rules! keywords {
    ($(
        $variant:ident = $name:literal $(, env $env:literal)? $(, secret $secret:literal)?
        $(, limited $values:literal)? $(, refused $reason:literal)? : $doc:literal;
    )*) => {
        /// A keyword of libpq 18.
        ///
        /// ```
        /// use pgreach_core::conninfo::Keyword;
        ///
        /// let keyword: Keyword = "sslmode".parse()?;
        /// assert_eq!(keyword, Keyword::SslMode);
        /// assert_eq!(keyword.env(), Some("PGSSLMODE"));
        /// # Ok::<(), pgreach_core::Error>(())
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Keyword {
            $(#[doc = $doc] $variant,)*
        }

        impl Keyword {
            /// All keywords, in libpq's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            const fn row(self) -> Row {
                match self {
                    $(Self::$variant => {
                        #[allow(unused_mut)]
                        let mut row = Row {
                            name: $name,
                            env: None,
                            secret: false,
                            support: Support::Honoured,
                            doc: $doc,
                        };
                        $(row.env = Some($env);)?
                        $(row.secret = $secret;)?
                        $(row.support = Support::Limited($values);)?
                        $(row.support = Support::Refused($reason);)?
                        row
                    })*
                }
            }
        }
    };
}

keywords! {
    Service = "service", env "PGSERVICE":
        "The section of a service file that supplies further keywords.";
    User = "user", env "PGUSER":
        "The database role; the operating system's user name by default.";
    Password = "password", env "PGPASSWORD", secret true:
        "The password.";
    Passfile = "passfile", env "PGPASSFILE":
        "The file with passwords; `~/.pgpass` by default.";
    ChannelBinding = "channel_binding", env "PGCHANNELBINDING":
        "Whether SCRAM is bound to the TLS session: `disable`, `prefer` (the default), `require`.";
    ConnectTimeout = "connect_timeout", env "PGCONNECT_TIMEOUT":
        "Seconds that connecting may take; zero or less leaves it to the program.";
    Dbname = "dbname", env "PGDATABASE":
        "The database; the user's name by default.";
    Host = "host", env "PGHOST":
        "Names, addresses or Unix socket directories of the servers, separated by commas.";
    Hostaddr = "hostaddr", env "PGHOSTADDR":
        "IP addresses to dial instead of resolving `host`.";
    Port = "port", env "PGPORT":
        "Ports: one for all hosts, or one for each; 5432 by default.";
    ClientEncoding = "client_encoding", env "PGCLIENTENCODING",
        limited "`UTF8` (also spelled `utf-8` or `unicode`) and `auto`; text is always UTF-8":
        "The encoding of text on this side.";
    Options = "options", env "PGOPTIONS":
        "Command-line options for the server process.";
    ApplicationName = "application_name", env "PGAPPNAME":
        "The name that the server shows for this session.";
    FallbackApplicationName = "fallback_application_name":
        "The name that the server shows when `application_name` is not given.";
    Keepalives = "keepalives":
        "Whether TCP keepalives are sent: 1 (the default) or 0.";
    KeepalivesIdle = "keepalives_idle":
        "Seconds without traffic before a keepalive; zero means the system's default.";
    KeepalivesInterval = "keepalives_interval":
        "Seconds between keepalives; zero means the system's default.";
    KeepalivesCount = "keepalives_count":
        "Keepalives that may be lost; zero means the system's default.";
    TcpUserTimeout = "tcp_user_timeout":
        "Milliseconds that sent data may stay unacknowledged; zero means the system's default.";
    SslMode = "sslmode", env "PGSSLMODE":
        "Whether to encrypt and what to verify: `disable`, `allow`, `prefer` (the default), `require`, `verify-ca`, `verify-full`.";
    SslNegotiation = "sslnegotiation", env "PGSSLNEGOTIATION":
        "How TLS begins: `postgres` (the default) or `direct`.";
    SslCompression = "sslcompression", env "PGSSLCOMPRESSION",
        limited "`0`; compression inside TLS is unsafe":
        "Compression inside TLS.";
    SslCert = "sslcert", env "PGSSLCERT":
        "The file of the client certificate; `~/.postgresql/postgresql.crt` by default.";
    SslKey = "sslkey", env "PGSSLKEY",
        limited "a file; keys of an OpenSSL engine (`engine:id`) are not supported":
        "The file of the client certificate's key; `~/.postgresql/postgresql.key` by default.";
    SslCertMode = "sslcertmode", env "PGSSLCERTMODE",
        limited "`disable` and `allow`; the TLS library does not tell whether the server asked for a certificate":
        "Whether a client certificate is sent: `allow` (the default) or `disable`.";
    SslPassword = "sslpassword", secret true:
        "The passphrase of the client certificate's key.";
    SslRootCert = "sslrootcert", env "PGSSLROOTCERT":
        "The file of trusted authorities, or `system`; `~/.postgresql/root.crt` by default.";
    SslCrl = "sslcrl", env "PGSSLCRL":
        "The file of revoked certificates; `~/.postgresql/root.crl` by default.";
    SslCrlDir = "sslcrldir", env "PGSSLCRLDIR":
        "The directory of revoked certificates.";
    SslSni = "sslsni", env "PGSSLSNI":
        "Whether the host name is sent in the TLS handshake: 1 (the default) or 0.";
    RequirePeer = "requirepeer", env "PGREQUIREPEER":
        "The operating system user that the server behind a Unix socket must run as.";
    RequireAuth = "require_auth", env "PGREQUIREAUTH":
        "The authentication methods that the server may ask for.";
    MinProtocolVersion = "min_protocol_version", env "PGMINPROTOCOLVERSION",
        limited "`3.0`, the version that is spoken":
        "The lowest acceptable version of PostgreSQL's protocol.";
    MaxProtocolVersion = "max_protocol_version", env "PGMAXPROTOCOLVERSION",
        limited "`3.0`, `3.2` and `latest`; 3.0 is spoken, which is within each":
        "The highest acceptable version of PostgreSQL's protocol.";
    SslMinProtocolVersion = "ssl_min_protocol_version", env "PGSSLMINPROTOCOLVERSION":
        "The lowest acceptable version of TLS; `TLSv1.2` by default.";
    SslMaxProtocolVersion = "ssl_max_protocol_version", env "PGSSLMAXPROTOCOLVERSION":
        "The highest acceptable version of TLS.";
    GssEncMode = "gssencmode", env "PGGSSENCMODE",
        limited "`disable` and `prefer`; both mean no GSSAPI encryption":
        "GSSAPI encryption.";
    KrbSrvName = "krbsrvname", env "PGKRBSRVNAME",
        refused "GSSAPI is not supported":
        "The Kerberos service name.";
    GssLib = "gsslib", env "PGGSSLIB",
        refused "GSSAPI is not supported":
        "The GSSAPI library.";
    GssDelegation = "gssdelegation", env "PGGSSDELEGATION",
        limited "`0`; GSSAPI is not supported":
        "Whether GSSAPI credentials are forwarded.";
    Replication = "replication",
        limited "`false`, `off`, `no` and `0`; replication connections are not supported":
        "The replication protocol.";
    TargetSessionAttrs = "target_session_attrs", env "PGTARGETSESSIONATTRS":
        "Which session is acceptable: `any` (the default), `read-write`, `read-only`, `primary`, `standby`, `prefer-standby`.";
    LoadBalanceHosts = "load_balance_hosts", env "PGLOADBALANCEHOSTS":
        "The order in which hosts are tried: `disable` (the default, as given) or `random`.";
    ScramClientKey = "scram_client_key", secret true,
        refused "SCRAM keys in place of a password are not supported":
        "The SCRAM client key.";
    ScramServerKey = "scram_server_key", secret true,
        refused "SCRAM keys in place of a password are not supported":
        "The SCRAM server key.";
    OauthIssuer = "oauth_issuer",
        refused "OAuth is not supported":
        "The OAuth issuer.";
    OauthClientId = "oauth_client_id",
        refused "OAuth is not supported":
        "The OAuth client identifier.";
    OauthClientSecret = "oauth_client_secret", secret true,
        refused "OAuth is not supported":
        "The OAuth client secret.";
    OauthScope = "oauth_scope",
        refused "OAuth is not supported":
        "The OAuth scope.";
    SslKeyLogFile = "sslkeylogfile",
        refused "the TLS library cannot write session keys":
        "The file that TLS session keys are written to.";
}

impl Keyword {
    /// libpq's name, such as `sslmode`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().name
    }

    /// The environment variable that supplies it, such as `PGSSLMODE`.
    #[must_use]
    pub const fn env(self) -> Option<&'static str> {
        self.row().env
    }

    /// Whether its value is a secret, which is shown as `***`.
    #[must_use]
    pub const fn is_secret(self) -> bool {
        self.row().secret
    }

    /// What becomes of it.
    #[must_use]
    pub const fn support(self) -> Support {
        self.row().support
    }

    /// What it means, in one line.
    #[must_use]
    pub const fn doc(self) -> &'static str {
        self.row().doc
    }

    /// The keyword of that name; libpq does not fold case.
    pub(super) fn find(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|keyword| keyword.as_str() == name)
    }

    /// The keyword that was probably meant by a name that is none.
    pub(super) fn nearest(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let limit = if name.len() <= 4 { 1 } else { 2 };
        Self::ALL
            .iter()
            .copied()
            .map(|keyword| (distance(keyword.as_str(), &name, limit), keyword))
            .filter(|(distance, _)| *distance <= limit)
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, keyword)| keyword)
    }
}

/// The number of letters to insert, delete, replace or swap with a neighbour; more than `limit` is
/// not counted exactly.
fn distance(a: &str, b: &str, limit: usize) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut best = (last[j] + usize::from(x != y))
                .min(last[j + 1] + 1)
                .min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

impl FromStr for Keyword {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::find(name).ok_or_else(|| unknown(name))
    }
}

/// The error for a name that is no keyword and that may be shown.
pub(super) fn unknown(name: &str) -> Error {
    let error = Error::new(
        &codes::CONFIG_UNKNOWN,
        Stage::CONFIG,
        format!("unknown keyword \"{name}\""),
    );
    match Keyword::nearest(name) {
        Some(keyword) => error.with_hint(format!("did you mean {keyword}?")),
        None => error,
    }
}

impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Keyword {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
