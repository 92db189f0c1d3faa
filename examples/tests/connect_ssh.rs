//! `connect --ssh`, as a script runs it: the ways that lead through real SSH servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![cfg(unix)]

mod common;

use std::process::Command;

use common::Run;
use common::ssh::{
    KEY, LOCKED, SECRET, SERVER, SSHD, at, database, run, started, to, user, wait_for_query, with,
};
use pgreach_testkit::ssh::{SshAgent, SshCa, SshKeyType, SshKeypair, SshUser, Sshd, Validity};
use serde_json::{Value, json};

/// The run must give the row of `select 1`.
fn assert_arrives(run: Run, what: &str) -> Value {
    let json = run.json();
    let said = (&json["ok"], &json["rows"]);
    assert_eq!(said, (&json!(true), &json!([["1"]])), "{what}: {json}");
    json
}

/// The stages of a connection, each with its hop.
fn stages(json: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let stages = json["connection"]["stages"].as_array().unwrap();
    stages
        .iter()
        .map(|stage| (text(&stage["stage"]), text(&stage["hop"])))
        .collect()
}

#[test]
fn the_options_open_the_way() {
    let ssh = at(&SSHD);
    let (user, _) = ssh.split_once('@').unwrap();
    let port = SSHD.port();
    let pin = format!("--host-key-fingerprint={}", SSHD.host_key_fingerprint());
    for options in [
        format!("--ssh {ssh} --ssh-key key --known-hosts known_hosts"),
        format!("--ssh={ssh} --ssh-key=key --known-hosts=known_hosts"),
        format!("--ssh {user}@[127.0.0.1]:{port} --ssh-key key --known-hosts known_hosts"),
        to(&SSHD),
        // The fingerprint alone decides.
        format!("{} --known-hosts nobody", to(&SSHD)),
        format!("{pin} --ssh-key locked --ssh-passphrase-env SECRET --ssh {ssh}"),
        // A key without a passphrase does not mind one.
        format!("{pin} --ssh-key key --ssh-passphrase-env=SECRET --ssh {ssh}"),
        format!("{pin} --ssh-key strange --ssh-key key --ssh {ssh}"),
    ] {
        let run = run(&format!("--json {options}"), &database());
        assert_arrives(run, &options);
    }
}

#[test]
fn without_credentials_the_users_own_are_taken() {
    let options = format!("--json --ssh {}", at(&SSHD));
    let known_hosts = SSHD.known_hosts();
    let home = || with(&options, &database()).file(".ssh/known_hosts", &known_hosts);
    for name in ["id_ed25519", "id_ecdsa", "id_rsa"] {
        let run = home().secret_file(&format!(".ssh/{name}"), &KEY.private);
        assert_arrives(run, name);
    }
    // One that cannot be opened is passed over.
    let run = home()
        .secret_file(".ssh/id_ed25519", &LOCKED.private)
        .secret_file(".ssh/id_rsa", &KEY.private);
    assert_arrives(run, "a locked key");
    let options = format!("{options} --ssh-passphrase-env SECRET");
    let run = with(&options, &database())
        .file(".ssh/known_hosts", &known_hosts)
        .secret_file(".ssh/id_ed25519", &LOCKED.private)
        .secret("SECRET", SECRET);
    assert_arrives(run, "a passphrase for the usual key");
    // An agent that is gone does not get in the way, also where the key is not the right one.
    let run = home()
        .secret_file(".ssh/id_rsa", &KEY.private)
        .env("SSH_AUTH_SOCK", "/nonexistent/agent");
    assert_arrives(run, "a dead agent");
}

