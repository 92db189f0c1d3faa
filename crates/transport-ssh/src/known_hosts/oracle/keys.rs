//! The keys and certificates that servers show and files hold.

use std::path::{Path, PathBuf};
use std::process::Command;

use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::{Certificate, PrivateKey, PublicKey, PublicKeyOrCertificate};

use super::super::base64;

/// The hosts that good certificates are issued for.
pub(super) const HOSTS: &[&str] = &["bastion.example.com", "db", "192.0.2.7", "2001:db8::7"];

/// What a server shows.
pub(super) struct Offered {
    pub(super) name: String,
    /// The private key's file.
    pub(super) key: &'static str,
    /// As `HostKeyAlgorithms` calls it.
    pub(super) algorithm: String,
    public: PublicKey,
    pub(super) certificate: Option<Certificate>,
    /// The authority that signed it.
    pub(super) signer: Option<&'static str>,
}

impl Offered {
    pub(super) fn shown(&self) -> PublicKeyOrCertificate {
        match &self.certificate {
            Some(certificate) => certificate.clone().into(),
            None => self.public.clone().into(),
        }
    }
}

pub(super) struct Keys {
    directory: PathBuf,
    pub(super) offered: Vec<Offered>,
}

/// Name, type and bits.
const KEYS: &[(&str, &str, &str)] = &[
    ("ed1", "ed25519", "256"),
    ("ed2", "ed25519", "256"),
    ("p256", "ecdsa", "256"),
    ("p384", "ecdsa", "384"),
    ("rsa", "rsa", "2048"),
    ("rsa1024", "rsa", "1024"),
    ("dsa", "dsa", "1024"),
    ("ca-ed", "ed25519", "256"),
    ("ca-other", "ed25519", "256"),
    ("ca-p256", "ecdsa", "256"),
    ("ca-rsa", "rsa", "2048"),
    ("ca-rsa1024", "rsa", "1024"),
];

