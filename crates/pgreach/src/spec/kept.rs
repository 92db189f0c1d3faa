//! What is made of secrets that are looked up for each new connection, and kept while they stay the same.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use pgreach_core::{CredentialProvider, CredentialRequest, Error, Secret, Stage, codes};

use super::secret::SecretSource;

/// Secrets by number, with the paths of their fields.
#[derive(Debug, Default)]
pub(super) struct Sources(Vec<Source>);

#[derive(Debug)]
struct Source {
    path: String,
    /// Where it is given as text.
    given: Option<Secret>,
    provider: Arc<dyn CredentialProvider>,
}

impl Sources {
    /// The number of one more.
    pub(super) fn add(&mut self, path: impl Into<String>, source: &SecretSource) -> usize {
        let given = match source {
            SecretSource::Value(secret) => Some(secret.clone()),
            _ => None,
        };
        self.push(path, given, source.provider())
    }

    /// The number of an archive: base64, or a file of bytes, whose secret is their base64.
    #[cfg(feature = "azure-client-certificate")]
    pub(super) fn add_archive(&mut self, path: impl Into<String>, source: &SecretSource) -> usize {
        match source {
            SecretSource::File(file) => {
                let provider = super::archive::ArchiveFile::new(file);
                self.push(path, None, Arc::new(provider))
            }
            source => self.add(path, source),
        }
    }

    fn push(
        &mut self,
        path: impl Into<String>,
        given: Option<Secret>,
        provider: Arc<dyn CredentialProvider>,
    ) -> usize {
        self.0.push(Source {
            path: path.into(),
            given,
            provider,
        });
        self.0.len() - 1
    }

    /// The secrets, where all are given as text.
    pub(super) fn given(&self) -> Option<Vec<Secret>> {
        self.0.iter().map(|source| source.given.clone()).collect()
    }
}

/// Makes something of secrets. It may block: decrypting a key is meant to take time.
pub(super) trait Recipe: Debug + Send + Sync + 'static {
    type Made: Clone + Debug + Send + Sync + 'static;

    /// # Errors
    /// What is wrong with the secrets.
    fn make(&self, secrets: &[Secret]) -> Result<Self::Made, Error>;
}

/// The secret of that number.
///
/// # Errors
/// A source without a secret is an error of its own, so every number has one.
pub(super) fn secret(secrets: &[Secret], number: usize) -> Result<&Secret, Error> {
    secrets.get(number).ok_or_else(|| {
        let message = "a credential source gave no secret";
        Error::new(&codes::CONFIG_MISSING, Stage::CREDENTIAL, message)
    })
}

/// What was made of a recipe, until the secrets change.
#[derive(Debug)]
pub(super) struct Kept<R: Recipe> {
    recipe: R,
    sources: Vec<Source>,
    last: Mutex<Option<Last<R::Made>>>,
}

#[derive(Debug)]
struct Last<T> {
    secrets: Vec<Secret>,
    made: T,
}

impl<R: Recipe> Kept<R> {
    pub(super) fn new(recipe: R, sources: Sources) -> Arc<Self> {
        Arc::new(Self {
            recipe,
            sources: sources.0,
            last: Mutex::new(None),
        })
    }

    /// What was made last.
    pub(super) fn last(&self) -> Option<R::Made> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|last| last.made.clone())
    }

    /// Looks the secrets up, and makes anew only what they changed.
    ///
    /// Cancel-safe: nothing is under way but look-ups, each of which is cancel-safe, and work in a
    /// thread of its own whose result is kept.
    ///
    /// # Errors
    /// Of a source, with the path of its field, or of the recipe.
    pub(super) async fn get(
        self: &Arc<Self>,
        request: &CredentialRequest<'_>,
    ) -> Result<R::Made, Error> {
        let mut secrets = Vec::with_capacity(self.sources.len());
        for source in &self.sources {
            let credential = source.provider.credential(request).await;
            let credential = credential.map_err(|error| error.with_context(&source.path))?;
            secrets.extend(credential.secret().cloned());
        }
        if let Some(made) = self.made_of(&secrets) {
            return Ok(made);
        }
        let kept = Arc::clone(self);
        let making = tokio::task::spawn_blocking(move || kept.make(secrets));
        making.await.unwrap_or_else(|cause| {
            let message = "the keys could not be read: the work was cut off";
            Err(Error::new(&codes::IO, Stage::CREDENTIAL, message).with_source(cause))
        })
    }

    fn made_of(&self, secrets: &[Secret]) -> Option<R::Made> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let last = last.as_ref()?;
        same(&last.secrets, secrets).then(|| last.made.clone())
    }

    fn make(&self, secrets: Vec<Secret>) -> Result<R::Made, Error> {
        let made = self.recipe.make(&secrets)?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Of two that were made at the same time, one is kept: what it holds is shared.
        if let Some(last) = last.as_ref()
            && same(&last.secrets, &secrets)
        {
            return Ok(last.made.clone());
        }
        *last = Some(Last {
            secrets,
            made: made.clone(),
        });
        Ok(made)
    }
}

fn same(a: &[Secret], b: &[Secret]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same_as(b))
}

/// The bytes of an archive that is given as text.
///
/// # Errors
/// It is not base64. `path` is the field.
#[cfg(any(feature = "cert", feature = "azure-client-certificate"))]
pub(super) fn base64(path: &str, text: &Secret) -> Result<zeroize::Zeroizing<Vec<u8>>, Error> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    // With line ends, as `base64` and `openssl` write it.
    let text: zeroize::Zeroizing<String> = zeroize::Zeroizing::new(
        text.expose()
            .chars()
            .filter(|c| !c.is_ascii_whitespace())
            .collect(),
    );
    match STANDARD.decode(text.as_bytes()) {
        Ok(bytes) => Ok(zeroize::Zeroizing::new(bytes)),
        Err(_) => Err(super::fault::Fault::field(path, "is not base64").into()),
    }
}
