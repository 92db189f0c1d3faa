//! Tokens and assertions that the application hands in.

use std::time::SystemTime;

use async_trait::async_trait;
use pgreach_core::Secret;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// An access token for Azure Database for PostgreSQL.
///
/// ```
/// use pgreach_auth_azure::EntraToken;
///
/// let token = EntraToken::new("eyJ0eXAiOi…");
/// assert!(!format!("{token:?}").contains("eyJ"));
/// ```
#[derive(Debug, Clone)]
pub struct EntraToken {
    secret: Secret,
    expires_at: Option<SystemTime>,
}

impl EntraToken {
    /// A token that ends when it says so itself.
    #[must_use]
    pub fn new(token: impl Into<Secret>) -> Self {
        Self {
            secret: token.into(),
            expires_at: None,
        }
    }

    /// When it ends. Needed for tokens that are no JWT.
    #[must_use]
    pub fn with_expiry(mut self, at: SystemTime) -> Self {
        self.expires_at = Some(at);
        self
    }

    pub(crate) fn into_parts(self) -> (Secret, Option<SystemTime>) {
        (self.secret, self.expires_at)
    }
}

/// Gives tokens that the application gets by itself.
///
/// It is asked only when a new token is needed: what it gives is cached until shortly before its
/// end. Any closure that returns such a future is one.
///
/// ```
/// use pgreach_auth_azure::{EntraIdentity, EntraToken};
///
/// async fn ask_the_portal() -> Result<EntraToken, std::io::Error> {
///     Ok(EntraToken::new("eyJ0eXAiOi…"))
/// }
///
/// let identity = EntraIdentity::token(ask_the_portal);
/// ```
#[async_trait]
pub trait TokenSource: Send + Sync + 'static {
    /// A token that is valid from now on, and not the one of last time if that was refused.
    ///
    /// # Errors
    /// Whatever keeps it from giving one. The error's text is shown, with what looks like a token
    /// taken out; it should hold no other secrets either.
    async fn token(&self) -> Result<EntraToken, Failure>;
}

#[async_trait]
impl<F, Fut, E> TokenSource for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<EntraToken, E>> + Send,
    E: Into<Failure>,
{
    async fn token(&self) -> Result<EntraToken, Failure> {
        self().await.map_err(Into::into)
    }
}

/// Gives the signed assertion (a JWT) with which an application proves itself to Entra, such as the
/// token of another identity provider that the application registration trusts.
///
/// It is asked for each token. Any closure that returns such a future is one.
#[async_trait]
pub trait AssertionSource: Send + Sync + 'static {
    /// An assertion that is valid from now on.
    ///
    /// # Errors
    /// Whatever keeps it from giving one. The error's text is shown, with what looks like a token
    /// taken out; it should hold no other secrets either.
    async fn assertion(&self) -> Result<Secret, Failure>;
}

#[async_trait]
impl<F, Fut, E> AssertionSource for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Secret, E>> + Send,
    E: Into<Failure>,
{
    async fn assertion(&self) -> Result<Secret, Failure> {
        self().await.map_err(Into::into)
    }
}
