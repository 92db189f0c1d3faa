//! Which algorithms may be negotiated, by their OpenSSH names.

use std::borrow::Cow;

use pgreach_core::{Error, Stage};
use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::{Preferred, cipher, compression, kex, mac};

use crate::codes;

/// The algorithms of an SSH hop, most preferred first.
///
/// The defaults take AES-GCM first where the CPU has AES instructions and ChaCha20-Poly1305 first
/// elsewhere, the post-quantum key exchange `mlkem768x25519-sha256` first, and nothing that rests on
/// SHA-1, Diffie-Hellman groups below 2048 bits, CBC or compression. A setter replaces the whole list
/// of its kind; a name may have been left out of the defaults for a reason.
///
/// Whatever is set, a session whose cipher is not AES-GCM is refused unless the server supports strict
/// key exchange (CVE-2023-48795, "Terrapin").
///
/// ```
/// use pgreach_transport_ssh::Algorithms;
///
/// let algorithms = Algorithms::default()
///     .with_ciphers(["aes256-ctr", "aes128-ctr"])?
///     .with_kex(["curve25519-sha256"])?;
/// assert!(Algorithms::default().with_ciphers(["rot13"]).is_err());
/// # Ok::<(), pgreach_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Algorithms {
    kex: Vec<kex::Name>,
    ciphers: Vec<cipher::Name>,
    macs: Vec<mac::Name>,
    host_keys: Vec<Algorithm>,
}

/// Not algorithms, but how a key exchange says that it supports an extension.
const EXTENSIONS: [kex::Name; 2] = [
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];

impl Default for Algorithms {
    fn default() -> Self {
        let gcm = [cipher::AES_256_GCM, cipher::AES_128_GCM];
        let chacha = [cipher::CHACHA20_POLY1305];
        let ctr = [
            cipher::AES_256_CTR,
            cipher::AES_192_CTR,
            cipher::AES_128_CTR,
        ];
        let ciphers = if cpu_has_aes() {
            [&gcm[..], &chacha, &ctr].concat()
        } else {
            [&chacha[..], &gcm, &ctr].concat()
        };
        Self {
            kex: vec![
                kex::MLKEM768X25519_SHA256,
                kex::CURVE25519,
                kex::CURVE25519_PRE_RFC_8731,
                kex::ECDH_SHA2_NISTP256,
                kex::ECDH_SHA2_NISTP384,
                kex::ECDH_SHA2_NISTP521,
                kex::DH_GEX_SHA256,
                kex::DH_G16_SHA512,
                kex::DH_G18_SHA512,
                kex::DH_G14_SHA256,
            ],
            ciphers,
            macs: vec![
                mac::HMAC_SHA512_ETM,
                mac::HMAC_SHA256_ETM,
                mac::HMAC_SHA512,
                mac::HMAC_SHA256,
            ],
            host_keys: vec![
                Algorithm::Ed25519,
                ecdsa(EcdsaCurve::NistP256),
                ecdsa(EcdsaCurve::NistP384),
                ecdsa(EcdsaCurve::NistP521),
                rsa(HashAlg::Sha512),
                rsa(HashAlg::Sha256),
            ],
        }
    }
}

fn ecdsa(curve: EcdsaCurve) -> Algorithm {
    Algorithm::Ecdsa { curve }
}

fn rsa(hash: HashAlg) -> Algorithm {
    Algorithm::Rsa { hash: Some(hash) }
}

/// Without AES instructions AES is slow, and not constant in time.
fn cpu_has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("aes")
        && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[allow(unreachable_code)]
    false
}

