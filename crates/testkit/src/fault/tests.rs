//! Timing and slicing, on a stopped clock and without sockets.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::line::{CHUNK, DELAY_LINE};
use super::pump::{self, SourceReset};
use super::{Direction, Fault, Faults};

/// Longer than the timer's resolution, shorter than every time asserted here.
const TICK: Duration = Duration::from_millis(2);

struct Pumped {
    source: DuplexStream,
    faults: watch::Sender<Faults>,
    forwarded: Arc<AtomicU64>,
    task: JoinHandle<Result<(), SourceReset>>,
}

impl Pumped {
    fn start(writer: impl AsyncWrite + Send + Unpin + 'static, fault: Fault) -> Self {
        let (source, reader) = duplex(CHUNK);
        let faults = watch::Sender::new(Faults::default());
        let forwarded = Arc::new(AtomicU64::new(0));
        let (receiver, count) = (faults.subscribe(), Arc::clone(&forwarded));
        let pumped = Self {
            source,
            faults,
            forwarded,
            task: tokio::spawn(async move {
                pump::run(reader, writer, receiver, Direction::ToClient, &count).await
            }),
        };
        pumped.set(Some(fault));
        pumped
    }

    fn set(&self, to_client: Option<Fault>) {
        self.faults
            .send_modify(|faults| faults.to_client = to_client);
    }
}

