//! Secrets that do not leak and are wiped from memory.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A password or a token.
///
/// Its memory is zeroized on drop, `Debug` prints `Secret(***)`, and there is neither `Display` nor
/// `Serialize`. [`Secret::expose`] is the only way to the text.
///
/// ```
/// use pgreach_core::Secret;
///
/// let secret = Secret::new("correct horse");
/// assert_eq!(format!("{secret:?}"), "Secret(***)");
/// assert_eq!(secret.expose(), "correct horse");
/// ```
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Takes the text over. A `String` is wiped when the secret is dropped; of a `&str`, only the
    /// copy made here is.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        // Into a boxed str without spare capacity: `into_boxed_str` may reallocate and leave the old
        // buffer behind, so the copy is made by hand and the original is wiped.
        let mut text: String = text.into();
        let secret = SecretString::from(text.as_str());
        zeroize::Zeroize::zeroize(&mut text);
        Self(secret)
    }

    /// The text. What is done with it is the caller's responsibility.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether both hold the same text. The time taken depends on the lengths only.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let (a, b) = (self.expose().as_bytes(), other.expose().as_bytes());
        a.len() == b.len() && a.iter().zip(b).fold(0, |acc, (x, y)| acc | (x ^ y)) == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}
