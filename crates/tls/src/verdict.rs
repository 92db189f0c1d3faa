//! The server's verdict on the client's certificate, which in TLS 1.3 arrives after the handshake.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use pgreach_core::Error;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::explain::{self, Asked};

/// A session whose server has not said anything yet.
///
/// In TLS 1.3 the client's handshake is over before the server has looked at the certificate: a
/// refusal is what the first read fails with. A server that closes at once often resets the
/// connection, and then the first write fails before anybody reads: the refusal is waiting to be read
/// all the same, as libpq knows, too.
pub(crate) struct AwaitVerdict<S> {
    inner: S,
    /// Until the server has said something.
    awaited: Option<Awaited>,
    /// What a write failed with, until it is known whether the server said why.
    failed: Option<io::Error>,
}

struct Awaited {
    server: String,
    has_identity: bool,
}

impl<S> AwaitVerdict<S> {
    pub(crate) fn new(inner: S, asked: &Asked<'_>) -> Self {
        Self {
            inner,
            awaited: Some(Awaited {
                server: asked.server(),
                has_identity: asked.has_identity,
            }),
            failed: None,
        }
    }
}

impl Awaited {
    /// The refusal that `error` is, or `error` itself.
    fn explain(&self, error: io::Error) -> Result<io::Error, io::Error> {
        // The route below may know better why its stream broke.
        if Error::of_io(&error).is_some() {
            return Err(error);
        }
        match explain::late_refusal(&error.to_string(), &self.server, self.has_identity) {
            Some(refusal) => Ok(refusal.with_source(error).into_io()),
            None => Err(error),
        }
    }
}

impl<S: AsyncRead + Unpin> AwaitVerdict<S> {
    /// What `write` returns; or the refusal, where it fails and one can be read.
    fn write<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Some(awaited) = &self.awaited else {
            return write(Pin::new(&mut self.inner), cx);
        };
        let failed = match self.failed.take() {
            Some(failed) => failed,
            None => match write(Pin::new(&mut self.inner), cx) {
                Poll::Ready(Err(error)) if was_closed(&error) => error,
                written => return written,
            },
        };
        let mut byte = [0];
        match Pin::new(&mut self.inner).poll_read(cx, &mut ReadBuf::new(&mut byte)) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(awaited.explain(error).unwrap_or(failed))),
            Poll::Ready(Ok(())) => Poll::Ready(Err(failed)),
            // A connection that was reset has an end: the read does not wait for long.
            Poll::Pending => {
                self.failed = Some(failed);
                Poll::Pending
            }
        }
    }
}

/// Whether the other side ended the connection; of what else broke, the route below knows best.
fn was_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset
    ) && Error::of_io(error).is_none()
}

impl<S: AsyncRead + Unpin> AsyncRead for AwaitVerdict<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.inner).poll_read(cx, buf);
        match (result, &this.awaited) {
            (Poll::Ready(Ok(())), Some(_)) => {
                this.awaited = None;
                Poll::Ready(Ok(()))
            }
            (Poll::Ready(Err(error)), Some(awaited)) => {
                Poll::Ready(Err(awaited.explain(error).unwrap_or_else(|error| error)))
            }
            (result, _) => result,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for AwaitVerdict<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .write(cx, |inner, cx| inner.poll_write(cx, data))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut()
            .write(cx, |inner, cx| inner.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().write(cx, |inner, cx| inner.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
