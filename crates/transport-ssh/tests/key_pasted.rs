//! What pasting does to keys, and what people give in place of a key.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use pgreach_core::Secret;
use pgreach_transport_ssh::SshKey;
use support::{Bench, PASSPHRASE, code, fingerprint, openssl, read, secret};

/// The ways a text is bent on its way through forms, variables and templates.
fn bent(text: &str) -> Vec<(&'static str, String)> {
    let trimmed = text.trim_end();
    let indented: Vec<String> = text.lines().map(|line| format!("    {line}")).collect();
    let words = trimmed.split_whitespace().collect::<Vec<_>>();
    vec![
        ("as it is", text.to_owned()),
        ("no final newline", trimmed.to_owned()),
        ("CRLF", text.replace('\n', "\r\n")),
        ("CR", text.replace('\n', "\r")),
        ("literal \\n", text.replace('\n', "\\n")),
        ("literal \\r\\n", text.replace('\n', "\\r\\n")),
        ("doubly escaped", text.replace('\n', "\\\\n")),
        ("white space around", format!(" \n\t{text}\n \n")),
        ("indented", indented.join("\n")),
        ("trailing blanks", text.replace('\n', " \t\n")),
        ("blank lines", text.replace('\n', "\n\n")),
        ("double quotes", format!("\"{trimmed}\"")),
        ("single quotes", format!("'{text}'")),
        (
            "escaped quotes",
            format!("\\\"{}\\\"", trimmed.replace('\n', "\\n")),
        ),
        ("one line", words.join(" ")),
        ("a word per line", words.join("\n")),
        ("byte order mark", format!("\u{feff}{text}")),
        ("text before", format!("Bag Attributes: <No>\n{text}")),
    ]
}

#[test]
fn pasted_keys_are_repaired() {
    let bench = Bench::new();
    let ed25519 = bench.generate("ed25519");
    let rsa = bench.generate("rsa-2048");
    let ecdsa = bench.generate("ecdsa-256");
    let pass = format!("pass:{PASSPHRASE}");
    let pem = bench.write("pem", &bench.rewritten(&rsa, &["-m", "PEM", "-N", ""]));
    let ec = bench.write("ec", &bench.rewritten(&ecdsa, &["-m", "PEM", "-N", ""]));
    let topk8 = ["pkcs8", "-topk8", "-passout", &pass];
    let forms = [
        (&ed25519, read(&ed25519)),
        (
            &ed25519,
            bench.rewritten(&ed25519, &["-N", PASSPHRASE, "-a", "1"]),
        ),
        (&rsa, read(&pem)),
        (
            &rsa,
            openssl(&["rsa", "-traditional", "-aes256", "-passout", &pass], &pem),
        ),
        (&rsa, openssl(&topk8, &pem)),
        (&ecdsa, read(&ec)),
        // With the curve in a block of its own before the key, as `openssl ecparam -genkey` has it.
        (
            &ecdsa,
            format!(
                "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{}",
                read(&ec)
            ),
        ),
    ];
    for (path, text) in forms {
        let expected = fingerprint(path);
        for (how, bent) in bent(&text) {
            let key = SshKey::from_pem(&bent, Some(&secret()))
                .unwrap_or_else(|error| panic!("{how}: {error}\n{}", &bent[..40]));
            assert_eq!(key.fingerprint(), expected, "{how}");
        }
    }
}

#[test]
fn what_is_no_private_key_is_named() {
    let bench = Bench::new();
    let path = bench.generate("ed25519");
    let key = read(&path);
    let public = read(&bench.path("ed25519.pub"));
    let rfc4716 = support::keygen(&["-e"], &path);
    let pkcs8_public = support::keygen(&["-e", "-m", "PKCS8"], &bench.generate("ecdsa-256"));
    let no_end = key.split("-----END").next().unwrap();
    let no_begin = key.split_once('\n').unwrap().1;
    let half = format!(
        "{}\n-----END OPENSSH PRIVATE KEY-----",
        &key[..key.len() / 2]
    );
    let hole = key.replacen("AAAA", "", 1);
    let rows = [
        ("", "ssh-key-invalid", "is empty"),
        (" \n\"\"\n", "ssh-key-invalid", "is empty"),
        ("/home/x/.ssh/id", "ssh-key-invalid", "no line begins with"),
        (&public, "ssh-key-invalid", "a public key"),
        (&rfc4716, "ssh-key-invalid", "a public key"),
        (&pkcs8_public, "ssh-key-invalid", "a public key"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
            "ssh-key-invalid",
            "X.509",
        ),
        (
            "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n",
            "ssh-key-unsupported",
            "PuTTY",
        ),
        (
            "-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----",
            "ssh-key-unsupported",
            "ssh-dss",
        ),
        (
            "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nAAAA",
            "ssh-key-unsupported",
            "ssh.com",
        ),
        (no_end, "ssh-key-invalid", "END line is missing"),
        (no_begin, "ssh-key-invalid", "BEGIN line is missing"),
        (&half, "ssh-key-invalid", "damaged"),
        (&hole, "ssh-key-invalid", "damaged"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\n!\n-----END RSA PRIVATE KEY-----",
            "ssh-key-invalid",
            "not base64",
        ),
        (
            "-----BEGIN RSA PRIVATE KEY----------END RSA PRIVATE KEY-----",
            "ssh-key-invalid",
            "nothing between",
        ),
    ];
    for (text, code, message) in rows {
        let error = SshKey::from_pem(text, None).unwrap_err();
        assert_eq!(error.code().name(), code, "{text}: {error}");
        assert!(error.message().contains(message), "{text}: {error}");
        assert!(
            !error.message().is_empty() && error.hint().ends_with('.'),
            "{}",
            error.hint()
        );
    }
    let error = SshKey::from_pem("PuTTY-User-Key-File-2: ssh-rsa", None).unwrap_err();
    assert!(error.hint().contains("puttygen"), "{}", error.hint());
}

