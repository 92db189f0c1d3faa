//! What is made of secrets that are looked up for each new connection, and kept while they stay the same.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::try_join_all;
use pgreach_core::file::Reads;
use pgreach_core::{CredentialRequest, Error, Stage, codes};

use super::lookup::{Found, Lookup, Purpose};
use super::secret::SecretSource;

/// Secrets by number, with the paths of their fields.
#[derive(Debug, Default)]
pub(super) struct Sources(Vec<Source>);

#[derive(Debug)]
struct Source {
    path: String,
    lookup: Lookup,
}

impl Sources {
    /// The number of one more.
    pub(super) fn add(
        &mut self,
        path: impl Into<String>,
        source: &SecretSource,
        purpose: Purpose,
    ) -> usize {
        self.push(path, Lookup::new(source, purpose))
    }

    fn push(&mut self, path: impl Into<String>, lookup: Lookup) -> usize {
        self.0.push(Source {
            path: path.into(),
            lookup,
        });
        self.0.len() - 1
    }

    /// The secrets, where all are given as text.
    pub(super) fn given(&self) -> Option<Vec<Found>> {
        self.0.iter().map(|source| source.lookup.given()).collect()
    }
}

/// Makes something of secrets. It may block: decrypting a key is meant to take time.
pub(super) trait Recipe: Debug + Send + Sync + 'static {
    type Made: Clone + Debug + Send + Sync + 'static;

    /// # Errors
    /// What is wrong with the secrets, with the path of the field.
    fn make(&self, secrets: &[Found]) -> Result<Self::Made, Error>;

    /// Whether the same secrets fail with this error whenever it is tried.
    fn is_for_good(&self, _: &Error) -> bool {
        true
    }
}

/// The secret of that number.
///
/// # Errors
/// None: a source without a secret is an error of its own, so every number has one.
pub(super) fn secret(secrets: &[Found], number: usize) -> Result<&Found, Error> {
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
    begun: AtomicU64,
    last: Mutex<Last<R::Made>>,
    /// One thread at a time makes something, and it outlives the call that wanted it.
    makes: Reads,
}

/// What came of the secrets. A failure leaves what was made before in its place, and is not worth the
/// work of finding it out a second time.
#[derive(Debug)]
struct Last<T> {
    made: Option<Outcome<T>>,
    failed: Option<Outcome<Error>>,
}

#[derive(Debug)]
struct Outcome<T> {
    /// The number of the look-up.
    begun: u64,
    secrets: Vec<Found>,
    of: T,
}