impl Algorithms {
    /// Key exchange methods (`KexAlgorithms`).
    ///
    /// # Errors
    /// [`SSH_CONFIG_INVALID`](codes::SSH_CONFIG_INVALID) for a name that is not supported, and for
    /// an empty list.
    pub fn with_kex<S: AsRef<str>>(
        mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self, Error> {
        self.kex = parse("key exchange", names, |name| {
            let name = kex::Name::try_from(name).ok()?;
            (name != kex::NONE).then_some(name)
        })?;
        Ok(self)
    }

    /// Ciphers (`Ciphers`).
    ///
    /// # Errors
    /// As [`with_kex`](Self::with_kex).
    pub fn with_ciphers<S: AsRef<str>>(
        mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self, Error> {
        self.ciphers = parse("cipher", names, |name| {
            let name = cipher::Name::try_from(name).ok()?;
            (name != cipher::NONE && name != cipher::CLEAR).then_some(name)
        })?;
        Ok(self)
    }

    /// Message authentication codes (`MACs`); AES-GCM and ChaCha20-Poly1305 need none.
    ///
    /// # Errors
    /// As [`with_kex`](Self::with_kex).
    pub fn with_macs<S: AsRef<str>>(
        mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self, Error> {
        self.macs = parse("MAC", names, |name| {
            let name = mac::Name::try_from(name).ok()?;
            (name != mac::NONE).then_some(name)
        })?;
        Ok(self)
    }

    /// Host key algorithms (`HostKeyAlgorithms`); certificates of a key type are accepted where a
    /// host authority is trusted. Types that are on record for a host come first in any case.
    ///
    /// # Errors
    /// As [`with_kex`](Self::with_kex); `ssh-rsa` and `ssh-dss` are never accepted.
    pub fn with_host_keys<S: AsRef<str>>(
        mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self, Error> {
        let supported = Self::default().host_keys;
        self.host_keys = parse("host key", names, |name| {
            let algorithm = Algorithm::new(name).ok()?;
            supported.contains(&algorithm).then_some(algorithm)
        })?;
        Ok(self)
    }

    pub(crate) fn host_keys(&self) -> &[Algorithm] {
        &self.host_keys
    }

    /// For russh, with the host key algorithms that fit what is on record.
    pub(crate) fn preferred(
        &self,
        host_keys: Vec<Algorithm>,
        host_certificates: Vec<Algorithm>,
    ) -> Preferred {
        Preferred {
            kex: Cow::Owned([&self.kex[..], &EXTENSIONS].concat()),
            key: Cow::Owned(host_keys),
            host_key_certificates: Cow::Owned(host_certificates),
            cipher: Cow::Owned(self.ciphers.clone()),
            mac: Cow::Owned(self.macs.clone()),
            compression: Cow::Borrowed(&[compression::NONE]),
        }
    }
}

/// Whether the cipher is safe without strict key exchange: its sequence numbers are not those that
/// the Terrapin attack shifts.
pub(crate) fn is_gcm(cipher: cipher::Name) -> bool {
    cipher == cipher::AES_256_GCM || cipher == cipher::AES_128_GCM
}

fn parse<S: AsRef<str>, T>(
    kind: &str,
    names: impl IntoIterator<Item = S>,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, Error> {
    let parsed = names
        .into_iter()
        .map(|name| {
            let name = name.as_ref();
            parse(name)
                .ok_or_else(|| invalid(format!("the {kind} algorithm \"{name}\" is not supported")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    if parsed.is_empty() {
        return Err(invalid(format!("the list of {kind} algorithms is empty")));
    }
    Ok(parsed)
}

fn invalid(message: String) -> Error {
    Error::new(&codes::SSH_CONFIG_INVALID, Stage::CONFIG, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_nothing_weak() {
        let algorithms = Algorithms::default();
        let preferred = algorithms.preferred(algorithms.host_keys().to_vec(), Vec::new());
        assert_eq!(preferred.kex[0], kex::MLKEM768X25519_SHA256);
        assert!(
            preferred
                .kex
                .contains(&kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT)
        );
        let names = preferred
            .kex
            .iter()
            .map(AsRef::as_ref)
            .chain(preferred.cipher.iter().map(AsRef::as_ref))
            .chain(preferred.mac.iter().map(AsRef::as_ref))
            .chain(preferred.key.iter().map(Algorithm::as_str));
        for name in names {
            for weak in ["sha1", "cbc", "ssh-rsa", "ssh-dss", "group1-", "none"] {
                assert!(!name.contains(weak), "{name}");
            }
        }
        assert_eq!(preferred.compression.as_ref(), [compression::NONE]);
        if cpu_has_aes() {
            assert!(is_gcm(preferred.cipher[0]));
        }
    }

    #[test]
    fn names_are_openssh_s() {
        let ok = |result: Result<Algorithms, Error>| result.is_ok();
        let base = Algorithms::default;
        assert!(ok(base().with_kex(["diffie-hellman-group14-sha256"])));
        assert!(ok(
            base().with_ciphers(["aes128-gcm@openssh.com", "aes256-ctr"])
        ));
        assert!(ok(base().with_macs(["hmac-sha2-256"])));
        assert!(ok(base().with_host_keys(["rsa-sha2-256", "ssh-ed25519"])));
        for refused in [
            base().with_kex(["none"]),
            base().with_kex(["ext-info-c"]),
            base().with_ciphers(["none"]),
            base().with_ciphers(["clear"]),
            base().with_macs(["none"]),
            base().with_host_keys(["ssh-rsa"]),
            base().with_host_keys(["ssh-dss"]),
            base().with_ciphers(Vec::<&str>::new()),
        ] {
            assert_eq!(refused.unwrap_err().code().name(), "ssh-config-invalid");
        }
    }
}