#[test]
fn the_agent_and_its_certificates_are_taken() {
    let pair = SshKeypair::generate(SshKeyType::Ed25519).unwrap();
    let ca = SshCa::generate().unwrap();
    let sshd = Sshd::builder()
        .with_user(SshUser::default().with_authorized_key(pair.public_line()))
        .with_user_ca(ca.public_line())
        .start()
        .unwrap();
    let agent = SshAgent::start().unwrap();
    let run = |options: &str| {
        let options = format!("--json --ssh {} {options}", at(&sshd));
        with(&options, &database())
            .file(".ssh/known_hosts", &sshd.known_hosts())
            .env("SSH_AUTH_SOCK", agent.socket().display())
    };
    let error = run("--ssh-agent").error();
    assert_eq!(error["kind"], json!("SshAuth"), "an empty agent: {error}");
    agent.add(&pair.private_file()).unwrap();
    for options in ["--ssh-agent", ""] {
        assert_arrives(run(options), options);
    }
    sshd.set_authorized_keys(sshd.user(), [""; 0]).unwrap();
    let error = run("--ssh-agent").error();
    assert_eq!(error["kind"], json!("SshAuth"), "a key that went: {error}");
    let certificate = ca
        .sign_user(pair.public_line(), &[sshd.user()], &Validity::always())
        .unwrap();
    pair.write_certificate(&certificate).unwrap();
    agent.add(&pair.private_file()).unwrap();
    assert_arrives(run("--ssh-agent"), "a certificate in the agent");
    agent.remove_all().unwrap();
    let key = format!("--ssh-key {}", pair.private_file().display());
    assert_arrives(run(&key), "a certificate beside the key");
}

#[test]
fn passwords_answer_every_way_of_asking() {
    let user = |name: &str| SshUser::new(name).with_password(SECRET);
    let Some(sshd) = started(
        Sshd::builder()
            .with_user(user("plain"))
            .with_user(user("asked"))
            .with_user(user("both").with_authorized_key(&KEY.public))
            .with_user(user("either").with_authorized_key(&KEY.public))
            .with_config(
                "Match User plain\nAuthenticationMethods password\n\
                 Match User asked\nAuthenticationMethods keyboard-interactive\n\
                 Match User both\nAuthenticationMethods publickey,password",
            ),
    ) else {
        return;
    };
    let pin = sshd.host_key_fingerprint();
    let log_in = |name: &str, options: &str| {
        let ssh = format!("{name}@127.0.0.1:{}", sshd.port());
        let options = format!("--json --ssh {ssh} --host-key-fingerprint {pin} {options}");
        run(&options, &database())
    };
    const BY_KEY: &str = "--ssh-key key";
    const PASSWORD: &str = "--ssh-password-env SECRET";
    const WRONG: &str = "--ssh-password-env WRONG";
    let both = format!("{BY_KEY} {PASSWORD}");
    for (name, options) in [
        ("plain", PASSWORD),
        ("plain", &both),
        ("asked", PASSWORD),
        ("asked", &both),
        ("both", &both),
        ("either", BY_KEY),
        ("either", PASSWORD),
        ("either", &format!("--ssh-key strange {PASSWORD}")),
    ] {
        assert_arrives(log_in(name, options), &format!("{name} {options}"));
    }
    for (name, options, code) in [
        ("plain", WRONG, "ssh-auth-refused"),
        ("asked", WRONG, "ssh-auth-refused"),
        ("both", BY_KEY, "ssh-auth-incomplete"),
        ("both", PASSWORD, "ssh-auth-no-method"),
        ("both", &format!("{BY_KEY} {WRONG}"), "ssh-auth-incomplete"),
        ("plain", BY_KEY, "ssh-auth-no-method"),
    ] {
        let error = log_in(name, options).error();
        let said = (&error["kind"], &error["stage"], &error["code"]);
        let expected = (&json!("SshAuth"), &json!("ssh-auth"), &json!(code));
        assert_eq!(said, expected, "{name} {options}: {error}");
    }
}

