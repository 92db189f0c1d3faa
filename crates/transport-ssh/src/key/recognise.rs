//! What was given in place of a private key, so that the error can say so.

use pgreach_core::Error;

use super::problem::{invalid, unsupported};

/// The error for a text that holds no private key.
pub(super) fn not_a_private_key(text: &str) -> Error {
    let text = text.trim_matches(|c: char| c.is_whitespace() || "\"'`\u{feff}".contains(c));
    let first = text.split_whitespace().next().unwrap_or_default();
    if text.is_empty() {
        return invalid("the private key is empty");
    }
    if text.starts_with("PuTTY-User-Key-File-") {
        return unsupported("the private key is in PuTTY's format (.ppk)").with_hint(
            "Convert it: puttygen KEY.ppk -O private-openssh -o KEY, or in PuTTYgen's menu \
             Conversions, Export OpenSSH key.",
        );
    }
    if first.contains("-cert-v01@openssh.com") {
        return invalid("this is an SSH certificate, not a private key").with_hint(
            "Give the private key here, and this certificate beside it as the key's certificate.",
        );
    }
    if is_public_key_type(first)
        || text.contains("-----BEGIN PUBLIC KEY-----")
        || text.contains("-----BEGIN RSA PUBLIC KEY-----")
        || text.contains("---- BEGIN SSH2 PUBLIC KEY ----")
    {
        return invalid("this is a public key, not the private key").with_hint(
            "Give the private key: the file of the same name without .pub, which begins with \
             -----BEGIN.",
        );
    }
    if text.contains("-----BEGIN CERTIFICATE") {
        return invalid("this is an X.509 certificate, not an SSH private key");
    }
    if text.contains("---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----") {
        return unsupported("the private key is in the format of SSH Communications (ssh.com)")
            .with_hint("Convert it: ssh-keygen -i -f KEY > KEY.openssh.");
    }
    if text.starts_with("SSH PRIVATE KEY FILE FORMAT 1.1") {
        return unsupported("the private key is of SSH protocol 1");
    }
    if text.contains("-----END ") {
        return invalid("the private key is not whole: its BEGIN line is missing or altered");
    }
    invalid("there is no private key: no line begins with -----BEGIN … PRIVATE KEY-----")
}

fn is_public_key_type(word: &str) -> bool {
    word.starts_with("ssh-")
        || word.starts_with("ecdsa-sha2-")
        || word.starts_with("sk-ssh-")
        || word.starts_with("sk-ecdsa-sha2-")
}
