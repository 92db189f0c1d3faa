//! Certificates and TLS servers for the tests.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(unreachable_pub, reason = "shared by test crates")]

pub mod pki;
pub mod server;

use pgreach_core::{BoxStream, Error, Secured, TlsProvider, TlsRequest, Verification};
use pgreach_tls::NativeTls;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use server::Server;

/// Opens a stream to `server`.
pub async fn dial(server: &Server) -> BoxStream {
    Box::new(TcpStream::connect(server.address()).await.unwrap())
}

/// A handshake with `server`.
pub async fn handshake(
    tls: &NativeTls,
    server: &Server,
    request: &TlsRequest<'_>,
) -> Result<Secured, Error> {
    tls.handshake(dial(server).await, request).await
}

/// A handshake that verifies everything, and one byte there and back over it.
pub async fn echo(tls: &NativeTls, server: &Server, name: &str) -> Result<Secured, Error> {
    let request = TlsRequest::new(name, Verification::Full);
    let mut secured = handshake(tls, server, &request).await?;
    secured.stream.write_all(b"x").await.unwrap();
    secured.stream.flush().await.unwrap();
    let mut byte = [0];
    secured.stream.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"x");
    Ok(secured)
}

/// The code of a refusal, or `ok`.
pub fn outcome(result: &Result<Secured, Error>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(error) => error.code().name(),
    }
}
