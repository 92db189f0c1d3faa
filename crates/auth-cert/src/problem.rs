//! The errors of this crate. None of them repeats a part of a key or of a passphrase.

use pgreach_core::{Code, Error, Stage};

use crate::codes;

pub(crate) fn error(code: &'static Code, message: impl AsRef<str>) -> Error {
    Error::new(code, Stage::CREDENTIAL, message)
}

pub(crate) fn invalid(message: impl AsRef<str>) -> Error {
    error(&codes::CERT_INVALID, message)
}

pub(crate) fn unsupported(message: impl AsRef<str>, hint: impl AsRef<str>) -> Error {
    error(&codes::CERT_UNSUPPORTED, message).with_hint(hint)
}

pub(crate) fn key_invalid(message: impl AsRef<str>) -> Error {
    error(&codes::CERT_KEY_INVALID, message)
}

pub(crate) fn key_unsupported(message: impl AsRef<str>, hint: impl AsRef<str>) -> Error {
    error(&codes::CERT_KEY_UNSUPPORTED, message).with_hint(hint)
}

#[cfg_attr(
    any(target_os = "windows", target_vendor = "apple"),
    allow(dead_code, reason = "what is encrypted is not supported there")
)]
pub(crate) fn passphrase_missing() -> Error {
    error(
        &codes::CERT_PASSPHRASE_MISSING,
        "the private key is encrypted, and no passphrase was given",
    )
}

#[cfg_attr(
    any(target_os = "windows", target_vendor = "apple"),
    allow(dead_code, reason = "what is encrypted is not supported there")
)]
pub(crate) fn passphrase_wrong() -> Error {
    error(
        &codes::CERT_PASSPHRASE_WRONG,
        "the passphrase does not open the private key, or the key is damaged",
    )
}
