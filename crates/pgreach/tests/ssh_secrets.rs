//! No secret of an SSH hop in what is shown, serialised or logged, however it fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/mod.rs"]
mod common;
#[path = "ssh/fixture.rs"]
#[allow(dead_code)]
mod fixture;

use std::fmt::Write as _;
use std::sync::Mutex;

use fixture::{DATABASE, bastion, hop, over, to};
use pgreach::Secret;
use pgreach::prelude::*;
use pgreach::ssh::SshKeyPair;
use pgreach_testkit::ssh::SshUser;

const MARKER: &str = "m4rker-s3cret";
/// The marker as a list of bytes, and in Base64 at each offset.
const DISGUISED: &[&str] = &[
    "109, 52, 114, 107, 101, 114, 45",
    "bTRya2VyLXMzY3Jld",
    "00cmtlci1zM2NyZX",
    "tNHJrZXItczNjcmV0",
];

static LOGGED: Mutex<String> = Mutex::new(String::new());

/// Everything that any crate logs.
struct Listener;

impl log::Log for Listener {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let mut logged = LOGGED.lock().unwrap();
        writeln!(logged, "{} {}", record.target(), record.args()).unwrap();
    }

    fn flush(&self) {}
}

fn check(what: &str, text: &str, also: &[&str]) {
    for marker in [&[MARKER], DISGUISED, also].concat() {
        let found = text.lines().find(|line| line.contains(marker));
        assert_eq!(found, None, "{what}");
    }
}

#[tokio::test]
async fn passwords_passphrases_and_keys_are_nowhere() {
    log::set_logger(&Listener).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let pair = SshKeyPair::generate_ed25519().unwrap();
    let pem = pair.private_pem(Some(&Secret::new(MARKER))).unwrap();
    let naked = pair.private_pem(None).unwrap();
    // The middle of the private half: what no public line has.
    let lines: Vec<_> = naked.expose().lines().collect();
    let private = lines[3];
    let sshd = bastion(|sshd| {
        let user = SshUser::new("typist").with_password(MARKER);
        sshd.with_user(user)
            .with_config("PasswordAuthentication yes\nKbdInteractiveAuthentication yes")
    });
    let mut shown = String::new();
    for passphrase in [None, Some(Secret::new(format!("{MARKER}-but-wrong")))] {
        let error = SshKey::from_pem(pem.expose(), passphrase.as_ref()).unwrap_err();
        writeln!(shown, "{error} {error:?}").unwrap();
    }
    let key = SshKey::from_pem(pem.expose(), Some(&Secret::new(MARKER))).unwrap();
    writeln!(shown, "{pair:?} {key:?} {pem:?}").unwrap();
    let typist = |password: &str| {
        SshHop::new(sshd.host(), "typist")
            .with_port(sshd.port())
            .with_host_keys(HostKeyPolicy::known_hosts_text(sshd.known_hosts()))
            .with_auth(SshAuth::password(password))
    };
    for hop in [
        typist(MARKER),
        typist(&format!("{MARKER}-but-wrong")),
        typist(MARKER).with_host_keys(HostKeyPolicy::known_hosts_text("")),
        hop(&sshd).with_auth(key),
        SshHop::new("127.0.0.1", "x")
            .with_port(1)
            .with_auth(SshAuth::password(MARKER)),
    ] {
        writeln!(shown, "{hop} {hop:?}").unwrap();
        let transport = over(hop).build().unwrap();
        let endpoint = Endpoint::tcp("127.0.0.1", DATABASE.server.port());
        let connector = to(transport.clone(), endpoint).build().unwrap();
        writeln!(shown, "{transport:?} {connector:?} {}", connector.route()).unwrap();
        let report = connector.check().await;
        writeln!(shown, "{report} {report:?}").unwrap();
        writeln!(shown, "{}", serde_json::to_string(&report).unwrap()).unwrap();
        let mut error = report.error().map(|error| error as &dyn std::error::Error);
        while let Some(cause) = error {
            writeln!(shown, "{cause} {cause:?}").unwrap();
            error = cause.source();
        }
    }
    check("shown", &shown, &[private]);
    let logged = LOGGED.lock().unwrap();
    assert!(logged.contains("russh"), "nothing was heard");
    check("logged", &logged, &[private]);
}
