//! Root certificates that cannot be used, and what is said of them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use pgreach_core::{ErrorKind, Stage};
use pgreach_tls::{NativeTls, Roots, codes};
use rcgen::{CertificateParams, KeyPair};

fn certificate() -> (String, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::default().self_signed(&key).unwrap();
    (certificate.pem(), certificate.der().to_vec())
}

#[test]
fn unusable_roots_are_refused_with_file_and_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("root.pem");
    let (pem, der) = certificate();
    let cut = pem.split_at(pem.len() - 30).0;
    for (content, message) in [
        (Vec::new(), "there is no certificate in it"),
        (
            b"-----BEGIN PRIVATE KEY-----\n".to_vec(),
            "there is no certificate in it",
        ),
        (der, "there is no certificate in it"),
        (
            format!("{pem}# broken\n{}", pem.replace("MII", "AAA")).into_bytes(),
            "certificate 2 (line ",
        ),
        (format!("{pem}{cut}").into_bytes(), "has no end"),
        (
            pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE")
                .into_bytes(),
            "certificate 1 (line 1) is in OpenSSL's \"trusted\" format",
        ),
    ] {
        fs::write(&path, content).unwrap();
        let roots = Roots::from_file(&path);
        let error = NativeTls::builder().with_roots(roots).build().unwrap_err();
        assert_eq!(error.code(), &codes::TLS_ROOTS);
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(error.stage(), Stage::CONFIG);
        let text = error.to_string();
        assert!(text.contains(message), "{text}");
        assert!(text.contains(path.to_str().unwrap()), "{text}");
    }
    fs::remove_file(&path).unwrap();
    let roots = Roots::from_file(&path);
    let error = NativeTls::builder().with_roots(roots).build().unwrap_err();
    assert!(error.to_string().contains("cannot be read"), "{error}");
    // A folder, or a pipe that nobody writes to, is not opened.
    fs::create_dir(&path).unwrap();
    let roots = Roots::from_file(&path);
    let error = NativeTls::builder().with_roots(roots).build().unwrap_err();
    assert!(error.to_string().contains("not a plain file"), "{error}");
    fs::remove_dir(&path).unwrap();
}

#[test]
fn what_was_given_as_text_is_not_shown() {
    let key = "-----BEGIN PRIVATE KEY-----\nMARKER==\n-----END PRIVATE KEY-----\n";
    let pem = format!("{}{key}", certificate().0);
    let roots = Roots::from_pem(pem.clone());
    let builder = NativeTls::builder().with_roots(roots.clone());
    let tls = builder.clone().build().unwrap();
    let as_numbers = format!("{:?}", b"MARKER").replace(' ', "");
    let as_numbers = as_numbers.trim_matches(['[', ']']);
    for shown in [
        format!("{roots:?}"),
        format!("{builder:?}"),
        format!("{tls:?}"),
        format!("{tls:#?}"),
    ] {
        let shown = shown.replace([' ', '\n'], "");
        assert!(
            !shown.contains("MARKER") && !shown.contains(as_numbers),
            "{shown}"
        );
        let size = format!("Pem({}bytes", pem.len());
        assert!(shown.contains(&size), "{shown}");
    }
}

#[test]
fn codes_are_distinct_and_complete_sentences() {
    let mut names: Vec<_> = codes::ALL.iter().map(|code| code.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), codes::ALL.len());
    for code in codes::ALL {
        assert!(code.name().starts_with("tls-"), "{code:?}");
        assert!(
            code.meaning().ends_with('.') && code.remedy().ends_with('.'),
            "{code:?}"
        );
        assert!(
            matches!(code.kind(), ErrorKind::Tls | ErrorKind::Config),
            "{code:?}"
        );
    }
}

#[test]
fn providers_can_be_shared() {
    fn is_shareable<T: Clone + Send + Sync + 'static>(_: &T) {}
    let tls = NativeTls::default();
    is_shareable(&tls);
    let shown = format!("{tls:?}");
    assert!(
        shown.contains("V1_2") && shown.contains("sni: true"),
        "{shown}"
    );
}
