//! Files: which are read, who may read them, and what happens when they are renewed.
#![cfg(not(any(target_os = "windows", target_vendor = "apple")))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::Duration;

use openssl::nid::Nid;
use pgreach_auth_cert::{FileCertificate, codes};
use pgreach_core::{CredentialProvider, Error, Retry};
use support::*;

/// The subject of what the source gives.
async fn subject(source: &FileCertificate) -> Result<String, Error> {
    let credential = ask(source).await?;
    Ok(credential.notes()[0].1.clone())
}

#[tokio::test]
async fn renewed_files_are_used_by_the_next_connection() {
    let folder = Folder::new();
    let (old, new) = (simple("old"), simple("new"));
    let certificate = folder.write("tls.crt", &old.0);
    let key = folder.write("tls.key", &old.1);
    let source = FileCertificate::new(&certificate, &key);
    let clone = source.clone();
    let first = ask(&source).await.unwrap();
    assert_eq!(first.notes()[0].1, "CN=old,O=Test");
    // The same files are the same identity.
    let again = ask(&source).await.unwrap();
    assert!(again.same_as(&first));
    // Renamed over the old ones, and written in place.
    write(&certificate, &new.0);
    write(&key, &new.1);
    assert_eq!(subject(&source).await.unwrap(), "CN=new,O=Test");
    assert_eq!(subject(&clone).await.unwrap(), "CN=new,O=Test");
    fs::write(&certificate, &old.0).unwrap();
    fs::write(&key, &old.1).unwrap();
    assert_eq!(subject(&source).await.unwrap(), "CN=old,O=Test");
}

#[tokio::test]
async fn one_file_is_enough() {
    let folder = Folder::new();
    let (certificate, key) = simple("both");
    let both = folder.write("both.pem", format!("{key}{certificate}"));
    let source = FileCertificate::new(&both, &both);
    assert_eq!(subject(&source).await.unwrap(), "CN=both,O=Test");
    let key = p256();
    let file = |name| {
        let own = Wanted::named(name).self_signed(&key);
        pkcs12(&key, &own, &[], PASSPHRASE, Nid::AES_256_CBC)
    };
    let p12 = folder.write("client.p12", file("old"));
    let source = FileCertificate::pkcs12(&p12).with_passphrase(PASSPHRASE);
    assert_eq!(subject(&source).await.unwrap(), "CN=old,O=Test");
    write(&p12, file("new"));
    assert_eq!(subject(&source).await.unwrap(), "CN=new,O=Test");
    let without = FileCertificate::pkcs12(&p12);
    let error = ask(&without).await.unwrap_err();
    assert_eq!(error.code(), &codes::CERT_PASSPHRASE_MISSING);
    assert!(error.message().contains("client.p12"), "{error}");
    subject(&without.with_passphrase(PASSPHRASE)).await.unwrap();
}

/// `..data` leads to a folder of which a new one takes the place.
#[tokio::test]
async fn a_secret_that_kubernetes_mounts() {
    let folder = Folder::new();
    for (version, name) in [("1", "old"), ("2", "new")] {
        fs::create_dir(folder.path(version)).unwrap();
        let (certificate, key) = simple(name);
        folder.write(&format!("{version}/tls.crt"), certificate);
        folder.write(&format!("{version}/tls.key"), key);
    }
    symlink("1", folder.path("..data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{name}"), folder.path(name)).unwrap();
    }
    let source = FileCertificate::new(folder.path("tls.crt"), folder.path("tls.key"));
    assert_eq!(subject(&source).await.unwrap(), "CN=old,O=Test");
    symlink("2", folder.path("..data_tmp")).unwrap();
    fs::rename(folder.path("..data_tmp"), folder.path("..data")).unwrap();
    assert_eq!(subject(&source).await.unwrap(), "CN=new,O=Test");
}

/// The clock is the test's: it goes on when everybody waits.
#[tokio::test(start_paused = true)]
async fn a_renewal_that_is_under_way_is_waited_for() {
    let folder = Folder::new();
    let (old, new) = (simple("old"), simple("new"));
    let certificate = folder.write("tls.crt", &old.0);
    let key = folder.write("tls.key", &old.1);
    let source = FileCertificate::new(&certificate, &key);
    subject(&source).await.unwrap();
    // The first file is there; the second comes 60 ms later, or the first is not whole until then.
    for (half, rest) in [
        ((&certificate, new.0.as_str()), (&key, new.1.as_str())),
        ((&certificate, &old.0[..99]), (&certificate, new.0.as_str())),
        ((&key, ""), (&key, new.1.as_str())),
    ] {
        write(half.0, half.1);
        let finish = async {
            tokio::time::sleep(Duration::from_millis(60)).await;
            write(rest.0, rest.1);
        };
        let (subject, ()) = tokio::join!(subject(&source), finish);
        assert_eq!(subject.unwrap(), "CN=new,O=Test");
    }
    // And one that does not come.
    write(&key, &old.1);
    let error = ask(&source).await.unwrap_err();
    assert_eq!(error.code(), &codes::CERT_KEY_MISMATCH);
    assert_eq!(error.retry(), Retry::Backoff);
    for part in ["tls.crt", "tls.key", "CN=new,O=Test"] {
        assert!(error.message().contains(part), "{error}");
    }
}

