//! Files with everything that a `known_hosts` file may hold, and what it should not.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

use super::super::base64;
use super::super::random::Random;
use super::keys::{HOSTS, Keys, Offered};

/// A file, and the key that a host shows.
pub(super) struct Case<'a> {
    pub(super) host: &'static str,
    pub(super) port: u16,
    pub(super) offered: &'a Offered,
    pub(super) text: Vec<u8>,
    /// A second file.
    pub(super) second: Option<Vec<u8>>,
}

impl<'a> Case<'a> {
    pub(super) fn generate(seed: u64, index: usize, keys: &'a Keys) -> Self {
        let mut random = Random(seed.wrapping_add(u64::try_from(index).unwrap() << 20));
        let host = random.pick(HOSTS);
        let port = if random.one_in(2) { 22 } else { 2222 };
        let mut writer = Writer {
            offered: random.pick(&keys.offered),
            random,
            keys,
            host,
            port,
        };
        let mut text = Vec::new();
        let mut second = writer.random.one_in(3).then(Vec::new);
        for _ in 0..=writer.random.below(5) {
            let line = writer.line();
            match &mut second {
                Some(second) if writer.random.one_in(2) => second.extend(line),
                _ => text.extend(line),
            }
        }
        // What `ssh` 9.2 reads behind a last line that ends with the hosts is left over from an
        // earlier line, so every line has its end.
        Self {
            host,
            port,
            offered: writer.offered,
            text,
            second,
        }
    }

    /// Both files.
    pub(super) fn whole(&self) -> Vec<u8> {
        [
            self.text.as_slice(),
            self.second.as_deref().unwrap_or_default(),
        ]
        .concat()
    }
}

struct Writer<'a> {
    random: Random,
    keys: &'a Keys,
    host: &'static str,
    port: u16,
    offered: &'a Offered,
}

impl Writer<'_> {
    fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        match self.random.below(40) {
            0 => line.extend(b"# a comment"),
            1 => line.extend(b" \t "),
            2 => line.extend(self.garbage()),
            3 => line.extend(self.hosts()),
            _ => self.record(&mut line),
        }
        line.extend(*self.random.pick(&[&b"\n"[..], b"\n", b"\n", b"\r\n"]));
        line
    }

    fn record(&mut self, line: &mut Vec<u8>) {
        if self.random.one_in(12) {
            line.extend(*self.random.pick(&[&b" "[..], b"\t", b" \t "]));
        }
        let has_certificate = self.offered.certificate.is_some();
        let (mut is_authority, mut is_revocation) = (false, false);
        match self.random.below(if has_certificate { 12 } else { 16 }) {
            0..=5 if has_certificate => is_authority = true,
            0 => is_authority = true,
            11 => is_revocation = true,
            _ => {}
        }
        if is_authority || is_revocation {
            line.extend(self.marker(is_authority));
        } else if self.random.one_in(60) {
            line.extend(*self.random.pick(&[
                &b"@unknown "[..],
                b"@CERT-AUTHORITY ",
                b"@ ",
                b"@revoked @revoked ",
                b"@cert-authority @revoked ",
            ]));
        }
        let hosts = self.hosts();
        line.extend(hosts);
        let blank = self.blank();
        line.extend(blank);
        let key = self.key(is_authority, is_revocation);
        line.extend(key);
        if self.random.one_in(3) {
            line.extend(self.blank());
            line.extend(*self.random.pick(&[
                &b"comment"[..],
                b"a b # c",
                b"\xff\xfe",
                b"@revoked",
                b"a\0b",
            ]));
        }
    }

    fn marker(&mut self, is_authority: bool) -> Vec<u8> {
        let name = if is_authority {
            "@cert-authority"
        } else {
            "@revoked"
        };
        let blank = match self.random.below(12) {
            0 => "\t",
            1 => "  ",
            2 => " \t",
            _ => " ",
        };
        format!("{name}{blank}").into_bytes()
    }

    fn blank(&mut self) -> Vec<u8> {
        self.random
            .pick(&[" ", " ", " ", "\t", "  ", " \t "])
            .as_bytes()
            .to_vec()
    }

    fn recorded(&self) -> String {
        match self.port {
            22 => self.host.to_owned(),
            port => format!("[{}]:{port}", self.host),
        }
    }

    /// The first field.
    fn hosts(&mut self) -> Vec<u8> {
        match self.random.below(10) {
            0..=3 => self.recorded().into_bytes(),
            4 => self.host.to_uppercase().into_bytes(),
            5 => self.hashed(),
            _ => {
                let mut patterns = Vec::new();
                for _ in 0..=self.random.below(3) {
                    patterns.push(self.pattern());
                }
                patterns.join(",").into_bytes()
            }
        }
    }

    fn pattern(&mut self) -> String {
        let recorded = self.recorded();
        let host = self.host;
        let pattern = match self.random.below(20) {
            0 => recorded,
            1 => recorded.to_uppercase(),
            2 => host.to_owned(),
            3 => "*".to_owned(),
            4 => format!("{}*", &recorded[..2]),
            5 => format!("*{}", &recorded[1..]),
            6 => format!("?{}", &recorded[1..]),
            7 => "*.example.com".to_owned(),
            8 => "*.EXAMPLE.com".to_owned(),
            9 => "[*]:2222".to_owned(),
            10 => "[*".to_owned(),
            11 => format!("[{host}]:22"),
            12 => format!("[{host}]:*"),
            13 => "?".repeat(recorded.len()),
            14 => "?".repeat(recorded.len() + 1),
            15 => "other.example.com".to_owned(),
            16 => String::new(),
            17 => "**?*".to_owned(),
            18 => format!("{}*{}", &host[..1], &host[host.len() - 1..]),
            _ => "x".repeat(1021 + self.random.below(4)),
        };
        if self.random.one_in(7) {
            format!("!{pattern}")
        } else {
            pattern
        }
    }

    fn hashed(&mut self) -> Vec<u8> {
        let name = match self.random.below(6) {
            0 => "other".to_owned(),
            1 => self.host.to_owned(),
            2 => self.recorded().to_uppercase(),
            _ => self.recorded(),
        };
        let mut salt = [0; 20];
        salt.fill_with(|| self.random.next().to_be_bytes()[0]);
        let mac = Hmac::<Sha1>::new_from_slice(&salt).unwrap();
        let hash = mac.chain_update(&name).finalize().into_bytes();
        let text = format!("|1|{}|{}", base64::encode(&salt), base64::encode(&hash));
        match self.random.below(14) {
            0 => text.trim_end_matches('=').to_owned(),
            4 => text.replacen('=', "\x0b=", 1),
            5 => format!("{text}\r"),
            1 => format!("{text},{name}"),
            2 => text.replace("|1|", "|2|"),
            3 => format!("{name},{text}"),
            _ => text,
        }
        .into_bytes()
    }

    /// Label and blob.
    fn key(&mut self, is_authority: bool, is_revocation: bool) -> Vec<u8> {
        let right = match (is_authority, self.offered.signer) {
            (true, Some(signer)) => signer,
            _ if is_revocation && self.random.one_in(3) => {
                self.offered.signer.unwrap_or(self.offered.key)
            }
            _ => self.offered.key,
        };
        let others = [
            "ed1", "ed2", "p256", "p384", "rsa", "rsa1024", "dsa", "ca-ed", "ca-other", "ca-rsa",
            "good",
        ];
        let name = if self.random.below(10) < 6 {
            right
        } else {
            self.random.pick(&others)
        };
        let (mut label, mut blob) = self.keys.blob(name);
        match self.random.below(40) {
            0 => (label, blob) = foreign(self.random.below(4)),
            1 if label == "ssh-rsa" => label = "rsa-sha2-512".to_owned(),
            2 => label = label.to_uppercase(),
            3 => label = "ssh-ed25519".to_owned(),
            4 => blob.push(0),
            5 => blob.truncate(blob.len() - 1),
            6..=9 => blob = respelled(&blob, self.random.below(2)),
            _ => {}
        }
        let mut text = base64::encode(&blob);
        match self.random.below(40) {
            0 => text = text.trim_end_matches('=').to_owned(),
            1 => text.insert(20, '\x0b'),
            2 => text.insert(20, '\r'),
            3 => text.insert(20, '-'),
            4 => text.insert(20, '\0'),
            5 => text.push('='),
            6 => text = text.replace("==", "=\r="),
            _ => {}
        }
        let mut key = label.into_bytes();
        if !self.random.one_in(60) {
            key.extend(self.blank());
            key.extend(text.bytes());
        }
        key
    }

    fn garbage(&mut self) -> Vec<u8> {
        let len = self.random.below(80);
        (0..len)
            .map(|_| self.random.next().to_be_bytes()[0])
            .filter(|byte| !b"\n\0*".contains(byte))
            .collect()
    }
}

