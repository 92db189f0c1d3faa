//! Reads of files that may hang.

use std::error::Error;
use std::sync::Arc;

use tokio::sync::Semaphore;

/// One read at a time, in tokio's pool for blocking calls.
///
/// A read from a mount that hangs outlives the call that wanted it, and cannot be interrupted. A pool
/// of connections that tries again and again would fill the threads of the whole program with such
/// reads; this way one thread at most is stuck, and the other calls wait asynchronously. Clones share
/// the one read.
#[derive(Debug, Clone)]
pub struct Reads(Arc<Semaphore>);

impl Reads {
    /// None under way.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// What `read` returns. Cancel-safe: a read that has begun goes on, and the next one waits for it.
    ///
    /// # Errors
    /// Why the read was cut off: it panicked, or the runtime is shutting down.
    pub async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Box<dyn Error + Send + Sync>> {
        let permit = Arc::clone(&self.0).acquire_owned().await?;
        let read = tokio::task::spawn_blocking(move || {
            // It ends with the read, not with the call that waits for it.
            let _permit = permit;
            read()
        });
        Ok(read.await?)
    }

    /// How many sources, reads and permits there are of it, for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

impl Default for Reads {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn the_next_read_begins_when_the_one_before_ends() {
        let reads = Reads::new();
        let (release, released) = mpsc::channel::<()>();
        let stuck = reads.run(move || released.recv().is_err());
        assert!(stuck.now_or_never().is_none(), "begun, and dropped");
        let mut next = Box::pin(reads.run(|| "next"));
        assert!((&mut next).now_or_never().is_none());
        drop(release);
        assert_eq!(next.await.unwrap(), "next");
    }

    #[tokio::test]
    async fn a_read_that_panics_makes_way() {
        let reads = Reads::new();
        assert!(reads.run(|| panic!("as a test")).await.is_err());
        assert_eq!(reads.run(|| "next").await.unwrap(), "next");
    }
}
