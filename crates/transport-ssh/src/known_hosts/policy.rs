//! What the application trusts.

use std::path::PathBuf;
use std::sync::Arc;

use pgreach_core::Error;
use pgreach_core::text::escape_control;

use super::base64;
use super::checker::HostKeyChecker;
use super::host::HostNames;
use super::key::{Blob, Key, is_type};
use super::line::records;
use super::source::{Source, Turns, usual_files};
use crate::{HOST_KEY, codes};

/// RSA keys that are shorter are not trusted, although OpenSSH takes 1024 bits.
pub(super) const MIN_RSA_BITS: usize = 2048;

/// Which host keys of an SSH server are trusted.
///
/// The default is that of OpenSSH with `StrictHostKeyChecking yes`: a key must be on record in
/// `~/.ssh/known_hosts` or `/etc/ssh/ssh_known_hosts` (or the file of the same name and a 2). `~` is the
/// directory that `HOME` names, and where it is not set, that of the system's user database; `ssh` goes
/// by the database alone.
///
/// Files are read anew for each handshake, and understood as OpenSSH does: hashed names, patterns,
/// `@cert-authority` and `@revoked`. Nothing is trusted that OpenSSH would not trust. Strict policies
/// write to no file.
///
/// ```
/// use pgreach_transport_ssh::HostKeyPolicy;
///
/// // What `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints on the bastion:
/// let policy = HostKeyPolicy::fingerprints([
///     "SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDyGbMTxhnxqgHVh8c",
/// ])?;
/// # Ok::<(), pgreach_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct HostKeyPolicy {
    pub(super) sources: Vec<Source>,
    pub(super) pins: Vec<String>,
    pub(super) authorities: Vec<Blob>,
    pub(super) record_in: Option<PathBuf>,
    pub(super) any: bool,
    pub(super) turns: Turns,
}

impl Default for HostKeyPolicy {
    fn default() -> Self {
        Self::known_hosts(usual_files())
    }
}

impl HostKeyPolicy {
    fn nothing() -> Self {
        Self {
            sources: Vec::new(),
            pins: Vec::new(),
            authorities: Vec::new(),
            record_in: None,
            any: false,
            turns: Turns::new(),
        }
    }

    /// Trusts the keys on record in these `known_hosts` files.
    ///
    /// A file that does not exist counts as empty; one that cannot be read is an error of the
    /// handshake.
    pub fn known_hosts(files: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        Self {
            sources: files
                .into_iter()
                .map(|file| Source::File(file.into()))
                .collect(),
            ..Self::nothing()
        }
    }

    /// Trusts the keys on record in this text, which is what a `known_hosts` file would hold.
    pub fn known_hosts_text(text: impl Into<String>) -> Self {
        Self {
            sources: vec![Source::Text(Arc::from(text.into()))],
            ..Self::nothing()
        }
    }

    /// Trusts the keys with these fingerprints, whatever the host: `SHA256:` and 43 characters, as
    /// `ssh-keygen -l` prints it.
    ///
    /// A server has a key of each type; give the fingerprints of all, or of that which it is going to
    /// show: Ed25519 where it has one.
    ///
    /// # Errors
    /// [`codes::HOST_KEY_SETTING`] for none at all, and for what is no SHA-256 fingerprint.
    pub fn fingerprints(
        fingerprints: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, Error> {
        let pins = fingerprints
            .into_iter()
            .map(|fingerprint| pin(fingerprint.as_ref()))
            .collect::<Result<Vec<_>, _>>()?;
        if pins.is_empty() {
            return Err(setting("no fingerprint is given"));
        }
        Ok(Self {
            pins,
            ..Self::nothing()
        })
    }

    /// Trusts only hosts with a certificate that one of these authorities signed for them.
    ///
    /// `public_keys` is the authorities' public keys, each a line of a `.pub` file.
    ///
    /// # Errors
    /// [`codes::HOST_KEY_SETTING`] for no key at all, and for a line that is none or a key that is too
    /// weak.
    pub fn authority(public_keys: impl AsRef<str>) -> Result<Self, Error> {
        Self::nothing().with_authority(public_keys)
    }

    /// Trusts a host on its first use: its key is then recorded in this file, which is created when
    /// there is none.
    ///
    /// That holds for hosts only of which nothing is on record, neither with the port nor without,
    /// neither a key of any type nor an authority. Whoever can intercept the first connection is
    /// trusted.
    pub fn accept_new(file: impl Into<PathBuf>) -> Self {
        let file = file.into();
        Self {
            record_in: Some(file.clone()),
            ..Self::known_hosts([file])
        }
    }

    /// Trusts every key of every host: whoever can intercept the connection can read it, with the
    /// password and the data in it.
    #[must_use]
    pub fn dangerous_accept_any() -> Self {
        Self {
            any: true,
            ..Self::nothing()
        }
    }

    /// Reads this `known_hosts` file too: what it trusts is trusted, and what it revokes is not.
    #[must_use]
    pub fn with_known_hosts(mut self, file: impl Into<PathBuf>) -> Self {
        self.sources.push(Source::File(file.into()));
        self
    }

    /// Trusts also certificates that one of these authorities signed for the host.
    ///
    /// # Errors
    /// As of [`authority`](Self::authority).
    pub fn with_authority(mut self, public_keys: impl AsRef<str>) -> Result<Self, Error> {
        refuse_private(public_keys.as_ref(), "public key of an authority")?;
        let lines = public_keys.as_ref().lines().map(str::trim);
        let given = self.authorities.len();
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            self.authorities.push(authority(line)?);
        }
        if self.authorities.len() == given {
            return Err(setting("no key of an authority is given"));
        }
        Ok(self)
    }

