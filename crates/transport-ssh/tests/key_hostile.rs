//! Keys from somebody who means harm, and noise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::time::{Duration, Instant};

use data_encoding::BASE64;
use pgreach_transport_ssh::{SshKey, SshKeyPair};
use support::{Bench, PASSPHRASE, code, openssl, read, secret};

/// A text with BEGIN and END lines, taken apart.
struct Pem {
    head: String,
    bytes: Vec<u8>,
    tail: String,
}

impl Pem {
    fn new(text: &str) -> Self {
        let (head, rest) = text.split_once("KEY-----\n").unwrap();
        let (headers, rest) = rest.split_once("\n\n").unwrap_or(("", rest));
        let (body, tail) = rest.split_once("-----END").unwrap();
        let body: String = body.split_whitespace().collect();
        Self {
            head: format!("{head}KEY-----\n{headers}\n\n"),
            bytes: BASE64.decode(body.as_bytes()).unwrap(),
            tail: format!("\n-----END{tail}"),
        }
    }

    fn with(&self, bytes: &[u8]) -> String {
        format!("{}{}{}", self.head, BASE64.encode(bytes), self.tail)
    }

    /// With `from`, which occurs once, replaced.
    fn patched(&self, from: &[u8], to: &[u8]) -> String {
        let places: Vec<_> = self
            .bytes
            .windows(from.len())
            .enumerate()
            .filter(|(_, window)| *window == from)
            .map(|(place, _)| place)
            .collect();
        assert_eq!(places.len(), 1, "{from:?}");
        let mut bytes = self.bytes.clone();
        bytes.splice(places[0]..places[0] + from.len(), to.iter().copied());
        self.with(&bytes)
    }
}

#[test]
fn the_work_for_a_passphrase_is_bounded() {
    let bench = Bench::new();
    let ed25519 = bench.generate("ed25519");
    let ecdsa = bench.generate("ecdsa-256");
    let source = bench.write(
        "source",
        &bench.rewritten(&ecdsa, &["-m", "PKCS8", "-N", ""]),
    );
    let pass = format!("pass:{PASSPHRASE}");
    let topk8 = |args: &[&str]| {
        let mut all = vec!["pkcs8", "-topk8", "-passout", &pass];
        all.extend(args);
        Pem::new(&openssl(&all, &source))
    };
    let bcrypt = Pem::new(&bench.rewritten(&ed25519, &["-N", PASSPHRASE, "-a", "1"]));
    let pbkdf2 = topk8(&["-v2", "aes-256-cbc", "-iter", "100003"]);
    let scrypt = topk8(&[
        "-scrypt",
        "-scrypt_N",
        "1024",
        "-scrypt_r",
        "11",
        "-scrypt_p",
        "1",
    ]);
    // The number of rounds is the last of the options, before the number of keys.
    let rounds = |rounds: u32| {
        let mut to = rounds.to_be_bytes().to_vec();
        to.extend([0, 0, 0, 1, 0, 0, 0, 51]);
        bcrypt.patched(&[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 51], &to)
    };
    let parameters = [2, 2, 4, 0, 2, 1, 11, 2, 1, 1];
    let rows = [
        ("bcrypt", rounds(501)),
        ("bcrypt", rounds(1 << 31)),
        ("bcrypt", rounds(u32::MAX)),
        (
            "PBKDF2",
            pbkdf2.patched(&[2, 3, 1, 0x86, 0xa3], &[2, 3, 0x1e, 0x84, 0x81]),
        ),
        (
            "PBKDF2",
            pbkdf2.patched(&[2, 3, 1, 0x86, 0xa3], &[2, 3, 0x7f, 0xff, 0xff]),
        ),
        (
            "scrypt",
            scrypt.patched(&parameters, &[2, 2, 0x40, 0, 2, 1, 0x7f, 2, 1, 1]),
        ),
        (
            "scrypt",
            scrypt.patched(&parameters, &[2, 2, 4, 0, 2, 1, 11, 2, 1, 0x7f]),
        ),
    ];
    let start = Instant::now();
    for (name, text) in rows {
        let error = SshKey::from_pem(&text, Some(&secret())).unwrap_err();
        assert_eq!(
            error.code().name(),
            "ssh-key-unsupported",
            "{name}: {error}"
        );
        assert!(error.message().contains(name), "{error}");
        assert!(error.message().contains("accepted"), "{error}");
    }
    assert!(start.elapsed() < Duration::from_secs(10));
    // What was patched is otherwise sound.
    assert!(SshKey::from_pem(&rounds(1), Some(&secret())).is_ok());
    assert!(SshKey::from_pem(&pbkdf2.with(&pbkdf2.bytes), Some(&secret())).is_ok());
    assert!(SshKey::from_pem(&scrypt.with(&scrypt.bytes), Some(&secret())).is_ok());
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend(bytes);
}

