//! Keys of SSH servers, wherever they are kept.

use std::time::Duration;

use pgreach::Outcome;
use pgreach_testkit::Bastion;
use pgreach_testkit::ssh::{SshCa, SshKeyType, SshKeypair, SshUser, Sshd, Validity};

use super::*;

fn through(bastion: &Bastion, auth: Value) -> ConnectionSpec {
    let keys = json!({ "type": "fingerprints", "fingerprints": [bastion.host_key_fingerprint()] });
    through_hop(json!({
        "host": "127.0.0.1", "port": bastion.port(), "user": "tunnel", "auth": [auth],
        "hostKeys": keys,
    }))
}

fn through_hop(hop: Value) -> ConnectionSpec {
    let mut document = document(json!({
        "certificate": CERTIFIED.chain_pem(), "privateKey": CERTIFIED.key_pem(),
    }));
    document["transport"] = json!({ "type": "ssh", "hops": [hop] });
    ConnectionSpec::from_json(&document.to_string()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_by_reference() {
    let folder = Folder::new();
    let pair = SshKeypair::generate(SshKeyType::Ed25519).unwrap();
    let bastion = Bastion::builder()
        .with_authorized_key(pair.public_line())
        .start()
        .await
        .unwrap();
    let pem = pair.private_pem().unwrap();
    let path = folder.write("key", &pem);
    for key in [json!(pem), file(&path), cat(&path)] {
        let auth = json!({ "type": "key", "privateKey": key });
        let connector = through(&bastion, auth).build().unwrap();
        assert_eq!(user(&connector).await.unwrap(), "certified", "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_public() {
    let folder = Folder::new();
    let authority = SshCa::generate().unwrap();
    let sshd = Sshd::builder()
        .with_user(SshUser::new("tunnel"))
        .with_user_ca(authority.public_line())
        .start()
        .unwrap();
    let pair = SshKeypair::generate(SshKeyType::Ed25519).unwrap();
    let certificate = authority.sign_user(pair.public_line(), &["tunnel"], &Validity::around_now());
    let certificate = certificate.unwrap();
    let path = folder.write_as(
        "key-cert.pub",
        certificate.trim_end().to_owned() + "\n",
        0o644,
    );
    let hop = |certificate: Value| {
        let auth = json!([{
            "type": "key", "privateKey": pair.private_pem().unwrap(), "certificate": certificate,
        }]);
        let keys = json!({ "type": "knownHosts", "text": sshd.known_hosts() });
        json!({ "host": sshd.host(), "port": sshd.port(), "user": "tunnel", "auth": auth, "hostKeys": keys })
    };
    for certificate in [json!(certificate), file(&path), cat(&path)] {
        let connector = through_hop(hop(certificate)).build().unwrap();
        assert_eq!(user(&connector).await.unwrap(), "certified");
    }
    let wrong = folder.write_as("wrong.pub", "no certificate", 0o644);
    let given = through_hop(hop(json!("no certificate")))
        .build()
        .unwrap_err();
    let found = through_hop(hop(file(&wrong))).build().unwrap();
    let found = user(&found).await.unwrap_err();
    let shown = given.to_string();
    assert!(shown.starts_with("transport.hops[0].auth[0]: "), "{shown}");
    assert_eq!((found.to_string(), found.stage()), (shown, Stage::CONFIG));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_that_hangs_is_not_the_networks_fault() {
    let bastion = Bastion::builder().start().await.unwrap();
    let hanging = json!({ "command": ["sleep", "60"] });
    let auth = json!({ "type": "password", "password": hanging });
    let connector = through(&bastion, auth)
        .builder()
        .unwrap()
        .with_connect_timeout(Duration::from_secs(1))
        .build()
        .unwrap();
    let report = connector.check().await;
    let error = report.error().unwrap();
    assert_eq!(error.code().name(), "timeout", "{report}");
    assert_eq!(error.stage(), Stage::CREDENTIAL, "{report}");
    let failed: Vec<_> = report
        .stages()
        .iter()
        .filter(|record| record.outcome == Outcome::Failed)
        .map(|record| record.hop.clone().unwrap_or_default())
        .collect();
    assert_eq!(failed.len(), 1, "{report}");
    assert!(failed[0].ends_with("ssh"), "{report}");
}
