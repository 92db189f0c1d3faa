//! Where bb8 brings the errors of its attempts.

use std::fmt;
use std::sync::Arc;

use pgreach_core::Error;

use super::Failures;
use crate::bb8::ErrorSink;

/// Brings failed attempts to those who wait, and everything to a sink of the program's.
///
/// bb8 calls it after it has freed the place of the attempt: whoever is told earlier, and asks again
/// at once, finds the place still taken and is never woken.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) failures: Arc<Failures>,
    pub(crate) next: Option<Box<dyn ErrorSink<Error>>>,
}

impl ErrorSink<Error> for Sink {
    fn sink(&self, error: Error) {
        if Unfit::is(&error) {
            if let Some(next) = &self.next {
                next.sink(error);
            }
            return;
        }
        if let Some(next) = &self.next {
            next.sink(error.repeat());
        }
        self.failures.tell(error);
    }

    fn boxed_clone(&self) -> Box<dyn ErrorSink<Error>> {
        Box::new(Self {
            failures: Arc::clone(&self.failures),
            next: self.next.as_ref().map(|next| next.boxed_clone()),
        })
    }
}

/// The source of an error that is about an idle connection. bb8 brings these to the same sink, and
/// they are no failed attempts.
#[derive(Debug)]
pub(crate) struct Unfit(Error);

impl Unfit {
    pub(crate) fn mark(error: Error) -> Error {
        error.repeat().with_source(Self(error))
    }

    fn is(error: &Error) -> bool {
        std::error::Error::source(error).is_some_and(|source| source.is::<Self>())
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an idle connection was not fit to be handed out")
    }
}

impl std::error::Error for Unfit {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}
