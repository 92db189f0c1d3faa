//! What SSH sessions and channels leave behind: nothing.
//!
//! A process of its own, and one test at a time: files, tasks and memory are counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(target_os = "linux")]

#[path = "common/mod.rs"]
mod common;
#[path = "ssh/fixture.rs"]
#[allow(dead_code)]
mod fixture;

use std::sync::Arc;
use std::time::Duration;

use fixture::{PATIENCE, bastion, plain, through};
use pgreach::prelude::*;
use pgreach::{DialContext, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

static ALONE: Mutex<()> = Mutex::const_new(());

/// A server that answers each connection and closes it when the client has hung up.
async fn echo() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    port
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Resident memory in KiB.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_channels_leave_nothing_behind() {
    let _alone = ALONE.lock().await;
    let sshd = bastion(|sshd| sshd.with_config("LogLevel INFO"));
    let port = echo().await;
    let transport = through(&sshd).build().unwrap();
    let one = async |transport: Arc<SshTransport>| {
        let cx = DialContext::new(Instant::now() + PATIENCE);
        let endpoint = Endpoint::tcp("127.0.0.1", port);
        let mut dialed = transport.dial(&endpoint, &cx).await.unwrap();
        dialed.stream.write_all(b"ping").await.unwrap();
        let mut answer = [0; 4];
        dialed.stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"ping");
    };
    let transport = Arc::new(transport);
    for _ in 0..500 {
        one(Arc::clone(&transport)).await;
    }
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let settled = async |most: usize| {
        let settle = async {
            while tasks() > most {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, settle)
            .await
            .unwrap_or_else(|_| panic!("{} tasks", tasks()));
    };
    // The echo's listener, the session's task, the reaper of idle sessions.
    settled(3).await;
    let before = (open_files(), memory());
    for _ in 0..9_500 {
        one(Arc::clone(&transport)).await;
    }
    settled(3).await;
    assert_eq!(open_files(), before.0);
    let grown = memory().saturating_sub(before.1);
    assert!(grown < 8 * 1024, "{grown} KiB more");
    assert_eq!(sshd.session_count(), 1);
}

/// Whenever a dial is dropped, the server is rid of it, too.
#[tokio::test(flavor = "multi_thread")]
async fn dials_that_are_dropped_leave_nothing_behind() {
    let _alone = ALONE.lock().await;
    let sshd = bastion(|sshd| sshd);
    let connector = plain(through(&sshd).with_idle_sessions(0).build().unwrap())
        .build()
        .unwrap();
    let files = open_files();
    let mut finished = 0;
    for step in 0..60 {
        let patience = Duration::from_micros(step * 700);
        if let Ok(connection) = timeout(patience, connector.connect()).await {
            connection.unwrap();
            finished += 1;
        }
    }
    sshd.wait_for_sessions(0).unwrap();
    let gone = async {
        while tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
            > 0
        {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, gone).await.unwrap();
    assert_eq!(open_files(), files, "{finished} of 60 finished");
}
