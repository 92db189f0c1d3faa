//! Key pairs, as `ssh-keygen` sees them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use pgreach_transport_ssh::{AuthorizedKeyOptions, SshKey, SshKeyPair};
use support::{Bench, PASSPHRASE, code, fingerprint, keygen, read, secret};

#[test]
fn ssh_keygen_reads_what_is_generated() {
    accepted_by_ssh_keygen(&SshKeyPair::generate_ed25519().unwrap(), "ssh-ed25519 ");
}

#[test]
fn ssh_keygen_reads_what_is_generated_with_rsa() {
    accepted_by_ssh_keygen(&SshKeyPair::generate_rsa4096().unwrap(), "ssh-rsa ");
}

fn accepted_by_ssh_keygen(pair: &SshKeyPair, begin: &str) {
    let bench = Bench::new();
    let pair = pair.clone().with_comment("tunnel of customer 42");
    let line = pair.public_line();
    assert!(line.starts_with(begin), "{line}");
    assert!(line.ends_with(" tunnel of customer 42"), "{line}");
    let public = bench.write("public", &format!("{line}\n"));
    assert_eq!(fingerprint(&public), pair.fingerprint());

    let plain = bench.write("plain", pair.private_pem(None).unwrap().expose());
    assert_eq!(keygen(&["-y"], &plain).trim_end(), line);
    let text = pair.private_pem(Some(&secret())).unwrap();
    let encrypted = bench.write("encrypted", text.expose());
    assert_eq!(
        keygen(&["-y", "-P", PASSPHRASE], &encrypted).trim_end(),
        line
    );

    // And back again, as ssh-keygen writes it.
    keygen(
        &["-q", "-p", "-P", PASSPHRASE, "-N", "", "-Z", "aes256-cbc"],
        &encrypted,
    );
    let back = SshKeyPair::from_pem(&read(&encrypted), None).unwrap();
    assert_eq!(back.public_line(), line);
    assert_eq!(back.key().fingerprint(), pair.fingerprint());
    let again = SshKey::from_pem(text.expose(), Some(&secret())).unwrap();
    assert_eq!(again.public_line(), line);
    assert_eq!(
        code(SshKey::from_pem(text.expose(), None)),
        "ssh-key-passphrase-missing"
    );
    let private: String = plain_body(pair.private_pem(None).unwrap().expose());
    assert!(!format!("{pair:?}").contains(&private[private.len() - 40..]));
}

fn plain_body(pem: &str) -> String {
    pem.lines().filter(|line| !line.contains("-----")).collect()
}

#[test]
fn two_pairs_differ_and_empty_passphrases_are_refused() {
    let pair = SshKeyPair::generate_ed25519().unwrap();
    assert_ne!(
        pair.fingerprint(),
        SshKeyPair::generate_ed25519().unwrap().fingerprint()
    );
    assert_eq!(
        code(pair.private_pem(Some(&"".into()))),
        "ssh-config-invalid"
    );
}

#[test]
fn comments_stay_on_their_line() {
    let pair = SshKeyPair::generate_ed25519()
        .unwrap()
        .with_comment(" a\nssh-ed25519 AAAA\r\u{0}\u{85}b ");
    assert_eq!(pair.public_line().lines().count(), 1);
    assert!(pair.public_line().ends_with(" assh-ed25519 AAAAb"));
    let none = pair.with_comment("");
    assert_eq!(none.public_line().split(' ').count(), 2);
}

#[test]
fn lines_of_authorized_keys() {
    let bench = Bench::new();
    let pair = SshKeyPair::generate_ed25519().unwrap().with_comment("c");
    let new = AuthorizedKeyOptions::new;
    for (options, expected) in [
        (
            new(),
            "restrict,port-forwarding,command=\"/bin/false\",permitlisten=\"127.0.0.1:1\"",
        ),
        (
            new().without_permit_listen(),
            "restrict,port-forwarding,command=\"/bin/false\"",
        ),
        (
            new().without_forced_command(),
            "restrict,port-forwarding,permitlisten=\"127.0.0.1:1\"",
        ),
        (
            new()
                .with_permit_open("127.0.0.1", 5432)
                .with_permit_open("db_1.example.org", 65535),
            "restrict,port-forwarding,command=\"/bin/false\",permitopen=\"127.0.0.1:5432\",\
             permitopen=\"db_1.example.org:65535\",permitlisten=\"127.0.0.1:1\"",
        ),
        (
            new()
                .with_permit_open("::1", 5432)
                .with_permit_open("[2001:db8::1]", 1)
                .without_permit_listen(),
            "restrict,port-forwarding,command=\"/bin/false\",permitopen=\"[::1]:5432\",permitopen=\"[2001:db8::1]:1\"",
        ),
        (
            new()
                .with_from("203.0.113.7")
                .with_from("198.51.100.0/24")
                .with_from("0.0.0.0/0")
                .with_from("2001:db8::/32")
                .with_from("::1/128")
                .without_permit_listen(),
            "restrict,port-forwarding,command=\"/bin/false\",\
             from=\"203.0.113.7,198.51.100.0/24,0.0.0.0/0,2001:db8::/32,::1/128\"",
        ),
    ] {
        let line = pair.authorized_key(&options).unwrap();
        assert_eq!(line, format!("{expected} {}", pair.public_line()));
        let file = bench.write("authorized_keys", &format!("{line}\n"));
        assert_eq!(fingerprint(&file), pair.fingerprint());
    }
}

#[test]
fn values_that_could_break_out_of_their_option_are_refused() {
    let pair = SshKeyPair::generate_ed25519().unwrap();
    let new = AuthorizedKeyOptions::new;
    for host in [
        "",
        "a b",
        "a\"b",
        "a,b",
        "a\nb",
        "a\\",
        "*",
        "a:1",
        "[a]",
        "fe80::1%eth0",
        "a\u{0}",
        "[]",
    ] {
        let error = pair
            .authorized_key(&new().with_permit_open(host, 1))
            .unwrap_err();
        assert_eq!(error.code().name(), "ssh-config-invalid", "{host}");
        assert!(!error.message().contains('\n'));
    }
    assert!(
        pair.authorized_key(&new().with_permit_open("a", 0))
            .is_err()
    );
    for from in [
        "",
        "example.org",
        "*",
        "!10.0.0.1",
        "10.0.0.0/33",
        "10.0.0.0/",
        "10.0.0.0/+8",
        "10.0.0.1/8",
        "::1/129",
        "2001:db8::1/32",
        "10.0.0.0/8,*",
        "10.0.0.0/8\"",
        "10.0.0.0 /8",
        "1.2.3.4/0",
    ] {
        let result = pair.authorized_key(&new().with_from(from));
        assert_eq!(code(result), "ssh-config-invalid", "{from}");
    }
}
