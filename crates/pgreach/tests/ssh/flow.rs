//! Flow control: much data in both directions, over one hop and several, and ends that are noticed.

use futures_util::future::join_all;
use pgreach::prelude::*;
use pgreach::ssh::SshTransportBuilder;
use pgreach::{DialContext, Dialed, Transport};
use pgreach_testkit::ssh::Sshd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use crate::fixture::{PATIENCE, bastion, hop, key, plain, through};

/// Through `first`, and over it through `second`.
fn chain(first: &Sshd, second: &Sshd) -> SshTransportBuilder {
    through(first).with_hop(hop(second).with_auth(key()))
}

/// Both directions are full at once: whoever waits for one of them alone waits for ever.
#[tokio::test(flavor = "multi_thread")]
async fn large_pipelined_queries() {
    let (first, second) = (bastion(|sshd| sshd), bastion(|sshd| sshd));
    for transport in [through(&first), chain(&first, &second)] {
        let connector = plain(transport.build().unwrap()).build().unwrap();
        let connection = connector.connect().await.unwrap();
        let statement = connection.prepare("select $1::text").await.unwrap();
        let large = "x".repeat(2 << 20);
        let query = async || connection.query_one(&statement, &[&large]).await;
        let all = timeout(PATIENCE, join_all((0..24).map(|_| query()))).await;
        for row in all.unwrap() {
            assert_eq!(row.unwrap().get::<_, &str>(0).len(), large.len());
        }
    }
}

/// Serves each client as `serve` does.
async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> u16
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    port
}

async fn dial(transport: &SshTransport, port: u16) -> Dialed {
    let cx = DialContext::new(Instant::now() + PATIENCE);
    let endpoint = Endpoint::tcp("127.0.0.1", port);
    transport.dial(&endpoint, &cx).await.unwrap()
}

/// The halves of a stream are used by two tasks, on two threads.
#[tokio::test(flavor = "multi_thread")]
async fn an_echo_of_more_than_the_windows_hold() {
    let port = listen(async |mut stream: TcpStream| {
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await?;
        write.shutdown().await
    })
    .await;
    let (first, second) = (bastion(|sshd| sshd), bastion(|sshd| sshd));
    for transport in [
        through(&first),
        chain(&first, &second),
        through(&first)
            .with_channels_per_session(2)
            .with_channel_buffer(256 << 20),
    ] {
        let transport = transport.build().unwrap();
        let (mut read, mut write) = tokio::io::split(dial(&transport, port).await.stream);
        let size = 96 << 20;
        let writer = tokio::spawn(async move {
            let chunk: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
            for _ in 0..size >> 20 {
                write.write_all(&chunk).await.unwrap();
            }
            write.shutdown().await.unwrap();
            write
        });
        let echo = timeout(PATIENCE, async {
            let (mut total, mut buf) = (0, vec![0; 1 << 18]);
            loop {
                match read.read(&mut buf).await.unwrap() {
                    0 => return total,
                    n => {
                        for (i, byte) in buf[..n].iter().enumerate() {
                            assert_eq!(usize::from(*byte), (total + i) % 256);
                        }
                        total += n;
                    }
                }
            }
        });
        assert_eq!(echo.await.unwrap(), size);
        writer.await.unwrap();
    }
}

/// Whoever only writes learns of the end, too, although the window is used up.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_hears_of_the_end() {
    let (first, second) = (bastion(|sshd| sshd), bastion(|sshd| sshd));
    // Takes a little and hangs up; takes nothing.
    let leaving = listen(async |mut stream: TcpStream| {
        stream.read_exact(&mut [0; 1000]).await?;
        Ok(())
    })
    .await;
    let deaf = listen(async |stream: TcpStream| {
        stream.writable().await?;
        std::future::pending().await
    })
    .await;
    let write_until_error = async |mut dialed: Dialed| {
        let chunk = vec![0; 1 << 20];
        loop {
            if let Err(error) = dialed.stream.write_all(&chunk).await {
                return error;
            }
        }
    };
    let shared = || through(&first).with_channels_per_session(2);
    for transport in [through(&first), chain(&first, &second), shared()] {
        let dialed = dial(&transport.build().unwrap(), leaving).await;
        timeout(PATIENCE, write_until_error(dialed)).await.unwrap();
    }
    for transport in [through(&first), chain(&first, &second), shared()] {
        let dialed = dial(&transport.build().unwrap(), deaf).await;
        let writing = write_until_error(dialed);
        tokio::pin!(writing);
        // The window is used up, and the writer waits.
        while timeout(std::time::Duration::from_millis(500), &mut writing)
            .await
            .is_ok()
        {}
        first.kill_sessions().unwrap();
        let error = timeout(std::time::Duration::from_secs(10), writing)
            .await
            .unwrap();
        let error = Error::of_io(&error).unwrap_or_else(|| panic!("{error:?}"));
        assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
        assert_ne!(error.code().name(), "ssh-silent", "{error:?}");
    }
}

/// A server that has said its last word, and still listens, is at its end for whoever asks again.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_stays_the_end() {
    let port = listen(async |mut stream: TcpStream| {
        stream.write_all(b"bye").await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        Ok(())
    })
    .await;
    let sshd = bastion(|sshd| sshd);
    for transport in [through(&sshd), through(&sshd).with_channels_per_session(2)] {
        let mut stream = dial(&transport.build().unwrap(), port).await.stream;
        let mut said = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut said))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(said, b"bye");
        for _ in 0..3 {
            let mut rest = [0; 8];
            let more = timeout(PATIENCE, stream.read(&mut rest));
            assert_eq!(more.await.unwrap().unwrap(), 0);
        }
        stream.write_all(b"heard").await.unwrap();
    }
}