impl Keys {
    pub(super) fn make(directory: &Path) -> Self {
        let keys = Self {
            directory: directory.to_owned(),
            offered: Vec::new(),
        };
        for (name, kind, bits) in KEYS {
            keygen(&[
                "-q",
                "-N",
                "",
                "-C",
                "comment",
                "-t",
                kind,
                "-b",
                bits,
                "-f",
                &keys.path(name).display().to_string(),
            ]);
        }
        let plain = [
            ("ed1", "ssh-ed25519"),
            ("p256", "ecdsa-sha2-nistp256"),
            ("p384", "ecdsa-sha2-nistp384"),
            ("rsa", "rsa-sha2-512"),
            ("rsa1024", "rsa-sha2-256"),
        ];
        let plain = plain.map(|(key, algorithm)| Offered {
            name: key.to_owned(),
            key,
            algorithm: algorithm.to_owned(),
            public: keys.public(key),
            certificate: None,
            signer: None,
        });
        let mut offered = Vec::from(plain);
        let good = || Wish::for_names(HOSTS);
        let year = 365 * 24 * 3600;
        let wishes = [
            ("good", "ed1", "ca-ed", good()),
            ("good-p256", "p256", "ca-p256", good()),
            ("good-p384", "p384", "ca-ed", good()),
            (
                "many",
                "ed1",
                "ca-ed",
                Wish::for_names(&["a", "b", "db", "bastion.example.com"]),
            ),
            (
                "other-name",
                "ed1",
                "ca-ed",
                Wish::for_names(&["other", "bastion"]),
            ),
            (
                "with-port",
                "ed1",
                "ca-ed",
                Wish::for_names(&["[db]:2222", "[bastion.example.com]:2222"]),
            ),
            (
                "wildcard",
                "ed1",
                "ca-ed",
                Wish::for_names(&["*", "*.example.com", "d?"]),
            ),
            (
                "capitals",
                "ed1",
                "ca-ed",
                Wish::for_names(&["DB", "Bastion.example.com"]),
            ),
            ("nameless", "ed1", "ca-ed", Wish::for_names(&[])),
            (
                "expired",
                "ed1",
                "ca-ed",
                Wish {
                    until: NOW_ISH - year,
                    ..good()
                },
            ),
            (
                "future",
                "ed1",
                "ca-ed",
                Wish {
                    from: NOW_ISH * 2,
                    until: u64::MAX,
                    ..good()
                },
            ),
            (
                "forever",
                "ed1",
                "ca-ed",
                Wish {
                    from: 0,
                    until: u64::MAX,
                    ..good()
                },
            ),
            (
                "user",
                "ed1",
                "ca-ed",
                Wish {
                    kind: CertType::User,
                    ..good()
                },
            ),
            (
                "critical",
                "ed1",
                "ca-ed",
                Wish {
                    critical: true,
                    ..good()
                },
            ),
        ];
        for (name, key, signer, wish) in wishes {
            let certificate = wish.sign(&keys.private(signer), &keys.public(key));
            std::fs::write(keys.path(name), certificate.to_openssh().unwrap()).unwrap();
            offered.push(keys.certified(name, key, signer, certificate));
        }
        for (name, key, signer, algorithm) in [
            ("by-rsa", "ed1", "ca-rsa", "rsa-sha2-512"),
            ("by-rsa-sha1", "ed1", "ca-rsa", "ssh-rsa"),
            ("by-rsa1024", "ed1", "ca-rsa1024", "rsa-sha2-256"),
            ("of-rsa", "rsa", "ca-rsa", "rsa-sha2-256"),
        ] {
            // ssh-keygen takes the name of its output from that of the key.
            std::fs::copy(
                keys.path(&format!("{key}.pub")),
                keys.path(&format!("{name}.pub")),
            )
            .unwrap();
            let names = HOSTS.join(",");
            keygen(&[
                "-q",
                "-h",
                "-I",
                "id",
                "-n",
                &names,
                "-t",
                algorithm,
                "-s",
                &keys.path(signer).display().to_string(),
                &keys.path(&format!("{name}.pub")).display().to_string(),
            ]);
            std::fs::rename(keys.path(&format!("{name}-cert.pub")), keys.path(name)).unwrap();
            let certificate = Certificate::read_file(&keys.path(name)).unwrap();
            offered.push(keys.certified(name, key, signer, certificate));
        }
        Self { offered, ..keys }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn public(&self, name: &str) -> PublicKey {
        PublicKey::read_openssh_file(self.path(&format!("{name}.pub"))).unwrap()
    }

    fn private(&self, name: &str) -> PrivateKey {
        PrivateKey::read_openssh_file(self.path(name)).unwrap()
    }

    fn certified(
        &self,
        name: &str,
        key: &'static str,
        signer: &'static str,
        certificate: Certificate,
    ) -> Offered {
        let algorithm = match key {
            "rsa" => "rsa-sha2-512-cert-v01@openssh.com".to_owned(),
            _ => certificate.algorithm().to_certificate_type(),
        };
        Offered {
            name: name.to_owned(),
            key,
            algorithm,
            public: self.public(key),
            certificate: Some(certificate),
            signer: Some(signer),
        }
    }

    /// The label and the blob of a key or a certificate.
    pub(super) fn blob(&self, name: &str) -> (String, Vec<u8>) {
        let is_certificate = !KEYS.iter().any(|(key, ..)| *key == name);
        let file = if is_certificate {
            self.path(name)
        } else {
            self.path(&format!("{name}.pub"))
        };
        let text = std::fs::read_to_string(file).unwrap();
        let mut words = text.split_ascii_whitespace();
        let label = words.next().unwrap().to_owned();
        let blob = base64::decode(words.next().unwrap().as_bytes()).unwrap();
        (label, blob)
    }
}

/// Far enough from the limits of certificates that the clock does not matter.
const NOW_ISH: u64 = 1_750_000_000;

struct Wish {
    names: &'static [&'static str],
    from: u64,
    until: u64,
    kind: CertType,
    critical: bool,
}

impl Wish {
    fn for_names(names: &'static [&'static str]) -> Self {
        Self {
            names,
            from: 1000,
            until: NOW_ISH * 2,
            kind: CertType::Host,
            critical: false,
        }
    }

    fn sign(&self, signer: &PrivateKey, key: &PublicKey) -> Certificate {
        let mut builder =
            Builder::new(vec![7; 32], key.key_data().clone(), self.from, self.until).unwrap();
        builder.cert_type(self.kind).unwrap();
        builder.key_id("id").unwrap();
        for name in self.names {
            builder.valid_principal(*name).unwrap();
        }
        if self.names.is_empty() {
            builder.all_principals_valid().unwrap();
        }
        if self.critical {
            builder
                .critical_option("unheard-of@example.com", "")
                .unwrap();
        }
        builder.sign(signer).unwrap()
    }
}

fn keygen(arguments: &[&str]) {
    let output = Command::new("ssh-keygen").args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "ssh-keygen {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
