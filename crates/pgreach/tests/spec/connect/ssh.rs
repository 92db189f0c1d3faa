//! Through SSH servers.

use std::fs;

use crate::common::text;
use pgreach::Connector;
use pgreach::prelude::*;
use pgreach_testkit::Bastion;
use pgreach_testkit::ssh::{SshAgent, SshKeyType, SshKeypair, SshUser, Sshd};
use serde_json::{Value, json};

use super::{DATABASE, connect, refused, spec, write};

/// The client's keys, and the bastion that lets them in.
struct Way {
    pair: SshKeypair,
    /// Encrypted: opening it takes a while, as it is meant to.
    locked: SshKeypair,
    bastion: Bastion,
}

async fn way() -> Way {
    let pair = SshKeypair::generate(SshKeyType::Ed25519).unwrap();
    let locked = SshKeypair::builder(SshKeyType::Ed25519)
        .with_passphrase("a passphrase")
        .generate()
        .unwrap();
    let bastion = Bastion::builder()
        .with_authorized_key(pair.public_line())
        .with_authorized_key(locked.public_line())
        .with_password("tunnel", "an SSH password")
        .start()
        .await
        .unwrap();
    Way {
        pair,
        locked,
        bastion,
    }
}

impl Way {
    fn hop(&self, auth: Value) -> Value {
        json!({
            "host": "127.0.0.1",
            "port": self.bastion.port(),
            "user": "tunnel",
            "auth": [auth],
            "hostKeys": { "type": "fingerprints", "fingerprints": [self.bastion.host_key_fingerprint()] },
        })
    }

    fn key(&self) -> Value {
        json!({ "type": "key", "privateKey": self.pair.private_pem().unwrap() })
    }
}

fn through(hop: Value) -> Value {
    json!({ "transport": { "type": "ssh", "hops": [hop] } })
}

#[tokio::test(flavor = "multi_thread")]
async fn through_an_ssh_server() {
    let way = way().await;
    let folder = tempfile::tempdir().unwrap();
    let (key, phrase) = (folder.path().join("key"), folder.path().join("passphrase"));
    let locked = way.locked.private_pem().unwrap();
    write(&key, &locked);
    write(&phrase, "a passphrase\n");
    let agent = SshAgent::start().unwrap();
    let plain = SshKeypair::generate(SshKeyType::Ed25519).unwrap();
    let known = folder.path().join("known_hosts");
    fs::write(&known, way.bastion.known_hosts()).unwrap();
    let hop = |keys: Value| {
        let mut hop = way.hop(way.key());
        hop["hostKeys"] = keys;
        hop
    };
    let cases = [
        way.hop(way.key()),
        way.hop(json!({ "type": "key", "privateKey": locked, "passphrase": "a passphrase" })),
        way.hop(json!({ "type": "key", "privateKey": { "file": key }, "passphrase": { "file": phrase } })),
        way.hop(json!({ "type": "key", "privateKey": { "file": key },
            "passphrase": { "command": ["cat", phrase] } })),
        way.hop(json!({ "type": "password", "password": "an SSH password" })),
        way.hop(json!({ "type": "password", "password": { "command": ["echo", "an SSH password"] } })),
        hop(json!({ "type": "knownHosts", "text": way.bastion.known_hosts() })),
        hop(json!({ "type": "knownHosts", "file": known })),
        hop(json!({ "type": "acceptNew", "file": folder.path().join("new") })),
        hop(json!({ "type": "dangerousAcceptAny" })),
    ];
    for hop in cases {
        let connection = connect(&spec(through(hop.clone()))).await;
        let user = text(&connection, "select current_user").await;
        assert_eq!(user, "app", "{hop}");
        let route = connection.info().route().to_owned();
        assert!(route.starts_with("ssh tunnel@127.0.0.1:"), "{route}");
    }
    let host_key = json!({ "type": "fingerprints",
        "fingerprints": [plain_fingerprint(&plain)] });
    let error = refused(&spec(through(hop(host_key)))).await;
    assert_eq!(error.kind(), ErrorKind::HostKey);
    let nobody = json!({ "type": "agent", "socket": agent.socket() });
    let error = refused(&spec(through(way.hop(nobody)))).await;
    assert_eq!(error.kind(), ErrorKind::SshAuth);
    // A key that cannot be used is told when the connector is made, with its path.
    let wrong = json!({ "type": "key", "privateKey": locked, "passphrase": "wrong" });
    let error = spec(through(way.hop(wrong))).build().unwrap_err();
    let path = "transport.hops[0].auth[0]: ";
    assert!(error.to_string().starts_with(path), "{error}");
    assert_eq!(error.code().name(), "ssh-key-passphrase-wrong");
    // One that is referred to, when it is looked up.
    let missing = json!({ "type": "key", "privateKey": { "file": folder.path().join("none") } });
    let error = refused(&spec(through(way.hop(missing)))).await;
    let path = "transport.hops[0].auth[0].privateKey: ";
    assert!(error.to_string().starts_with(path), "{error}");
    // The policy is for the SSH server: the database is looked up by that.
    let closed =
        spec(through(way.hop(way.key()))).with_address_policy(AddressPolicy::public_only());
    assert_eq!(refused(&closed).await.kind(), ErrorKind::Denied);
}

fn plain_fingerprint(pair: &SshKeypair) -> String {
    SshKey::from_pem(&pair.private_pem().unwrap(), None)
        .unwrap()
        .fingerprint()
}

/// A session outlives its connection as long as the secrets stay what they are.
#[tokio::test(flavor = "multi_thread")]
async fn ssh_secrets_are_resolved_for_each_connection_and_sessions_used_again() {
    let way = way().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    write(&file, "an SSH password");
    let auth = json!({ "type": "password", "password": { "file": file } });
    let connector = spec(through(way.hop(auth))).build().unwrap();
    for _ in 0..3 {
        connector.connect().await.unwrap().close().await.unwrap();
    }
    assert_eq!(way.bastion.connections(), 1);
    write(&file, "another one");
    let error = connector.connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SshAuth);
    write(&file, "an SSH password");
    connector.connect().await.unwrap();
    // The same error again and again would not be a new look-up.
    fs::remove_file(&file).unwrap();
    let error = connector.connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credential);
}

/// OpenSSH's server, over two hops, to the database's Unix socket.
#[tokio::test(flavor = "multi_thread")]
async fn through_two_ssh_servers_to_a_socket() {
    let way = way().await;
    let user = SshUser::new("tunnel")
        .with_authorized_key(way.pair.public_line())
        .with_account_of_postgres();
    let sshd = Sshd::builder().with_user(user).start().unwrap();
    let last = json!({
        "host": sshd.host(), "port": sshd.port(), "user": "tunnel", "auth": [way.key()],
        "hostKeys": { "type": "knownHosts", "text": sshd.known_hosts() },
    });
    let parts = json!({
        "transport": { "type": "ssh", "hops": [way.hop(way.key()), last] },
        "endpoint": { "host": DATABASE.server.socket_dir(), "port": DATABASE.server.port() },
        "tls": null,
        "credentials": { "type": "none", "user": "postgres" },
    });
    let connection = connect(&spec(parts)).await;
    assert_eq!(text(&connection, "select current_user").await, "postgres");
    assert_eq!(way.bastion.sessions(), 1);
}
