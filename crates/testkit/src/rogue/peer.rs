//! One connection of a scripted server.

use std::net::SocketAddr;

use native_tls::Identity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::stream::RawStream;
use super::wire::{self, Startup};
use crate::Error;

/// The longest startup packet that is taken for one, as PostgreSQL has it.
const LONGEST_STARTUP: usize = 10_000;

/// The longest message that is read, so that a stray length does not fill the memory.
const LONGEST_MESSAGE: usize = 64 * 1024 * 1024;

/// A client as its script sees it.
///
/// Reading and sending fail once the client has left, except where a method says otherwise. The
/// connection closes when the value is dropped.
#[derive(Debug)]
pub struct Peer {
    stream: RawStream,
    address: SocketAddr,
    index: usize,
}

impl Peer {
    pub(super) fn new(
        stream: TcpStream,
        address: SocketAddr,
        index: usize,
        shared: watch::Sender<Vec<u8>>,
    ) -> Self {
        Self {
            stream: RawStream::new(stream, shared),
            address,
            index,
        }
    }

    /// The client's address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were accepted before this one.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Everything read from this client so far, decrypted.
    pub fn received(&self) -> &[u8] {
        self.stream.received()
    }

    /// The stream, for what the other methods do not cover.
    pub fn raw(&mut self) -> &mut RawStream {
        &mut self.stream
    }

    /// Reads a packet as a client sends before it is authenticated.
    pub async fn read_startup(&mut self) -> Result<Startup, Error> {
        let mut packet = vec![0; 8];
        self.read_exact(&mut packet).await?;
        let length = wire::be32(&packet).unwrap_or_default() as usize;
        if !(8..=LONGEST_STARTUP).contains(&length) {
            return Ok(Startup::Other(packet));
        }
        packet.resize(length, 0);
        self.read_exact(&mut packet[8..]).await?;
        Ok(Startup::parse(&packet))
    }

    /// Reads the kind and the body of a message, or nothing when the client has left.
    pub async fn read_message(&mut self) -> Result<Option<(u8, Vec<u8>)>, Error> {
        let mut kind = [0];
        match self.stream.read(&mut kind).await {
            Ok(1..) => {}
            // A client that gives up may reset the connection: it has left all the same.
            Ok(0) | Err(_) => return Ok(None),
        }
        let mut length = [0; 4];
        self.read_exact(&mut length).await?;
        let length = u32::from_be_bytes(length) as usize;
        let Some(length) = length
            .checked_sub(4)
            .filter(|length| *length <= LONGEST_MESSAGE)
        else {
            return Err(Error::Protocol(format!(
                "a client's message of kind {:?} has the length {length}",
                char::from(kind[0])
            )));
        };
        let mut body = vec![0; length];
        self.read_exact(&mut body).await?;
        Ok(Some((kind[0], body)))
    }

