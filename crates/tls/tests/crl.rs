//! Revocation lists are enforced or refused, never ignored.
#![cfg(not(any(target_os = "windows", target_vendor = "apple")))]
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::path::Path;

use pgreach_core::{Error, TlsRequest, Verification};
use pgreach_tls::{NativeTls, NativeTlsBuilder, Roots};
use tempfile::TempDir;

use support::pki::{Authority, Leaf, Wanted};
use support::server::Config;
use support::{echo, handshake, outcome};

const NAME: &str = "db.example.com";
const FAR: i32 = 3000;
const PAST: i32 = 2002;

fn file(dir: &TempDir, name: &str, content: &str) -> std::path::PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

fn trusting(pem: impl Into<Vec<u8>>) -> NativeTlsBuilder {
    NativeTls::builder().with_roots(Roots::from_pem(pem))
}

async fn full(tls: &NativeTls, leaf: &Leaf) -> Result<(), Error> {
    let server = Config::new(leaf).start();
    echo(tls, &server, NAME).await.map(drop)
}

fn code(result: &Result<(), Error>) -> &'static str {
    result
        .as_ref()
        .map_or_else(|error| error.code().name(), |()| "ok")
}

#[tokio::test]
async fn the_matrix() {
    let root = Authority::root("Root");
    let other = Authority::root("Other");
    let sub = root.intermediate("Sub", 2);
    let direct = || root.issue(Wanted::names(&[NAME]).serial(7));
    let below = || sub.issue(Wanted::names(&[NAME]).serial(7)).sent_with(&sub);
    let both = format!("{}{}", root.pem(), sub.pem());
    let (clean, clean_sub) = (root.crl(&[99], FAR), sub.crl(&[99], FAR));
    let unavailable = "tls-crl-unavailable";

    for (what, roots, list, leaf, expected) in [
        ("not revoked", root.pem(), clean.clone(), direct(), "ok"),
        (
            "revoked",
            root.pem(),
            root.crl(&[7], FAR),
            direct(),
            "tls-revoked",
        ),
        (
            "expired list",
            root.pem(),
            root.crl(&[], PAST),
            direct(),
            unavailable,
        ),
        (
            "list of another CA",
            root.pem(),
            other.crl(&[], FAR),
            direct(),
            unavailable,
        ),
        (
            "list in another CA's hand",
            root.pem(),
            Authority::root("Root").crl(&[], FAR),
            direct(),
            unavailable,
        ),
        (
            "intermediate not among the roots",
            root.pem(),
            format!("{clean}{clean_sub}"),
            below(),
            unavailable,
        ),
        (
            "whole chain clean",
            both.clone(),
            format!("{clean}{clean_sub}"),
            below(),
            "ok",
        ),
        (
            "no list of the intermediate",
            both.clone(),
            clean.clone(),
            below(),
            unavailable,
        ),
        (
            "no list of the root",
            both.clone(),
            clean_sub.clone(),
            below(),
            unavailable,
        ),
        (
            "revoked intermediate",
            both.clone(),
            format!("{}{clean_sub}", root.crl(&[2], FAR)),
            below(),
            "tls-revoked",
        ),
        (
            "revoked below the intermediate",
            both.clone(),
            format!("{clean}{}", sub.crl(&[7], FAR)),
            below(),
            "tls-revoked",
        ),
    ] {
        let dir = TempDir::new().unwrap();
        let path = file(&dir, "list.pem", &list);
        let by_file = trusting(roots.clone()).with_crl_file(path).build().unwrap();
        let by_dir = trusting(roots).with_crl_dir(dir.path()).build().unwrap();
        for tls in [by_file, by_dir] {
            let result = full(&tls, &leaf).await;
            assert_eq!(code(&result), expected, "{what}: {result:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_names_the_authority() {
    let root = Authority::root("Root");
    let dir = TempDir::new().unwrap();
    let path = file(&dir, "list.pem", &Authority::root("Other").crl(&[], FAR));
    let tls = trusting(root.pem()).with_crl_file(path).build().unwrap();
    let error = full(&tls, &root.issue(Wanted::names(&[NAME])))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the certificate of \"{NAME}\" cannot be checked: there is no revocation list of \
             \"O=pgreach tests,CN=Root\""
        )
    );
    assert!(error.hint().contains("sslcrl"), "{}", error.hint());
}

#[tokio::test]
async fn a_new_list_counts_at_once() {
    let root = Authority::root("Root");
    let leaf = root.issue(Wanted::names(&[NAME]).serial(7));
    let dir = TempDir::new().unwrap();
    let path = file(&dir, "list.pem", &root.crl(&[8], FAR));
    let by_file = trusting(root.pem()).with_crl_file(&path).build().unwrap();
    let by_dir = trusting(root.pem())
        .with_crl_dir(dir.path())
        .build()
        .unwrap();
    let all = |expected: &'static str| {
        let (by_file, by_dir, leaf) = (&by_file, &by_dir, &leaf);
        async move {
            for tls in [by_file, by_dir] {
                let result = full(tls, leaf).await;
                assert_eq!(code(&result), expected, "{result:?}");
            }
        }
    };
    all("ok").await;
    // The same length, so only the times and the inode tell.
    fs::rename(file(&dir, "new", &root.crl(&[7], FAR)), &path).unwrap();
    all("tls-revoked").await;
    fs::rename(file(&dir, "new", "not a list"), &path).unwrap();
    all("tls-crl").await;
    fs::remove_file(&path).unwrap();
    all("tls-crl").await;
    file(&dir, "list.pem", &root.crl(&[8], FAR));
    all("ok").await;
}

