//! Passwords, certificates, accounts, keys and agents of SSH servers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod common;

use std::fs;

use common::{Client, KEY, Live, SERVER, assert_answered, assert_refused, target};
use pgreach_testkit::Error;
use pgreach_testkit::ssh::{
    Dropbear, KeyFormat, SshAgent, SshCa, SshKeyType, SshKeypair, SshUser, Sshd, SshdBuilder,
    Validity, has_namespaces,
};

fn user(name: &str) -> SshUser {
    SshUser::new(name).with_authorized_key(KEY.public_line())
}

fn client(sshd: &Sshd) -> Client {
    Client::new(sshd.user(), sshd.port(), &sshd.known_hosts())
}

fn with_key(sshd: &Sshd) -> Client {
    client(sshd).usual_key()
}

/// `None` where accounts cannot be made: that needs root and a mount namespace.
fn started(sshd: SshdBuilder) -> Option<Sshd> {
    match sshd.start() {
        Ok(sshd) => Some(sshd),
        Err(Error::State(reason)) if reason.contains("needs root") => {
            assert!(!has_namespaces(), "{reason}");
            println!("not tested here: {reason}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn passwords_pass_by_both_methods_and_wrong_ones_do_not() {
    let tunnel = SshUser::new("tunnel").with_password("open sesame");
    let Some(sshd) = started(Sshd::builder().with_user(tunnel)) else {
        return;
    };
    for method in ["password", "keyboard-interactive"] {
        let output = client(&sshd).secret(method, "open sesame").ask(&target());
        assert_answered(&output);
        let output = client(&sshd).secret(method, "sesame").ask(&target());
        assert_refused(&output, "Permission denied");
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    assert!(!passwd.contains("tunnel"), "the machine's users changed");
}

#[test]
fn each_refused_account_looks_the_same_to_the_client() {
    for (account, config, why) in [
        (
            user("open").with_home_mode(0o777),
            "",
            "bad ownership or modes",
        ),
        (
            user("locked").with_locked_password(),
            "UsePAM no",
            "account is locked",
        ),
        (
            user("other"),
            "AllowUsers nobody_else",
            "not listed in AllowUsers",
        ),
    ] {
        let Some(sshd) = started(Sshd::builder().with_user(account).with_config(config)) else {
            return;
        };
        let output = with_key(&sshd).ask(&target());
        assert_refused(&output, "Permission denied (publickey)");
        sshd.wait_for_log(why).unwrap();
    }
    let plain = user("nologin").with_shell("/usr/sbin/nologin");
    let Some(sshd) = started(Sshd::builder().with_user(plain).with_config("UsePAM no")) else {
        return;
    };
    assert_answered(&with_key(&sshd).ask(&target()));
}

#[test]
fn options_of_a_key_are_obeyed() {
    let line = format!("restrict,permitopen=\"127.0.0.1:1\" {}", KEY.public_line());
    let tunnel = SshUser::default().with_authorized_key(line);
    let sshd = Sshd::builder().with_user(tunnel).start().unwrap();
    assert_refused(
        &with_key(&sshd).ask(&target()),
        "administratively prohibited",
    );
}

#[test]
fn only_the_account_of_postgres_reaches_its_socket() {
    let socket = SERVER
        .socket_dir()
        .join(format!(".s.PGSQL.{}", SERVER.port()));
    let owner = user("owner").with_account_of_postgres();
    let Some(sshd) = started(Sshd::builder().with_user(owner).with_user(user("other"))) else {
        return;
    };
    assert_answered(&with_key(&sshd).ask_socket(&socket));
    let other = Client::new("other", sshd.port(), &sshd.known_hosts()).usual_key();
    assert_refused(&other.ask_socket(&socket), "open failed");
    assert_answered(&other.ask(&target()));
}

#[test]
fn certificates_of_users_count_for_their_name_and_time() {
    let ca = SshCa::generate().unwrap();
    let sshd = Sshd::builder()
        .with_user_ca(ca.public_line())
        .start()
        .unwrap();
    for (name, validity, passes) in [
        (sshd.user(), Validity::around_now(), true),
        (sshd.user(), Validity::expired(), false),
        (sshd.user(), Validity::not_yet(), false),
        ("somebody", Validity::always(), false),
    ] {
        let key = SshKeypair::generate(SshKeyType::Ecdsa256).unwrap();
        let text = ca.sign_user(key.public_line(), &[name], &validity).unwrap();
        key.write_certificate(&text).unwrap();
        let output = client(&sshd).key(&key.private_file()).ask(&target());
        match passes {
            true => assert_answered(&output),
            false => assert_refused(&output, "Permission denied"),
        }
    }
    let key = SshKeypair::generate(SshKeyType::Ed25519).unwrap();
    let options = ["source-address=10.0.0.0/8"];
    let user = [sshd.user()];
    let text = ca
        .sign_user_with(key.public_line(), &user, &Validity::always(), &options)
        .unwrap();
    key.write_certificate(&text).unwrap();
    let output = client(&sshd).key(&key.private_file()).ask(&target());
    assert_refused(&output, "Permission denied");
}

#[test]
fn certificates_of_hosts_are_shown_and_renewed() {
    let ca = SshCa::generate_with(SshKeyType::Ecdsa384).unwrap();
    for (names, validity, passes) in [
        (["127.0.0.1"], Validity::around_now(), true),
        (["bastion.example"], Validity::around_now(), false),
        (["127.0.0.1"], Validity::expired(), false),
    ] {
        let sshd = Sshd::builder()
            .with_user(SshUser::default().with_authorized_key(KEY.public_line()))
            .with_host_key(SshKeyType::Ed25519)
            .with_host_key(SshKeyType::Rsa)
            .with_host_certificate(&ca, &names, &validity)
            .start()
            .unwrap();
        let known = ca.known_hosts_line("[127.0.0.1]:*");
        let client = Client::new(sshd.user(), sshd.port(), &known).usual_key();
        match passes {
            true => assert_answered(&client.ask(&target())),
            false => assert_refused(&client.ask(&target()), "Host key verification failed"),
        }
        sshd.replace_host_key().unwrap();
        assert_eq!(client.ask(&target()).stdout == b"N", passes);
    }
}

#[test]
fn an_agent_signs_and_goes() {
    let agent = SshAgent::start().unwrap();
    let key = SshKeypair::generate(SshKeyType::Ed25519).unwrap();
    let user = SshUser::default().with_authorized_key(key.public_line());
    let sshd = Sshd::builder().with_user(user).start().unwrap();
    let client = client(&sshd)
        .option("BatchMode=yes")
        .option(&format!("IdentityAgent={}", agent.socket().display()));
    let denied = "Permission denied (publickey)";
    // Identities that this user may have in the home folder are not what this is about.
    let client = client.option("IdentityFile=none");
    assert_refused(&client.ask(&target()), denied);
    agent.add(&key.private_file()).unwrap();
    assert_answered(&client.ask(&target()));
    agent.remove_all().unwrap();
    assert_refused(&client.ask(&target()), denied);
    let socket = agent.socket();
    drop(agent);
    assert!(!socket.parent().unwrap().exists());
}

#[test]
fn keys_have_the_format_and_the_passphrase_asked_for() {
    for (kind, format, passphrase, header) in [
        (
            SshKeyType::Ed25519,
            KeyFormat::OpenSsh,
            "secret",
            "OPENSSH PRIVATE",
        ),
        (SshKeyType::Rsa, KeyFormat::Pem, "", "RSA PRIVATE"),
        (SshKeyType::Ecdsa521, KeyFormat::Pem, "secret", "EC PRIVATE"),
        (SshKeyType::Ecdsa256, KeyFormat::Pkcs8, "", "PRIVATE"),
        (
            SshKeyType::RsaBits(3072),
            KeyFormat::Pkcs8,
            "secret",
            "ENCRYPTED PRIVATE",
        ),
    ] {
        let builder = SshKeypair::builder(kind)
            .with_format(format)
            .with_passphrase(passphrase);
        assert!(!format!("{builder:?}").contains("secret"));
        let key = builder.generate().unwrap();
        let pem = key.private_pem().unwrap();
        assert!(
            pem.starts_with(&format!("-----BEGIN {header} KEY-----\n")),
            "{kind:?}"
        );
        assert!(key.public_line().ends_with(" pgreach-testkit"));
        assert!(key.fingerprint().starts_with("SHA256:"));
    }
}

#[test]
fn dropbear_serves_as_well() {
    if !has_namespaces() {
        return;
    }
    let dropbear = Dropbear::builder()
        .with_user(user("tunnel"))
        .start()
        .unwrap();
    let client = Client::new("tunnel", dropbear.port(), &dropbear.known_hosts_line()).usual_key();
    assert_answered(&client.ask(&target()));
    let live = Live::open(&client, &target());
    assert_eq!(dropbear.session_count(), 1);
    dropbear.kill().unwrap();
    assert_eq!(live.ended().0, Some(255));
    dropbear.start_again().unwrap();
    assert_answered(&client.ask(&target()));

    let dropbear = Dropbear::builder()
        .with_user(SshUser::new("tunnel").with_password("open sesame"))
        .start()
        .unwrap();
    let client = Client::new("tunnel", dropbear.port(), &dropbear.known_hosts_line());
    assert_answered(&client.secret("password", "open sesame").ask(&target()));
}