#[test]
fn weak_and_foreign_types_are_refused() {
    let bench = Bench::new();
    let run = |args: &[&str]| support::run(std::process::Command::new("openssl").args(args));
    let rows = [
        (read(&bench.generate("rsa-1024")), "1024 bits"),
        (run(&["genrsa", "-traditional", "1024"]), "1024 bits"),
        (run(&["genpkey", "-algorithm", "ed448"]), "1.3.101.113"),
        (run(&["genpkey", "-algorithm", "x25519"]), "1.3.101.110"),
        (
            run(&["ecparam", "-genkey", "-noout", "-name", "secp256k1"]),
            "elliptic curve",
        ),
        (
            run(&["ecparam", "-genkey", "-noout", "-name", "brainpoolP256r1"]),
            "elliptic curve",
        ),
        (
            // Its length is P-256's, its curve is not.
            run(&[
                "ecparam",
                "-genkey",
                "-noout",
                "-name",
                "brainpoolP256r1",
                "-param_enc",
                "explicit",
            ]),
            "instead of naming it",
        ),
        (
            run(&["genpkey", "-algorithm", "rsa-pss"]),
            "1.2.840.113549.1.1.10",
        ),
        (read(&bench.generate("dsa")), "ssh-dss"),
    ];
    for (text, message) in rows {
        let error = SshKey::from_pem(&text, None).unwrap_err();
        assert_eq!(
            error.code().name(),
            "ssh-key-unsupported",
            "{message}: {error}"
        );
        assert!(error.message().contains(message), "{error}");
    }
}

#[test]
fn files() {
    let bench = Bench::new();
    let path = bench.generate("ed25519");
    assert_eq!(
        SshKey::from_file(&path, None).unwrap().fingerprint(),
        fingerprint(&path)
    );
    let missing = SshKey::from_file(bench.path("missing"), None).unwrap_err();
    assert_eq!(missing.code().name(), "ssh-key-unreadable");
    assert!(missing.message().contains("missing"), "{missing}");
    let directory = bench.path("directory");
    std::fs::create_dir(&directory).unwrap();
    assert_eq!(
        code(SshKey::from_file(&directory, None)),
        "ssh-key-unreadable"
    );
    let large = bench.write("large", &"x".repeat((1 << 20) + 1));
    assert_eq!(code(SshKey::from_file(large, None)), "ssh-key-unreadable");
    let binary = bench.path("binary");
    std::fs::write(&binary, [0xff; 100]).unwrap();
    assert_eq!(code(SshKey::from_file(binary, None)), "ssh-key-invalid");
    let public = SshKey::from_file(bench.path("ed25519.pub"), None).unwrap_err();
    assert!(public.message().contains("ed25519.pub"), "{public}");
    assert!(public.message().contains("public key"), "{public}");

    // A certificate beside the key that cannot be read is no obstacle.
    bench.write("ed25519-cert.pub", "nonsense");
    assert!(SshKey::from_file(&path, None).is_ok());
}

#[cfg(unix)]
#[test]
fn a_pipe_does_not_block() {
    let bench = Bench::new();
    let path = bench.generate("ed25519");
    for name in ["pipe", "ed25519-cert.pub"] {
        support::run(std::process::Command::new("mkfifo").arg(bench.path(name)));
    }
    let pipe = bench.path("pipe");
    assert_eq!(code(SshKey::from_file(pipe, None)), "ssh-key-unreadable");
    assert!(SshKey::from_file(path, None).is_ok());
}

#[test]
fn debug_shows_neither_key_nor_comment_breaks_the_line() {
    let bench = Bench::new();
    let path = bench.generate("ed25519");
    let text = bench.rewritten(&path, &["-N", "", "-C", "a\nssh-ed25519 AAAA"]);
    let key = SshKey::from_pem(&text, Some(&Secret::new("x"))).unwrap();
    assert_eq!(key.public_line().lines().count(), 1);
    assert_eq!(
        format!("{key:?}"),
        format!(
            "SshKey {{ algorithm: \"ssh-ed25519\", fingerprint: \"{}\", certificate: false }}",
            fingerprint(&path)
        )
    );
}