/// A certificate whose authority is a certificate whose authority …
fn nested(depth: usize) -> Vec<u8> {
    let mut key = Vec::new();
    string(&mut key, b"ssh-ed25519");
    string(&mut key, &[7; 32]);
    let mut signature = Vec::new();
    string(&mut signature, b"ssh-ed25519");
    string(&mut signature, &[7; 64]);
    for _ in 0..depth {
        let mut outer = Vec::new();
        string(&mut outer, b"ssh-ed25519-cert-v01@openssh.com");
        string(&mut outer, &[1; 16]);
        string(&mut outer, &[7; 32]);
        outer.extend([0; 8]);
        outer.extend([0, 0, 0, 1]);
        string(&mut outer, b"id");
        string(&mut outer, b"");
        outer.extend([0; 16]);
        for _ in 0..3 {
            string(&mut outer, b"");
        }
        string(&mut outer, &key);
        string(&mut outer, &signature);
        key = outer;
    }
    key
}

#[test]
fn certificates_within_certificates_do_not_exhaust_the_stack() {
    let pair = SshKeyPair::generate_ed25519().unwrap();
    for depth in [1, 2, 8, 9, 600] {
        let blob = nested(depth);
        let line = format!("ssh-ed25519-cert-v01@openssh.com {}", BASE64.encode(&blob));
        let result = pair.key().with_certificate(&line);
        assert_eq!(code(result), "ssh-certificate-mismatch", "{depth}");
    }
    // In place of the public half of a private key, too.
    let mut bytes = b"openssh-key-v1\0".to_vec();
    string(&mut bytes, b"none");
    string(&mut bytes, b"none");
    string(&mut bytes, b"");
    bytes.extend([0, 0, 0, 1]);
    string(&mut bytes, &nested(3000));
    string(&mut bytes, &[0; 64]);
    let text = format!(
        "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
        BASE64.encode(&bytes)
    );
    assert_eq!(code(SshKey::from_pem(&text, None)), "ssh-key-unsupported");
}

/// Reproducible noise (xorshift).
struct Noise(u64);

impl Noise {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % below.max(1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.next(256)).unwrap()
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.next(3) {
            let place = self.next(bytes.len());
            match self.next(6) {
                0 => bytes.truncate(place),
                1 => bytes.insert(place, self.byte()),
                2 if !bytes.is_empty() => drop(bytes.remove(place)),
                3 => {
                    let end = (place + self.next(8)).min(bytes.len());
                    bytes[place..end].fill([0, 0x7f, 0x80, 0xff][self.next(4)]);
                }
                4 => {
                    let end = (place + self.next(40)).min(bytes.len());
                    let piece = bytes[place..end].to_vec();
                    bytes.splice(place..place, piece);
                }
                _ if !bytes.is_empty() => bytes[place] ^= 1 << self.next(8),
                _ => {}
            }
        }
    }
}

#[test]
fn halves_that_do_not_fit_are_refused() {
    let bench = Bench::new();
    let rsa = bench.generate("rsa-2048");
    let pem = Pem::new(&bench.rewritten(&rsa, &["-m", "PEM", "-N", ""]));
    let mut bytes = pem.bytes.clone();
    // In the private exponent, behind version, modulus and public exponent.
    bytes[350] ^= 4;
    let error = SshKey::from_pem(&pem.with(&bytes), None).unwrap_err();
    assert!(error.message().contains("do not fit"), "{error}");

    // The public half of another key, in both places.
    let public = |path: &std::path::Path| {
        let line = read(&path.with_extension("pub"));
        let blob = BASE64.decode(line.split(' ').nth(1).unwrap().as_bytes());
        blob.unwrap().split_off(51 - 32)
    };
    let one = bench.generate("ed25519");
    let (text, ours) = (read(&one), public(&one));
    std::fs::remove_file(&one).unwrap();
    let theirs = public(&bench.generate("ed25519"));
    let pem = Pem::new(&text);
    let mut bytes = pem.bytes.clone();
    for place in 0..bytes.len() - 32 {
        if bytes[place..place + 32] == ours {
            bytes[place..place + 32].copy_from_slice(&theirs);
        }
    }
    assert_eq!(
        code(SshKey::from_pem(&pem.with(&bytes), None)),
        "ssh-key-invalid"
    );
}