#[test]
fn jump_hosts_are_taken_in_order() {
    let target = Sshd::builder().with_user(user()).start().unwrap();
    let both = SSHD.known_hosts() + &target.known_hosts();
    let (first, last) = (SSHD.host_key_fingerprint(), target.host_key_fingerprint());
    let each = |first: &str, last: &str| {
        format!("--host-key-fingerprint {first} --host-key-fingerprint {last}")
    };
    let run = |trust: &str| {
        let hops = format!("--ssh {} --ssh {}", at(&SSHD), at(&target));
        let options = format!("--json {hops} --ssh-key key {trust}");
        run(&options, &database()).file("both", &both)
    };
    for trust in [
        "--known-hosts both",
        // The others are on record.
        &format!("--known-hosts known_hosts --host-key-fingerprint {last}"),
        &each(&first, &last),
    ] {
        let stages = stages(&assert_arrives(run(trust), trust));
        let (first, last) = (SSHD.addr().to_string(), target.addr().to_string());
        for stage in ["ssh-tcp", "ssh-handshake", "host-key", "ssh-auth"] {
            let mut hops = stages.iter().filter(|(name, _)| name == stage);
            let hops = [hops.next(), hops.next()].map(|stage| stage.map(|(_, hop)| hop));
            assert_eq!(hops, [Some(&first), Some(&last)], "{stage}: {stages:?}");
        }
        assert!(stages.contains(&("channel".into(), last)), "{stages:?}");
    }
    for trust in [
        "--known-hosts known_hosts",
        &format!("--known-hosts both --host-key-fingerprint {first}"),
        &each(&last, &first),
    ] {
        let error = run(trust).error();
        assert_eq!(error["kind"], json!("HostKey"), "{trust}: {error}");
    }
}

#[test]
fn a_check_shows_every_stage_of_a_hop() {
    let options = format!("--check {}", to(&SSHD));
    let (succeeded, stdout, stderr) = run(&options, &database()).output();
    assert!(succeeded && stderr.is_empty(), "{stdout}{stderr}");
    let route = format!("route: ssh {} to 127.0.0.1:{}\n", at(&SSHD), SERVER.port());
    assert!(stdout.starts_with(&route), "{stdout}");
    let hop = SSHD.addr().to_string();
    let json = run(&format!("--json {options}"), &database()).json();
    for stage in [
        "ssh-tcp",
        "ssh-handshake",
        "host-key",
        "ssh-auth",
        "channel",
    ] {
        let line = format!("\n  ok   {stage} {hop} ");
        assert!(stdout.contains(&line), "{stage}: {stdout}");
        let record = (stage.to_owned(), hop.clone());
        assert!(stages(&json).contains(&record), "{stage}: {json}");
    }
    assert!(stdout.contains(&SSHD.host_key_fingerprint()), "{stdout}");
}

#[test]
fn a_unix_socket_is_that_of_the_ssh_server() {
    let Some(sshd) = started(Sshd::builder().with_user(user().with_account_of_postgres())) else {
        return;
    };
    let folder = SERVER.socket_dir().display();
    let database = format!("host={folder} port={} user=postgres", SERVER.port());
    let options = format!("--json {}", to(&sshd));
    assert_arrives(run(&options, &database), "a Unix socket");
    sshd.wait_for_log("direct-streamlocal").unwrap();
    // As whom the server runs there, nobody can tell through SSH.
    let error = run(&options, &format!("{database} requirepeer=postgres")).error();
    assert_eq!(error["code"], json!("config-unsupported"), "{error}");
}

#[test]
fn ctrl_c_cancels_through_the_tunnel() {
    let conninfo = format!("{} application_name=tunnelled", database());
    let mut run = run(&format!("--json {}", to(&SSHD)), &conninfo);
    run.command.args(["--command", "select pg_sleep(600)"]);
    let mut child = run.command.spawn().unwrap();
    wait_for_query(&mut child, "tunnelled");
    let pid = child.id().to_string();
    let kill = Command::new("kill").args(["-INT", &pid]).status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["error"]["sqlstate"], json!("57014"), "{json}");
}
