//! ECDSA keys whose private number is short: one in 256 begins with a zero byte on two of the
//! curves, and OpenSSH leaves such bytes out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use data_encoding::BASE64;
use pgreach_core::Secret;
use pgreach_transport_ssh::{SshKey, SshKeyPair};
use support::{Bench, PASSPHRASE, code, keygen, openssl, secret};

struct Curve {
    name: &'static str,
    oid: &'static [u8],
    size: usize,
}

const CURVES: [Curve; 3] = [
    Curve {
        name: "nistp256",
        oid: &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
        size: 32,
    },
    Curve {
        name: "nistp384",
        oid: &[0x2b, 0x81, 0x04, 0x00, 0x22],
        size: 48,
    },
    Curve {
        name: "nistp521",
        oid: &[0x2b, 0x81, 0x04, 0x00, 0x23],
        size: 66,
    },
];

fn der(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag, u8::try_from(body.len()).unwrap()];
    assert!(body.len() < 128);
    out.extend(body);
    out
}

fn string(out: &mut Vec<u8>, part: &[u8]) {
    out.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
    out.extend(part);
}

impl Curve {
    /// The public point, as OpenSSL computes it.
    fn point(&self, bench: &Bench, scalar: &[u8]) -> Vec<u8> {
        let mut padded = vec![0; self.size - scalar.len()];
        padded.extend(scalar);
        let oid = der(0xa0, &der(6, self.oid));
        let key = der(
            0x30,
            &[&[2, 1, 1][..], &der(4, &padded), oid.as_slice()].concat(),
        );
        let file = bench.write(
            "sec1",
            &format!(
                "-----BEGIN EC PRIVATE KEY-----\n{}\n-----END EC PRIVATE KEY-----\n",
                BASE64.encode(&key)
            ),
        );
        let public = openssl(&["ec", "-pubout"], &file);
        let text: String = public
            .lines()
            .filter(|line| !line.contains("-----"))
            .collect();
        let bytes = BASE64.decode(text.as_bytes()).unwrap();
        bytes[bytes.len() - 1 - 2 * self.size..].to_vec()
    }

    /// The key as OpenSSH writes it, with the number as given.
    fn openssh(&self, point: &[u8], number: &[u8]) -> String {
        let kind = format!("ecdsa-sha2-{}", self.name);
        let mut public = Vec::new();
        for part in [kind.as_bytes(), self.name.as_bytes(), point] {
            string(&mut public, part);
        }
        let mut private = vec![1, 2, 3, 4, 1, 2, 3, 4];
        private.extend(&public);
        string(&mut private, number);
        string(&mut private, b"a comment");
        for n in 1..=(8 - private.len() % 8) % 8 {
            private.push(u8::try_from(n).unwrap());
        }
        let mut bytes = b"openssh-key-v1\0".to_vec();
        for part in [&b"none"[..], b"none", b""] {
            string(&mut bytes, part);
        }
        bytes.extend([0, 0, 0, 1]);
        string(&mut bytes, &public);
        string(&mut bytes, &private);
        let base64 = BASE64.encode(&bytes);
        let lines: Vec<_> = base64
            .as_bytes()
            .chunks(70)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        format!(
            "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n",
            lines.join("\n")
        )
    }
}

#[test]
fn numbers_of_every_length() {
    let bench = Bench::new();
    for curve in &CURVES {
        let full = match curve.name {
            "nistp521" => 65,
            _ => curve.size,
        };
        // OpenSSH takes no number of half the length or less.
        for length in [full, full - 1, full - 2, full - 8, curve.size / 2 + 2] {
            // The first byte is also one that needs a zero before it.
            for first in [0x7f, 0x81] {
                let scalar: Vec<u8> = (0..length)
                    .map(|n| u8::try_from(n * 7 % 251).unwrap() ^ first)
                    .collect();
                let point = curve.point(&bench, &scalar);
                let mut number = scalar.clone();
                if first > 0x7f {
                    number.insert(0, 0);
                }
                let what = format!("{} {length} {first}", curve.name);
                let text = curve.openssh(&point, &number);
                let file = bench.write("key", &text);
                let theirs = keygen(&["-y"], &file);
                let ours = SshKey::from_pem(&text, None).unwrap_or_else(|error| {
                    panic!("{what}: {error}");
                });
                assert_eq!(ours.public_line(), theirs.trim_end(), "{what}");
                // And what is written of it is read again, there as well as here.
                let again = SshKeyPair::from_pem(&text, None).unwrap();
                let again = again.private_pem(None).unwrap();
                let file = bench.write("again", again.expose());
                assert_eq!(keygen(&["-y"], &file), theirs, "{what}");
                SshKey::from_pem(again.expose(), None).unwrap();
            }
        }
    }
}

#[test]
fn short_numbers_in_encrypted_keys() {
    let bench = Bench::new();
    for curve in &CURVES {
        let scalar = vec![0x55; curve.size - 2];
        let point = curve.point(&bench, &scalar);
        let file = bench.write("key", &curve.openssh(&point, &scalar));
        let public = keygen(&["-y"], &file);
        for cipher in [
            "aes256-ctr",
            "aes256-cbc",
            "3des-cbc",
            "aes256-gcm@openssh.com",
            "chacha20-poly1305@openssh.com",
        ] {
            let text = bench.rewritten(&file, &["-N", PASSPHRASE, "-Z", cipher, "-a", "1"]);
            let what = format!("{} {cipher}", curve.name);
            let key = SshKey::from_pem(&text, Some(&secret()))
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(key.public_line(), public.trim_end(), "{what}");
            assert_eq!(
                code(SshKey::from_pem(&text, Some(&Secret::new("wrong")))),
                "ssh-key-passphrase-wrong",
                "{what}"
            );
            assert_eq!(
                code(SshKey::from_pem(&text, None)),
                "ssh-key-passphrase-missing",
                "{what}"
            );
        }
    }
}

/// Numbers that are no private half of the point, or none at all.
#[test]
fn other_numbers_are_damaged_keys() {
    let bench = Bench::new();
    for curve in &CURVES {
        let point = curve.point(&bench, &[0x55; 31]);
        for number in [
            vec![],
            vec![0],
            vec![0; 31],
            vec![0; curve.size],
            vec![0; 200],
            vec![0x55; 30],
            vec![0xff; curve.size],
            vec![0x55; curve.size + 1],
            vec![0x55; 500],
        ] {
            let text = curve.openssh(&point, &number);
            assert_eq!(
                code(SshKey::from_pem(&text, None)),
                "ssh-key-invalid",
                "{} {number:?}",
                curve.name
            );
        }
    }
}
