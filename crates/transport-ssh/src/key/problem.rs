//! The errors of reading keys, each with its code.

use pgreach_core::{Error, Stage};

use crate::codes;

/// The key cannot be understood.
pub(super) fn invalid(message: impl AsRef<str>) -> Error {
    Error::new(&codes::SSH_KEY_INVALID, Stage::CONFIG, message)
}

/// The key is understood, and is none that may be used.
pub(super) fn unsupported(message: impl AsRef<str>) -> Error {
    Error::new(&codes::SSH_KEY_UNSUPPORTED, Stage::CONFIG, message)
}

/// There is no passphrase for an encrypted key.
pub(super) fn passphrase_missing() -> Error {
    Error::new(
        &codes::SSH_KEY_PASSPHRASE_MISSING,
        Stage::CONFIG,
        "the private key is encrypted and no passphrase was given",
    )
}

/// What the passphrase made of the key is not a key.
pub(super) fn passphrase_wrong() -> Error {
    Error::new(
        &codes::SSH_KEY_PASSPHRASE_WRONG,
        Stage::CONFIG,
        "the passphrase does not open the private key",
    )
    .with_hint(
        "Give the passphrase that this key was encrypted with; if it is the right one, the key is \
         damaged.",
    )
}

/// The certificate is none, or not this key's.
pub(super) fn certificate(message: impl AsRef<str>) -> Error {
    Error::new(&codes::SSH_CERTIFICATE_MISMATCH, Stage::CONFIG, message)
}

/// A setting is wrong.
pub(super) fn setting(message: impl AsRef<str>) -> Error {
    Error::new(&codes::SSH_CONFIG_INVALID, Stage::CONFIG, message)
}

/// A name out of a key, fit for a message. What is no name could be a piece of the key.
pub(super) fn name(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    (!text.is_empty() && text.len() <= 48 && text.chars().all(plain)).then_some(text)
}
