//! A channel of a session as a stream.

use std::fmt;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::buffer::Buffered;
use crate::pool::Lease;

/// How long a channel may take until the server has closed it.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long whoever needs a session waits for that, rather than begin a new one.
const SOON: Duration = Duration::from_millis(150);

/// Where a channel leads, as seen from the SSH server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Tcp { host: String, port: u16 },
    Socket(String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => f.write_str(&crate::hop::address(host, *port)),
            Self::Socket(path) => f.write_str(path),
        }
    }
}

/// A channel of a session.
///
/// Dropped, it says EOF to the server in a task of its own and, when the server has closed the
/// channel, hands the session back. It may be dropped outside a runtime.
pub(crate) struct TunnelStream {
    inbound: Inbound,
    data: Bytes,
    writer: Pin<Box<dyn AsyncWrite + Send>>,
    /// EOF came: there is nothing more to read, whatever is still heard of the channel.
    eof: bool,
    /// EOF was sent.
    shut: bool,
    /// The server has closed the channel, or the session is over.
    over: bool,
    halves: Arc<Halves>,
    // Taken when the stream is dropped.
    closing: Option<Closing>,
}

/// Both halves of a stream may be in tasks of their own, and the channel remembers one waker.
#[derive(Default)]
struct Halves {
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Wake for Halves {
    fn wake(self: Arc<Self>) {
        self.reader.wake();
        self.writer.wake();
    }
}

enum Inbound {
    /// The reader's pace is the session's.
    Direct(ChannelReadHalf),
    /// A task drains the channel into a bounded buffer.
    Buffered(Buffered),
    /// The server sends nothing more.
    Ended,
}

/// What is needed to say goodbye.
struct Closing {
    write_half: Arc<ChannelWriteHalf<Msg>>,
    lease: Lease,
    runtime: Handle,
}

impl TunnelStream {
    /// Must be called within a runtime.
    pub(crate) fn new(channel: Channel<Msg>, lease: Lease, buffer: Option<usize>) -> Self {
        let (read_half, write_half) = channel.split();
        let write_half = Arc::new(write_half);
        let writer = Box::pin(write_half.make_writer());
        let inbound = match buffer {
            None => Inbound::Direct(read_half),
            Some(limit) => Inbound::Buffered(Buffered::spawn(
                read_half,
                Arc::clone(&write_half),
                limit,
                Arc::clone(lease.session()),
            )),
        };
        Self {
            inbound,
            data: Bytes::new(),
            writer,
            eof: false,
            shut: false,
            over: false,
            halves: Arc::default(),
            closing: Some(Closing {
                write_half,
                lease,
                runtime: Handle::current(),
            }),
        }
    }

    fn broken(&self) -> io::Error {
        let overflow = match &self.inbound {
            Inbound::Buffered(buffered) => buffered.error(),
            _ => None,
        };
        let session = self.closing.as_ref().map(|closing| closing.lease.session());
        let lost = || {
            session
                .filter(|session| session.is_closed())
                .map(|session| session.lost())
        };
        match overflow.or_else(lost) {
            Some(error) => error.into_io(),
            None => io::ErrorKind::BrokenPipe.into(),
        }
    }

    /// Fills `data`, unless it is filled. `false`: nothing more will come.
    fn poll_fill(&mut self) -> Poll<io::Result<bool>> {
        let waker = Waker::from(Arc::clone(&self.halves));
        let cx = &mut Context::from_waker(&waker);
        while self.data.is_empty() {
            let message = match &mut self.inbound {
                Inbound::Direct(read_half) => ready!(poll_message(read_half, cx)),
                Inbound::Buffered(buffered) => match ready!(buffered.poll_data(cx)) {
                    Ok(Some(data)) => Some(ChannelMsg::Data { data }),
                    Ok(None) => {
                        self.over |= buffered.is_closed();
                        return Poll::Ready(Ok(false));
                    }
                    Err(error) => {
                        self.over = true;
                        return Poll::Ready(Err(error.into_io()));
                    }
                },
                Inbound::Ended => return Poll::Ready(Ok(false)),
            };
            match message {
                Some(ChannelMsg::Data { data }) => self.data = data,
                // The other direction may go on.
                Some(ChannelMsg::Eof) => {
                    self.eof = true;
                    return Poll::Ready(Ok(false));
                }
                // russh drops the queue after a CLOSE, and when the session ends.
                Some(ChannelMsg::Close) | None => {
                    self.over = true;
                    let session = self.closing.as_ref().map(|closing| closing.lease.session());
                    if message.is_none() && session.is_some_and(|session| session.is_closed()) {
                        return Poll::Ready(Err(self.broken()));
                    }
                    self.inbound = Inbound::Ended;
                    return Poll::Ready(Ok(false));
                }
                Some(_) => {}
            }
        }
        Poll::Ready(Ok(true))
    }

