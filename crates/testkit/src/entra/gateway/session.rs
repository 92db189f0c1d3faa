//! One connection.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

use super::Inner;
use super::roles::Login;
use super::verify::{Refusal, verify};
use crate::Error;
use crate::entra::keys::{text, unverified};
use crate::rogue::Startup;
use crate::rogue::wire;

/// The longest startup packet that is taken for one, as PostgreSQL has it.
const LONGEST_STARTUP: usize = 10_000;

/// The longest password message, as PostgreSQL has it.
const LONGEST_PASSWORD: usize = 65_535;

/// The request for encryption by GSSAPI, which nobody here has.
const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 48];

/// How a TLS handshake begins, which no packet of PostgreSQL does.
const TLS_HANDSHAKE: u8 = 0x16;

/// The first packet of a client, as it came and as it is understood.
struct First {
    packet: Vec<u8>,
    startup: Startup,
}

/// Serves a client to its end.
pub(super) async fn serve(
    mut stream: TcpStream,
    peer: SocketAddr,
    inner: &Inner,
) -> Result<(), Error> {
    let _ = stream.set_nodelay(true);
    let mut byte = [0];
    let peeked = stream.peek(&mut byte).await;
    if peeked.map_err(Error::network("read from a client"))? == 0 {
        return Ok(());
    }
    if byte == [TLS_HANDSHAKE] {
        return encrypted(stream, peer, inner).await;
    }
    loop {
        let first = read_first(&mut stream).await?;
        match first.startup {
            Startup::SslRequest => {
                send(&mut stream, b"S").await?;
                return encrypted(stream, peer, inner).await;
            }
            Startup::Other(_) if first.packet == GSS_REQUEST => send(&mut stream, b"N").await?,
            Startup::CancelRequest { .. } => return cancel(stream, &first.packet, inner).await,
            Startup::Startup(parameters) => {
                let refusal = refusal(
                    "no pg_hba.conf entry for",
                    peer,
                    &parameters,
                    "no encryption",
                );
                return refuse(&mut stream, refusal).await;
            }
            _ => return Ok(()),
        }
    }
}

async fn encrypted(stream: TcpStream, peer: SocketAddr, inner: &Inner) -> Result<(), Error> {
    let stream = inner.tls.accept(stream).await;
    let mut stream = stream
        .map_err(|error| Error::Protocol(format!("a gateway's TLS handshake failed: {error}")))?;
    let first = read_first(&mut stream).await?;
    match &first.startup {
        Startup::CancelRequest { .. } => cancel(stream, &first.packet, inner).await,
        Startup::Startup(parameters) => {
            let refusing = inner.state().refusing;
            if refusing {
                let words = "pg_hba.conf rejects connection for";
                let refusal = refusal(words, peer, parameters, "SSL encryption");
                return refuse(&mut stream, refusal).await;
            }
            log_in(stream, &first, parameters, inner).await
        }
        _ => Ok(()),
    }
}

/// Asks for the password, and connects the client to the server where it is right.
async fn log_in<S>(
    mut stream: S,
    first: &First,
    parameters: &[(String, String)],
    inner: &Inner,
) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // AuthenticationCleartextPassword.
    send(&mut stream, &wire::message(b'R', &3_u32.to_be_bytes())).await?;
    let token = read_password(&mut stream).await?;
    let user = parameter(parameters, "user");
    let verdict = verify(inner, user, &token);
    let object_id = unverified(&token).map(|claims| text(&claims, "oid").to_owned());
    inner.logins().push(Login {
        user: user.to_owned(),
        token,
        object_id,
        accepted: verdict.is_ok(),
    });
    if let Err(refusal) = verdict {
        return refuse(&mut stream, refusal).await;
    }
    let mut server = dial(inner).await?;
    send(&mut server, &first.packet).await?;
    copy_bidirectional(&mut stream, &mut server)
        .await
        .map(drop)
        .map_err(Error::network("forward a session"))
}

/// Passes a request for a cancellation on, and ends when the server has seen to it.
async fn cancel<S>(mut stream: S, packet: &[u8], inner: &Inner) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    inner.state().cancellations += 1;
    let mut server = dial(inner).await?;
    send(&mut server, packet).await?;
    // Clients wait for the end of the connection, which the server closes when it has passed the
    // signal on.
    let _ = tokio::io::copy(&mut server, &mut tokio::io::sink()).await;
    let _ = stream.shutdown().await;
    Ok(())
}

async fn dial(inner: &Inner) -> Result<TcpStream, Error> {
    let server = TcpStream::connect(inner.server)
        .await
        .map_err(Error::network("connect to the server behind a gateway"))?;
    let _ = server.set_nodelay(true);
    Ok(server)
}

async fn read_first(stream: &mut (impl AsyncRead + Unpin)) -> Result<First, Error> {
    let mut packet = vec![0; 8];
    read(stream, &mut packet).await?;
    let length = wire::be32(&packet).unwrap_or_default() as usize;
    if !(8..=LONGEST_STARTUP).contains(&length) {
        return Err(Error::Protocol(format!(
            "a client's first packet has the length {length}"
        )));
    }
    packet.resize(length, 0);
    read(stream, &mut packet[8..]).await?;
    let startup = Startup::parse(&packet);
    Ok(First { packet, startup })
}

async fn read_password(stream: &mut (impl AsyncRead + Unpin)) -> Result<String, Error> {
    let mut head = [0; 5];
    read(stream, &mut head).await?;
    let length = wire::be32(&head[1..]).unwrap_or_default() as usize;
    if head[0] != b'p' || !(5..=LONGEST_PASSWORD).contains(&length) {
        return Err(Error::Protocol("expected a password".to_owned()));
    }
    let mut password = vec![0; length - 4];
    read(stream, &mut password).await?;
    // Its terminator is no part of it.
    password.pop();
    Ok(String::from_utf8_lossy(&password).into_owned())
}

async fn read(stream: &mut (impl AsyncRead + Unpin), bytes: &mut [u8]) -> Result<(), Error> {
    stream
        .read_exact(bytes)
        .await
        .map(drop)
        .map_err(Error::network("read from a client"))
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), Error> {
    let sent = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    sent.await.map_err(Error::network("send through a gateway"))
}

/// Tells the client why, and closes the connection.
async fn refuse(
    stream: &mut (impl AsyncWrite + Unpin),
    (code, words): Refusal,
) -> Result<(), Error> {
    send(stream, &wire::message(b'E', &wire::error(code, &words))).await?;
    stream
        .shutdown()
        .await
        .map_err(Error::network("close a client's connection"))
}

/// A refusal in the words of `pg_hba.conf`.
fn refusal(
    words: &str,
    peer: SocketAddr,
    parameters: &[(String, String)],
    encryption: &str,
) -> Refusal {
    let user = parameter(parameters, "user");
    let database = match parameter(parameters, "database") {
        "" => user,
        database => database,
    };
    let words = format!(
        "{words} host \"{}\", user \"{user}\", database \"{database}\", {encryption}",
        peer.ip()
    );
    ("28000", words)
}

fn parameter<'a>(parameters: &'a [(String, String)], name: &str) -> &'a str {
    parameters
        .iter()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.as_str())
        .unwrap_or_default()
}
