//! `connect --ssh`, as a script runs it: what must fail, and how.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(unix)]

mod common;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use common::Run;
use common::ssh::{
    KEY, LOCKED, SECRET, SERVER, SSHD, STRANGE, at, database, run, to, user, wait_for_query, with,
};
use pgreach::conninfo::Environment;
use pgreach_testkit::Sshd;
use serde_json::{Value, json};

/// `to` fails as `expected` (kind, stage and code), as JSON and for a person.
fn assert_fails(run: impl Fn(&str) -> Run, options: &str, expected: [&str; 3]) {
    let error = run(&format!("--json {options}")).error();
    let said = [&error["kind"], &error["stage"], &error["code"]];
    assert_eq!(said, expected, "{options}: {error}");
    let (succeeded, stdout, stderr) = run(options).output();
    assert!(!succeeded && stdout.is_empty(), "{options}: {stdout}");
    let [kind, stage, code] = expected;
    let first = format!("{kind} [{code}] at stage {stage}: ");
    assert!(stderr.starts_with(&first), "{options}: {stderr}");
}

#[test]
fn wrong_options_are_configuration() {
    let (ssh, pin) = (at(&SSHD), SSHD.host_key_fingerprint());
    for options in [
        // Nothing to go through.
        "--ssh-key key",
        "--ssh-passphrase-env SECRET",
        "--ssh-password-env SECRET",
        "--ssh-agent",
        "--known-hosts known_hosts",
        &format!("--host-key-fingerprint {pin}"),
        // Not [USER@]HOST[:PORT].
        "--ssh=",
        "--ssh --ssh-agent",
        "--ssh @host",
        "--ssh tunnel@",
        "--ssh :22",
        "--ssh host:",
        "--ssh host:0",
        "--ssh host:65536",
        "--ssh host:+22",
        "--ssh host:ssh",
        "--ssh ::1",
        "--ssh [::1",
        "--ssh [::1]22",
        "--ssh []:22",
        // Secrets where they do not belong.
        &format!("--ssh tunnel:{SECRET}@host"),
        &format!("--ssh host:{SECRET}"),
        &format!("--ssh {ssh} --ssh-password {SECRET}"),
        &format!("--ssh {ssh} --ssh-agent={SECRET}"),
        // Too much.
        &format!("--ssh {ssh} --known-hosts known_hosts --known-hosts nobody"),
        &format!("--ssh {ssh} --host-key-fingerprint {pin} --host-key-fingerprint {pin}"),
        &format!("--ssh {ssh} --ssh-password-env SECRET --ssh-password-env SECRET"),
    ] {
        let run = |options: &str| run(options, &database());
        assert_fails(run, options, ["Config", "config", "config-invalid"]);
    }
    let error = Run::new(&["--json", "--ssh"]).error();
    assert_eq!(error["code"], json!("config-invalid"), "{error}");
}

#[test]
fn what_cannot_be_read_is_configuration() {
    let (ssh, config) = (format!("--ssh {}", at(&SSHD)), |code| {
        ["Config", "config", code]
    });
    for (options, code) in [
        (
            "--ssh-key key --host-key-fingerprint SHA256:short",
            "host-key-setting",
        ),
        (
            "--ssh-key key --known-hosts missing",
            "known-hosts-unreadable",
        ),
        ("--ssh-key key --known-hosts .", "known-hosts-unreadable"),
        ("--ssh-key missing", "ssh-key-unreadable"),
        ("--ssh-key nobody", "ssh-key-invalid"),
        ("--ssh-key key --ssh-key missing", "ssh-key-unreadable"),
        ("--ssh-key locked", "ssh-key-passphrase-missing"),
        (
            "--ssh-key locked --ssh-passphrase-env WRONG",
            "ssh-key-passphrase-wrong",
        ),
        (
            "--ssh-key locked --ssh-passphrase-env EMPTY",
            "ssh-key-passphrase-missing",
        ),
        (
            "--ssh-key locked --ssh-passphrase-env UNSET",
            "config-missing",
        ),
        ("--ssh-password-env UNSET", "config-missing"),
        ("--ssh-password-env EMPTY", "config-invalid"),
        // The secret itself in place of its variable.
        (&format!("--ssh-password-env {SECRET}"), "config-missing"),
        (&format!("--ssh-password-env {SECRET}=x"), "config-missing"),
        (
            &format!("--ssh-key locked --ssh-passphrase-env {SECRET}"),
            "config-missing",
        ),
        (
            "--ssh-password-env SECRET --ssh-passphrase-env SECRET",
            "config-missing",
        ),
        // There is no agent.
        ("--ssh-agent", "config-missing"),
        ("--ssh-key key --ssh-agent", "config-missing"),
        // There is nothing at all.
        ("", "config-missing"),
    ] {
        let run = |options: &str| run(options, &database()).env("EMPTY", "");
        assert_fails(run, &format!("{ssh} {options}"), config(code));
    }
    // The only key is the error, and the agent that is gone is not.
    let run = |options: &str| {
        with(options, &database())
            .secret_file(".ssh/id_rsa", &LOCKED.private)
            .env("SSH_AUTH_SOCK", "/nonexistent/agent")
    };
    assert_fails(run, &ssh, config("ssh-key-passphrase-missing"));
    let (_, _, said) = run(&ssh).output();
    assert!(said.contains("--ssh-passphrase-env"), "{said}");
}

