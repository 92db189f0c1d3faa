//! How much memory this process has resident.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::Failure;

/// `VmRSS` in bytes.
pub(crate) fn resident() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next())
        .ok_or("this system does not tell what is resident")?;
    Ok(kilobytes.parse::<u64>()? * 1024)
}

/// Looks at it every few milliseconds, from a thread of its own, until it is asked for the most.
pub(crate) struct Peak {
    before: u64,
    done: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Peak {
    pub(crate) fn watch() -> Result<Self, Failure> {
        let before = resident()?;
        let done = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&done);
        let thread = thread::spawn(move || {
            let mut most = 0;
            while !stop.load(Ordering::Relaxed) {
                most = most.max(resident().unwrap_or(0));
                thread::sleep(Duration::from_millis(5));
            }
            most
        });
        Ok(Self {
            before,
            done,
            thread,
        })
    }

    /// By how much it grew at most.
    pub(crate) fn growth(self) -> Result<u64, Failure> {
        self.done.store(true, Ordering::Relaxed);
        let most = self.thread.join().map_err(|_| "a thread panicked")?;
        Ok(most.saturating_sub(self.before))
    }
}
