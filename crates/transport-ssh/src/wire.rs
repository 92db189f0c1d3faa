//! The stream that an SSH session runs over, with a switch and a watch on its writes.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::task::AtomicWaker;
use pgreach_core::BoxStream;
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::session::WINDOW;

/// What russh's task reads from and writes to.
///
/// - Its task ends only when the stream does, so the stream can be ended from outside, by the
///   [`Switch`].
/// - While a write waits, the task does nothing else, its keepalive included; a write that makes no
///   progress for `patience` therefore fails here.
pub(crate) struct Wire {
    /// russh reads a packet's length first and then the packet: two system calls for each, without a
    /// buffer.
    stream: BufReader<BoxStream>,
    shared: Arc<Shared>,
    patience: Duration,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
    introduced: bool,
    /// What was read while a write waited.
    ahead: BytesMut,
    /// The stream is a channel of another session.
    carried: bool,
}

#[derive(Default)]
struct Shared {
    off: AtomicBool,
    stalled: AtomicBool,
    /// What the peer says until it has introduced itself.
    greeting: Mutex<Greeting>,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

/// Servers may say something before their version line (RFC 4253, section 4.2), and some say why they
/// hang up.
#[derive(Default)]
struct Greeting {
    said: Vec<u8>,
    introduced: bool,
}

/// How much of what comes before the version line is kept for the error. russh bounds the rest.
const MAX_GREETING: usize = 256;
/// What may be read while a write waits: the session below, with its packets' overhead.
const MAX_AHEAD: usize = WINDOW as usize + WINDOW as usize / 8;
/// Two of the largest packets that servers send.
const READ_AHEAD: usize = 64 * 1024;

impl Greeting {
    /// Takes note of what came, and says whether the version line has begun.
    fn hear(&mut self, bytes: &[u8]) -> bool {
        let room = MAX_GREETING.saturating_sub(self.said.len());
        self.said.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let mut lines = self.said.split(|byte| *byte == b'\n');
        self.introduced |= room == 0 || lines.any(|line| line.starts_with(b"SSH-"));
        self.introduced
    }
}

/// Ends the wire when it is dropped or switched off.
pub(crate) struct Switch(Arc<Shared>);

impl Wire {
    /// `carried`: the stream is a channel of another session. That session's task may be waiting for
    /// this one to read, and so never come to what this one writes.
    pub(crate) fn new(stream: BoxStream, carried: bool, patience: Duration) -> (Self, Switch) {
        let shared = Arc::new(Shared::default());
        let wire = Self {
            stream: BufReader::with_capacity(READ_AHEAD, stream),
            shared: Arc::clone(&shared),
            patience,
            stalled: None,
            introduced: false,
            ahead: BytesMut::new(),
            carried,
        };
        (wire, Switch(shared))
    }

    fn is_off(&self) -> bool {
        self.shared.off.load(Ordering::Acquire)
    }

    /// `result` of a write, or an error when writes have waited for too long.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        if self.carried
            && let Err(error) = self.read_ahead(cx)
        {
            return Poll::Ready(Err(error));
        }
        let patience = self.patience;
        let timer = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.shared.stalled.store(true, Ordering::Release);
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the peer took nothing of what was sent",
        )))
    }
}

impl Wire {
    /// Takes what has come, so that the session below can go on. At most a window can come before it
    /// hears from us again.
    fn read_ahead(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        while self.ahead.len() < MAX_AHEAD {
            let mut buf = ReadBuf::new(&mut chunk);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buf) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(())) if buf.filled().is_empty() => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Poll::Ready(Ok(())) => self.ahead.extend_from_slice(buf.filled()),
            }
        }
        Ok(())
    }
}

fn switched_off() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the session was ended")
}

impl Switch {
    pub(crate) fn off(&self) {
        self.0.off.store(true, Ordering::Release);
        self.0.reader.wake();
        self.0.writer.wake();
    }

    /// Whether the wire ended because the peer took nothing of what was sent.
    pub(crate) fn stalled(&self) -> bool {
        self.0.stalled.load(Ordering::Acquire)
    }

    /// What the peer said instead of introducing itself; `None` once it has introduced itself.
    pub(crate) fn instead_of_introduction(&self) -> Option<String> {
        let greeting = self.0.greeting();
        let said = String::from_utf8_lossy(&greeting.said);
        (!greeting.introduced).then(|| said.trim().to_owned())
    }
}

impl Shared {
    fn greeting(&self) -> MutexGuard<'_, Greeting> {
        self.greeting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.off();
    }
}

impl fmt::Debug for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let off = self.0.off.load(Ordering::Relaxed);
        f.debug_tuple("Switch").field(&!off).finish()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Registered before the look at the switch: one that is thrown in between is seen.
        this.shared.reader.register(cx.waker());
        if this.is_off() {
            return Poll::Ready(Err(switched_off()));
        }
        if !this.ahead.is_empty() {
            let length = this.ahead.len().min(buf.remaining());
            buf.put_slice(&this.ahead.split_to(length));
            if this.ahead.is_empty() {
                // It is rarely needed, and may have grown.
                this.ahead = BytesMut::new();
            }
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut this.stream).poll_read(cx, buf);
        if !this.introduced && buf.filled().len() > before {
            this.introduced = this.shared.greeting().hear(&buf.filled()[before..]);
        }
        result
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.shared.writer.register(cx.waker());
        if this.is_off() {
            return Poll::Ready(Err(switched_off()));
        }
        let result = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.watch(cx, result)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.shared.writer.register(cx.waker());
        if this.is_off() {
            return Poll::Ready(Err(switched_off()));
        }
        let result = Pin::new(&mut this.stream).poll_flush(cx);
        this.watch(cx, result)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.shared.writer.register(cx.waker());
        if this.is_off() {
            return Poll::Ready(Ok(()));
        }
        // What fails here has failed before, with a better reason, and russh would lose that.
        let result = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.watch(cx, result).map(|_| Ok(()))
    }
}
