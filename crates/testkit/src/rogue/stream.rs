//! The stream of a peer, which keeps what was read from it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

/// What a peer can talk over: a socket, or TLS over one.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// The stream of a [`Peer`](super::Peer), decrypted once the script has accepted TLS.
///
/// What is read from it counts as received too.
pub struct RawStream {
    inner: Box<dyn Transport>,
    received: Vec<u8>,
    shared: watch::Sender<Vec<u8>>,
}

impl RawStream {
    pub(super) fn new(inner: impl Transport + 'static, shared: watch::Sender<Vec<u8>>) -> Self {
        Self {
            inner: Box::new(inner),
            received: Vec::new(),
            shared,
        }
    }

    pub(super) fn received(&self) -> &[u8] {
        &self.received
    }

    /// Takes the transport out, so that another can be put over it.
    pub(super) fn detach(&mut self) -> Box<dyn Transport> {
        self.attach(tokio::io::empty())
    }

    /// Replaces the transport.
    pub(super) fn attach(&mut self, inner: impl Transport + 'static) -> Box<dyn Transport> {
        std::mem::replace(&mut self.inner, Box::new(inner))
    }
}

impl fmt::Debug for RawStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawStream")
            .field("received", &self.received.len())
            .finish_non_exhaustive()
    }
}

impl AsyncRead for RawStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        let read = &buf.filled()[before..];
        if !read.is_empty() {
            this.received.extend_from_slice(read);
            this.shared
                .send_modify(|shared| shared.extend_from_slice(read));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for RawStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
