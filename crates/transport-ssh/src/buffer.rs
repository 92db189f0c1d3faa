//! A bounded buffer between a shared session and one of its channels.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use pgreach_core::{Error, Stage};
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::sync::watch;

use crate::codes;
use crate::session::Session;

/// What a chunk takes besides its bytes, so that many small ones are not free.
const OVERHEAD: usize = 128;

/// The reading end. Dropping it leaves the draining task to throw away what still comes.
pub(crate) struct Buffered {
    shared: Arc<Shared>,
    session: Arc<Session>,
    closed: watch::Receiver<bool>,
}

struct Shared {
    state: Mutex<State>,
    reader: AtomicWaker,
    limit: usize,
}

#[derive(Default)]
struct State {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    end: Option<End>,
    /// Nobody reads any more.
    abandoned: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The server sends nothing more.
    Eof,
    /// More came than the buffer holds.
    Overflow,
    /// The session is over.
    Lost,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffered {
    /// Drains the channel, as fast as its session delivers, into at most `limit` bytes. The session's
    /// loop waits for each channel's queue, so the queue must never fill.
    pub(crate) fn spawn(
        mut read_half: ChannelReadHalf,
        write_half: Arc<ChannelWriteHalf<Msg>>,
        limit: usize,
        session: Arc<Session>,
    ) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            reader: AtomicWaker::new(),
            limit,
        });
        let (closing, closed) = watch::channel(false);
        let filled = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut properly = false;
            while let Some(message) = read_half.wait().await {
                match message {
                    ChannelMsg::Data { data } if filled.push(data.clone()) => {
                        // Apart from here: the loop that takes the CLOSE may be waiting for us.
                        let write_half = Arc::clone(&write_half);
                        tokio::spawn(async move {
                            let _ = write_half.close().await;
                        });
                    }
                    ChannelMsg::Eof => filled.end(End::Eof),
                    ChannelMsg::Close => {
                        properly = true;
                        break;
                    }
                    _ => {}
                }
            }
            // First, so that whoever is woken by the end knows which it was. Without the CLOSE, the
            // sender is dropped unset: the session is of no more use.
            if properly {
                let _ = closing.send(true);
            }
            filled.end(if properly { End::Eof } else { End::Lost });
        });
        Self {
            shared,
            session,
            closed,
        }
    }

    /// The next chunk, or `None` at the end.
    pub(crate) fn poll_data(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        self.shared.reader.register(cx.waker());
        let mut state = self.shared.state();
        if state.end == Some(End::Overflow) {
            return Poll::Ready(Err(self.overflow()));
        }
        if let Some(chunk) = state.chunks.pop_front() {
            state.bytes -= chunk.len() + OVERHEAD;
            return Poll::Ready(Ok(Some(chunk)));
        }
        match state.end {
            None => Poll::Pending,
            Some(End::Lost) if self.session.is_closed() => Poll::Ready(Err(self.session.lost())),
            Some(_) => Poll::Ready(Ok(None)),
        }
    }

    /// Whether the server has closed the channel.
    pub(crate) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Why the channel broke, if it did by itself.
    pub(crate) fn error(&self) -> Option<Error> {
        let end = self.shared.state().end;
        (end == Some(End::Overflow)).then(|| self.overflow())
    }

    /// Waits for the server's CLOSE; what still comes is thrown away.
    pub(crate) async fn closed(mut self) {
        self.shared.abandon();
        if self.closed.wait_for(|closed| *closed).await.is_err() {
            // Never: the caller's time limit decides.
            std::future::pending::<()>().await;
        }
    }

    fn overflow(&self) -> Error {
        let message = format!(
            "the connection did not take what its server sent: the buffer of {} bytes that it has in a shared SSH session is full",
            self.shared.limit
        );
        Error::new(&codes::SSH_CHANNEL_OVERFLOW, Stage::QUERY, message)
    }
}

impl Drop for Buffered {
    fn drop(&mut self) {
        self.shared.abandon();
    }
}

impl Shared {
    /// Whether the buffer has just overflowed.
    fn push(&self, data: Bytes) -> bool {
        let mut state = self.state();
        if state.abandoned || state.end.is_some() {
            return false;
        }
        let size = data.len() + OVERHEAD;
        let overflow = state.bytes + size > self.limit;
        if overflow {
            // What is buffered is no good without what is missing.
            state.chunks = VecDeque::new();
            state.bytes = 0;
            state.end = Some(End::Overflow);
        } else {
            state.bytes += size;
            state.chunks.push_back(data);
        }
        drop(state);
        self.reader.wake();
        overflow
    }

    fn abandon(&self) {
        let mut state = self.state();
        state.abandoned = true;
        state.chunks = VecDeque::new();
        state.bytes = 0;
    }

    fn end(&self, end: End) {
        let mut state = self.state();
        state.end.get_or_insert(end);
        drop(state);
        self.reader.wake();
    }
}

impl fmt::Debug for Buffered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.state();
        f.debug_struct("Buffered")
            .field("bytes", &state.bytes)
            .field("end", &state.end)
            .finish_non_exhaustive()
    }
}
