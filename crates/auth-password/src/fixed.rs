//! A password that is known beforehand.

use std::sync::Arc;

use async_trait::async_trait;
use pgreach_core::{Credential, CredentialProvider, CredentialRequest, Error, Secret};

/// One password, given once.
///
/// A server that refuses it is not asked a second time: there is no other password to try.
///
/// ```
/// use pgreach_auth_password::FixedPassword;
///
/// let password = FixedPassword::new("correct horse").with_user("alice");
/// assert!(!format!("{password:?}").contains("horse"));
/// ```
#[derive(Debug, Clone)]
pub struct FixedPassword(Arc<Credential>);

impl FixedPassword {
    /// The password. A `String` is wiped from memory when the last copy of this source is dropped.
    #[must_use]
    pub fn new(password: impl Into<Secret>) -> Self {
        Self(Arc::new(Credential::password(password)))
    }

    /// The user that the password belongs to. A user given to the connector itself comes first.
    #[must_use]
    pub fn with_user(self, user: impl Into<String>) -> Self {
        Self(Arc::new(Arc::unwrap_or_clone(self.0).with_user(user)))
    }
}

#[async_trait]
impl CredentialProvider for FixedPassword {
    async fn credential(&self, _: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        Ok(Arc::clone(&self.0))
    }

    fn invalidate(&self, _rejected: &Credential) -> bool {
        false
    }
}