    /// A write that waits for the window would not hear of the end: russh wakes it only for more
    /// window. So it looks at what comes in, as far as there is room.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.halves.writer.register(cx.waker());
        while self.data.is_empty() && !self.over {
            match self.poll_fill() {
                Poll::Ready(Ok(true)) | Poll::Pending => break,
                // EOF: what comes next is the end.
                Poll::Ready(Ok(false))
                    if !self.over && matches!(self.inbound, Inbound::Direct(_)) => {}
                Poll::Ready(Ok(false)) => break,
                Poll::Ready(Err(error)) => return Poll::Ready(error),
            }
        }
        if self.over {
            return Poll::Ready(self.broken());
        }
        Poll::Pending
    }
}

/// Takes the next message of a channel without waiting for it.
fn poll_message(read_half: &mut ChannelReadHalf, cx: &mut Context<'_>) -> Poll<Option<ChannelMsg>> {
    // `wait` is one `recv` of a tokio channel: dropping its future loses nothing and keeps the waker.
    pin!(read_half.wait()).poll(cx)
}

impl AsyncRead for TunnelStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.halves.reader.register(cx.waker());
        if this.eof && this.data.is_empty() {
            return Poll::Ready(Ok(()));
        }
        if ready!(this.poll_fill())? {
            let length = this.data.len().min(buf.remaining());
            buf.put_slice(&this.data[..length]);
            this.data.advance(length);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // russh refuses an empty write.
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        // russh takes, and forgets, what is written after the end.
        if this.over {
            return Poll::Ready(Err(this.broken()));
        }
        match this.writer.as_mut().poll_write(cx, buf) {
            Poll::Ready(Ok(written)) => Poll::Ready(Ok(written)),
            Poll::Ready(Err(_)) => Poll::Ready(Err(this.broken())),
            Poll::Pending => this.poll_over(cx).map(Err),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().writer.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(Ok(()));
        }
        match this.writer.as_mut().poll_shutdown(cx) {
            Poll::Ready(Ok(())) => {
                this.shut = true;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(this.broken())),
            Poll::Pending => this.poll_over(cx).map(Err),
        }
    }
}

impl Drop for TunnelStream {
    fn drop(&mut self) {
        let Some(Closing {
            write_half,
            lease,
            runtime,
        }) = self.closing.take()
        else {
            return;
        };
        let inbound = std::mem::replace(&mut self.inbound, Inbound::Ended);
        let mut lease = lease.closing();
        let shut = self.shut;
        // A runtime that is shutting down drops the task, and with it the session.
        runtime.spawn(async move {
            // EOF, and the server closes the channel once the database has hung up: russh forgets a
            // channel properly only when the server closes it first.
            let eof = async { if shut { Ok(()) } else { write_half.eof().await } };
            // Together: the loop that takes our EOF may be waiting for the channel's reader.
            let goodbye = async { tokio::join!(eof, inbound.drain()) };
            tokio::pin!(goodbye);
            let mut said = timeout(SOON, &mut goodbye).await;
            if said.is_err() {
                lease.not_soon();
                said = timeout(GOODBYE - SOON, goodbye).await;
            }
            match said {
                Ok((Ok(()), ())) => lease.give_back(),
                // The database still sends, or computes. The session gets no further connection; if
                // others share it, it lives as long as they do.
                _ => {
                    let _ = timeout(GOODBYE, write_half.close()).await;
                }
            }
        });
    }
}

impl Inbound {
    /// Waits until the server has closed its side; what still comes is thrown away.
    async fn drain(self) {
        match self {
            Self::Direct(mut read_half) => {
                while let Some(message) = read_half.wait().await {
                    if matches!(message, ChannelMsg::Close) {
                        break;
                    }
                }
            }
            Self::Buffered(buffered) => buffered.closed().await,
            Self::Ended => {}
        }
    }
}

impl fmt::Debug for TunnelStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TunnelStream").finish_non_exhaustive()
    }
}