fn string(blob: &mut Vec<u8>, part: &[u8]) {
    blob.extend(u32::try_from(part.len()).unwrap().to_be_bytes());
    blob.extend(part);
}

/// A key that this crate has no support for.
fn foreign(which: usize) -> (String, Vec<u8>) {
    let mut point = vec![9; 133];
    point[0] = 4;
    let parts: &[&[u8]] = match which {
        0 => &[b"ssh-unknown@example.com", b"anything"],
        1 => &[b"sk-ssh-ed25519@openssh.com", &[9; 32], b"ssh:"],
        // No point of the curve, so OpenSSH reads no key.
        2 => &[b"ecdsa-sha2-nistp521", b"nistp521", &point],
        _ => &[b"ssh-ed25519", &[9; 32]],
    };
    let mut blob = Vec::new();
    for part in parts {
        string(&mut blob, part);
    }
    (String::from_utf8(parts[0].to_vec()).unwrap(), blob)
}

/// The same key with another name in the blob, or with zeros before an RSA key's modulus.
pub(super) fn respelled(blob: &[u8], how: usize) -> Vec<u8> {
    let mut parts = Vec::new();
    let mut rest = blob;
    while let Some((len, tail)) = rest.split_first_chunk::<4>() {
        let Some((part, tail)) =
            tail.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).unwrap())
        else {
            return blob.to_vec();
        };
        parts.push(part.to_vec());
        rest = tail;
    }
    match parts[0].as_slice() {
        b"ssh-rsa" if how == 0 => parts[2].insert(0, 0),
        b"ssh-rsa" => parts[0] = b"rsa".to_vec(),
        b"ssh-ed25519" => parts[0] = b"ED25519".to_vec(),
        _ => {}
    }
    let mut again = Vec::new();
    for part in parts {
        string(&mut again, &part);
    }
    again
}