#[test]
fn every_failure_on_the_way_has_its_kind() {
    let (ssh, port) = (at(&SSHD), SSHD.port());
    let (user, _) = ssh.split_once('@').unwrap();
    let key = SSHD.host_key_public_line();
    let changed = format!("[127.0.0.1]:{port} {}\n", STRANGE.public);
    let revoked = format!("[127.0.0.1]:{port} {key}\n@revoked * {key}\n");
    let run = |options: &str| {
        run(options, &database())
            .file("changed", &changed)
            .file("revoked", &revoked)
    };
    let unknown = ["HostKey", "host-key", "host-key-unknown"];
    let refused = ["SshAuth", "ssh-auth", "ssh-auth-refused"];
    let unreachable = ["Transport", "ssh-tcp", "ssh-unreachable"];
    let unresolved = ["Resolve", "ssh-tcp", "ssh-unresolved"];
    let to_key = format!("--ssh {ssh} --ssh-key key");
    let known = "--known-hosts known_hosts";
    let wrong = "SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDyGbMTxhnxqgHVh8c";
    for (options, expected) in [
        // There is no ~/.ssh/known_hosts.
        (to_key.clone(), unknown),
        (format!("{to_key} --known-hosts nobody"), unknown),
        (
            format!("{to_key} --known-hosts changed"),
            ["HostKey", "host-key", "host-key-changed"],
        ),
        (
            format!("{to_key} --known-hosts revoked"),
            ["HostKey", "host-key", "host-key-revoked"],
        ),
        // What is on record does not help where another key is pinned.
        (
            format!("{to_key} {known} --host-key-fingerprint {wrong}"),
            ["HostKey", "host-key", "host-key-changed"],
        ),
        (format!("--ssh {ssh} --ssh-key strange {known}"), refused),
        (
            format!("--ssh somebody@127.0.0.1:{port} --ssh-key key {known}"),
            refused,
        ),
        (
            format!("--ssh {user}@127.0.0.1:1 --ssh-key key"),
            unreachable,
        ),
        (
            format!("--ssh {user}@nonexistent.invalid --ssh-key key"),
            unresolved,
        ),
        // The second server, as the first one sees it.
        (
            format!("{to_key} {known} --ssh {user}@127.0.0.1:1"),
            unreachable,
        ),
        (
            format!("{to_key} {known} --ssh {user}@nonexistent.invalid"),
            unresolved,
        ),
    ] {
        assert_fails(run, &options, expected);
    }
}

#[test]
fn every_failure_behind_the_tunnel_has_its_kind() {
    let port = SERVER.port();
    for (conninfo, expected) in [
        (
            "host=127.0.0.1 port=1 user=app".into(),
            ["Transport", "channel", "ssh-target-refused"],
        ),
        (
            "host=nonexistent.invalid user=app".into(),
            ["Resolve", "channel", "ssh-target-unresolved"],
        ),
        (
            "host=/nonexistent user=app".into(),
            ["Transport", "channel", "ssh-target-unreachable"],
        ),
        (
            format!("host=127.0.0.1 port={port} user=app password=wrong"),
            ["Authentication", "authentication", "auth-refused"],
        ),
        (
            format!("host=127.0.0.1 port={port} user=postgres sslmode=require"),
            ["Tls", "tls", "tls-not-supported"],
        ),
        (
            "port=none".to_owned(),
            ["Config", "config", "config-invalid"],
        ),
    ] {
        assert_fails(|options| run(options, &conninfo), &to(&SSHD), expected);
    }
}

