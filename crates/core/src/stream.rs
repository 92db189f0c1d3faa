//! A byte stream to a server.

use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream to a server. Implemented for everything that fits.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for T {}

/// A [`Stream`] of any kind.
pub type BoxStream = Box<dyn Stream>;
