//! A password file: what is accepted, and that every way of rotating it is noticed.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Arc;

use pgreach_auth_password::{FilePassword, codes};
use pgreach_core::{CredentialProvider as _, ErrorKind, Stage};
use support::{MARKER, ask, eventually, text, write};

#[tokio::test]
async fn every_way_of_rotating_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    let other = dir.path().join("new");
    let source = FilePassword::new(&path).with_user("app");

    write(&path, "first\n");
    let credential = ask(&source).await.unwrap();
    assert_eq!(
        (text(&credential), credential.user()),
        ("first", Some("app"))
    );

    write(&path, "again\n");
    assert_eq!(
        text(&ask(&source).await.unwrap()),
        "again",
        "in place, same length"
    );

    write(&other, "third\n");
    fs::rename(&other, &path).unwrap();
    assert_eq!(text(&ask(&source).await.unwrap()), "third", "renamed over");

    fs::remove_file(&path).unwrap();
    assert_eq!(
        ask(&source).await.unwrap_err().code(),
        &codes::PASSWORD_FILE
    );
    write(&path, "fourth");
    assert_eq!(
        text(&ask(&source).await.unwrap()),
        "fourth",
        "removed and made anew"
    );
}

/// As Kubernetes mounts a secret: file -> ..data/file, ..data -> a folder with a time in its name.
#[tokio::test]
async fn a_switched_symbolic_link_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (folder, password) in [("..2026_01", "january"), ("..2026_02", "february")] {
        fs::create_dir(dir.join(folder)).unwrap();
        write(&dir.join(folder).join("password"), password);
    }
    symlink("..data/password", dir.join("password")).unwrap();
    symlink("..2026_01", dir.join("..data")).unwrap();
    let source = FilePassword::new(dir.join("password"));
    assert_eq!(text(&ask(&source).await.unwrap()), "january");

    symlink("..2026_02", dir.join("..data_tmp")).unwrap();
    fs::rename(dir.join("..data_tmp"), dir.join("..data")).unwrap();
    assert_eq!(text(&ask(&source).await.unwrap()), "february");
}

/// Time stamps are too coarse to tell these writes apart.
#[tokio::test]
async fn no_write_in_quick_succession_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    let source = FilePassword::new(&path);
    for n in 0..200 {
        let password = format!("password-{n:03}");
        write(&path, &password);
        assert_eq!(text(&ask(&source).await.unwrap()), password);
    }
}

#[tokio::test]
async fn a_file_left_alone_is_read_once_until_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    write(&path, "left alone");
    let source = FilePassword::new(&path);
    let mut last = ask(&source).await.unwrap();
    eventually("the same credential twice", async || {
        let next = ask(&source).await.unwrap();
        Arc::ptr_eq(&std::mem::replace(&mut last, Arc::clone(&next)), &next)
    })
    .await;

    assert!(source.invalidate(&last));
    let fresh = ask(&source).await.unwrap();
    assert!(!Arc::ptr_eq(&last, &fresh), "read again");
    assert!(last.same_as(&fresh), "and the same to the connector");

    let last = ask(&source).await.unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o646)).unwrap();
    let refused = ask(&source).await.unwrap_err();
    assert_eq!(refused.code(), &codes::PASSWORD_FILE_PERMISSIONS);
    drop(last);
}

#[tokio::test]
async fn what_is_refused_and_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    let content: &[(&[u8], &str)] = &[
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"m4rker-s3cret\xff", "is not UTF-8 text"),
        (b"m4rker-s3cret\0", "contains a zero byte"),
        (&[b'x'; 64 * 1024 + 1], "is larger than 64 KiB"),
        (&[b'x'; 1024 * 1024], "is larger than 64 KiB"),
    ];
    for (bytes, trouble) in content {
        write(&path, bytes);
        let error = ask(&FilePassword::new(&path)).await.unwrap_err();
        assert_eq!(error.code(), &codes::PASSWORD_FILE_CONTENT);
        assert_eq!(error.kind(), ErrorKind::Credential);
        assert_eq!(error.stage(), Stage::CREDENTIAL);
        assert_eq!(
            error.message(),
            format!("password file {} {trouble}", path.display())
        );
        assert!(!format!("{error:?}").contains(MARKER));
    }
    let mut longest = vec![b'x'; 64 * 1024];
    longest.extend_from_slice(b"\r\n");
    write(&path, &longest);
    assert_eq!(
        text(&ask(&FilePassword::new(&path)).await.unwrap()).len(),
        64 * 1024
    );
}

#[tokio::test]
async fn who_else_can_read_it_decides() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    write(&path, MARKER);
    for (mode, refused) in [(0o600, false), (0o400, false), (0o644, true), (0o666, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let strict = ask(&FilePassword::new(&path)).await;
        match strict {
            Ok(_) => assert!(!refused, "{mode:o}"),
            Err(error) => {
                assert!(refused, "{mode:o}");
                assert_eq!(error.code(), &codes::PASSWORD_FILE_PERMISSIONS);
                assert!(
                    error.message().contains(&format!("(mode {mode:04o})")),
                    "{error}"
                );
            }
        }
        let lax = FilePassword::new(&path).dangerous_allow_any_permissions();
        assert_eq!(text(&ask(&lax).await.unwrap()), MARKER);
    }
}

#[tokio::test]
async fn only_regular_files_are_opened() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    let made = std::process::Command::new("mkfifo")
        .arg(&fifo)
        .status()
        .unwrap();
    assert!(made.success());
    for path in [dir.path(), fifo.as_path(), Path::new("/dev/null")] {
        let error = ask(&FilePassword::new(path)).await.unwrap_err();
        assert_eq!(error.code(), &codes::PASSWORD_FILE);
        assert!(
            error.message().ends_with("is not a regular file"),
            "{error}"
        );
    }
}