fn assert_at(began: Instant, expected: Duration) {
    let took = began.elapsed();
    assert!(
        took >= expected && took < expected + TICK,
        "{took:?}, not {expected:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn latency_delays_each_chunk_by_itself() {
    let (writer, mut sink) = duplex(CHUNK);
    let mut pumped = Pumped::start(writer, Fault::Latency(Duration::from_secs(1)));
    let began = Instant::now();
    let reading = tokio::spawn(async move {
        for byte in 0..10u8 {
            assert_eq!(sink.read_u8().await.unwrap(), byte);
            // A sleep per chunk would make the last one ten seconds late.
            assert_at(began, Duration::from_millis(1000 + 100 * u64::from(byte)));
        }
        assert_eq!(sink.read(&mut [0]).await.unwrap(), 0);
        assert_at(began, Duration::from_secs(2));
    });
    for byte in 0..10u8 {
        pumped.source.write_u8(byte).await.unwrap();
        sleep(Duration::from_millis(100)).await;
    }
    drop(pumped.source);
    reading.await.unwrap();
    assert_eq!(pumped.task.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn latency_leaves_the_bandwidth_alone() {
    let (writer, mut sink) = duplex(CHUNK);
    let mut pumped = Pumped::start(writer, Fault::Latency(Duration::from_secs(1)));
    let began = Instant::now();
    let data = vec![7; 8 * 1024 * 1024];
    let expected = data.len();
    let writing = tokio::spawn(async move {
        pumped.source.write_all(&data).await.unwrap();
        pumped
    });
    let mut received = vec![0; expected];
    sink.read_exact(&mut received).await.unwrap();
    assert_at(began, Duration::from_secs(1));
    assert!(received.iter().all(|byte| *byte == 7));
    writing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn latency_holds_no_more_than_its_bound() {
    let (writer, _sink) = duplex(CHUNK);
    let mut pumped = Pumped::start(writer, Fault::Latency(Duration::MAX));
    let chunk = vec![0; CHUNK];
    let mut taken = 0;
    while let Ok(written) = timeout(Duration::from_secs(1), pumped.source.write(&chunk)).await {
        taken += written.unwrap();
        assert!(taken <= DELAY_LINE + 2 * CHUNK);
    }
    assert!(taken > DELAY_LINE / 2, "{taken}");
    assert_eq!(pumped.forwarded.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn clearing_latency_releases_what_is_under_way() {
    let (writer, mut sink) = duplex(CHUNK);
    let mut pumped = Pumped::start(writer, Fault::Latency(Duration::from_secs(3600)));
    pumped.source.write_all(b"held").await.unwrap();
    let mut received = [0; 4];
    timeout(Duration::from_secs(60), sink.read_exact(&mut received))
        .await
        .unwrap_err();
    let began = Instant::now();
    pumped.set(None);
    sink.read_exact(&mut received).await.unwrap();
    assert_at(began, Duration::ZERO);
    assert_eq!(&received, b"held");
}

#[tokio::test(start_paused = true)]
async fn one_byte_per_second() {
    let (writer, mut sink) = duplex(CHUNK);
    let mut pumped = Pumped::start(writer, Fault::Bandwidth(1));
    let began = Instant::now();
    pumped.source.write_all(b"slow").await.unwrap();
    for (second, expected) in (0..).zip(b"slow") {
        assert_eq!(sink.read_u8().await.unwrap(), *expected);
        assert_at(began, Duration::from_secs(second));
    }
}

#[tokio::test(start_paused = true)]
async fn a_bandwidth_is_kept_over_time() {
    let (writer, mut sink) = duplex(CHUNK);
    let mut pumped = Pumped::start(writer, Fault::Bandwidth(1_000_003));
    let began = Instant::now();
    let writing = tokio::spawn(async move {
        pumped.source.write_all(&vec![0; 5_000_000]).await.unwrap();
    });
    let mut received = vec![0; 5_000_000];
    sink.read_exact(&mut received).await.unwrap();
    let took = began.elapsed();
    // One piece, a twentieth of a second, is ahead; late timers must not add up.
    assert!(
        (Duration::from_millis(4900)..=Duration::from_millis(5010)).contains(&took),
        "{took:?}"
    );
    writing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_bandwidth_is_a_stall_until_it_changes() {
    let (writer, mut sink) = duplex(CHUNK);
    let mut pumped = Pumped::start(writer, Fault::Bandwidth(0));
    pumped.source.write_all(b"x").await.unwrap();
    timeout(Duration::from_secs(3600), sink.read_u8())
        .await
        .unwrap_err();
    pumped.set(Some(Fault::Bandwidth(1)));
    assert_eq!(sink.read_u8().await.unwrap(), b'x');
}

/// A writer that keeps every write by itself.
#[derive(Clone, Default)]
struct Pieces(Arc<Mutex<Vec<Vec<u8>>>>);

impl AsyncWrite for Pieces {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap().push(buf.to_vec());
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

async fn sliced(size: usize, data: &[u8]) -> Vec<Vec<u8>> {
    let pieces = Pieces::default();
    let mut pumped = Pumped::start(pieces.clone(), Fault::Slicer(size));
    pumped.source.write_all(data).await.unwrap();
    drop(pumped.source);
    assert_eq!(pumped.task.await.unwrap(), Ok(()));
    assert_eq!(pumped.forwarded.load(Ordering::SeqCst), data.len() as u64);
    pieces.0.lock().unwrap().clone()
}

#[tokio::test]
async fn a_slicer_cuts_writes() {
    assert_eq!(
        sliced(3, b"abcdefgh").await,
        [b"abc".to_vec(), b"def".to_vec(), b"gh".to_vec()]
    );
    assert_eq!(sliced(0, b"ab").await, [b"a".to_vec(), b"b".to_vec()]);
}

#[tokio::test(start_paused = true)]
async fn a_reset_comes_after_the_bytes_before_it() {
    let reader = reset_after_four();
    let (writer, mut sink) = duplex(CHUNK);
    let faults = watch::Sender::new(Faults {
        to_server: None,
        to_client: Some(Fault::Latency(Duration::from_secs(1))),
    });
    let forwarded = AtomicU64::new(0);
    let began = Instant::now();
    let ended = pump::run(
        reader,
        writer,
        faults.subscribe(),
        Direction::ToClient,
        &forwarded,
    )
    .await;
    assert_eq!(ended, Err(SourceReset));
    assert_at(began, Duration::from_secs(1));
    assert_eq!(forwarded.load(Ordering::SeqCst), 4);
    let mut received = [0; 4];
    sink.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"last");
}

/// Four bytes, then a reset.
fn reset_after_four() -> impl tokio::io::AsyncRead + Unpin {
    struct Broken;
    impl tokio::io::AsyncRead for Broken {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
        }
    }
    (&b"last"[..]).chain(Broken)
}
