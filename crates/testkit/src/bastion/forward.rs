//! A channel and what it leads to.

use std::io;
use std::path::PathBuf;

use russh::Channel;
use russh::server::Msg;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes};
use tokio::net::{TcpStream, UnixStream};

/// As much as russh puts into one packet. Nothing more than this is kept in either direction: the
/// slower side holds the faster one back.
const BUFFER: usize = 32 * 1024;

/// A stream of either kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// What a client asks to be connected to.
pub(super) enum Target {
    Tcp(String, u32),
    Socket(PathBuf),
}

impl Target {
    pub(super) async fn connect(self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Tcp(host, port) => {
                let port = u16::try_from(port)
                    .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "no such port"))?;
                let stream = TcpStream::connect((host.as_str(), port)).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Socket(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        }
    }
}

/// Copies until both ways have ended or one of the sides is gone.
pub(super) async fn copy(channel: Channel<Msg>, mut stream: Box<dyn Stream>) {
    let mut channel = channel.into_stream();
    // Either side learns of an error by the end of its stream.
    let _ = copy_bidirectional_with_sizes(&mut channel, &mut stream, BUFFER, BUFFER).await;
}
