//! What an application gives.

use super::*;
use crate::codes;

#[test]
fn fingerprints_are_understood_or_refused() {
    let good = fingerprint(1);
    for text in [good.clone(), format!("{good}="), format!(" {good}\n")] {
        HostKeyPolicy::fingerprints([text]).unwrap();
    }
    let cases = [
        ("", "does not begin with SHA256:"),
        ("MD5:8c:13:0a:34:4a:5e:f0:1b:6e:5a:0e:7c:66:1f:7e:5b", "MD5"),
        ("8c:13:0a:34:4a:5e:f0:1b:6e:5a:0e:7c:66:1f:7e:5b", "MD5"),
        (
            "sha256:uNiVztksCsDhcc0u9e8BgrJXVGDyGbMTxhnxqgHVh8c",
            "does not begin",
        ),
        (
            "uNiVztksCsDhcc0u9e8BgrJXVGDyGbMTxhnxqgHVh8c",
            "does not begin",
        ),
        ("SHA256:", "43 characters"),
        (
            "SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDyGbMTxhnxqgHVh8",
            "43 characters",
        ),
        (
            "SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDyGbMTxhnxqgHVh8c8",
            "43 characters",
        ),
        (
            "SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDyGbMTxhnxqgHVh8d",
            "43 characters",
        ),
        (
            "SHA256:uNiVztksCsDhcc0u9e8BgrJX GDyGbMTxhnxqgHVh8c",
            "43 characters",
        ),
        (
            "256 SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDyGbMTxhnxqgHVh8c root@a (ED25519)",
            "does not begin",
        ),
    ];
    for (text, what) in cases {
        let error = expect(
            HostKeyPolicy::fingerprints([text]),
            &codes::HOST_KEY_SETTING,
        );
        assert!(error.message().contains(what), "{text}: {error}");
    }
    expect(
        HostKeyPolicy::fingerprints(Vec::<String>::new()),
        &codes::HOST_KEY_SETTING,
    );
}

#[tokio::test]
async fn a_pinned_key_is_trusted_and_no_other() {
    let policy = HostKeyPolicy::fingerprints([fingerprint(1), fingerprint(2)]).unwrap();
    let trusted = check(&policy, "any", 2222, public(2)).await.unwrap();
    assert_eq!(trusted.how, "pinned fingerprint");
    let error = expect(
        check(&policy, "any", 2222, public(3)).await,
        &codes::HOST_KEY_CHANGED,
    );
    assert_eq!(
        error.message(),
        format!(
            "[any]:2222 shows the host key ssh-ed25519 {}, which is not pinned; pinned: {}, {}",
            fingerprint(3),
            fingerprint(1),
            fingerprint(2)
        )
    );
}

/// Whatever vouches for a key, a revocation counts.
#[tokio::test]
async fn policies_are_combined() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known_hosts");
    let text = format!("@revoked * {}\na {}\n", line(1), line(2));
    std::fs::write(&file, text).unwrap();
    let pins = [fingerprint(1), fingerprint(3)];
    let policy = HostKeyPolicy::fingerprints(pins)
        .unwrap()
        .with_known_hosts(&file);
    let cases = [
        ("a", 1, Some(&codes::HOST_KEY_REVOKED)),
        ("a", 2, None),
        ("a", 3, None),
        ("a", 4, Some(&codes::HOST_KEY_CHANGED)),
        ("b", 2, Some(&codes::HOST_KEY_CHANGED)),
        ("b", 3, None),
    ];
    for (host, key, code) in cases {
        let found = check(&policy, host, 22, public(key)).await;
        assert_eq!(
            found.err().map(|error| error.code().name()),
            code.map(|code| code.name()),
            "{host} {key}"
        );
    }
}

#[test]
fn authorities_are_understood_or_refused() {
    let two = format!("# comment\n\n{} comment\r\n{ECDSA}\n", line(1));
    assert_eq!(HostKeyPolicy::authority(two).unwrap().authorities.len(), 2);
    HostKeyPolicy::authority(SK).unwrap();
    let unknown = "ssh-new AAAAB3NzaC1uZXcAAAABeA==";
    for (text, what) in [
        ("", "no key of an authority"),
        ("# comment", "no key of an authority"),
        ("ssh-ed25519", "is not a public key"),
        ("ssh-ed25519 AAAA", "is not a public key"),
        (
            &format!("@cert-authority * {}", line(1)),
            "is not a public key",
        ),
        (&format!("ssh-rsa {}", line(1)), "is not a public key"),
        (unknown, "which is not supported"),
    ] {
        let error = expect(HostKeyPolicy::authority(text), &codes::HOST_KEY_SETTING);
        assert!(error.message().contains(what), "{text}: {error}");
        let error = HostKeyPolicy::default().with_authority(text);
        expect(error, &codes::HOST_KEY_SETTING);
    }
}

/// Settings are filled in by people, and messages are logged.
#[test]
fn what_was_given_by_mistake_is_not_shown() {
    let secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQ";
    let parts = [secret, &secret[..8], &secret[8..20], "OPENSSH"];
    let pem = format!(
        "-----BEGIN OPENSSH PRIVATE KEY-----\n{secret}\n{secret}\n-----END OPENSSH PRIVATE KEY-----"
    );
    let ppk = format!("PuTTY-User-Key-File-3: ssh-ed25519\nPrivate-Lines: 1\n{secret}");
    let one_line = pem.replace('\n', " ");
    for (text, is_private) in [
        (pem.as_str(), true),
        (&format!("  {pem}"), true),
        (&format!("{}\n{pem}", line(1)), true),
        (&one_line, true),
        (&ppk, true),
        (secret, false),
        (&format!("{secret} {secret}"), false),
        (&format!("ssh-ed25519 {secret}"), false),
        (&format!("{secret}:{secret}"), false),
    ] {
        for error in [
            HostKeyPolicy::authority(text).unwrap_err(),
            HostKeyPolicy::fingerprints([text]).unwrap_err(),
        ] {
            assert_eq!(error.code().name(), codes::HOST_KEY_SETTING.name());
            let shown = format!("{error} {error:?} {}", error.hint());
            for part in parts {
                assert!(!shown.contains(part), "{text}: {shown}");
            }
            assert_eq!(
                shown.contains("a private key is given"),
                is_private,
                "{shown}"
            );
        }
    }
    let error = HostKeyPolicy::authority(format!("ssh-ed25519 {secret}")).unwrap_err();
    assert!(error.message().contains("(ssh-ed25519)"), "{error}");
    for (text, shown) in [
        (format!("SHA256:{secret}"), "\"SHA256:c2VjcmV0L…\""),
        (format!("MD5:{secret}"), "\"MD5:c2VjcmV0LXNl…\""),
        ("SHA256:\u{1b}[2J".to_owned(), "(\"SHA256:"),
    ] {
        let error = HostKeyPolicy::fingerprints([&text]).unwrap_err();
        assert!(error.message().contains(shown), "{error}");
        assert!(!error.message().contains(&secret[12..]));
        assert!(!error.message().contains('\u{1b}'));
    }
}
