//! A password in an environment variable.

use std::env::{self, VarError};
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use async_trait::async_trait;
use pgreach_core::{Credential, CredentialProvider, CredentialRequest, Error, Secret, Stage};
use zeroize::Zeroizing;

use crate::codes;

/// The password in an environment variable of this process, read for every connection.
///
/// The environment of a process does not change from outside, so a server that refuses the password
/// is not asked a second time. The variable itself stays in the memory of the process, and is
/// handed down to programs that the process starts: prefer [`FilePassword`](crate::FilePassword)
/// where that matters.
///
/// ```
/// use pgreach_auth_password::EnvPassword;
///
/// let password = EnvPassword::new("REPORTING_DB_PASSWORD").with_user("reporting");
/// ```
#[derive(Debug, Clone)]
pub struct EnvPassword {
    variable: OsString,
    user: Option<String>,
}

impl EnvPassword {
    /// The password is the value of `variable`.
    #[must_use]
    pub fn new(variable: impl AsRef<OsStr>) -> Self {
        Self {
            variable: variable.as_ref().to_owned(),
            user: None,
        }
    }

    /// The user that the password belongs to. A user given to the connector itself comes first.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    fn read(&self) -> Result<Secret, Error> {
        let trouble = match self.value() {
            Ok(value) if value.is_empty() => "is empty",
            Ok(value) => return Ok(Secret::new(value)),
            Err(VarError::NotPresent) => "is not set",
            Err(VarError::NotUnicode(value)) => {
                drop(Zeroizing::new(value.into_encoded_bytes()));
                "is not Unicode text"
            }
        };
        Err(Error::new(
            &codes::PASSWORD_ENV,
            Stage::CREDENTIAL,
            format!(
                "environment variable {}, which should hold the password, {trouble}",
                self.variable.display()
            ),
        ))
    }

    fn value(&self) -> Result<String, VarError> {
        // Names that no variable can have: `std::env` treats them as not set on every platform
        // today, but reserves the right to panic.
        let name = self.variable.as_encoded_bytes();
        if name.is_empty() || name.contains(&b'=') || name.contains(&0) {
            return Err(VarError::NotPresent);
        }
        env::var(&self.variable)
    }
}

#[async_trait]
impl CredentialProvider for EnvPassword {
    async fn credential(&self, _: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        Ok(crate::password(self.read()?, self.user.as_deref()))
    }

    fn invalidate(&self, _rejected: &Credential) -> bool {
        false
    }
}
