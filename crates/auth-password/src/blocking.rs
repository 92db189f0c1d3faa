//! A runtime on which no read can begin, for tests.

use std::sync::mpsc;

/// Calls `check` on a runtime whose only thread for blocking calls is busy meanwhile.
pub(crate) fn with_the_only_thread_taken(check: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let (release, released) = mpsc::channel::<()>();
    runtime.spawn_blocking(move || released.recv());
    runtime.block_on(async { check() });
    drop(release);
}
