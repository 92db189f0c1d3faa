//! Every way to authenticate, in the forms that customers have.

use async_trait::async_trait;
use pgreach::Secret;
use pgreach::prelude::*;
use pgreach::ssh::{Challenge, Prompter};
use pgreach_testkit::ssh::{SshAgent, SshCa, SshKeyType, SshKeypair, SshUser, Sshd, Validity};

use crate::fixture::{assert_code, bastion, hop, key, over, plain, refused};

async fn connects(hop: SshHop) {
    let connector = plain(over(hop).build().unwrap()).build().unwrap();
    connector.connect().await.unwrap();
}

fn as_user(sshd: &Sshd, user: &str) -> SshHop {
    SshHop::new(sshd.host(), user)
        .with_port(sshd.port())
        .with_host_keys(HostKeyPolicy::known_hosts_text(sshd.known_hosts()))
}

#[tokio::test]
async fn keys_of_every_type() {
    for kind in [
        SshKeyType::Ed25519,
        SshKeyType::Ecdsa256,
        SshKeyType::Ecdsa384,
        SshKeyType::Ecdsa521,
        SshKeyType::Rsa,
    ] {
        let pair = SshKeypair::generate(kind).unwrap();
        let user = SshUser::new("tunnel").with_authorized_key(pair.public_line());
        // The server has a host key of the same type.
        let sshd = Sshd::builder()
            .with_user(user)
            .with_host_key(kind)
            .start()
            .unwrap();
        let key = SshKey::from_pem(&pair.private_pem().unwrap(), None).unwrap();
        connects(hop(&sshd).with_auth(key)).await;
    }
}

#[tokio::test]
async fn passwords_in_both_methods() {
    let user = || SshUser::new("typist").with_password("right");
    let password = bastion(|sshd| {
        let config = "PasswordAuthentication yes\nKbdInteractiveAuthentication no";
        sshd.with_user(user()).with_config(config)
    });
    let interactive = bastion(|sshd| {
        let config = "PasswordAuthentication no\nKbdInteractiveAuthentication yes";
        sshd.with_user(user()).with_config(config)
    });
    for sshd in [&password, &interactive] {
        connects(as_user(sshd, "typist").with_auth(SshAuth::password("right"))).await;
        let wrong = as_user(sshd, "typist").with_auth(SshAuth::password("wrong"));
        let error = refused(plain(over(wrong).build().unwrap())).await;
        assert_code(&error, ErrorKind::SshAuth, "ssh-auth-refused");
    }
}

#[derive(Debug)]
struct Typist(&'static str);

#[async_trait]
impl Prompter for Typist {
    async fn answer(&self, challenge: &Challenge) -> Result<Vec<Secret>, Error> {
        let prompts = &challenge.prompts;
        Ok(prompts
            .iter()
            .map(|prompt| {
                assert!(!prompt.echo, "{prompt:?}");
                Secret::new(self.0)
            })
            .collect())
    }
}

#[tokio::test]
async fn a_prompter_answers_the_server_s_questions() {
    let sshd = bastion(|sshd| {
        sshd.with_user(SshUser::new("typist").with_password("right"))
            .with_config("KbdInteractiveAuthentication yes")
    });
    let hop =
        |answer| as_user(&sshd, "typist").with_auth(SshAuth::keyboard_interactive(Typist(answer)));
    connects(hop("right")).await;
    let error = refused(plain(over(hop("wrong")).build().unwrap())).await;
    assert_code(&error, ErrorKind::SshAuth, "ssh-auth-refused");
}

#[tokio::test]
async fn the_agent_s_keys_and_certificates() {
    let agent = SshAgent::start().unwrap();
    let with_agent = |sshd: &Sshd| hop(sshd).with_auth(SshAuth::agent_at(agent.socket()));
    let sshd = bastion(|sshd| sshd);
    let error = refused(plain(over(with_agent(&sshd)).build().unwrap())).await;
    assert_code(&error, ErrorKind::SshAuth, "ssh-agent");

    // A key that the server does not know comes first.
    let pair = SshKeypair::generate(SshKeyType::Ed25519).unwrap();
    for pair in [&SshKeypair::generate(SshKeyType::Rsa).unwrap(), &pair] {
        agent.add(&pair.private_file()).unwrap();
    }
    let lines = [pair.public_line()];
    sshd.set_authorized_keys("tunnel", lines).unwrap();
    connects(with_agent(&sshd)).await;

    for kind in [SshKeyType::Ed25519, SshKeyType::Rsa] {
        agent.remove_all().unwrap();
        let ca = SshCa::generate().unwrap();
        let certified = Sshd::builder()
            .with_user(SshUser::new("tunnel"))
            .with_user_ca(ca.public_line())
            .start()
            .unwrap();
        let pair = SshKeypair::generate(kind).unwrap();
        let certificate = ca.sign_user(pair.public_line(), &["tunnel"], &Validity::around_now());
        pair.write_certificate(&certificate.unwrap()).unwrap();
        agent.add(&pair.private_file()).unwrap();
        connects(with_agent(&certified)).await;
    }

    let nobody = hop(&sshd).with_auth(SshAuth::agent_at("/no/such/agent"));
    let error = refused(plain(over(nobody).build().unwrap())).await;
    assert_code(&error, ErrorKind::SshAuth, "ssh-agent");
}

#[tokio::test]
async fn user_certificates() {
    let ca = SshCa::generate().unwrap();
    let sshd = Sshd::builder()
        .with_user(SshUser::new("tunnel"))
        .with_user_ca(ca.public_line())
        .start()
        .unwrap();
    for kind in [SshKeyType::Ed25519, SshKeyType::Ecdsa384, SshKeyType::Rsa] {
        let pair = SshKeypair::generate(kind).unwrap();
        let key = SshKey::from_pem(&pair.private_pem().unwrap(), None).unwrap();
        let certified = |principal: &str, validity: Validity| {
            let certificate = ca.sign_user(pair.public_line(), &[principal], &validity);
            key.clone().with_certificate(&certificate.unwrap()).unwrap()
        };
        connects(hop(&sshd).with_auth(certified("tunnel", Validity::around_now()))).await;
        for (principal, validity) in [
            ("somebody-else", Validity::around_now()),
            ("tunnel", Validity::expired()),
            ("tunnel", Validity::not_yet()),
        ] {
            let hop = hop(&sshd).with_auth(certified(principal, validity));
            let error = refused(plain(over(hop).build().unwrap())).await;
            assert_code(&error, ErrorKind::SshAuth, "ssh-auth-refused");
        }
        // Signed with SHA-2, for RSA too.
        assert!(
            !sshd.log().contains("ssh-rsa-cert-v01@openssh.com RSA-CERT"),
            "{}",
            sshd.log()
        );
    }
}

#[tokio::test]
async fn several_ways_are_tried_in_order() {
    let sshd = bastion(|sshd| sshd.with_config("PasswordAuthentication yes"));
    let stranger = SshKeypair::generate(SshKeyType::Ecdsa256).unwrap();
    let stranger = SshKey::from_pem(&stranger.private_pem().unwrap(), None).unwrap();
    let hop = hop(&sshd)
        .with_auth(stranger)
        .with_auth(SshAuth::password("wrong"))
        .with_auth(key());
    connects(hop).await;
    let log = sshd.log();
    let position = |text: &str| log.find(text).unwrap_or_else(|| panic!("{text}: {log}"));
    assert!(position("Failed publickey") < position("Failed password"));
    assert!(position("Failed password") < position("Accepted publickey"));
}
