//! A certificate that is known beforehand.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use pgreach_core::{Credential, CredentialProvider, CredentialRequest, Error, Secret};

use crate::parsed::Parsed;
use crate::presentation::Presentation;

/// One client certificate with its key, given once.
///
/// It is parsed and checked when it is made. Its dates are looked at then and for each connection.
///
/// ```no_run
/// use pgreach_auth_cert::FixedCertificate;
/// use pgreach_core::Secret;
///
/// # fn example(from_a_form: (String, String, String)) -> Result<(), pgreach_core::Error> {
/// let (certificate, key, passphrase) = from_a_form;
/// let certificate =
///     FixedCertificate::from_bytes(certificate, key, Some(Secret::new(passphrase)))?
///         .with_user_from_subject();
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FixedCertificate {
    certificate: Arc<Parsed>,
    presentation: Presentation,
}

impl FixedCertificate {
    /// A certificate, with those of its issuers behind it, and its key: each in PEM or DER, in any of
    /// the [forms](crate#forms). The same text may be given for both.
    ///
    /// The work to decrypt a key is done here, and takes up to seconds where a key asks for it.
    ///
    /// # Errors
    /// One of the [`codes`](crate::codes), but none of those of files.
    pub fn from_bytes(
        certificate: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
        passphrase: Option<Secret>,
    ) -> Result<Self, Error> {
        Self::new(Parsed::from_pair(
            certificate.as_ref(),
            key.as_ref(),
            passphrase.as_ref(),
        )?)
    }

    /// The key in a PKCS#12 file, and the chain of the certificate that it belongs to.
    ///
    /// # Errors
    /// As [`from_bytes`](Self::from_bytes).
    pub fn from_pkcs12(
        pkcs12: impl AsRef<[u8]>,
        passphrase: Option<Secret>,
    ) -> Result<Self, Error> {
        Self::new(Parsed::from_pkcs12(pkcs12.as_ref(), passphrase.as_ref())?)
    }

    fn new(certificate: Parsed) -> Result<Self, Error> {
        certificate.subject.check_dates(SystemTime::now())?;
        Ok(Self {
            certificate: Arc::new(certificate),
            presentation: Presentation::new(),
        })
    }

    /// Adds the password or token of another source, for servers that demand both. Whom that source
    /// names is the user, unless the certificate's own settings name one.
    #[must_use]
    pub fn with_password_from(mut self, source: impl CredentialProvider) -> Self {
        self.presentation.set_password(source);
        self
    }

    /// The user that the certificate belongs to. A user given to the connector itself comes first.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.presentation.set_user(user.into());
        self
    }

    /// The user is the common name (CN) of the certificate's subject, which the server's method
    /// `cert` compares it with. A user given to the connector itself comes first.
    #[must_use]
    pub fn with_user_from_subject(mut self) -> Self {
        self.presentation.set_user_from_subject();
        self
    }

    /// How long before the end of the certificate a report warns of it: 30 days by default, never
    /// with zero.
    #[must_use]
    pub fn with_expiry_warning(mut self, span: Duration) -> Self {
        self.presentation.set_expiry_warning(span);
        self
    }
}

#[async_trait]
impl CredentialProvider for FixedCertificate {
    async fn credential(&self, request: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        self.presentation.present(&self.certificate, request).await
    }

    /// What the source of the password says; false without one.
    fn invalidate(&self, rejected: &Credential) -> bool {
        self.presentation.invalidate(rejected)
    }
}
