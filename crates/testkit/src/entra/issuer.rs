//! Those whose tokens Entra exchanges for its own: a cluster, a pipeline.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use super::keys::{self, Claims, SigningKey};
use crate::Error;

/// The audience of a token that is meant for the exchange.
const AUDIENCE: &str = "api://AzureADTokenExchange";

/// How long such a token lives: an hour, as those of a Kubernetes service account.
const LIFETIME: i64 = 3600;

/// A stand-in for a Kubernetes cluster that issues tokens to its service accounts.
///
/// Its token files live in a folder of their own, removed with the last clone of the value.
#[derive(Clone)]
pub struct TokenIssuer {
    inner: Arc<Inner>,
}

struct Inner {
    url: String,
    key: SigningKey,
    folder: TempDir,
}

impl TokenIssuer {
    /// Makes an issuer with a key of its own. Nothing is served at the address: it is only a name.
    ///
    /// # Errors
    /// There is no `ssh-keygen`, which makes the key, or no folder can be made.
    pub fn generate(url: impl Into<String>) -> Result<Self, Error> {
        let folder = tempfile::Builder::new()
            .prefix("pgk-")
            .tempdir()
            .map_err(Error::file("create a folder in", std::env::temp_dir()))?;
        let inner = Inner {
            url: url.into(),
            key: SigningKey::generate()?,
            folder,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The name of the issuer.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// A token for a subject, such as `system:serviceaccount:shop:orders`, good for an hour.
    ///
    /// # Errors
    /// The token cannot be signed.
    pub fn token(&self, subject: &str) -> Result<String, Error> {
        self.token_with(subject, |_| {})
    }

    /// As [`token`](Self::token), with other claims.
    ///
    /// # Errors
    /// The token cannot be signed.
    pub fn token_with(
        &self,
        subject: &str,
        change: impl FnOnce(&mut Claims),
    ) -> Result<String, Error> {
        let now = keys::now();
        let mut claims = Claims::new();
        claims.insert("iss".into(), self.url().into());
        claims.insert("sub".into(), subject.into());
        claims.insert("aud".into(), vec![AUDIENCE].into());
        claims.insert("iat".into(), now.into());
        claims.insert("nbf".into(), now.into());
        claims.insert("exp".into(), (now + LIFETIME).into());
        change(&mut claims);
        self.inner.key.sign(&claims)
    }

    /// Writes a fresh token of the subject to [`token_file`](Self::token_file), and returns where.
    ///
    /// # Errors
    /// The token cannot be signed or the file not be written.
    pub fn write_token(&self, subject: &str) -> Result<PathBuf, Error> {
        self.write(subject, &self.token(subject)?)
    }

    /// Writes any text to [`token_file`](Self::token_file), and returns where.
    ///
    /// A reader sees the old text or the new one, as with a volume that the cluster projects.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, subject: &str, text: &str) -> Result<PathBuf, Error> {
        let file = self.token_file(subject);
        replace(&file, text)?;
        Ok(file)
    }

    /// The file of a subject's token; there is none before it is written.
    pub fn token_file(&self, subject: &str) -> PathBuf {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let name: String = subject.chars().map(plain).collect();
        self.inner.folder.path().join(name)
    }

    pub(super) fn key(&self) -> &SigningKey {
        &self.inner.key
    }
}

impl fmt::Debug for TokenIssuer {
    /// Leaves out the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenIssuer")
            .field("url", &self.url())
            .field("folder", &self.inner.folder.path())
            .finish_non_exhaustive()
    }
}

/// Whether the claims are meant for the exchange.
pub(super) fn is_for_exchange(claims: &Claims) -> bool {
    match claims.get("aud") {
        Some(serde_json::Value::Array(list)) => list.iter().any(|audience| audience == AUDIENCE),
        Some(audience) => audience == AUDIENCE,
        None => false,
    }
}

/// Puts a file in place in one step.
pub(super) fn replace(file: &Path, text: &str) -> Result<(), Error> {
    let mut draft = file.to_owned().into_os_string();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    fs::write(&draft, text).map_err(Error::file("write", &draft))?;
    fs::rename(&draft, file).map_err(Error::file("write", file))
}
