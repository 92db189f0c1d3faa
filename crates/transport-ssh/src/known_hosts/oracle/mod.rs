//! The verdicts of this crate beside those of the `ssh` program, on the same files and host keys.
//!
//! `ssh` talks to a real `sshd` through its standard input and output; no socket is involved. What
//! `ssh` refuses must be refused here. What is refused here alone must belong to one of the classes
//! of [`stricter`], which are counted and printed.

mod files;
mod keys;
mod program;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use pgreach_core::Error;

use self::files::Case;
use self::keys::Keys;
use self::program::{Programs, Workshop};
use super::base64;
use super::key::Blob;
use super::line::Marker;
use super::{HostKeyChecker, HostKeyPolicy};
use crate::codes;

const CASES: usize = 1000;
const SEED: u64 = 0x70_67_72_65_61_63_68;

/// Why something is refused that OpenSSH 9.2 accepts.
fn stricter(case: &Case<'_>, checker: &HostKeyChecker, error: &Error) -> Option<&'static str> {
    let records = |marker: Marker| {
        checker
            .records
            .iter()
            .filter(move |record| record.marker == marker)
    };
    let message = error.message();
    let is_certificate = case.offered.certificate.is_some();
    let code = error.code();
    if code == &codes::HOST_KEY_WEAK && message.contains("RSA key of 1024 bits") {
        return Some("an RSA host key of less than 2048 bits");
    }
    if message.contains("is signed by an RSA key of 1024 bits") {
        return Some("an authority's RSA key of less than 2048 bits");
    }
    if message.contains("is issued for no name") {
        return Some("a certificate without names (refused by later versions too)");
    }
    let is_damaged = |marker: Marker| records(marker).any(|record| record.blob.is_certificate);
    if code == &codes::HOST_KEY_REVOKED {
        let text = case.whole();
        let text = String::from_utf8_lossy(&text);
        if text.contains("@revoked\t") {
            return Some("a revocation with a tab, which OpenSSH overlooks");
        }
        if records(Marker::Revoked).any(|record| !record.exact) {
            return Some("a revocation for the host without the port");
        }
        if is_damaged(Marker::Revoked) {
            return Some("a damaged certificate on record");
        }
    }
    if code == &codes::HOST_KEY_CHANGED || code == &codes::HOST_KEY_UNKNOWN {
        let is_foreign =
            |kind: &str| kind.starts_with("ssh-unknown") || kind == "ecdsa-sha2-nistp521";
        if records(Marker::Host).any(|record| record.exact && is_foreign(record.blob.key.kind())) {
            return Some(
                "a record of a type that OpenSSH does not know, or with an impossible point",
            );
        }
        if is_certificate && is_damaged(Marker::Authority) {
            return Some("an authority that is given as a certificate");
        }
        if is_damaged(Marker::Host) {
            return Some("a damaged certificate on record");
        }
        if is_certificate && records(Marker::Host).any(|record| record.exact) {
            return Some("a changed key with the port, in a certificate, known without the port");
        }
    }
    None
}

#[derive(Default)]
struct Tally {
    both_accept: usize,
    both_refuse: BTreeMap<&'static str, usize>,
    stricter: BTreeMap<&'static str, usize>,
    wrong: Vec<String>,
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn nothing_is_trusted_that_openssh_does_not_trust() {
    let count = number("PGREACH_KNOWN_HOSTS_CASES", CASES);
    let seed = number("PGREACH_KNOWN_HOSTS_SEED", 0) as u64 ^ SEED;
    let programs = Programs::find();
    let directory = tempfile::tempdir().unwrap();
    let keys = Keys::make(directory.path());
    let workshop = Workshop::new(programs, directory.path(), &keys);
    let begun = Instant::now();
    let tally = Mutex::new(Tally::default());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (workshop, keys, tally, next) = (&workshop, &keys, &tally, &next);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    let case = Case::generate(seed, index, keys);
                    let theirs = workshop.ask(worker, &case);
                    let ours = runtime.block_on(judge(&workshop.files(worker, &case), &case));
                    compare(&case, index, &theirs, ours, tally);
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    println!(
        "{count} cases in {:?}: {} accepted by both; refused by both: {:#?}; refused here alone: {:#?}",
        begun.elapsed(),
        tally.both_accept,
        tally.both_refuse,
        tally.stricter,
    );
    assert!(tally.wrong.is_empty(), "{}", tally.wrong.join("\n\n"));
    // The generator is worth something only when it meets both verdicts often.
    let refused: usize = tally.both_refuse.values().sum();
    let stricter: usize = tally.stricter.values().sum();
    assert!(tally.both_accept * 5 > count, "few are accepted");
    assert!(refused * 5 > count, "few are refused");
    assert!(stricter * 8 < count, "many are refused here alone");
    if count >= CASES {
        for code in [
            &codes::HOST_KEY_UNKNOWN,
            &codes::HOST_KEY_CHANGED,
            &codes::HOST_KEY_REVOKED,
            &codes::HOST_CERTIFICATE_INVALID,
        ] {
            assert!(
                tally.both_refuse.contains_key(code.name()),
                "{}",
                code.name()
            );
        }
    }
}

async fn judge(
    files: &[std::path::PathBuf],
    case: &Case<'_>,
) -> (HostKeyChecker, Result<super::Trusted, Error>) {
    let policy = HostKeyPolicy::known_hosts(files);
    let checker = policy.load(case.host, case.port).await.unwrap();
    let verdict = checker.check(&case.offered.shown()).await;
    (checker, verdict)
}

fn compare(
    case: &Case<'_>,
    index: usize,
    theirs: &Result<(), String>,
    (checker, ours): (HostKeyChecker, Result<super::Trusted, Error>),
    tally: &Mutex<Tally>,
) {
    let mut tally = tally.lock().unwrap();
    let describe = |what: &str| {
        format!(
            "case {index}: {what}\n{} port {}, offered {}\nssh: {theirs:?}\n{}\n{:?}",
            case.host,
            case.port,
            case.offered.name,
            case.text.escape_ascii(),
            case.second
                .as_ref()
                .map(|text| text.escape_ascii().to_string())
        )
    };
    match (theirs, ours) {
        (Ok(()), Ok(_)) => tally.both_accept += 1,
        (Err(_), Err(error)) => {
            *tally.both_refuse.entry(error.code().name()).or_default() += 1;
        }
        (Err(_), Ok(trusted)) => {
            let text = describe(&format!("accepted here, {}", trusted.how));
            tally.wrong.push(text);
        }
        (Ok(()), Err(error)) => match stricter(case, &checker, &error) {
            Some(class) => *tally.stricter.entry(class).or_default() += 1,
            None => {
                let text = describe(&format!("refused here: {error}"));
                tally.wrong.push(text);
            }
        },
    }
}

/// What messages call a key is what the administrator sees, whatever its spelling on record.
#[test]
fn fingerprints_are_those_of_ssh_keygen() {
    let directory = tempfile::tempdir().unwrap();
    let keys = Keys::make(directory.path());
    let mut names: Vec<_> = keys.offered.iter().map(|offered| &*offered.name).collect();
    names.extend(["ca-p256", "ca-rsa"]);
    for name in names {
        let (label, blob) = keys.blob(name);
        let file = directory.path().join("line");
        std::fs::write(&file, format!("{label} {}\n", base64::encode(&blob))).unwrap();
        let output = std::process::Command::new("ssh-keygen")
            .args(["-E", "sha256", "-lf"])
            .arg(&file)
            .output()
            .unwrap();
        let theirs = String::from_utf8(output.stdout).unwrap();
        let theirs = theirs.split(' ').nth(1);
        let mut spellings = vec![blob.clone()];
        if !label.contains("-cert-") {
            spellings.extend([0, 1].map(|how| files::respelled(&blob, how)));
        }
        for blob in spellings {
            let ours = Blob::parse(label.as_bytes(), &blob).unwrap();
            assert_eq!(Some(&*ours.fingerprint), theirs, "{name}");
        }
    }
}
