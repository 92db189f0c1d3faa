use tempfile::TempDir;

use super::*;
use crate::auth::{AgentSocket, Way};
use crate::{SshConfig, SshKeyPair};

/// A home directory with keys, and files that are none that can be used.
fn home() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let ssh = home.path().join(".ssh");
    std::fs::create_dir(&ssh).unwrap();
    let pair = SshKeyPair::generate_ed25519().unwrap();
    let plain = pair.private_pem(None).unwrap();
    let locked = pair.private_pem(Some(&Secret::new("sesame"))).unwrap();
    for (name, text) in [
        ("id_ed25519", plain.expose()),
        ("other", plain.expose()),
        ("locked", locked.expose()),
        ("ppk", "PuTTY-User-Key-File-3: ssh-ed25519\n"),
        ("key.pub", &pair.public_line()),
    ] {
        std::fs::write(ssh.join(name), text).unwrap();
    }
    home
}

/// The credentials as words, or the code of the error.
fn ways(home: &Path, agent: Option<&str>, passphrase: Option<&str>, text: &str) -> Vec<String> {
    let text = text.replace("HOME", home.to_str().unwrap());
    let host = SshConfig::from_text(&text).unwrap().host("a").unwrap();
    let surroundings = Surroundings {
        home: Some(home.to_owned()),
        agent: agent.map(Into::into),
    };
    let passphrase = passphrase.map(Secret::new);
    match host.hop_in(&surroundings, passphrase.as_ref()) {
        Ok(hop) => hop.auth.iter().map(word).collect(),
        Err(error) => vec![error.code().name().to_owned()],
    }
}

fn word(auth: &SshAuth) -> String {
    match &auth.0 {
        Way::Key(_) => "key".to_owned(),
        Way::Agent(AgentSocket::Environment) => "agent".to_owned(),
        Way::Agent(AgentSocket::Path(path)) => path.display().to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn credentials() {
    const INVALID: &str = "ssh-config-invalid";
    let home = home();
    let other = "IdentityFile HOME/.ssh/other\n";
    let locked = "IdentityFile HOME/.ssh/locked\n";
    let ppk = "IdentityFile HOME/.ssh/ppk\n";
    let public = "IdentityFile HOME/.ssh/key.pub\n";
    let missing = "IdentityFile HOME/.ssh/missing\n";
    let only = "IdentitiesOnly yes\n";
    for (agent, lines, expected) in [
        // Default names.
        (None, String::new(), &["key"][..]),
        (Some("/agent"), String::new(), &["key", "agent"]),
        (Some(""), String::new(), &["key"]),
        (Some("/agent"), only.to_owned(), &["key"]),
        // `none` is none at all.
        (None, "IdentityFile none".to_owned(), &[INVALID]),
        (Some("/agent"), "IdentityFile NONE".to_owned(), &["agent"]),
        (
            Some("/agent"),
            format!("IdentityFile None\n{only}"),
            &["agent"],
        ),
        (None, format!("IdentityFile none\n{other}"), &["key"]),
        // Named files, of which some cannot be used.
        (None, other.to_owned(), &["key"]),
        (Some("/agent"), other.to_owned(), &["key", "agent"]),
        (None, missing.to_owned(), &[INVALID]),
        (None, format!("{missing}{other}"), &["key"]),
        (None, format!("{locked}{ppk}{public}{other}"), &["key"]),
        (Some("/agent"), locked.to_owned(), &["agent"]),
        (Some("/agent"), format!("{ppk}{public}"), &["agent"]),
        (None, locked.to_owned(), &["ssh-key-passphrase-missing"]),
        (None, format!("{ppk}{locked}"), &["ssh-key-unsupported"]),
        (None, public.to_owned(), &["ssh-key-invalid"]),
        // Which agent, and whether.
        (Some("/agent"), format!("{only}{other}"), &["key"]),
        (
            Some("/agent"),
            format!("{only}{locked}"),
            &["ssh-key-passphrase-missing"],
        ),
        (Some("/agent"), format!("{only}{missing}"), &["agent"]),
        (
            Some("/agent"),
            format!("IdentitiesOnly no\n{other}"),
            &["key", "agent"],
        ),
        (
            Some("/agent"),
            format!("IdentityAgent none\n{other}"),
            &["key"],
        ),
        (
            Some("/agent"),
            format!("IdentityAgent NONE\n{missing}"),
            &[INVALID],
        ),
        (
            Some("/agent"),
            format!("IdentityAgent /else\n{other}"),
            &["key", "/else"],
        ),
        (
            None,
            format!("IdentityAgent \"/with space\"\n{other}"),
            &["key", "/with space"],
        ),
        (
            None,
            format!("IdentityAgent /%h.%n\nIdentityAgent none\n{other}"),
            &["key", "/a.a"],
        ),
        (
            None,
            format!("IdentityAgent SSH_AUTH_SOCK\n{other}"),
            &["key"],
        ),
        (
            Some("/agent"),
            format!("IdentityAgent SSH_AUTH_SOCK\n{other}"),
            &["key", "agent"],
        ),
    ] {
        assert_eq!(
            ways(home.path(), agent, None, &lines),
            expected,
            "{agent:?}\n{lines}"
        );
    }
    assert_eq!(ways(home.path(), None, Some("sesame"), locked), ["key"]);
    let both = format!("{locked}{other}");
    assert_eq!(
        ways(home.path(), None, Some("sesame"), &both),
        ["key", "key"]
    );
    assert_eq!(ways(home.path(), None, Some("wrong"), &both), ["key"]);
    assert_eq!(
        ways(home.path(), None, Some("wrong"), locked),
        ["ssh-key-passphrase-wrong"]
    );
}

/// The user's files, and both of the system's.
#[test]
fn known_hosts_files() {
    let home = home();
    for (line, own) in [
        (
            "UserKnownHostsFile /k/1 /k/2",
            &["\"/k/1\"", "\"/k/2\""][..],
        ),
        ("UserKnownHostsFile None", &[]),
    ] {
        let host = SshConfig::from_text(line).unwrap().host("a").unwrap();
        let surroundings = Surroundings {
            home: Some(home.path().to_owned()),
            agent: None,
        };
        let hop = host.hop_in(&surroundings, None).unwrap();
        let shown = format!("{:?}", hop.host_keys);
        let mut expected: Vec<_> = own.iter().map(|file| (*file).to_owned()).collect();
        if cfg!(unix) {
            expected.push("\"/etc/ssh/ssh_known_hosts\"".to_owned());
            expected.push("\"/etc/ssh/ssh_known_hosts2\"".to_owned());
        }
        for file in &expected {
            assert!(shown.contains(file), "{shown}");
        }
        assert_eq!(
            shown.matches("File(").count(),
            system_files().len() + own.len()
        );
        assert!(!shown.to_lowercase().contains("none\""), "{shown}");
    }
}
