//! The guard between TLS and the driver: it reads the server's message framing.
//!
//! tokio-postgres answers whatever authentication method a server asks for and buffers messages of
//! any declared length. The guard sits under it and turns both into typed errors *before* the
//! driver sees the message, so that no secret has left and no memory was taken.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::auth_request::{AuthRequest, Rules};
use crate::{BoxStream, Error, Stage, codes};

/// The longest message before the session is ready. PostgreSQL's own longest here, an
/// ErrorResponse, stays far below.
const MAX_STARTUP_MESSAGE: usize = 64 * 1024;

/// All bytes before the session is ready: bounds a flood of notices or parameters, each of which
/// the driver keeps.
const MAX_STARTUP_BYTES: usize = 1024 * 1024;

/// The message types that a server may send before the session is ready.
const STARTUP_TYPES: &[u8] = b"RKSENZ";

/// What the guard saw, shared with the connector that must explain a failure.
#[derive(Debug, Clone, Default)]
pub(super) struct Observed(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    violation: Option<Error>,
    backend_pid: Option<i32>,
    method: Option<AuthRequest>,
    authenticated: bool,
    bytes: usize,
}

impl Observed {
    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Why the guard ended the connection.
    pub(super) fn take_violation(&self) -> Option<Error> {
        self.with(|state| state.violation.take())
    }

    /// The backend's process id, from BackendKeyData.
    pub(super) fn backend_pid(&self) -> Option<i32> {
        self.with(|state| state.backend_pid)
    }

    /// The first thing that the server asked for.
    pub(super) fn method(&self) -> Option<AuthRequest> {
        self.with(|state| state.method)
    }

    /// Whether the server has accepted the identity.
    pub(super) fn authenticated(&self) -> bool {
        self.with(|state| state.authenticated)
    }

    /// Whether the server sent anything at all.
    pub(super) fn heard_anything(&self) -> bool {
        self.with(|state| state.bytes > 0)
    }
}

/// Wraps a stream; see the module's text.
pub(super) struct Guard {
    inner: BoxStream,
    framer: Framer,
    observed: Observed,
}

impl Guard {
    pub(super) fn new(inner: BoxStream, rules: Rules, max_message: usize) -> (Self, Observed) {
        let observed = Observed::default();
        let framer = Framer::new(rules, max_message);
        (
            Self {
                inner,
                framer,
                observed: observed.clone(),
            },
            observed,
        )
    }
}

impl AsyncRead for Guard {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        let fresh = buf.filled().get(before..).unwrap_or_default();
        match this.framer.feed(fresh, &this.observed) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(error) => {
                // The bytes are taken back, so that the driver never acts on the message.
                buf.set_filled(before);
                let text = error.to_string();
                this.observed.with(|state| state.violation = Some(error));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)))
            }
        }
    }
}

impl AsyncWrite for Guard {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, data)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

/// Follows the framing: a type byte, a length of four bytes that counts itself, a body.
struct Framer {
    rules: Rules,
    max_message: usize,
    ready: bool,
    header: [u8; 5],
    header_len: usize,
    body_left: usize,
    /// The body so far, of the few messages whose content matters.
    kept: Option<Vec<u8>>,
}

impl Framer {
    fn new(rules: Rules, max_message: usize) -> Self {
        Self {
            rules,
            max_message,
            ready: false,
            header: [0; 5],
            header_len: 0,
            body_left: 0,
            kept: None,
        }
    }

    fn feed(&mut self, mut bytes: &[u8], observed: &Observed) -> Result<(), Error> {
        if !self.ready {
            let total = observed.with(|state| {
                state.bytes = state.bytes.saturating_add(bytes.len());
                state.bytes
            });
            if total > MAX_STARTUP_BYTES {
                return Err(protocol(format!(
                    "server sent more than {MAX_STARTUP_BYTES} bytes before the session was ready"
                )));
            }
        }
        while !bytes.is_empty() {
            if self.header_len < self.header.len() {
                let free = &mut self.header[self.header_len..];
                let n = free.len().min(bytes.len());
                let (head, rest) = bytes.split_at(n);
                free[..n].copy_from_slice(head);
                bytes = rest;
                self.header_len += n;
                self.begin_message()?;
            } else {
                let n = self.body_left.min(bytes.len());
                let (body, rest) = bytes.split_at(n);
                if let Some(kept) = &mut self.kept {
                    kept.extend_from_slice(body);
                }
                bytes = rest;
                self.body_left -= n;
            }
            if self.header_len == self.header.len() && self.body_left == 0 {
                self.end_message(observed)?;
            }
        }
        Ok(())
    }

