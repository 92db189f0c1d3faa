//! What a failure says: which hop, which stage, which kind, what to change.

use std::time::Duration;

use pgreach::prelude::*;
use pgreach::ssh::{Algorithms, SshTransportBuilder};
use pgreach::{Outcome, Stage, ssh};
use pgreach_testkit::ssh::{SshCa, SshKeyType, SshKeypair, SshUser, Sshd, Validity};
use pgreach_testkit::{Fault, FaultProxy, fault::Direction};

use crate::fixture::{
    DATABASE, assert_code, bastion, hop, key, over, plain, public_line, through, to,
};

/// The error of a check, and that the report says the same.
async fn fails(transport: SshTransportBuilder, endpoint: Endpoint) -> Error {
    let connector = to(transport.build().unwrap(), endpoint).build().unwrap();
    let report = connector.check().await;
    let failed: Vec<_> = report
        .stages()
        .iter()
        .filter(|record| record.outcome == Outcome::Failed)
        .collect();
    let error = report.error().unwrap_or_else(|| panic!("{report}"));
    // A server that hangs up is asked again; otherwise there is one failure.
    let attempts = if error.code().name() == "ssh-turned-away" {
        4
    } else {
        1
    };
    assert_eq!(failed.len(), attempts, "{report}");
    for record in failed {
        assert_eq!(record.stage, error.stage(), "{report}");
        assert!(record.hop.is_some(), "{report}");
    }
    assert!(!error.hint().is_empty());
    error.repeat()
}

fn database() -> Endpoint {
    Endpoint::tcp("127.0.0.1", DATABASE.server.port())
}

/// A port that nobody listens on.
fn closed_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

#[tokio::test]
async fn targets_that_the_bastion_cannot_reach() {
    let sshd = bastion(|sshd| sshd);
    let forbidding = bastion(|sshd| sshd.with_config("AllowTcpForwarding no"));
    let strict = bastion(|sshd| sshd.with_config("PermitOpen 127.0.0.1:1"));
    let cases = [
        (
            &sshd,
            Endpoint::tcp("127.0.0.1", closed_port()),
            ErrorKind::Transport,
            "ssh-target-refused",
        ),
        (
            &sshd,
            Endpoint::tcp("no.such.name.invalid", 5432),
            ErrorKind::Resolve,
            "ssh-target-unresolved",
        ),
        (
            &forbidding,
            database(),
            ErrorKind::Transport,
            "ssh-channel-prohibited",
        ),
        (
            &strict,
            database(),
            ErrorKind::Transport,
            "ssh-channel-prohibited",
        ),
        (
            &sshd,
            Endpoint::unix("/no/such/folder", 5432),
            ErrorKind::Transport,
            "ssh-target-unreachable",
        ),
    ];
    for (sshd, endpoint, kind, code) in cases {
        let error = fails(through(sshd), endpoint).await;
        assert_code(&error, kind, code);
        assert_eq!(error.stage(), ssh::CHANNEL);
    }
}

#[tokio::test]
async fn bastions_that_cannot_be_reached() {
    let sshd = bastion(|sshd| sshd);
    let at = |host: &str, port| SshHop::new(host, "tunnel").with_port(port).with_auth(key());
    let jump = |next| through(&sshd).with_hop(next);
    let postgres = DATABASE.server.port();
    let cases = [
        (
            over(at("127.0.0.1", closed_port())),
            ErrorKind::Transport,
            "ssh-unreachable",
            ssh::SSH_TCP,
        ),
        (
            over(at("no.such.name.invalid", 22)),
            ErrorKind::Resolve,
            "ssh-unresolved",
            ssh::SSH_TCP,
        ),
        (
            jump(at("127.0.0.1", closed_port())),
            ErrorKind::Transport,
            "ssh-unreachable",
            ssh::SSH_TCP,
        ),
        (
            jump(at("no.such.name.invalid", 22)),
            ErrorKind::Resolve,
            "ssh-unresolved",
            ssh::SSH_TCP,
        ),
        // The database's port in place of the bastion's.
        (
            over(at("127.0.0.1", postgres)),
            ErrorKind::Transport,
            "ssh-turned-away",
            ssh::SSH_HANDSHAKE,
        ),
    ];
    for (transport, kind, code, stage) in cases {
        let error = fails(transport, database()).await;
        assert_code(&error, kind, code);
        assert_eq!(error.stage(), stage);
    }
}