#[test]
fn what_the_server_forbids_is_transport() {
    let prohibited = ["Transport", "channel", "ssh-channel-prohibited"];
    let no_common = ["Transport", "ssh-handshake", "ssh-no-common-algorithm"];
    let elsewhere = format!(
        "restrict,port-forwarding,permitopen=\"127.0.0.1:1\" {}",
        KEY.public
    );
    for (config, line, expected) in [
        ("AllowTcpForwarding no", &KEY.public, prohibited),
        ("AllowTcpForwarding local", &elsewhere, prohibited),
        ("Ciphers aes256-cbc", &KEY.public, no_common),
    ] {
        let sshd = Sshd::builder().with_config(config).start().unwrap();
        sshd.set_authorized_keys(sshd.user(), [line]).unwrap();
        assert_fails(|options| run(options, &database()), &to(&sshd), expected);
    }
}

#[test]
fn who_never_answers_runs_out_of_time() {
    // The system accepts, and nobody ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("--ssh {} --ssh-key key", silent.local_addr().unwrap());
    let frozen = Sshd::builder().with_user(user()).start().unwrap();
    frozen.pause().unwrap();
    let behind = format!("--ssh {} --known-hosts known_hosts {silent}", at(&SSHD));
    let conninfo = format!("{} connect_timeout=1", database());
    for options in [silent, to(&frozen), behind] {
        let began = Instant::now();
        let error = run(&format!("--json {options}"), &conninfo).error();
        let said = [&error["kind"], &error["stage"]];
        assert_eq!(said, ["Timeout", "ssh-handshake"], "{options}: {error}");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(3), "{options}: {took:?}");
    }
}

#[test]
fn a_session_that_dies_during_a_query_is_closed() {
    let sshd = Sshd::builder().with_user(user()).start().unwrap();
    let conninfo = format!("{} application_name=doomed", database());
    let mut run = run(&format!("--json {}", to(&sshd)), &conninfo);
    run.command.args(["--command", "select pg_sleep(600)"]);
    let mut child = run.command.spawn().unwrap();
    wait_for_query(&mut child, "doomed");
    sshd.kill_sessions().unwrap();
    let killed = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(killed.elapsed() < Duration::from_secs(2));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let said = [&json["error"]["kind"], &json["error"]["stage"]];
    assert_eq!(said, ["Closed", "query"], "{json}");
}

#[test]
fn a_failed_check_says_which_hop() {
    let options = format!("--check {} --ssh 127.0.0.1:1", to(&SSHD));
    let (_, stdout, stderr) = run(&options, &database())
        .file(".ssh/known_hosts", &SSHD.known_hosts())
        .output();
    assert_eq!(stderr, "");
    for line in [
        &format!("\n  ok   ssh-auth {} ", SSHD.addr()),
        "\n  FAIL ssh-tcp 127.0.0.1:1 ",
        "\nTransport [ssh-unreachable]: ",
        "\nwhat to change: ",
    ] {
        assert!(stdout.contains(line), "{line:?}: {stdout}");
    }
}

#[test]
fn without_a_user_it_is_the_current_one() {
    let environment = Environment::process();
    let user = environment.user().unwrap();
    for (host, shown) in [
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("[::1]:1", "[::1]:1"),
        ("[::1]", "[::1]:22"),
        ("nonexistent.invalid", "nonexistent.invalid:22"),
        ("me@corp@nonexistent.invalid:1", "nonexistent.invalid:1"),
    ] {
        let (_, stdout, _) =
            run(&format!("--check --ssh-key key --ssh {host}"), &database()).output();
        let user = host.rsplit_once('@').map_or(user, |(user, _)| user);
        let route = format!("route: ssh {user}@{shown} to 127.0.0.1:");
        assert!(stdout.starts_with(&route), "{host}: {stdout}");
    }
}
