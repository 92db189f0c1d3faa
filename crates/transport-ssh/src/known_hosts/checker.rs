//! Whether the host key that a server shows is trusted.

use std::time::SystemTime;

use pgreach_core::Error;

use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, Certificate, PublicKeyOrCertificate};

use super::certificate;
use super::host::HostNames;
use super::key::{Blob, Key};
use super::line::{Marker, Record};
use super::policy::{HostKeyPolicy, weakness};
use super::refusal::Refusal;

/// Which host keys to ask the server for, the best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostKeyPreference {
    pub(crate) keys: Vec<Algorithm>,
    /// Empty unless there is an authority that could have signed for the host.
    pub(crate) certificates: Vec<Algorithm>,
}

/// A host key that is trusted, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trusted {
    /// Of the key; of a certificate, the fingerprint of the key in it.
    pub(crate) fingerprint: String,
    /// Such as `ssh-ed25519`, or `ssh-ed25519-cert-v01@openssh.com`.
    pub(crate) key_type: String,
    /// Such as `known_hosts FILE:12`.
    pub(crate) how: String,
}

/// What is known of one host, as it was read for one handshake.
#[derive(Debug, Clone)]
pub(crate) struct HostKeyChecker {
    pub(super) policy: HostKeyPolicy,
    pub(super) names: HostNames,
    pub(super) records: Vec<Record>,
}

/// What the server shows.
#[derive(Debug)]
pub(super) struct Shown<'a> {
    /// The key as the wire has it; of a certificate, the key in it.
    pub(super) raw: Vec<u8>,
    pub(super) blob: Blob,
    pub(super) certificate: Option<Certified<'a>>,
}

/// What comes with a key that is in a certificate.
#[derive(Debug)]
pub(super) struct Certified<'a> {
    certificate: &'a Certificate,
    pub(super) signer: Blob,
}

impl Shown<'_> {
    /// Such as `ssh-ed25519`.
    pub(super) fn kind(&self) -> &str {
        self.blob.key.kind()
    }

    fn key_type(&self) -> String {
        match &self.certificate {
            Some(certified) => certified.certificate.algorithm().to_certificate_type(),
            None => self.kind().to_owned(),
        }
    }
}

fn blob(key: &KeyData) -> Option<(Vec<u8>, Blob)> {
    use russh::keys::ssh_key::encoding::Encode as _;
    let raw = key.encode_vec().ok()?;
    let blob = Blob::parse(key.algorithm().as_str().as_bytes(), &raw)?;
    Some((raw, blob))
}

fn shown(offered: &PublicKeyOrCertificate) -> Option<Shown<'_>> {
    let (key, certificate) = match offered {
        PublicKeyOrCertificate::PublicKey { key, .. } => (key.key_data(), None),
        PublicKeyOrCertificate::Certificate(certificate) => {
            let (_, signer) = blob(certificate.signature_key())?;
            let certified = Certified {
                certificate,
                signer,
            };
            (certificate.public_key(), Some(certified))
        }
    };
    let (raw, blob) = blob(key)?;
    (!blob.is_certificate).then_some(Shown {
        raw,
        blob,
        certificate,
    })
}

impl HostKeyChecker {
    pub(super) fn new(policy: HostKeyPolicy, names: HostNames, records: Vec<Record>) -> Self {
        Self {
            policy,
            names,
            records,
        }
    }

    /// The algorithms to offer, of those in `supported`: first those of the keys on record, so that a
    /// host with several keys shows one that can be recognised.
    pub(crate) fn preference(&self, supported: &[Algorithm]) -> HostKeyPreference {
        let recorded = self.on_record();
        let is_recorded = |algorithm: &Algorithm| {
            let kind = match algorithm {
                Algorithm::Rsa { .. } => "ssh-rsa",
                other => other.as_str(),
            };
            recorded
                .iter()
                .any(|record| !record.blob.is_certificate && record.blob.key.kind() == kind)
        };
        // `ssh-rsa` stands for signatures with SHA-1.
        let mut keys: Vec<_> = supported
            .iter()
            .filter(|algorithm| !matches!(algorithm, Algorithm::Rsa { hash: None }))
            .cloned()
            .collect();
        keys.sort_by_key(|algorithm| !is_recorded(algorithm));
        HostKeyPreference {
            certificates: if self.has_authority() && !self.policy.any {
                keys.clone()
            } else {
                Vec::new()
            },
            keys,
        }
    }

    /// Whether the key is trusted. A policy that accepts new hosts records the key.
    ///
    /// # Errors
    /// Of kind [`HostKey`](pgreach_core::ErrorKind::HostKey) when the key is not trusted;
    /// [`codes::KNOWN_HOSTS_UNWRITABLE`](crate::codes::KNOWN_HOSTS_UNWRITABLE) when it could not be
    /// recorded.
    pub(crate) async fn check(&self, offered: &PublicKeyOrCertificate) -> Result<Trusted, Error> {
        self.check_at(offered, SystemTime::now()).await
    }