#[test]
fn nothing_panics() {
    let bench = Bench::new();
    let ed25519 = bench.generate("ed25519");
    let ecdsa = bench.generate("ecdsa-384");
    let rsa = bench.generate("rsa-2048");
    let pem = |path, pass| bench.rewritten(path, &["-m", "PEM", "-N", pass]);
    let pkcs8 = |path, pass| bench.rewritten(path, &["-m", "PKCS8", "-N", pass]);
    // A trial signature with RSA is slow without optimisation.
    let seeds = [
        (read(&ed25519), 600),
        (
            bench.rewritten(&ed25519, &["-N", PASSPHRASE, "-a", "1"]),
            150,
        ),
        (read(&ecdsa), 300),
        (pem(&ecdsa, ""), 300),
        (pem(&ecdsa, PASSPHRASE), 300),
        (pkcs8(&ecdsa, ""), 300),
        (pkcs8(&ecdsa, PASSPHRASE), 60),
        (read(&rsa), 150),
        (pem(&rsa, ""), 150),
        (pem(&rsa, PASSPHRASE), 100),
        (pkcs8(&rsa, ""), 150),
    ];
    let mut noise = Noise(0x005e_ed0f_5e55_1045);
    for (text, rounds) in &seeds {
        let whole = Pem::new(text);
        for _ in 0..*rounds {
            let mut bytes = whole.bytes.clone();
            noise.mutate(&mut bytes);
            quiet(&whole.with(&bytes));
            let mut bytes = text.clone().into_bytes();
            noise.mutate(&mut bytes);
            quiet(&String::from_utf8_lossy(&bytes));
        }
    }
    for label in ["OPENSSH ", "", "ENCRYPTED ", "RSA ", "EC "] {
        for _ in 0..200 {
            let mut bytes: Vec<u8> = (0..noise.next(300)).map(|_| noise.byte()).collect();
            if label == "OPENSSH " {
                bytes.splice(0..0, *b"openssh-key-v1\0");
            }
            let body = BASE64.encode(&bytes);
            quiet(&format!(
                "-----BEGIN {label}PRIVATE KEY-----\n{body}\n-----END {label}PRIVATE KEY-----"
            ));
            quiet(&String::from_utf8_lossy(&bytes));
        }
    }
}

/// Whatever comes of it, the error must hold no piece of the text.
fn quiet(text: &str) {
    for passphrase in [None, Some(secret())] {
        let Err(error) = SshKey::from_pem(text, passphrase.as_ref()) else {
            continue;
        };
        let shown = format!("{error:?}");
        for piece in text.lines().filter_map(|line| line.get(..40)) {
            assert!(
                piece.starts_with("-----") || !shown.contains(piece),
                "{shown}"
            );
        }
    }
}

#[test]
fn certificates_do_not_panic() {
    let bench = Bench::new();
    let path = bench.generate("ed25519");
    let mut command = std::process::Command::new("ssh-keygen");
    command.args(["-q", "-s"]).arg(&path).args(["-I", "id"]);
    support::run(command.arg(bench.path("ed25519.pub")));
    let key = SshKey::from_file(&path, None).unwrap();
    let line = read(&bench.path("ed25519-cert.pub"));
    let blob = BASE64
        .decode(line.split(' ').nth(1).unwrap().as_bytes())
        .unwrap();
    let mut noise = Noise(0xce47_1f1c_a7e5);
    for _ in 0..3000 {
        let mut bytes = blob.clone();
        noise.mutate(&mut bytes);
        let line = format!("ssh-ed25519-cert-v01@openssh.com {}", BASE64.encode(&bytes));
        drop(key.clone().with_certificate(&line));
    }
}
