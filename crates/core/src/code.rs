//! Stable codes: what can go wrong, what it means and what to change.

use crate::{ErrorKind, Retry};

/// What an [`Error`](crate::Error) is about, as a stable name with a meaning and a remedy.
///
/// Codes are `static`: every crate declares its own and lists them, so that documentation can be
/// tested against the code. A third-party transport or credential source declares codes the same
/// way:
///
/// ```
/// use pgreach_core::{Code, ErrorKind, Retry};
///
/// static SOCKS_REFUSED: Code = Code::new(
///     "socks-refused",
///     ErrorKind::Transport,
///     Retry::Backoff,
///     "The SOCKS proxy refused to open the connection.",
///     "Allow the database's address in the proxy's rules.",
/// );
/// assert_eq!(SOCKS_REFUSED.name(), "socks-refused");
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    name: &'static str,
    kind: ErrorKind,
    retry: Retry,
    meaning: &'static str,
    remedy: &'static str,
}

impl Code {
    /// Declares a code. `name` is lower-case words joined by hyphens; `meaning` and `remedy` are
    /// one sentence each.
    #[must_use]
    pub const fn new(
        name: &'static str,
        kind: ErrorKind,
        retry: Retry,
        meaning: &'static str,
        remedy: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            retry,
            meaning,
            remedy,
        }
    }

    /// The stable name, such as `tcp-refused`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The kind of every error with this code.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The usual retry advice; an error can carry its own.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        self.retry
    }

    /// What happened, in one sentence.
    #[must_use]
    pub const fn meaning(&self) -> &'static str {
        self.meaning
    }

    /// What to change, in one sentence. An error's own [`hint`](crate::Error::hint) is more
    /// specific where it can be.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        self.remedy
    }
}

/// Declares codes as `static`s with docs, and `ALL`, which lists them.
///
/// A transport, credential source or TLS provider of another crate declares its own like this:
///
/// ```
/// /// The codes of this crate's errors.
/// pub mod codes {
///     pgreach_core::declare_codes! {
///         SOCKS_REFUSED = "socks-refused", Transport, Backoff,
///             "The SOCKS proxy refused to open the connection.",
///             "Allow the database's address in the proxy's rules.";
///     }
/// }
///
/// assert_eq!(codes::ALL[0].name(), codes::SOCKS_REFUSED.name());
/// ```
#[macro_export]
macro_rules! declare_codes {
    ($($ident:ident = $name:literal, $kind:ident, $retry:ident, $meaning:literal, $remedy:literal;)*) => {
        $(
            #[doc = $meaning]
            pub static $ident: $crate::Code = $crate::Code::new(
                $name,
                $crate::ErrorKind::$kind,
                $crate::Retry::$retry,
                $meaning,
                $remedy,
            );
        )*
        /// All codes that are declared here.
        pub static ALL: &[&$crate::Code] = &[$(&$ident),*];
    };
}