#[tokio::test]
async fn a_directory_may_hold_other_files() {
    let root = Authority::root("Root");
    let dir = TempDir::new().unwrap();
    let path = file(&dir, "root.crl", &root.crl(&[7], FAR));
    std::os::unix::fs::symlink(&path, dir.path().join("0123abcd.r0")).unwrap();
    file(&dir, "README", "revocation lists");
    file(&dir, "other.pem", &Authority::root("Other").crl(&[], FAR));
    fs::create_dir(dir.path().join("old")).unwrap();
    let tls = trusting(root.pem())
        .with_crl_dir(dir.path())
        .build()
        .unwrap();
    let bad = root.issue(Wanted::names(&[NAME]).serial(7));
    let good = root.issue(Wanted::names(&[NAME]).serial(8));
    assert_eq!(code(&full(&tls, &bad).await), "tls-revoked");
    assert_eq!(code(&full(&tls, &good).await), "ok");
}

#[test]
fn unusable_lists_are_refused_when_building() {
    let root = Authority::root("Root");
    let dir = TempDir::new().unwrap();
    let empty = TempDir::new().unwrap();
    let list = root.crl(&[7], FAR);
    let cut = list.split_at(list.len() - 30).0;
    for (what, content) in [
        ("empty", String::new()),
        ("a certificate", root.pem()),
        ("cut", cut.to_owned()),
        ("second one cut", format!("{list}{cut}")),
        (
            "second one broken",
            format!("{list}{}", list.replace("MI", "AA")),
        ),
    ] {
        let path = file(&dir, "list.pem", &content);
        let error = trusting(root.pem())
            .with_crl_file(&path)
            .build()
            .unwrap_err();
        assert_eq!(error.code().name(), "tls-crl", "{what}");
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
        let error = trusting(root.pem())
            .with_crl_dir(dir.path())
            .build()
            .unwrap_err();
        assert_eq!(error.code().name(), "tls-crl", "{what}");
    }
    use std::os::unix::ffi::OsStrExt as _;
    let odd = dir.path().join(std::ffi::OsStr::from_bytes(b"list\xff"));
    fs::write(&odd, &list).unwrap();
    for path in [
        odd.as_path(),
        Path::new("/nowhere/list.pem"),
        Path::new("a\0b"),
    ] {
        let error = trusting(root.pem())
            .with_crl_file(path)
            .build()
            .unwrap_err();
        assert_eq!(error.code().name(), "tls-crl", "{error}");
    }
    for path in [empty.path(), Path::new("/nowhere")] {
        let error = trusting(root.pem()).with_crl_dir(path).build().unwrap_err();
        assert_eq!(error.code().name(), "tls-crl", "{error}");
    }
}

#[tokio::test]
async fn without_verification_a_list_is_refused() {
    let root = Authority::root("Root");
    let dir = TempDir::new().unwrap();
    let path = file(&dir, "list.pem", &root.crl(&[7], FAR));
    let tls = trusting(root.pem()).with_crl_file(path).build().unwrap();
    let server = Config::new(&root.issue(Wanted::names(&[NAME]).serial(7))).start();
    for (verification, expected) in [
        (Verification::None, "tls-crl"),
        (Verification::Ca, "tls-revoked"),
    ] {
        let request = TlsRequest::new(NAME, verification);
        assert_eq!(outcome(&handshake(&tls, &server, &request).await), expected);
    }
}