impl<R: Recipe> Kept<R> {
    pub(super) fn new(recipe: R, sources: Sources) -> Arc<Self> {
        Arc::new(Self {
            recipe,
            sources: sources.0,
            begun: AtomicU64::new(0),
            last: Mutex::new(Last {
                made: None,
                failed: None,
            }),
            makes: Reads::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Last<R::Made>> {
        // What is in it is replaced as a whole.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was made last.
    #[cfg(feature = "cert")]
    pub(super) fn last(&self) -> Option<R::Made> {
        self.lock().made.as_ref().map(|made| made.of.clone())
    }

    /// What was made last has been refused: whether another look-up can find other secrets.
    #[cfg(feature = "cert")]
    pub(super) fn invalidate(&self) -> bool {
        let last = self.lock();
        let Some(made) = &last.made else {
            return false;
        };
        let mut can_differ = false;
        for (source, secret) in self.sources.iter().zip(&made.secrets) {
            can_differ |= source.lookup.invalidate(secret);
        }
        can_differ
    }

    /// Looks the secrets up, all at once, and makes anew only what they changed. However many calls find
    /// the same new secrets, one of them makes something of these.
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
        let begun = self.begun.fetch_add(1, Ordering::Relaxed);
        let look_ups = self.sources.iter().map(|source| async {
            let found = source.lookup.find(request).await;
            found.map_err(|error| error.with_context(&source.path))
        });
        let secrets = try_join_all(look_ups).await?;
        if let Some(outcome) = self.known(&secrets) {
            return outcome;
        }
        let kept = Arc::clone(self);
        let making = self.makes.run(move || kept.make(begun, secrets));
        making.await.unwrap_or_else(|cause| {
            let message = "the keys could not be read: the work was cut off";
            Err(Error::new(&codes::IO, Stage::CREDENTIAL, message).with_source(cause))
        })
    }

    fn known(&self, secrets: &[Found]) -> Option<Result<R::Made, Error>> {
        let last = self.lock();
        let made = last.made.as_ref().filter(|made| made.is_of(secrets));
        let failed = last.failed.as_ref().filter(|failed| failed.is_of(secrets));
        made.map(|made| Ok(made.of.clone()))
            .or_else(|| failed.map(|failed| Err(failed.of.repeat())))
    }

    /// One at a time.
    fn make(&self, begun: u64, secrets: Vec<Found>) -> Result<R::Made, Error> {
        // The call before this one may have found the same.
        if let Some(outcome) = self.known(&secrets) {
            return outcome;
        }
        match self.recipe.make(&secrets) {
            Ok(made) => {
                let mut last = self.lock();
                // Of a look-up that took its time, others may have seen the end since.
                let outdated = last.made.as_ref().is_some_and(|last| last.begun > begun);
                if !outdated {
                    last.made = Some(Outcome {
                        begun,
                        secrets,
                        of: made.clone(),
                    });
                }
                Ok(made)
            }
            Err(error) => {
                if self.recipe.is_for_good(&error) {
                    self.lock().failed = Some(Outcome {
                        begun,
                        secrets,
                        of: error.repeat(),
                    });
                }
                Err(error)
            }
        }
    }
}

impl<T> Outcome<T> {
    fn is_of(&self, secrets: &[Found]) -> bool {
        let pairs = || self.secrets.iter().zip(secrets);
        self.secrets.len() == secrets.len() && pairs().all(|(a, b)| a.same_as(b))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::atomic::AtomicUsize;

    use async_trait::async_trait;
    use pgreach_core::{Credential, CredentialProvider, Endpoint, Secret};
    use tokio::sync::oneshot;

    use super::*;

    /// Counts how often something is made.
    #[derive(Debug, Default, Clone)]
    struct Counting(Arc<AtomicUsize>);

    impl Counting {
        fn count(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    impl Recipe for Counting {
        type Made = String;

        fn make(&self, secrets: &[Found]) -> Result<String, Error> {
            self.0.fetch_add(1, Ordering::SeqCst);
            let secret = secret(secrets, 0)?.secret()?;
            match secret.expose() {
                "wrong" | "for now" => Err(Error::new(
                    &codes::CONFIG_INVALID,
                    Stage::CONFIG,
                    secret.expose(),
                )),
                other => Ok(other.to_owned()),
            }
        }

        fn is_for_good(&self, error: &Error) -> bool {
            error.message() == "wrong"
        }
    }

    /// Gives one answer after the other, each when it is sent.
    #[derive(Debug)]
    struct Slow(Mutex<VecDeque<oneshot::Receiver<Option<&'static str>>>>);

    #[async_trait]
    impl CredentialProvider for Slow {
        async fn credential(&self, _: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
            let next = self.0.lock().unwrap().pop_front().unwrap();
            Ok(Arc::new(match next.await.unwrap() {
                Some(text) => Credential::password(Secret::new(text)),
                None => Credential::none(),
            }))
        }
    }

    type Answers = Vec<oneshot::Sender<Option<&'static str>>>;

    fn slow(calls: usize) -> (Answers, Counting, Arc<Kept<Counting>>) {
        let (answers, asked) = (0..calls).map(|_| oneshot::channel()).unzip();
        let mut sources = Sources::default();
        sources.push("field", Lookup::Asked(Arc::new(Slow(Mutex::new(asked)))));
        let recipe = Counting::default();
        (answers, recipe.clone(), Kept::new(recipe, sources))
    }

    async fn get(kept: &Arc<Kept<Counting>>) -> Result<String, String> {
        let endpoint = Endpoint::tcp("db", 5432);
        let request = CredentialRequest::new(&endpoint, None, None);
        let made = kept.get(&request).await;
        made.map_err(|error| error.to_string())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_of_many_makes_it() {
        for (text, outcome) in [("a", Ok("a")), ("wrong", Err("wrong"))] {
            let (answers, recipe, kept) = slow(50);
            let calls: Vec<_> = (0..50)
                .map(|_| {
                    let kept = Arc::clone(&kept);
                    tokio::spawn(async move { get(&kept).await })
                })
                .collect();
            for answer in answers {
                answer.send(Some(text)).unwrap();
            }
            for call in calls {
                let got = call.await.unwrap();
                assert_eq!(got.as_deref().map_err(String::as_str), outcome);
            }
            assert_eq!(recipe.count(), 1, "{text}");
        }
    }

    #[tokio::test]
    async fn failures_are_kept_beside_what_was_made() {
        let (answers, recipe, kept) = slow(7);
        let texts = ["a", "wrong", "wrong", "a", "for now", "for now", "b"];
        for (text, answer) in texts.into_iter().zip(answers) {
            answer.send(Some(text)).unwrap();
        }
        for (expected, count) in [
            (Ok("a"), 1),
            (Err("wrong"), 2),
            (Err("wrong"), 2),
            (Ok("a"), 2),
            (Err("for now"), 3),
            (Err("for now"), 4),
            (Ok("b"), 5),
        ] {
            let got = get(&kept).await;
            assert_eq!(got.as_deref().map_err(String::as_str), expected);
            assert_eq!(recipe.count(), count, "{got:?}");
        }
    }

    #[tokio::test]
    async fn an_older_look_up_does_not_take_the_place_of_a_newer_one() {
        let (mut answers, recipe, kept) = slow(3);
        let third = answers.pop().unwrap();
        let second = answers.pop().unwrap();
        let first = answers.pop().unwrap();
        let (old, new) = tokio::join!(get(&kept), async {
            second.send(Some("new")).unwrap();
            let new = get(&kept).await;
            first.send(Some("old")).unwrap();
            new
        });
        assert_eq!((old, new), (Ok("old".into()), Ok("new".into())));
        third.send(Some("new")).unwrap();
        assert_eq!(get(&kept).await.as_deref(), Ok("new"));
        assert_eq!(recipe.count(), 2);
    }

    #[tokio::test]
    async fn a_source_without_a_secret_is_an_error() {
        let (mut answers, _, kept) = slow(1);
        answers.pop().unwrap().send(None).unwrap();
        let error = get(&kept).await.unwrap_err();
        assert_eq!(error, "field: the source gave no secret");
    }
}
