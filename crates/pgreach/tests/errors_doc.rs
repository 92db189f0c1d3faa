//! `docs/errors.md` is what the code says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use pgreach::{ErrorKind, Retry, all_codes};

fn meaning(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Config => {
            "a setting is wrong, missing, contradictory or not supported; nothing was sent"
        }
        ErrorKind::Resolve => "a host name could not be resolved",
        ErrorKind::Denied => "a policy of this side forbids the address or the peer",
        ErrorKind::Transport => "the route to the server could not be opened",
        ErrorKind::HostKey => "an SSH host key is unknown, changed or revoked",
        ErrorKind::SshAuth => {
            "an SSH server refused the user or the key, or there was none to offer"
        }
        ErrorKind::Tls => "TLS could not be established, or the certificate was not accepted",
        ErrorKind::Credential => "a credential source failed",
        ErrorKind::Authentication => {
            "the database refused the identity, or asked for a method that is not allowed"
        }
        ErrorKind::Database => "the database answered with an error that is not about the identity",
        ErrorKind::Timeout => "the deadline passed",
        ErrorKind::Closed => "the connection ended before or while it was used",
        other => panic!("{other} has no line here"),
    }
}

fn render() -> String {
    let mut out = String::from(
        "# Errors\n\n\
         Every error has a **kind** (what sort of trouble), a **stage** (where on the way), a stable\n\
         **code**, **retry** advice, a one-line message and a **hint** that says what to change; an error\n\
         of the server also has its SQLSTATE. The hint is as specific as it can be; the remedy below is\n\
         what it falls back to.\n\n\
         This page is tested against the code; `PGREACH_BLESS=1 cargo test -p pgreach --test errors_doc`\n\
         writes it anew.\n\n\
         ## Kinds\n\n| kind | means |\n| --- | --- |\n",
    );
    for kind in ErrorKind::ALL {
        writeln!(out, "| `{kind}` | {} |", meaning(*kind)).unwrap();
    }
    out.push_str("\n## Retry advice\n\n| advice | means |\n| --- | --- |\n");
    for (retry, text) in [
        (
            Retry::Never,
            "trying again changes nothing until somebody changes a setting",
        ),
        (
            Retry::Safe,
            "nothing reached the server: trying again at once is safe",
        ),
        (
            Retry::RefreshCredential,
            "try again with a fresh credential; the connector has done so once where the source can give one",
        ),
        (
            Retry::Backoff,
            "try again later, with growing, jittered pauses",
        ),
    ] {
        writeln!(out, "| `{retry}` | {text} |").unwrap();
    }
    out.push_str("\n## Codes\n\n");
    for kind in ErrorKind::ALL {
        let codes: Vec<_> = all_codes()
            .into_iter()
            .filter(|code| code.kind() == *kind)
            .collect();
        if codes.is_empty() {
            continue;
        }
        writeln!(
            out,
            "### {kind}\n\n| code | retry | means | what to change |\n| --- | --- | --- | --- |"
        )
        .unwrap();
        for code in codes {
            writeln!(
                out,
                "| `{}` | {} | {} | {} |",
                code.name(),
                code.retry(),
                code.meaning(),
                code.remedy()
            )
            .unwrap();
        }
        out.push('\n');
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

#[test]
fn the_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors.md");
    if std::env::var_os("PGREACH_BLESS").is_some() {
        std::fs::write(&path, render()).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == render(),
        "docs/errors.md is not what the code says; see its third paragraph"
    );
}

#[test]
fn codes_are_well_formed_and_unique() {
    let mut names = BTreeSet::new();
    for code in all_codes() {
        let name = code.name();
        assert!(names.insert(name), "{name} is declared twice");
        assert!(
            name.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
            "{name}"
        );
        for sentence in [code.meaning(), code.remedy()] {
            assert!(
                sentence.ends_with('.') && sentence.len() > 10,
                "{name}: {sentence}"
            );
            assert!(!sentence.contains('|'), "{name}: {sentence}");
        }
    }
    assert!(names.len() > 40);
}