    pub(super) async fn check_at(
        &self,
        offered: &PublicKeyOrCertificate,
        now: SystemTime,
    ) -> Result<Trusted, Error> {
        let Some(shown) = shown(offered) else {
            return Err(self.malformed());
        };
        let how = match self.judge(&shown, now) {
            Ok(how) => how,
            Err(Refusal::Unknown) if self.policy.record_in.is_some() && self.is_new() => {
                self.record(&shown).await?
            }
            Err(refusal) => return Err(self.refused(&shown, &refusal)),
        };
        Ok(Trusted {
            key_type: shown.key_type(),
            fingerprint: shown.blob.fingerprint,
            how,
        })
    }

    /// Why it is trusted, or why it is not.
    fn judge(&self, shown: &Shown<'_>, now: SystemTime) -> Result<String, Refusal> {
        if self.policy.any {
            return Ok("not verified".to_owned());
        }
        if let Some(reason) = shown
            .certificate
            .as_ref()
            .and_then(|certified| certificate::unreadable(certified.certificate))
        {
            return Err(Refusal::Certificate(reason.to_owned()));
        }
        if let Some(weakness) = weakness(&shown.blob.key) {
            return Err(Refusal::Weak(weakness));
        }
        let mut invalid = None;
        if let Some(certified) = &shown.certificate {
            let signer = &certified.signer;
            if let Some(record) = self.revocation(&signer.key) {
                return Err(Refusal::RevokedAuthority(self.place(record)));
            }
            if let Some(found) = self.authority(&signer.key) {
                let reason =
                    certificate::invalid(certified.certificate, &signer.key, &self.names.host, now);
                // OpenSSH revokes a certified key too, before it looks at the certificate.
                if reason.is_none() && self.revocation(&shown.blob.key).is_none() {
                    return Ok(format!(
                        "host certificate of CA {} ({found})",
                        signer.fingerprint
                    ));
                }
                invalid = reason;
            }
        }
        // As OpenSSH does: a certificate that counts for nothing still shows a key.
        self.judge_key(&shown.blob)
            .map_err(|refusal| match (refusal, invalid) {
                (Refusal::Unknown | Refusal::NotPinned, Some(reason)) => {
                    Refusal::Certificate(reason)
                }
                (Refusal::Changed(_), invalid) => Refusal::Changed(invalid),
                (refusal, _) => refusal,
            })
    }

    /// Why the key, without a certificate, is trusted, or why it is not.
    pub(super) fn judge_key(&self, shown: &Blob) -> Result<String, Refusal> {
        if let Some(record) = self.revocation(&shown.key) {
            return Err(Refusal::Revoked(self.place(record)));
        }
        if self.policy.pins.contains(&shown.fingerprint) {
            return Ok("pinned fingerprint".to_owned());
        }
        let on_record = self.on_record();
        if on_record.is_empty() && !self.policy.pins.is_empty() {
            return Err(Refusal::NotPinned);
        }
        if on_record.is_empty() {
            return Err(Refusal::Unknown);
        }
        on_record
            .iter()
            .find(|record| !record.blob.is_certificate && record.blob.key == shown.key)
            .map(|record| format!("known_hosts {}", self.place(record)))
            .ok_or(Refusal::Changed(None))
    }

    /// The host's keys: those with the port, or where there are none, those without.
    pub(super) fn on_record(&self) -> Vec<&Record> {
        let of = |exact: bool| -> Vec<_> {
            self.records
                .iter()
                .filter(|record| record.marker == Marker::Host && record.exact == exact)
                .collect()
        };
        let exact = of(true);
        if exact.is_empty() { of(false) } else { exact }
    }

    /// Whether nothing is known of the host, with the port or without.
    pub(super) fn is_new(&self) -> bool {
        !self.has_authority()
            && self.policy.pins.is_empty()
            && self
                .records
                .iter()
                .all(|record| record.marker == Marker::Revoked)
    }

    fn has_authority(&self) -> bool {
        !self.policy.authorities.is_empty() || self.authority_on_record().is_some()
    }

    pub(super) fn authority_on_record(&self) -> Option<&Record> {
        self.records
            .iter()
            .find(|record| record.marker == Marker::Authority)
    }

    /// Where the authority is found to be trusted for the host.
    fn authority(&self, key: &Key) -> Option<String> {
        if self.policy.authorities.iter().any(|blob| blob.key == *key) {
            return Some("given".to_owned());
        }
        self.records
            .iter()
            .find(|record| {
                record.marker == Marker::Authority
                    && !record.blob.is_certificate
                    && record.blob.key == *key
            })
            .map(|record| format!("known_hosts {}", self.place(record)))
    }

    /// A revocation under either name counts; for OpenSSH one without the port does not bind where a
    /// key is on record with it.
    fn revocation(&self, key: &Key) -> Option<&Record> {
        self.records
            .iter()
            .find(|record| record.marker == Marker::Revoked && record.blob.key == *key)
    }

    /// Such as `FILE:12`.
    pub(super) fn place(&self, record: &Record) -> String {
        self.policy.sources.get(record.source).map_or_else(
            || format!("line {}", record.line),
            |source| source.line(record.line),
        )
    }
}