/// What the route adds comes where it happened, and what was not reached behind it.
#[tokio::test]
async fn stages_are_told_in_their_order() {
    let sshd = bastion(|sshd| sshd);
    let stages = async |transport: SshTransportBuilder| {
        let connector = plain(transport.build().unwrap()).build().unwrap();
        let report = connector.check().await;
        let stages = report.stages().iter();
        stages
            .map(|record| record.stage.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let reached = "credential ssh-tcp ssh-handshake host-key";
    assert_eq!(
        stages(through(&sshd)).await,
        format!("{reached} ssh-auth channel authentication session query")
    );
    let unknown = hop(&sshd)
        .with_auth(key())
        .with_host_keys(HostKeyPolicy::known_hosts_text(""));
    assert_eq!(
        stages(over(unknown)).await,
        format!("{reached} authentication session")
    );
}

/// A verdict, although the server hangs up over it: it must not be asked again at once.
#[tokio::test]
async fn servers_that_hang_up_over_a_refusal() {
    let strict = bastion(|sshd| sshd.with_config("MaxAuthTries 2"));
    let stranger = || {
        let pair = SshKeypair::generate(SshKeyType::Ed25519).unwrap();
        SshKey::from_pem(&pair.private_pem().unwrap(), None).unwrap()
    };
    let many = (0..4).fold(hop(&strict), |hop, _| hop.with_auth(stranger()));
    let error = fails(over(many), database()).await;
    assert_code(&error, ErrorKind::SshAuth, "ssh-auth-refused");
    assert!(error.to_string().contains("Too many"), "{error}");

    let closed = bastion(|sshd| {
        sshd.with_config(
            "PubkeyAuthentication no\nPasswordAuthentication no\nKbdInteractiveAuthentication no",
        )
    });
    let error = fails(through(&closed), database()).await;
    assert_code(&error, ErrorKind::SshAuth, "ssh-auth-no-method");
}

#[tokio::test]
async fn an_agent_that_does_not_answer_is_passed_over() {
    let sshd = bastion(|sshd| sshd);
    let nobody = || SshAuth::agent_at("/no/such/agent");
    let hop_with = |auth: SshAuth| hop(&sshd).with_auth(nobody()).with_auth(auth);
    let connector = plain(over(hop_with(key().into())).build().unwrap());
    connector.build().unwrap().connect().await.unwrap();
    let error = fails(over(hop_with(SshAuth::password("x"))), database()).await;
    assert_eq!(
        error.code().name(),
        "ssh-agent",
        "nothing else was allowed: {error:?}"
    );
    let stranger = SshKeypair::generate(SshKeyType::Ed25519).unwrap();
    let stranger = SshKey::from_pem(&stranger.private_pem().unwrap(), None).unwrap();
    let error = fails(over(hop_with(stranger.into())), database()).await;
    assert_code(&error, ErrorKind::SshAuth, "ssh-auth-refused");
}

/// From the client's side these are one: the message says what was offered, the hint what to check.
#[tokio::test]
async fn refused_users_and_keys() {
    let sshd = bastion(|sshd| {
        let keys = public_line();
        sshd.with_user(
            SshUser::new("writable")
                .with_authorized_key(keys)
                .with_home_mode(0o777),
        )
        .with_user(
            SshUser::new("elsewhere").with_authorized_key(format!("from=\"192.0.2.1\" {keys}")),
        )
        .with_user(SshUser::new("typist").with_password("right"))
        .with_config("PasswordAuthentication yes")
    });
    let other = SshKeypair::generate(SshKeyType::Ecdsa256).unwrap();
    let other = SshKey::from_pem(&other.private_pem().unwrap(), None).unwrap();
    let user = |name: &str, auth: SshAuth| {
        SshHop::new(sshd.host(), name)
            .with_port(sshd.port())
            .with_auth(auth)
            .with_host_keys(HostKeyPolicy::known_hosts_text(sshd.known_hosts()))
    };
    for hop in [
        user("tunnel", other.into()),
        user("nobody-here", key().into()),
        user("writable", key().into()),
        user("elsewhere", key().into()),
        user("typist", SshAuth::password("wrong")),
    ] {
        let name = hop.to_string();
        let error = fails(over(hop), database()).await;
        assert_code(&error, ErrorKind::SshAuth, "ssh-auth-refused");
        assert_eq!(error.stage(), ssh::SSH_AUTH);
        assert!(error.to_string().starts_with(&name), "{error}");
        assert!(!error.to_string().contains("wrong"), "{error}");
    }
}

#[tokio::test]
async fn methods_that_do_not_fit() {
    let keys_only = bastion(|sshd| {
        sshd.with_config("PasswordAuthentication no\nKbdInteractiveAuthentication no")
    });
    let error = fails(
        over(hop(&keys_only).with_auth(SshAuth::password("x"))),
        database(),
    )
    .await;
    assert_code(&error, ErrorKind::SshAuth, "ssh-auth-no-method");
    assert!(error.to_string().contains("publickey"), "{error}");

    let both = bastion(|sshd| {
        let user = SshUser::new("both")
            .with_password("right")
            .with_authorized_key(public_line());
        sshd.with_user(user)
            .with_config("PasswordAuthentication yes\nAuthenticationMethods publickey,password")
    });
    let user = || {
        SshHop::new(both.host(), "both")
            .with_port(both.port())
            .with_host_keys(HostKeyPolicy::known_hosts_text(both.known_hosts()))
    };
    let error = fails(over(user().with_auth(key())), database()).await;
    assert_code(&error, ErrorKind::SshAuth, "ssh-auth-incomplete");
    // In either order: what the server does not take yet comes again.
    for hop in [
        user()
            .with_auth(key())
            .with_auth(SshAuth::password("right")),
        user()
            .with_auth(SshAuth::password("right"))
            .with_auth(key()),
    ] {
        plain(over(hop).build().unwrap())
            .build()
            .unwrap()
            .connect()
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn rsa_signs_with_sha_2_or_not_at_all() {
    let pair = SshKeypair::generate(SshKeyType::Rsa).unwrap();
    let key = SshKey::from_pem(&pair.private_pem().unwrap(), None).unwrap();
    let server = |algorithms: &str| {
        let user = SshUser::new("tunnel").with_authorized_key(pair.public_line());
        let config = format!("PubkeyAcceptedAlgorithms {algorithms}");
        Sshd::builder()
            .with_user(user)
            .with_config(config)
            .start()
            .unwrap()
    };
    let sshd = server("rsa-sha2-512");
    let transport = over(hop(&sshd).with_auth(key.clone())).build().unwrap();
    let connector = plain(transport).build().unwrap();
    connector.connect().await.unwrap();
    // This server announces what it supports rather than what it accepts, so it comes to a refusal.
    let sshd = server("ssh-rsa");
    let error = fails(over(hop(&sshd).with_auth(key)), database()).await;
    assert_eq!(error.kind(), ErrorKind::SshAuth, "{error:?}");
    assert!(!sshd.log().contains("Accepted publickey"));
}

#[tokio::test]
async fn host_keys() {
    let sshd = bastion(|sshd| sshd);
    let stranger = SshKeypair::generate(SshKeyType::Ed25519).unwrap();
    let name = format!("[127.0.0.1]:{}", sshd.port());
    let line = |marker: &str, key: &str| format!("{marker}{name} {key}\n");
    let cases = [
        (String::new(), "host-key-unknown"),
        (line("", stranger.public_line()), "host-key-changed"),
        (
            line("", &sshd.host_key_public_line())
                + &line("@revoked ", &sshd.host_key_public_line()),
            "host-key-revoked",
        ),
    ];
    for (text, code) in cases {
        let policy = HostKeyPolicy::known_hosts_text(text);
        let hop = hop(&sshd).with_auth(key()).with_host_keys(policy);
        let error = fails(over(hop), database()).await;
        assert_code(&error, ErrorKind::HostKey, code);
        assert_eq!(error.stage(), ssh::HOST_KEY);
        let text = error.to_string();
        assert!(text.contains(&sshd.host_key_fingerprint()), "{text}");
        if code == "host-key-changed" {
            assert!(text.contains(&stranger.fingerprint()), "{text}");
        }
    }
    let pinned = HostKeyPolicy::fingerprints([stranger.fingerprint()]).unwrap();
    let error = fails(
        over(hop(&sshd).with_auth(key()).with_host_keys(pinned)),
        database(),
    )
    .await;
    assert_eq!(error.kind(), ErrorKind::HostKey, "{error:?}");
    // No credential was sent to a server that is not trusted.
    let log = sshd.log();
    assert!(
        !log.contains("for user tunnel") && !log.contains("publickey"),
        "{log}"
    );
}

#[tokio::test]
async fn host_certificates() {
    let ca = SshCa::generate().unwrap();
    let server = |principals: &[&str], validity: Validity| {
        bastion(|sshd| sshd.with_host_certificate(&ca, principals, &validity))
    };
    let hop = |sshd: &Sshd| {
        let policy = HostKeyPolicy::authority(ca.public_line()).unwrap();
        hop(sshd).with_auth(key()).with_host_keys(policy)
    };
    let good = server(&["127.0.0.1"], Validity::around_now());
    plain(over(hop(&good)).build().unwrap())
        .build()
        .unwrap()
        .connect()
        .await
        .unwrap();
    for (principal, validity) in [
        ("elsewhere.example", Validity::around_now()),
        ("127.0.0.1", Validity::expired()),
        ("127.0.0.1", Validity::not_yet()),
    ] {
        let sshd = server(&[principal], validity);
        let error = fails(over(hop(&sshd)), database()).await;
        assert_eq!(error.kind(), ErrorKind::HostKey, "{error:?}");
    }
}

#[tokio::test]
async fn algorithms() {
    let none = bastion(|sshd| sshd.with_config("Ciphers aes256-cbc"));
    let error = fails(through(&none), database()).await;
    assert_code(&error, ErrorKind::Transport, "ssh-no-common-algorithm");
    assert!(error.to_string().contains("aes256-cbc"), "{error}");

    // Each of ours that this server has.
    let sshd = bastion(|sshd| sshd);
    for cipher in [
        "aes256-gcm@openssh.com",
        "aes128-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
        "aes256-ctr",
        "aes128-ctr",
    ] {
        let algorithms = Algorithms::default().with_ciphers([cipher]).unwrap();
        let hop = hop(&sshd).with_auth(key()).with_algorithms(algorithms);
        let connector = plain(over(hop).build().unwrap()).build().unwrap();
        let report = connector.check().await;
        assert!(report.is_ok(), "{cipher}: {report}");
        assert!(report.to_string().contains(cipher), "{report}");
    }
}

#[tokio::test]
async fn the_stage_that_takes_too_long_is_named() {
    let sshd = bastion(|sshd| sshd);
    // The server's words stop at each of these, and so does the stage.
    let mut stages = Vec::new();
    for bytes in [0, 10, 500, 1500, 2500] {
        let proxy = FaultProxy::start(sshd.addr()).await.unwrap();
        proxy.set(Direction::ToClient, Fault::StopAfter(bytes));
        let hop = SshHop::new("127.0.0.1", "tunnel")
            .with_port(proxy.port())
            .with_auth(key())
            .with_host_keys(HostKeyPolicy::fingerprints([sshd.host_key_fingerprint()]).unwrap());
        let connector = plain(over(hop).build().unwrap())
            .with_connect_timeout(Duration::from_secs(1))
            .build()
            .unwrap();
        let error = connector.connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{bytes}: {error:?}");
        stages.push(error.stage());
    }
    assert_eq!(stages[..3], [ssh::SSH_HANDSHAKE; 3]);
    assert!(
        stages[3..].iter().all(|stage| *stage != Stage::TCP),
        "{stages:?}"
    );
}