#[tokio::test]
async fn who_may_read_the_key() {
    let folder = Folder::new();
    let (certificate, key) = simple("app");
    let both = folder.write("both.pem", format!("{key}{certificate}"));
    let certificate = folder.write("tls.crt", certificate);
    let key = folder.write("tls.key", key);
    // The certificate is no secret.
    chmod(&certificate, 0o644);
    let root = fs::metadata(&key)
        .map(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
        .unwrap();
    for (mode, refused) in [
        (0o600, false),
        (0o400, false),
        // A file of root may be readable by a group.
        (0o640, !root),
        (0o440, !root),
        (0o644, true),
        (0o660, true),
        (0o604, true),
        (0o610, true),
    ] {
        chmod(&key, mode);
        chmod(&both, mode);
        for source in [
            FileCertificate::new(&certificate, &key),
            FileCertificate::new(&both, &both),
        ] {
            match ask(&source).await {
                Ok(_) => assert!(!refused, "{mode:o}"),
                Err(error) => {
                    assert!(refused, "{mode:o}: {error}");
                    assert_eq!(error.code(), &codes::CERT_KEY_PERMISSIONS);
                    let words = format!("is open to others than its owner (mode {mode:04o})");
                    assert!(error.message().ends_with(&words), "{error}");
                }
            }
        }
        let p12 = FileCertificate::pkcs12(&both);
        let code = ask(&p12).await.unwrap_err().code();
        assert_eq!(code == &codes::CERT_KEY_PERMISSIONS, refused, "{mode:o}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let folder = Folder::new();
    let (certificate, key) = simple("app");
    let certificate = folder.write("tls.crt", certificate);
    let key = folder.write("tls.key", key);
    let big = folder.write("big", vec![b' '; (1 << 20) + 1]);
    let missing = folder.path("missing");
    let directory = folder.0.path().to_owned();
    #[rustfmt::skip]
    let table = [
        (FileCertificate::new(&missing, &key), "client certificate file", "cannot be read"),
        (FileCertificate::new(&certificate, &missing), "private key file", "cannot be read"),
        (FileCertificate::pkcs12(&missing), "client certificate file", "cannot be read"),
        (FileCertificate::new(&directory, &key), "client certificate file", "is not a regular file"),
        (FileCertificate::new(&certificate, &directory), "private key file", "is not a regular file"),
        (FileCertificate::new(&certificate, &big), "private key file", "is larger than 1048576 bytes"),
        (FileCertificate::new("/dev/tty", &key), "client certificate file", ""),
    ];
    for (source, what, trouble) in table {
        let error = ask(&source).await.unwrap_err();
        assert_eq!(error.code(), &codes::CERT_FILE, "{error}");
        assert!(error.message().starts_with(what), "{error}");
        assert!(error.message().contains(trouble), "{error}");
    }
}

/// A key that costs a second to open is opened once, whether it opens or not.
#[tokio::test]
async fn what_has_not_changed_is_not_parsed_again() {
    let folder = Folder::new();
    let (certificate, key) = simple("app");
    let certificate = folder.write("tls.crt", certificate);
    let key = folder.write("tls.key", key);
    let source = FileCertificate::new(&certificate, &key);
    let pointer = |credential: &Arc<pgreach_core::Credential>| {
        credential.identity().unwrap().expose_key_pem().as_ptr()
    };
    let first = ask(&source).await.unwrap();
    // Touched, and not changed.
    let content = fs::read(&key).unwrap();
    write(&key, content);
    let second = ask(&source).await.unwrap();
    // Clones of an identity share the key.
    assert_eq!(pointer(&first), pointer(&second));
}

#[tokio::test]
async fn a_refused_certificate_is_read_again() {
    let folder = Folder::new();
    let (certificate, key) = simple("app");
    let certificate = folder.write("tls.crt", certificate);
    let key = folder.write("tls.key", key);
    let source = FileCertificate::new(&certificate, &key);
    let first = ask(&source).await.unwrap();
    assert!(source.invalidate(&first));
    assert!(ask(&source).await.unwrap().same_as(&first));
    let (new, new_key) = simple("new");
    write(&certificate, new);
    write(&key, new_key);
    assert!(source.invalidate(&first));
    assert!(!ask(&source).await.unwrap().same_as(&first));
}
