//! The stages of the way to a database.

use std::fmt;

use serde::Serialize;

/// One stage of the way to a database, such as `tcp` or `tls`.
///
/// Transports and credential sources of other crates add their own:
///
/// ```
/// use pgreach_core::Stage;
///
/// const SOCKS: Stage = Stage::new("socks");
/// assert_eq!(SOCKS.as_str(), "socks");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Stage(&'static str);

impl Stage {
    /// Settings are read and put together; nothing is sent.
    pub const CONFIG: Self = Self("config");
    /// The host name is resolved and the addresses are checked.
    pub const RESOLVE: Self = Self("resolve");
    /// A TCP connection, or a Unix socket's, is opened.
    pub const TCP: Self = Self("tcp");
    /// TLS is negotiated and the server's certificate is verified.
    pub const TLS: Self = Self("tls");
    /// The credential is fetched.
    pub const CREDENTIAL: Self = Self("credential");
    /// The server is asked for a session and the client proves who it is.
    pub const AUTHENTICATION: Self = Self("authentication");
    /// The session is checked: `target_session_attrs`, server version.
    pub const SESSION: Self = Self("session");
    /// A statement runs.
    pub const QUERY: Self = Self("query");
    /// A cancel request is sent.
    pub const CANCEL: Self = Self("cancel");

    /// A stage with a name of its own: lower-case words joined by hyphens.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0)
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stage({})", self.0)
    }
}
