//! From a certificate to the credential of a connection: user, password, dates.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use pgreach_core::{Credential, CredentialKind, CredentialProvider, CredentialRequest, Error};

use crate::codes;
use crate::parsed::Parsed;
use crate::problem::error;
use crate::subject::Subject;

const EXPIRY_WARNING: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What goes with a certificate.
#[derive(Debug, Clone)]
pub(crate) struct Presentation {
    user: User,
    password: Option<Password>,
    expiry_warning: Duration,
}

/// Who the certificate is used as.
#[derive(Debug, Clone)]
enum User {
    /// Whom the source of the password names, if any.
    NotNamed,
    Named(String),
    FromSubject,
}

/// The source of the password, and what it gave for the attempts that are under way.
#[derive(Debug, Clone)]
struct Password {
    source: Arc<dyn CredentialProvider>,
    given: Arc<Mutex<Vec<Given>>>,
}

#[derive(Debug)]
struct Given {
    /// With the certificate; gone when the attempt is over.
    combined: Weak<Credential>,
    /// As the source gave it, and knows it.
    own: Arc<Credential>,
}

impl Presentation {
    pub(crate) fn new() -> Self {
        Self {
            user: User::NotNamed,
            password: None,
            expiry_warning: EXPIRY_WARNING,
        }
    }

    pub(crate) fn set_password(&mut self, source: impl CredentialProvider) {
        self.password = Some(Password {
            source: Arc::new(source),
            given: Arc::default(),
        });
    }

    pub(crate) fn set_user(&mut self, user: String) {
        self.user = User::Named(user);
    }

    pub(crate) fn set_user_from_subject(&mut self) {
        self.user = User::FromSubject;
    }

    pub(crate) fn set_expiry_warning(&mut self, span: Duration) {
        self.expiry_warning = span;
    }

    /// The credential of one connection.
    pub(crate) async fn present(
        &self,
        certificate: &Parsed,
        request: &CredentialRequest<'_>,
    ) -> Result<Arc<Credential>, Error> {
        let subject = &certificate.subject;
        let now = SystemTime::now();
        subject.check_dates(now)?;
        let user = self.user(subject)?;
        let Some(password) = &self.password else {
            let credential = Credential::certificate(certificate.identity.clone());
            return Ok(Arc::new(self.complete(credential, subject, user, now)));
        };
        let own = password.fetch(request, user).await?;
        let identity = certificate.identity.clone();
        let with_certificate = match (own.kind(), own.secret()) {
            // Without a password it is a certificate alone.
            (CredentialKind::None, None) => {
                let credential = Credential::certificate(identity);
                match own.user() {
                    Some(user) => credential.with_user(user),
                    None => credential,
                }
            }
            _ => Credential::clone(&own).with_identity(identity),
        };
        let combined = Arc::new(self.complete(with_certificate, subject, user, now));
        password.remember(&combined, own);
        Ok(combined)
    }

    fn user<'a>(&'a self, subject: &'a Subject) -> Result<Option<&'a str>, Error> {
        match &self.user {
            User::NotNamed => Ok(None),
            User::Named(user) => Ok(Some(user)),
            User::FromSubject => match subject.common_name.as_deref() {
                Some(name) if !name.is_empty() => Ok(Some(name)),
                _ => Err(error(
                    &codes::CERT_SUBJECT,
                    format!(
                        "the subject of the client certificate ({}) has no common name (CN) that \
                         could be the user",
                        subject.name
                    ),
                )),
            },
        }
    }

    fn complete(
        &self,
        credential: Credential,
        subject: &Subject,
        user: Option<&str>,
        now: SystemTime,
    ) -> Credential {
        let expiry = match credential.expires_at() {
            Some(earlier) => earlier.min(subject.expiry()),
            None => subject.expiry(),
        };
        let mut credential = credential
            .with_expiry(expiry)
            .with_note("subject", &subject.name)
            .with_note("issuer", &subject.issuer)
            .with_note("expires", subject.expires());
        if let Some(warning) = subject.warning(now, self.expiry_warning) {
            credential = credential.with_warning(warning);
        }
        match user {
            Some(user) => credential.with_user(user),
            None => credential,
        }
    }

    /// Tells the source of the password, if there is one.
    pub(crate) fn invalidate(&self, rejected: &Credential) -> bool {
        self.password
            .as_ref()
            .is_some_and(|password| password.invalidate(rejected))
    }
}

impl Password {
    async fn fetch(
        &self,
        request: &CredentialRequest<'_>,
        user: Option<&str>,
    ) -> Result<Arc<Credential>, Error> {
        // The password of the user that the session will have.
        let request =
            CredentialRequest::new(request.endpoint, request.database, request.user.or(user))
                .with_default_user(request.default_user);
        self.source.credential(&request).await
    }

    fn remember(&self, combined: &Arc<Credential>, own: Arc<Credential>) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.retain(|one| one.combined.strong_count() > 0);
        given.push(Given {
            combined: Arc::downgrade(combined),
            own,
        });
    }

    /// A source compares what was refused with what it gave, so it must not see the certificate.
    fn invalidate(&self, rejected: &Credential) -> bool {
        let own = {
            let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
            given
                .iter()
                .find(|one| {
                    let combined = one.combined.upgrade();
                    combined.is_some_and(|combined| combined.same_as(rejected))
                })
                .map(|one| Arc::clone(&one.own))
        };
        match own {
            Some(own) => self.source.invalidate(&own),
            None => self.source.invalidate(rejected),
        }
    }
}