    /// Reads and keeps all that the client sends until it has left.
    pub async fn drain(&mut self) -> Result<(), Error> {
        // How the client leaves does not matter.
        let _ = tokio::io::copy(&mut self.stream, &mut tokio::io::sink()).await;
        Ok(())
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        let sent = async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        };
        sent.await.map_err(Error::network("send to a client"))
    }

    /// Sends a message of a kind, with its length.
    pub async fn send_message(&mut self, kind: u8, body: &[u8]) -> Result<(), Error> {
        self.send(wire::message(kind, body)).await
    }

    /// Sends an authentication request of a code, with what follows the code.
    pub async fn authentication(&mut self, code: u32, rest: &[u8]) -> Result<(), Error> {
        let body = [&code.to_be_bytes(), rest].concat();
        self.send_message(b'R', &body).await
    }

    /// Tells the client that it is authenticated.
    pub async fn auth_ok(&mut self) -> Result<(), Error> {
        self.authentication(0, &[]).await
    }

    /// Asks for the password in clear text.
    pub async fn ask_cleartext(&mut self) -> Result<(), Error> {
        self.authentication(3, &[]).await
    }

    /// Asks for the password under MD5, with a fixed salt.
    pub async fn ask_md5(&mut self) -> Result<(), Error> {
        self.authentication(5, b"salt").await
    }

    /// Asks for one of these SASL mechanisms.
    pub async fn ask_sasl(&mut self, mechanisms: &[&str]) -> Result<(), Error> {
        let mut list = wire::strings(mechanisms.iter().copied());
        list.push(0);
        self.authentication(10, &list).await
    }

    /// Sends a challenge of a SASL exchange.
    pub async fn sasl_continue(&mut self, challenge: &[u8]) -> Result<(), Error> {
        self.authentication(11, challenge).await
    }

    /// Sends the outcome of a SASL exchange.
    pub async fn sasl_final(&mut self, outcome: &[u8]) -> Result<(), Error> {
        self.authentication(12, outcome).await
    }

    /// Sends an authentication request of a code and nothing else.
    pub async fn ask_code(&mut self, code: u32) -> Result<(), Error> {
        self.authentication(code, &[]).await
    }

    /// Sends a fatal error, and leaves the connection open.
    pub async fn error(&mut self, sqlstate: &str, message: &str) -> Result<(), Error> {
        self.send_message(b'E', &wire::error(sqlstate, message))
            .await
    }

    /// Reports a parameter's value.
    pub async fn parameter(&mut self, name: &str, value: &str) -> Result<(), Error> {
        self.send_message(b'S', &wire::strings([name, value])).await
    }

    /// Sends what the client needs to cancel a statement; the key has four bytes unless the
    /// protocol is 3.2 or newer.
    pub async fn key_data(&mut self, pid: u32, key: &[u8]) -> Result<(), Error> {
        let body = [&pid.to_be_bytes(), key].concat();
        self.send_message(b'K', &body).await
    }

    /// Tells the client that it can send a statement, outside a transaction.
    pub async fn ready(&mut self) -> Result<(), Error> {
        self.send_message(b'Z', b"I").await
    }

    /// Agrees to TLS with an `S` and does the server's part of the handshake, with a certificate
    /// chain, leaf first, and its PKCS #8 key, both as PEM.
    pub async fn accept_tls(
        &mut self,
        cert_chain_pem: impl AsRef<[u8]>,
        key_pkcs8_pem: impl AsRef<[u8]>,
    ) -> Result<(), Error> {
        self.send(b"S").await?;
        self.handshake_tls(cert_chain_pem, key_pkcs8_pem).await
    }

    /// Does the server's part of a TLS handshake without an `S` before it, as for a client that
    /// starts with TLS.
    ///
    /// What follows is encrypted. After a failed handshake the connection is closed.
    pub async fn handshake_tls(
        &mut self,
        cert_chain_pem: impl AsRef<[u8]>,
        key_pkcs8_pem: impl AsRef<[u8]>,
    ) -> Result<(), Error> {
        let failed = |step: &str, error: native_tls::Error| {
            Error::Protocol(format!("a scripted server's TLS {step} failed: {error}"))
        };
        let acceptor = Identity::from_pkcs8(cert_chain_pem.as_ref(), key_pkcs8_pem.as_ref())
            .and_then(native_tls::TlsAcceptor::new)
            .map_err(|error| failed("setup", error))?;
        let tls = tokio_native_tls::TlsAcceptor::from(acceptor)
            .accept(self.stream.detach())
            .await
            .map_err(|error| failed("handshake", error))?;
        self.stream.attach(tls);
        Ok(())
    }

    /// Holds the connection open and never returns.
    pub async fn stall(self) {
        std::future::pending().await
    }

    /// Closes the connection in an orderly way, TLS included.
    pub async fn close(mut self) -> Result<(), Error> {
        self.stream
            .shutdown()
            .await
            .map_err(Error::network("close the connection to a client"))
    }

    async fn read_exact(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.stream
            .read_exact(bytes)
            .await
            .map(|_| ())
            .map_err(Error::network("read from a client"))
    }
}