    /// What is known of the host now.
    ///
    /// # Errors
    /// [`codes::KNOWN_HOSTS_UNREADABLE`], naming the file; [`codes::SSH_CONFIG_INVALID`] for an address
    /// in an unusual spelling.
    pub(crate) async fn load(&self, host: &str, port: u16) -> Result<HostKeyChecker, Error> {
        let names = HostNames::new(host, port)?;
        if self.any || self.sources.is_empty() {
            return Ok(HostKeyChecker::new(self.clone(), names, Vec::new()));
        }
        let policy = self.clone();
        self.turns
            .run(move || {
                let mut found = Vec::new();
                for (index, source) in policy.sources.iter().enumerate() {
                    found.extend(records(&source.read()?, &names, index));
                }
                Ok(HostKeyChecker::new(policy, names, found))
            })
            .await
    }
}

fn pin(text: &str) -> Result<String, Error> {
    let text = text.trim();
    refuse_private(text, "fingerprint")?;
    let wrong = |what: &str| setting(format!("a fingerprint{} {what}", beginning(text)));
    let is_md5 = text.starts_with("MD5:")
        || text.split(':').count() == 16 && text.split(':').all(|byte| byte.len() == 2);
    if is_md5 {
        return Err(wrong("is one of MD5, which can be forged"));
    }
    let Some(digest) = text.strip_prefix("SHA256:") else {
        return Err(wrong("does not begin with SHA256:"));
    };
    let digest = digest.trim_end_matches('=');
    match base64::decode(format!("{digest}=").as_bytes()) {
        Some(bytes) if bytes.len() == 32 && digest.len() == 43 => Ok(format!("SHA256:{digest}")),
        _ => Err(wrong("is not SHA256: and 43 characters of base64")),
    }
}

/// How a fingerprint begins. Of anything else nothing is shown: secrets get into the wrong field.
fn beginning(text: &str) -> String {
    let is_one = text.starts_with("SHA256:") || text.starts_with("MD5:");
    if !is_one {
        return String::new();
    }
    let shown: String = text.chars().take(16).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!(" (\"{}{more}\")", escape_control(&shown))
}

/// A private key in the place of something public: nobody must see it, least of all in a log.
fn refuse_private(text: &str, place: &str) -> Result<(), Error> {
    let is_private = ["-----BEGIN", "PRIVATE KEY", "PuTTY-User-Key-File"]
        .iter()
        .any(|mark| text.contains(mark));
    if !is_private {
        return Ok(());
    }
    Err(
        setting(format!("a private key is given in the place of a {place}")).with_hint(
            "Take it out and, if anybody else could have seen it, replace the key; ssh-keygen -y \
             prints a key's public half, ssh-keygen -l its fingerprint.",
        ),
    )
}

fn authority(line: &str) -> Result<Blob, Error> {
    let mut words = line.split_ascii_whitespace();
    let (label, blob) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let named = if is_type(label) {
        format!(" ({label})")
    } else {
        String::new()
    };
    let wrong = |what: &str| setting(format!("an authority's key{named} {what}"));
    let blob = base64::decode(blob.as_bytes())
        .and_then(|blob| Blob::parse(label.as_bytes(), &blob))
        .ok_or_else(|| wrong("is not a public key"))?;
    if blob.is_certificate {
        return Err(wrong("is a certificate"));
    }
    if !blob.key.is_known() {
        return Err(wrong("is of a type which is not supported"));
    }
    if let Some(weakness) = weakness(&blob.key) {
        return Err(wrong(&format!("is {weakness}")));
    }
    Ok(blob)
}

/// What keeps a key from being trusted, whoever vouches for it.
pub(super) fn weakness(key: &Key) -> Option<String> {
    match (key.kind(), key.rsa_bits()) {
        (_, Some(bits)) if bits < MIN_RSA_BITS => Some(format!(
            "an RSA key of {bits} bits, fewer than {MIN_RSA_BITS}"
        )),
        ("ssh-dss", _) => Some("a DSA key, which is too weak".to_owned()),
        (
            "ssh-rsa"
            | "ssh-ed25519"
            | "sk-ssh-ed25519@openssh.com"
            | "ecdsa-sha2-nistp256"
            | "ecdsa-sha2-nistp384"
            | "ecdsa-sha2-nistp521"
            | "sk-ecdsa-sha2-nistp256@openssh.com",
            _,
        ) => None,
        (kind, _) => Some(format!("a key of type {kind}, which is not supported")),
    }
}

fn setting(message: impl AsRef<str>) -> Error {
    Error::new(&codes::HOST_KEY_SETTING, HOST_KEY, message)
}