    /// Judges the header as soon as its type, and then its length, is there.
    fn begin_message(&mut self) -> Result<(), Error> {
        let [kind, a, b, c, d] = self.header;
        if !self.ready && !STARTUP_TYPES.contains(&kind) {
            return Err(protocol(format!(
                "server sent a message of type {kind:#04x} where PostgreSQL would begin a session"
            )));
        }
        if self.header_len < self.header.len() {
            return Ok(());
        }
        let declared = u32::from_be_bytes([a, b, c, d]) as usize;
        let limit = if self.ready {
            self.max_message
        } else {
            MAX_STARTUP_MESSAGE
        };
        if declared < 4 || declared > limit {
            return Err(protocol(format!(
                "server declared a message of {declared} bytes, the limit is {limit}"
            )));
        }
        self.body_left = declared - 4;
        self.kept = (!self.ready && matches!(kind, b'R' | b'K')).then(Vec::new);
        Ok(())
    }

    fn end_message(&mut self, observed: &Observed) -> Result<(), Error> {
        self.header_len = 0;
        if self.ready {
            return Ok(());
        }
        let body = self.kept.take().unwrap_or_default();
        match self.header[0] {
            b'R' => {
                let request = self.rules.judge(&body)?;
                observed.with(|state| {
                    state.method.get_or_insert(request);
                    state.authenticated |= request == AuthRequest::Ok;
                });
            }
            b'K' => {
                if let Some(pid) = body.first_chunk::<4>() {
                    observed.with(|state| state.backend_pid = Some(i32::from_be_bytes(*pid)));
                }
            }
            b'Z' if observed.authenticated() => self.ready = true,
            b'Z' => {
                return Err(protocol(
                    "server began a session before it authenticated the client".into(),
                ));
            }
            _ => {}
        }
        Ok(())
    }
}

fn protocol(message: String) -> Error {
    Error::new(&codes::PROTOCOL, Stage::AUTHENTICATION, message)
}

#[cfg(test)]
mod tests {
    use super::super::auth_request::Protection;
    use super::*;
    use crate::{ChannelBinding, RequireAuth};

    fn feed(chunks: &[&[u8]]) -> (Result<(), Error>, Observed) {
        let rules = Rules::new(
            RequireAuth::any(),
            ChannelBinding::Prefer,
            Protection::None,
            true,
        );
        let mut framer = Framer::new(rules, 1000);
        let observed = Observed::default();
        for chunk in chunks {
            if let Err(error) = framer.feed(chunk, &observed) {
                return (Err(error), observed);
            }
        }
        (Ok(()), observed)
    }

    const OK: &[u8] = b"R\0\0\0\x08\0\0\0\0";
    const KEY: &[u8] = b"K\0\0\0\x0c\0\0\0\x2a\0\0\0\x01";
    const READY: &[u8] = b"Z\0\0\0\x05I";

    #[test]
    fn follows_messages_through_any_slicing() {
        let all = [OK, KEY, READY, b"D\0\0\0\x07\0\0\0", b"D\0\0\x03\xe8"].concat();
        for size in 1..all.len() {
            let chunks: Vec<&[u8]> = all.chunks(size).collect();
            let (result, observed) = feed(&chunks);
            result.unwrap();
            assert_eq!(observed.backend_pid(), Some(42), "slices of {size}");
        }
    }

    #[test]
    fn refuses_what_is_not_postgresql() {
        let huge = b"D\x7f\xff\xff\xff".as_slice();
        let cases: &[(&[&[u8]], &str)] = &[
            (&[b"HTTP/1.1 400 Bad Request"], "type 0x48"),
            (&[b"R\x7f\xff\xff\xff"], "2147483647 bytes"),
            (&[b"E\0\x01\0\x01"], "65537 bytes"),
            (&[b"S\0\0\0\x03"], "3 bytes"),
            (&[READY], "before it authenticated"),
            (&[OK, READY, huge], "2147483647 bytes"),
            (&[OK, READY, b"D\0\0\x03\xe9"], "1001 bytes"),
        ];
        for (chunks, text) in cases {
            let (result, _) = feed(chunks);
            let error = result.unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn bounds_a_flood_of_notices() {
        let notice = [b"N\0\0\x80\0".as_slice(), &[b'x'; 0x7ffc]].concat();
        let chunks = vec![notice.as_slice(); 64];
        assert!(
            feed(&chunks)
                .0
                .unwrap_err()
                .to_string()
                .contains("before the session was ready")
        );
    }
}
