//! Trust on first use.

use super::*;
use crate::codes;

#[tokio::test]
async fn a_new_host_is_recorded_once_and_then_known() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(".ssh").join("known_hosts");
    let policy = HostKeyPolicy::accept_new(&file);
    let trusted = check(&policy, "Bastion", 2222, public(1)).await.unwrap();
    assert_eq!(
        trusted.how,
        format!("accepted as new and recorded in {}", file.display())
    );
    let expected = format!("[bastion]:2222 {}\n", line(1));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), expected);
    #[cfg(unix)]
    for (path, mode) in [(file.parent().unwrap(), 0o700), (file.as_path(), 0o600)] {
        use std::os::unix::fs::PermissionsExt as _;
        let found = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{path:?}");
    }
    let trusted = check(&policy, "bastion", 2222, public(1)).await.unwrap();
    assert_eq!(trusted.how, format!("known_hosts {}:1", file.display()));
    expect(
        check(&policy, "bastion", 2222, public(2)).await,
        &codes::HOST_KEY_CHANGED,
    );
    check(&policy, "192.0.2.7", 22, ecdsa()).await.unwrap();
    let expected = format!("{expected}192.0.2.7 {ECDSA}\n");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), expected);
}

#[tokio::test]
async fn a_line_without_an_end_gets_one() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    for (before, after) in [
        ("", ""),
        ("# comment", "# comment\n"),
        ("# comment\n", "# comment\n"),
        ("# comment\r\n", "# comment\r\n"),
    ] {
        std::fs::write(&file, before).unwrap();
        let policy = HostKeyPolicy::accept_new(&file);
        check(&policy, "a", 22, public(1)).await.unwrap();
        let expected = format!("{after}a {}\n", line(1));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), expected);
        check(&policy, "a", 22, public(1)).await.unwrap();
    }
}

#[tokio::test]
async fn a_host_of_which_something_is_known_is_not_new() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    let (changed, unknown) = (&codes::HOST_KEY_CHANGED, &codes::HOST_KEY_UNKNOWN);
    for (text, code) in [
        (format!("[a]:2222 {}", line(2)), changed),
        (format!("[a]:2222 {ECDSA}"), changed),
        (format!("[a]:2222 {SK}"), changed),
        (
            "[a]:2222 ssh-new AAAAB3NzaC1uZXcAAAABeA==".to_owned(),
            changed,
        ),
        (format!("a {}", line(2)), changed),
        (format!("@cert-authority [a]:2222 {}", line(2)), unknown),
        (format!("@cert-authority * {}", line(2)), unknown),
        (format!("@cert-authority a {}", line(2)), unknown),
        (format!("@revoked * {}", line(1)), &codes::HOST_KEY_REVOKED),
    ] {
        std::fs::write(&file, &text).unwrap();
        let policy = HostKeyPolicy::accept_new(&file);
        expect(check(&policy, "a", 2222, public(1)).await, code);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }
    // What is known of others says nothing, nor what is revoked beside.
    let text = format!("b {ECDSA}\n@revoked * {}\n", line(2));
    std::fs::write(&file, text).unwrap();
    let policy = HostKeyPolicy::accept_new(&file);
    check(&policy, "a", 2222, public(1)).await.unwrap();
    let policy = policy.with_authority(line(9)).unwrap();
    expect(check(&policy, "c", 22, public(1)).await, unknown);
}

/// As of two programs: each policy has its own turns.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_keys_at_once_one_is_recorded() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let file = directory.path().join(format!("known_hosts-{round}"));
        let tasks: Vec<_> = (0..8)
            .map(|number| {
                let file = file.clone();
                tokio::spawn(async move {
                    let policy = HostKeyPolicy::accept_new(file);
                    check(&policy, "a", 22, public(number % 2)).await.is_ok()
                })
            })
            .collect();
        let mut accepted = Vec::new();
        for task in tasks {
            accepted.push(task.await.unwrap());
        }
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let first = accepted.iter().position(|accepted| *accepted).unwrap() % 2;
        for (number, accepted) in accepted.into_iter().enumerate() {
            assert_eq!(accepted, number % 2 == first, "{number} {text}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let unwritable = &codes::KNOWN_HOSTS_UNWRITABLE;
    let file = directory.path().join("known_hosts");
    let far = directory.path().join("a/b/known_hosts");
    let policy = HostKeyPolicy::accept_new(far);
    expect(check(&policy, "a", 22, public(1)).await, unwritable);
    let policy = HostKeyPolicy::accept_new(&file);
    for host in ["*", "a,b", "a b", ""] {
        expect(check(&policy, host, 22, public(1)).await, unwritable);
    }
    assert_eq!(std::fs::read(&file).unwrap_or_default(), b"");
    if cfg!(unix) {
        let policy = HostKeyPolicy::accept_new("/dev/null");
        expect(check(&policy, "a", 22, public(1)).await, unwritable);
    }
}

#[tokio::test]
async fn the_other_policies_record_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    let policies = [
        HostKeyPolicy::known_hosts([&file]),
        HostKeyPolicy::dangerous_accept_any().with_known_hosts(&file),
        HostKeyPolicy::fingerprints([fingerprint(1)])
            .unwrap()
            .with_known_hosts(&file),
    ];
    for policy in policies {
        let _ = check(&policy, "a", 22, public(1)).await;
        assert!(!file.exists());
    }
}
