//! The bytes under way in one direction of a connection, and when which of them may pass.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::time::Instant;

use super::Fault;

/// How much is read at once, and held back by every fault but latency.
pub(super) const CHUNK: usize = 64 * 1024;

/// How much can be under way on a line with latency.
pub(super) const DELAY_LINE: usize = 64 * 1024 * 1024;

/// What a chunk costs besides its bytes, so that many small ones are bounded too.
const OVERHEAD: usize = 64;

/// A bandwidth is spread over at least so many pieces per second, down to one byte each.
const PIECES_PER_SECOND: u64 = 20;

/// A piece that comes at most this late owes its lateness to the timer, not to an idle line, and
/// the next one makes up for it.
const TIMER_SLACK: Duration = Duration::from_millis(50);

/// How a stream ended at its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// An end of stream.
    Fin,
    /// A reset, or another failure to read.
    Reset,
}

/// What is to be done next at the far end of the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing, until something comes or the fault changes.
    Idle,
    /// Nothing before this time.
    Wait(Instant),
    /// Write so many bytes of the head.
    Write(usize),
    /// Pass the end of the stream on.
    Finish(End),
    /// End the stream, though its source has not.
    Cut,
}

/// A queue of chunks with the times of their arrival.
#[derive(Debug)]
pub(super) struct Line {
    chunks: VecDeque<(Instant, Bytes)>,
    cost: usize,
    end: Option<(Instant, End)>,
    sent: u64,
    /// When the next piece may pass on a line with a bandwidth.
    free: Instant,
}

impl Line {
    pub(super) fn new() -> Self {
        Self {
            chunks: VecDeque::new(),
            cost: 0,
            end: None,
            sent: 0,
            free: Instant::now(),
        }
    }

    /// Whether more is to be read from the source.
    pub(super) fn wants_more(&self, fault: Option<Fault>) -> bool {
        let room = match fault {
            Some(Fault::Latency(_)) => DELAY_LINE,
            _ => CHUNK,
        };
        self.end.is_none() && self.cost < room && !self.is_stalled(fault)
    }

    /// Whether nothing passes under this fault, however long one waits.
    fn is_stalled(&self, fault: Option<Fault>) -> bool {
        match fault {
            Some(Fault::Blackhole | Fault::Bandwidth(0)) => true,
            Some(Fault::StopAfter(limit)) => self.sent >= limit,
            _ => false,
        }
    }

    pub(super) fn push(&mut self, chunk: Bytes) {
        self.cost += chunk.len() + OVERHEAD;
        self.chunks.push_back((Instant::now(), chunk));
    }

    pub(super) fn end(&mut self, end: End) {
        self.end = Some((Instant::now(), end));
    }

    /// The bytes to be written first.
    pub(super) fn head(&self) -> &[u8] {
        self.chunks.front().map_or(&[], |(_, chunk)| chunk)
    }

    pub(super) fn next(&self, fault: Option<Fault>) -> Step {
        if self.is_stalled(fault) {
            return Step::Idle;
        }
        if matches!(fault, Some(Fault::CloseAfter(limit)) if self.sent >= limit) {
            return Step::Cut;
        }
        let head = self.chunks.front();
        let Some(arrived) = head.map(|(at, _)| *at).or(self.end.map(|(at, _)| at)) else {
            return Step::Idle;
        };
        let due = match fault {
            Some(Fault::Latency(latency)) => arrived.checked_add(latency),
            Some(Fault::Bandwidth(_)) if head.is_some() => Some(self.free),
            _ => Some(arrived),
        };
        match (due, head, self.end) {
            (None, ..) => Step::Idle,
            (Some(due), ..) if due > Instant::now() => Step::Wait(due),
            (_, Some((_, chunk)), _) => Step::Write(self.piece(fault, chunk.len())),
            (_, None, Some((_, end))) => Step::Finish(end),
            (_, None, None) => Step::Idle,
        }
    }

    /// How much of a head of this length may be written at once.
    fn piece(&self, fault: Option<Fault>, length: usize) -> usize {
        let limit = match fault {
            Some(Fault::Slicer(limit)) => limit.max(1) as u64,
            Some(Fault::Bandwidth(rate)) => (rate / PIECES_PER_SECOND).max(1),
            Some(Fault::StopAfter(limit) | Fault::CloseAfter(limit)) => {
                limit.saturating_sub(self.sent)
            }
            _ => u64::MAX,
        };
        usize::try_from(limit).map_or(length, |limit| limit.min(length))
    }

    /// Takes note of so many bytes of the head having been written.
    pub(super) fn advance(&mut self, fault: Option<Fault>, written: usize) {
        self.sent += written as u64;
        if let Some((_, chunk)) = self.chunks.front_mut() {
            chunk.advance(written.min(chunk.len()));
            self.cost -= written;
            if chunk.is_empty() {
                self.cost -= OVERHEAD;
                self.chunks.pop_front();
            }
        }
        if let Some(Fault::Bandwidth(rate)) = fault {
            let now = Instant::now();
            let from = match now.saturating_duration_since(self.free) <= TIMER_SLACK {
                true => self.free,
                false => now,
            };
            let taken = Duration::from_secs_f64(written as f64 / rate.max(1) as f64);
            self.free = from.checked_add(taken).unwrap_or(now);
        }
    }
}
