//! bb8's pool, with reasons.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use pgreach_core::Error;

use super::failures::{Failures, News};
use super::sink::Sink;
use super::{Builder, Client, Manager, Purpose, RunError};
use crate::Epochs;

/// A pool of bb8 that says why a connection could not be opened. Cheap to clone.
///
/// Its attempts are tasks of the runtime in which somebody asked for a connection. A runtime that
/// ends while one is under way takes it along, and bb8 counts its place as taken for ever: a pool
/// belongs to one runtime, and does not outlive it. A connector that panics costs no place; the error
/// says so.
#[derive(Debug, Clone)]
pub struct Pool {
    pool: bb8::Pool<Manager>,
    failures: Arc<Failures>,
    epochs: Epochs,
}

impl Pool {
    /// Makes the pool and waits for the `min_idle` connections of `builder`, if any.
    ///
    /// `retry_connection` is turned off: bb8 would offer a password that was refused again and
    /// again. The `error_sink` is replaced by [`Manager::with_error_sink`].
    ///
    /// # Errors
    /// One of them could not be opened.
    pub async fn build(builder: Builder, manager: Manager) -> Result<Self, Error> {
        let (builder, manager, failures) = prepared(builder, manager);
        let epochs = manager.epochs();
        let pool = builder.build(manager).await?;
        Ok(Self {
            pool,
            failures,
            epochs,
        })
    }

    /// The same without waiting for them.
    #[must_use]
    pub fn build_unchecked(builder: Builder, manager: Manager) -> Self {
        let (builder, manager, failures) = prepared(builder, manager);
        let epochs = manager.epochs();
        Self {
            pool: builder.build_unchecked(manager),
            failures,
            epochs,
        }
    }

    /// Takes a connection out of the pool. Cancel-safe.
    ///
    /// # Errors
    /// [`User`](bb8::RunError::User): none could be opened, and why. [`TimedOut`]: all were in use
    /// for as long as the builder's `connection_timeout`.
    ///
    /// [`TimedOut`]: bb8::RunError::TimedOut
    pub async fn get(&self) -> Result<Client<'_>, RunError> {
        self.wait_for(|| self.pool.get()).await
    }

    /// The same, for a connection that is not bound to the lifetime of this handle: it keeps the pool
    /// alive.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub async fn get_owned(&self) -> Result<Client<'static>, RunError> {
        self.wait_for(|| self.pool.get_owned()).await
    }

    /// Retires every connection that there is: see [`Epochs::rotate`]. Those in use are closed when
    /// they come back, idle ones now; in the place of these, one is opened.
    pub async fn rotate(&self) {
        self.epochs.rotate();
        self.retire().await;
    }

    /// Closes the idle connections that would not be handed out again anyway, up to the first one
    /// that would: those of a credential that was replaced, too old, or closed by the server. In the
    /// place of these, one is opened. bb8 by itself looks at an idle connection when it takes it.
    pub async fn retire(&self) {
        if self.pool.state().idle_connections == 0 {
            return;
        }
        // Nothing of bb8's reaches the idle ones but taking them. It throws away what is not fit
        // before it first has to wait, and puts back what it looked at when it is dropped; the manager
        // begins no check for a sweep.
        let mut get = pin!(Purpose::Sweep.scope(self.pool.get()));
        poll_fn(|cx| {
            drop(get.as_mut().poll(cx));
            Poll::Ready(())
        })
        .await;
    }

    /// The pool of bb8, for its state and its dedicated connections. Its `get` knows no reasons.
    #[must_use]
    pub fn as_bb8(&self) -> &bb8::Pool<Manager> {
        &self.pool
    }

    async fn wait_for<T, F>(&self, mut get: impl FnMut() -> F) -> Result<T, RunError>
    where
        F: Future<Output = Result<T, RunError>>,
    {
        // Before bb8 begins an attempt, whose failure may come at once.
        let mut waiting = self.failures.wait();
        let timeout = self.pool.config().connection_timeout;
        let wait = async {
            loop {
                let got = Purpose::Wait(waiting.id()).scope(get());
                tokio::select! {
                    biased;
                    got = got => return got,
                    news = poll_fn(|cx| waiting.poll(cx)) => match news {
                        News::Failed(error) => return Err(RunError::User(error)),
                        News::AskAgain => {}
                    },
                }
            }
        };
        // Whoever asks bb8 again has bb8's whole timeout again.
        tokio::time::timeout(timeout, wait)
            .await
            .unwrap_or(Err(RunError::TimedOut))
    }
}

/// What both ways to build a pool have in common.
fn prepared(builder: Builder, mut manager: Manager) -> (Builder, Manager, Arc<Failures>) {
    let failures = Arc::clone(&manager.failures);
    let sink = Sink {
        failures: Arc::clone(&failures),
        next: manager.sink.take(),
    };
    let builder = builder.retry_connection(false).error_sink(Box::new(sink));
    (builder, manager, failures)
}
