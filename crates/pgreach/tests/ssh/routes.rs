//! Every kind of target, TLS through the tunnel, cancelling, jump hosts.

use pgreach::prelude::*;
use pgreach::{Outcome, Transport};
use pgreach_testkit::ssh::SshUser;

use crate::common::text;
use crate::fixture::{DATABASE, PKI, bastion, during_a_query, hop, key, over, plain, through, to};

#[tokio::test]
async fn over_tcp_by_name_and_address_and_over_the_server_s_socket() {
    let sshd = bastion(|sshd| sshd);
    let transport = through(&sshd).build().unwrap();
    let port = DATABASE.server.port();
    for endpoint in [
        Endpoint::tcp("127.0.0.1", port),
        // A name is the bastion's to resolve.
        Endpoint::tcp("localhost", port),
        Endpoint::tcp("no.such.name.invalid", port).with_hostaddr([127, 0, 0, 1]),
        Endpoint::unix(DATABASE.server.socket_dir(), port),
    ] {
        let connector = to(transport.clone(), endpoint.clone()).build().unwrap();
        let connection = connector.connect().await.unwrap();
        assert_eq!(text(&connection, "select 1").await, "1", "{endpoint}");
        let route = connection.info().route();
        assert!(route.starts_with("ssh tunnel@127.0.0.1:"), "{route}");
        connection.close().await.unwrap();
    }
    // One session served them all, one after the other.
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 1);
}

#[tokio::test]
async fn tls_inside_the_tunnel_verifies_the_database_s_own_name() {
    let sshd = bastion(|sshd| sshd);
    let transport = through(&sshd).build().unwrap();
    let tls = || {
        NativeTls::builder()
            .with_roots(Roots::from_pem(PKI.root_pem()))
            .build()
            .unwrap()
    };
    let connector = |name: &str| {
        let endpoint = Endpoint::tcp(name, DATABASE.server.port()).with_hostaddr([127, 0, 0, 1]);
        to(transport.clone(), endpoint)
            .with_tls(tls())
            .with_tls_policy(TlsPolicy::verify_full())
            .with_user("app")
            .with_credentials(FixedPassword::new("a password"))
            .build()
            .unwrap()
    };
    let connection = connector("db.internal").connect().await.unwrap();
    assert_eq!(
        connection.info().authentication(),
        Some("scram-sha-256 with channel binding")
    );
    // The bastion's name is not the database's.
    let error = connector("127.0.0.1").connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls, "{error:?}");
}

#[tokio::test]
async fn cancel_takes_the_same_way() {
    let sshd = bastion(|sshd| sshd);
    let connector = plain(through(&sshd).build().unwrap()).build().unwrap();
    let connection = connector.connect().await.unwrap();
    let cancel = connection.cancel_handle();
    let error = during_a_query(&connection, async || cancel.cancel().await.unwrap()).await;
    assert_eq!(error.sqlstate(), Some("57014"), "{error:?}");
    assert_eq!(text(&connection, "select 1").await, "1");
    assert_eq!(sshd.log().matches("Accepted publickey").count(), 2);
}

#[tokio::test]
async fn jump_hosts_each_with_its_own_user_credential_and_host_key() {
    let first = bastion(|sshd| {
        let user = SshUser::new("jumper").with_password("jump password");
        sshd.with_user(user)
            .with_config("PasswordAuthentication yes")
    });
    let second = bastion(|sshd| sshd);
    let last = bastion(|sshd| sshd);
    let jump = SshHop::new("localhost", "jumper")
        .with_port(first.port())
        .with_auth(SshAuth::password("jump password"))
        .with_host_keys(HostKeyPolicy::fingerprints([first.host_key_fingerprint()]).unwrap());
    let transport = over(jump)
        .with_hop(hop(&second).with_auth(key()))
        .with_hop(hop(&last).with_auth(key()))
        .build()
        .unwrap();
    let describe = transport.describe(&Endpoint::tcp("db", 5432));
    assert_eq!(
        describe,
        format!(
            "ssh jumper@localhost:{}, tunnel@127.0.0.1:{}, tunnel@127.0.0.1:{} to db:5432",
            first.port(),
            second.port(),
            last.port()
        )
    );
    let connector = plain(transport).build().unwrap();
    let report = connector.check().await;
    assert!(report.is_ok(), "{report}");
    for (sshd, name) in [
        (&first, "localhost"),
        (&second, "127.0.0.1"),
        (&last, "127.0.0.1"),
    ] {
        let hop = format!("{name}:{}", sshd.port());
        let stages: Vec<_> = report
            .stages()
            .iter()
            .filter(|record| record.hop.as_deref() == Some(hop.as_str()))
            .map(|record| {
                assert_eq!(record.outcome, Outcome::Passed);
                record.stage.as_str()
            })
            .collect();
        let mut expected = vec!["ssh-tcp", "ssh-handshake", "host-key", "ssh-auth"];
        if sshd.port() == last.port() {
            expected.push("channel");
        }
        assert_eq!(stages, expected, "{hop}");
    }
    let connection = connector.connect().await.unwrap();
    assert_eq!(text(&connection, "select 1").await, "1");
}
