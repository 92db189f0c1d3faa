//! Files that are none, garbage, and much of it.

use std::time::{Duration, Instant};

use super::super::random::Random;
use super::*;
use crate::codes;

#[tokio::test]
async fn what_cannot_be_read_is_an_error_and_what_is_missing_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing/known_hosts");
    let mut unreadable = vec![directory.path().to_owned()];
    if cfg!(unix) {
        let fifo = directory.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        unreadable.push(fifo);
        unreadable.push("/dev/zero".into());
    }
    for path in unreadable {
        let policy = HostKeyPolicy::known_hosts([&missing, &path]);
        let error = expect(
            check(&policy, "a", 22, public(1)).await,
            &codes::KNOWN_HOSTS_UNREADABLE,
        );
        let named = format!(
            "known_hosts file \"{}\" is not a plain file",
            path.display()
        );
        assert_eq!(error.message(), named);
    }
    let mut nothing = vec![missing];
    if cfg!(unix) {
        nothing.push("/dev/null".into());
    }
    let policy = HostKeyPolicy::known_hosts(nothing);
    expect(
        check(&policy, "a", 22, public(1)).await,
        &codes::HOST_KEY_UNKNOWN,
    );
}

#[tokio::test]
async fn bytes_that_are_no_text_harm_only_their_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    let mut bytes = b"\xff\xfe\0 \x80\n\0\0\0\na\xff ssh-ed25519 \xff\n".to_vec();
    bytes.extend(vec![b'x'; 100_000]);
    bytes.extend(format!("\na {} \u{fffd}\n", line(1)).bytes());
    std::fs::write(&file, bytes).unwrap();
    let trusted = check(&HostKeyPolicy::known_hosts([&file]), "a", 22, public(1)).await;
    assert!(trusted.unwrap().how.ends_with(":5"));
}

/// Real lines with a few bytes changed, taken out, doubled or put in.
#[tokio::test]
async fn nothing_panics() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    let lines = [
        format!("a {}\n", line(1)),
        format!("@revoked *,!b {}\n", line(2)),
        format!("@cert-authority [a]:2222 {ECDSA}\n"),
        format!("|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= {SK}\n"),
    ];
    let mut random = Random(1);
    for _ in 0..3000 {
        let mut bytes: Vec<u8> = (0..random.below(4))
            .flat_map(|_| random.pick(&lines).clone().into_bytes())
            .collect();
        for _ in 0..random.below(8) {
            let at = random.below(bytes.len() + 1);
            let byte = random.next().to_be_bytes()[0];
            let end = bytes.len().min(at + random.below(20));
            match random.below(4) {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                2 => drop(bytes.drain(at..end)),
                _ => {
                    let part = bytes[at..end].to_vec();
                    bytes.splice(at..at, part);
                }
            }
        }
        std::fs::write(&file, &bytes).unwrap();
        let policy = HostKeyPolicy::known_hosts([&file]);
        for port in [22, 2222] {
            let checker = policy.load("a", port).await.unwrap();
            let _ = checker.check(&public(1).into()).await;
            let _ = checker.preference(&[]);
        }
    }
}

#[tokio::test]
async fn a_large_file_takes_no_long_time() {
    const SIZE: usize = 10 << 20;
    let salt = "F1E1KeoE/eEWhi10WpGv4OdiO6Y=";
    let key = line(2);
    let kinds = [
        format!("|1|{salt}|3988QV0VE8wmZL7suNrYQLITLCg= {key}\n"),
        format!("*a*a*a*a*a*b,host,!a {key}\n"),
        format!("@revoked * {key}\n"),
        "*".repeat(100_000),
        "x,".repeat(50_000),
    ];
    for kind in kinds {
        let text = kind.repeat(SIZE / kind.len());
        let text = format!("{text}\na {}\n", line(1));
        let policy = HostKeyPolicy::known_hosts_text(text);
        let begun = Instant::now();
        check(&policy, "a", 2222, public(1)).await.unwrap();
        let taken = begun.elapsed();
        // Without optimisation, on a busy machine; what is quadratic would take hours.
        let start = &kind[..kind.len().min(20)];
        assert!(taken < Duration::from_secs(120), "{start}: {taken:?}");
        println!("{start}: {taken:?}");
    }
}
