//! Which key a blob holds, whatever its spelling, its type and our support for it.

use sha2::{Digest as _, Sha256};

use super::base64;

/// OpenSSH reads no smaller RSA key; a line with one is none.
const MIN_RSA_BITS: usize = 1024;
/// OpenSSH's limit of a number, in bytes.
const MAX_NUMBER: usize = 16384 / 8;

/// The types that OpenSSH reads, each with how its certificate is called.
const TYPES: &[(&str, &str)] = &[
    ("ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com"),
    (
        "sk-ssh-ed25519@openssh.com",
        "sk-ssh-ed25519-cert-v01@openssh.com",
    ),
    (
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    ),
    (
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    ),
    (
        "ecdsa-sha2-nistp521",
        "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    ),
    (
        "sk-ecdsa-sha2-nistp256@openssh.com",
        "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    ),
    ("ssh-dss", "ssh-dss-cert-v01@openssh.com"),
    ("ssh-rsa", "ssh-rsa-cert-v01@openssh.com"),
];

/// Names of signatures, which OpenSSH takes for the type of the key too.
const ALIASES: &[(&str, &str)] = &[
    ("rsa-sha2-256", "ssh-rsa"),
    ("rsa-sha2-512", "ssh-rsa"),
    (
        "rsa-sha2-256-cert-v01@openssh.com",
        "ssh-rsa-cert-v01@openssh.com",
    ),
    (
        "rsa-sha2-512-cert-v01@openssh.com",
        "ssh-rsa-cert-v01@openssh.com",
    ),
    (
        "webauthn-sk-ecdsa-sha2-nistp256@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    ),
];

/// Short names, which OpenSSH takes inside a blob, in capitals or not.
const SHORT_NAMES: &[(&str, &str)] = &[
    ("ed25519", "ssh-ed25519"),
    ("ed25519-sk", "sk-ssh-ed25519@openssh.com"),
    ("dsa", "ssh-dss"),
    ("rsa", "ssh-rsa"),
];

/// Whether a word is the name of a type of keys or certificates.
pub(super) fn is_type(word: &str) -> bool {
    let types = TYPES
        .iter()
        .flat_map(|(plain, certificate)| [plain, certificate]);
    let aliases = ALIASES.iter().map(|(alias, _)| alias);
    types.chain(aliases).any(|known| *known == word)
}

/// A public key of any type: equal when it is the same key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// The type, without that it is certified.
    kind: String,
    /// The rest of the plain key's blob, with each number in the form that RFC 4251 prescribes.
    material: Vec<u8>,
    /// The size of an RSA key.
    rsa_bits: Option<usize>,
}

/// What a blob holds.
#[derive(Debug, Clone)]
pub(super) struct Blob {
    /// The key; of a certificate, the one that it certifies.
    pub(super) key: Key,
    /// Whether it is a certificate.
    pub(super) is_certificate: bool,
    /// `SHA256:…` as `ssh-keygen -l` prints it: of the plain key in its usual spelling, also for a
    /// certificate.
    pub(super) fingerprint: String,
}

impl Key {
    pub(super) fn kind(&self) -> &str {
        &self.kind
    }

    /// Whether OpenSSH knows the type.
    pub(super) fn is_known(&self) -> bool {
        TYPES.iter().any(|(plain, _)| *plain == self.kind)
    }

    pub(super) fn rsa_bits(&self) -> Option<usize> {
        self.rsa_bits
    }
}

impl Blob {
    /// The blob that stands behind `label` in a file; `None` where OpenSSH reads no key either, but
    /// for types that it does not know.
    pub(super) fn parse(label: &[u8], blob: &[u8]) -> Option<Self> {
        let mut rest = Reader(blob);
        let inner = rest.string()?;
        let label = std::str::from_utf8(label).ok()?;
        let inner = std::str::from_utf8(inner).ok()?;
        let name = full_name(label);
        let inner_name = SHORT_NAMES
            .iter()
            .find(|(short, _)| short.eq_ignore_ascii_case(inner))
            .map_or_else(|| full_name(inner), |(_, full)| full);
        if name != inner_name {
            return None;
        }
        let found = TYPES
            .iter()
            .find(|(plain, certificate)| name == *plain || name == *certificate);
        let Some((kind, certificate)) = found else {
            let key = Key {
                kind: name.to_owned(),
                material: rest.0.to_vec(),
                rsa_bits: None,
            };
            return Self::of(key, false);
        };
        let is_certificate = name == *certificate;
        if is_certificate {
            rest.string()?;
        }
        let key = body(kind, &mut rest)?;
        if !is_certificate && !rest.0.is_empty() {
            return None;
        }
        Self::of(key, is_certificate)
    }

    fn of(key: Key, is_certificate: bool) -> Option<Self> {
        let mut plain = Vec::new();
        put(&mut plain, key.kind.as_bytes())?;
        plain.extend_from_slice(&key.material);
        Some(Self {
            key,
            is_certificate,
            fingerprint: fingerprint(&plain),
        })
    }
}

/// `SHA256:` and the digest of the blob.
fn fingerprint(blob: &[u8]) -> String {
    let digest = base64::encode(&Sha256::digest(blob));
    format!("SHA256:{}", digest.trim_end_matches('='))
}

fn full_name(name: &str) -> &str {
    ALIASES
        .iter()
        .find(|(alias, _)| *alias == name)
        .map_or(name, |(_, full)| full)
}

fn body(kind: &str, reader: &mut Reader<'_>) -> Option<Key> {
    let mut material = Vec::new();
    let mut rsa_bits = None;
    match kind {
        "ssh-ed25519" | "sk-ssh-ed25519@openssh.com" => {
            let point = reader.string()?;
            if point.len() != 32 {
                return None;
            }
            put(&mut material, point)?;
        }
        "ssh-dss" => {
            for _ in 0..4 {
                put_number(&mut material, reader.number()?)?;
            }
        }
        "ssh-rsa" => {
            put_number(&mut material, reader.number()?)?;
            let modulus = reader.number()?;
            let unused = modulus.first()?.leading_zeros();
            let bits = modulus.len() * 8 - usize::try_from(unused).ok()?;
            if bits < MIN_RSA_BITS {
                return None;
            }
            rsa_bits = Some(bits);
            put_number(&mut material, modulus)?;
        }
        _ => {
            let (curve, len) = match kind {
                "ecdsa-sha2-nistp384" => ("nistp384", 48),
                "ecdsa-sha2-nistp521" => ("nistp521", 66),
                _ => ("nistp256", 32),
            };
            let (named, point) = (reader.string()?, reader.string()?);
            // Uncompressed points only.
            if named != curve.as_bytes() || point.len() != 1 + 2 * len || point.first() != Some(&4)
            {
                return None;
            }
            put(&mut material, named)?;
            put(&mut material, point)?;
        }
    }
    if kind.starts_with("sk-") {
        put(&mut material, reader.string()?)?;
    }
    Some(Key {
        kind: kind.to_owned(),
        material,
        rsa_bits,
    })
}

fn put(material: &mut Vec<u8>, part: &[u8]) -> Option<()> {
    material.extend_from_slice(&u32::try_from(part.len()).ok()?.to_be_bytes());
    material.extend_from_slice(part);
    Some(())
}

/// A number without leading zeros, after one where it would be negative otherwise.
fn put_number(material: &mut Vec<u8>, number: &[u8]) -> Option<()> {
    if number.first().is_some_and(|byte| byte & 0x80 != 0) {
        return put(material, &[&[0], number].concat());
    }
    put(material, number)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn string(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.0.split_first_chunk::<4>()?;
        let (string, rest) = rest.split_at_checked(u32::from_be_bytes(*len).try_into().ok()?)?;
        self.0 = rest;
        Some(string)
    }

    /// A number without leading zeros; not a negative one.
    fn number(&mut self) -> Option<&'a [u8]> {
        let bytes = self.string()?;
        let too_long = bytes.len() > MAX_NUMBER + 1
            || bytes.len() == MAX_NUMBER + 1 && bytes.first() != Some(&0);
        if too_long || bytes.first().is_some_and(|byte| byte & 0x80 != 0) {
            return None;
        }
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes.get(zeros..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn blob(parts: &[&[u8]]) -> Vec<u8> {
        let mut blob = Vec::new();
        for part in parts {
            put(&mut blob, part).unwrap();
        }
        blob
    }

    fn parse(label: &str, parts: &[&[u8]]) -> Option<Blob> {
        Blob::parse(label.as_bytes(), &blob(parts))
    }

    #[test]
    fn a_key_is_the_same_in_every_spelling() {
        let modulus = [0xc5; 256];
        let padded = [&[0, 0, 0], &modulus[..]].concat();
        let once = [&[0], &modulus[..]].concat();
        let usual = parse("ssh-rsa", &[b"ssh-rsa", &[1, 0, 1], &once]).unwrap();
        assert_eq!(usual.key.rsa_bits(), Some(2048));
        let fingerprint = fingerprint(&blob(&[b"ssh-rsa", &[1, 0, 1], &once]));
        assert_eq!(usual.fingerprint, fingerprint);
        for (label, inner) in [
            ("ssh-rsa", "RSA"),
            ("ssh-rsa", "rsa-sha2-256"),
            ("rsa-sha2-512", "ssh-rsa"),
        ] {
            let other = parse(label, &[inner.as_bytes(), &[0, 1, 0, 1], &padded]).unwrap();
            assert_eq!(other.key, usual.key, "{label} {inner}");
            assert_eq!(other.fingerprint, fingerprint, "{label} {inner}");
            assert!(!other.is_certificate);
        }
        let certified = parse(
            "ssh-rsa-cert-v01@openssh.com",
            &[
                b"ssh-rsa-cert-v01@openssh.com",
                b"nonce",
                &[1, 0, 1],
                &once,
                b"more",
            ],
        )
        .unwrap();
        assert_eq!(certified.key, usual.key);
        assert_eq!(certified.fingerprint, fingerprint);
        assert!(certified.is_certificate);
    }

    #[test]
    fn what_is_no_key() {
        let ed25519: &[u8] = &[7; 32];
        let point = [&[4][..], &[9; 64]].concat();
        assert!(parse("ssh-ed25519", &[b"ssh-ed25519", ed25519]).is_some());
        assert!(parse("ssh-ed25519", &[b"Ed25519", ed25519]).is_some());
        assert!(
            parse(
                "ecdsa-sha2-nistp256",
                &[b"ecdsa-sha2-nistp256", b"nistp256", &point]
            )
            .is_some()
        );
        assert!(parse("ssh-new", &[b"ssh-new", b"anything"]).is_some());
        let cases: &[(&str, &[&[u8]])] = &[
            ("ssh-ed25519", &[]),
            ("ssh-ed25519", &[b"ssh-ed25519"]),
            ("ssh-ed25519", &[b"ssh-ed25519", &[7; 31]]),
            ("ssh-ed25519", &[b"ssh-ed25519", ed25519, b""]),
            ("ssh-ed25519", &[b"ssh-rsa", ed25519]),
            ("SSH-ED25519", &[b"ssh-ed25519", ed25519]),
            ("ed25519", &[b"ed25519", ed25519]),
            ("ssh-new", &[b"ssh-old", b"anything"]),
            ("ssh-rsa", &[b"ssh-rsa", &[1, 0, 1], &[0x7f; 127]]),
            ("ssh-rsa", &[b"ssh-rsa", &[1, 0, 1], &[0x80; 256]]),
            ("ssh-rsa", &[b"ssh-rsa", &[1, 0, 1], &[]]),
            (
                "ecdsa-sha2-nistp256",
                &[b"ecdsa-sha2-nistp256", b"nistp384", &point],
            ),
            (
                "ecdsa-sha2-nistp256",
                &[b"ecdsa-sha2-nistp256", b"nistp256", &point[1..]],
            ),
            (
                "sk-ssh-ed25519@openssh.com",
                &[b"sk-ssh-ed25519@openssh.com", ed25519],
            ),
        ];
        for (label, parts) in cases {
            assert!(parse(label, parts).is_none(), "{label} {parts:?}");
        }
    }
}
