//! One direction of a connection.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::line::{CHUNK, End, Line, Step};
use super::{Direction, Fault, Faults};

/// Less room than this in the buffer, and a new one is taken.
const LEAST_READ: usize = 4 * 1024;

/// The source was reset, and everything it had sent before has been forwarded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SourceReset;

/// Something that happened on a direction.
enum Event {
    Read(std::io::Result<usize>),
    Written(std::io::Result<usize>),
    Due,
    Changed,
    Gone,
}

/// Forwards one direction, under the fault it has at each moment, until it ends.
pub(super) async fn run<R, W>(
    mut reader: R,
    mut writer: W,
    mut faults: watch::Receiver<Faults>,
    direction: Direction,
    forwarded: &AtomicU64,
) -> Result<(), SourceReset>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut line = Line::new();
    let mut buffer = BytesMut::new();
    loop {
        let fault = faults.borrow_and_update().of(direction);
        let (write, wake) = match line.next(fault) {
            Step::Idle => (None, None),
            Step::Wait(due) => (None, Some(due)),
            Step::Write(length) => (Some(length), None),
            Step::Finish(End::Reset) => return Err(SourceReset),
            Step::Finish(End::Fin) => {
                // A receiver that is gone needs no end of stream.
                let _ = writer.shutdown().await;
                return Ok(());
            }
            Step::Cut => {
                let _ = writer.shutdown().await;
                return discard(reader).await;
            }
        };
        if buffer.capacity() < LEAST_READ {
            buffer.reserve(CHUNK);
        }
        let event = tokio::select! {
            biased;
            changed = faults.changed() => match changed {
                Ok(()) => Event::Changed,
                Err(_) => Event::Gone,
            },
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => Event::Due,
            written = writer.write(&line.head()[..write.unwrap_or(0)]), if write.is_some() => {
                Event::Written(written)
            }
            read = reader.read_buf(&mut buffer), if line.wants_more(fault) => Event::Read(read),
        };
        match event {
            Event::Changed | Event::Due => {}
            Event::Read(Ok(0)) => line.end(End::Fin),
            Event::Read(Ok(_)) => line.push(buffer.split().freeze()),
            Event::Read(Err(_)) => line.end(End::Reset),
            Event::Written(Ok(written)) if written > 0 => {
                line.advance(fault, written);
                forwarded.fetch_add(written as u64, Ordering::SeqCst);
                if matches!(fault, Some(Fault::Slicer(_))) {
                    // Lets the receiver run between two pieces.
                    tokio::task::yield_now().await;
                }
            }
            // The receiver is gone. The other direction reads the same from it, after what it
            // sent before, and ends the connection.
            Event::Written(_) | Event::Gone => return Ok(()),
        }
    }
}

/// Reads until the source ends.
async fn discard(mut reader: impl AsyncRead + Unpin) -> Result<(), SourceReset> {
    match tokio::io::copy(&mut reader, &mut tokio::io::sink()).await {
        Ok(_) => Ok(()),
        Err(_) => Err(SourceReset),
    }
}
