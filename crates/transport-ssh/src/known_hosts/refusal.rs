//! What a handshake is told when the host key is not trusted.

use pgreach_core::{Code, Error};

use super::checker::{HostKeyChecker, Shown};
use super::line::Record;
use crate::{HOST_KEY, codes};

/// So many records are named; a host with more is a pattern that matches much.
const NAMED: usize = 4;

/// Why a key is not trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nothing is on record for the host.
    Unknown,
    /// Other keys are; with what is wrong with the certificate that the key is in.
    Changed(Option<String>),
    /// Others are pinned.
    NotPinned,
    /// It is revoked there.
    Revoked(String),
    /// What signed its certificate is revoked there.
    RevokedAuthority(String),
    /// It is too weak or of no use.
    Weak(String),
    /// What is wrong with its certificate.
    Certificate(String),
}

impl HostKeyChecker {
    /// The error for what cannot be judged.
    pub(super) fn malformed(&self) -> Error {
        error(
            &codes::HOST_KEY_WEAK,
            format!(
                "{} shows a host key that is malformed or of no use",
                self.names.recorded
            ),
        )
    }

    /// The error for a key that is not trusted.
    pub(super) fn refused(&self, shown: &Shown<'_>, refusal: &Refusal) -> Error {
        let host = &self.names.recorded;
        let key = format!("{} {}", shown.kind(), shown.blob.fingerprint);
        match refusal {
            Refusal::Unknown => self.unknown(shown, &key),
            Refusal::Changed(invalid) => self.changed(shown, &key, invalid.as_deref()),
            Refusal::NotPinned => error(
                &codes::HOST_KEY_CHANGED,
                format!(
                    "{host} shows the host key {key}, which is not pinned; pinned: {}",
                    some(self.policy.pins.iter().cloned())
                ),
            )
            .with_hint(format!(
                "ask the administrator of {host} whether this is the fingerprint of one of its keys: pin that of its {} key, if so; if not, somebody may be intercepting the connection",
                shown.kind()
            )),
            Refusal::Revoked(place) => error(
                &codes::HOST_KEY_REVOKED,
                format!("{host} shows the host key {key}, which is revoked at {place}"),
            ),
            Refusal::RevokedAuthority(place) => error(
                &codes::HOST_KEY_REVOKED,
                format!(
                    "{host} shows the host key {key} in a certificate of CA {}, which is revoked at {place}",
                    signer(shown)
                ),
            )
            .with_hint(
                "do not connect: the authority was marked @revoked, usually because it was stolen; the bastion needs a certificate of another one",
            ),
            Refusal::Weak(weakness) => error(
                &codes::HOST_KEY_WEAK,
                format!("{host} shows {weakness} ({})", shown.blob.fingerprint),
            ),
            Refusal::Certificate(reason) => error(
                &codes::HOST_CERTIFICATE_INVALID,
                format!(
                    "the host certificate that {host} shows for {key}, of CA {}, {reason}",
                    signer(shown)
                ),
            ),
        }
    }

    fn unknown(&self, shown: &Shown<'_>, key: &str) -> Error {
        let host = &self.names.recorded;
        let mut message = format!("no host key of {host} is on record; it shows {key}");
        let mut hint = format!(
            "if the administrator of {host} confirms this fingerprint, pin it, or record the key in known_hosts under the name {host}"
        );
        let authority = self
            .authority_on_record()
            .map(|record| format!("CA {} ({})", record.blob.fingerprint, self.place(record)));
        let authority = authority.or_else(|| {
            let blob = self.policy.authorities.first()?;
            Some(format!("CA {}", blob.fingerprint))
        });
        match (&shown.certificate, authority) {
            (Some(certified), _) => {
                message.push_str(&format!(
                    " in a certificate of CA {}, which is not trusted for it",
                    certified.signer.fingerprint
                ));
            }
            (None, Some(authority)) => {
                message.push_str(&format!(
                    " and no certificate, which {authority} should have signed"
                ));
                hint = format!(
                    "have a host certificate issued for {} (ssh-keygen -s CA -h -n {}) and named as HostCertificate in its sshd_config",
                    self.names.host, self.names.host
                );
            }
            (None, None) => {}
        }
        error(&codes::HOST_KEY_UNKNOWN, message).with_hint(hint)
    }

    fn changed(&self, shown: &Shown<'_>, key: &str, invalid: Option<&str>) -> Error {
        let host = &self.names.recorded;
        let mut records = self.on_record();
        let is_alike = |record: &&Record| record.blob.key.kind() == shown.kind();
        let has_alike = records.iter().any(is_alike);
        records.sort_by_key(|record| !is_alike(record));
        let listed = some(records.iter().map(|record| {
            format!(
                "{} {} at {}",
                record.blob.key.kind(),
                record.blob.fingerprint,
                self.place(record)
            )
        }));
        let certificate = invalid.map_or_else(String::new, |reason| {
            format!("; its certificate, of CA {}, {reason}", signer(shown))
        });
        if has_alike {
            return error(
                &codes::HOST_KEY_CHANGED,
                format!(
                    "the host key of {host} has changed: it shows {key}; on record: {listed}{certificate}"
                ),
            );
        }
        error(
            &codes::HOST_KEY_CHANGED,
            format!(
                "{host} shows the host key {key}; keys of other types only are on record: {listed}{certificate}"
            ),
        )
        .with_hint(format!(
            "ask the administrator of {host} whether it has this key beside those on record, and record it under the name {host} if so; if not, somebody may be intercepting the connection"
        ))
    }
}

fn signer<'a>(shown: &'a Shown<'_>) -> &'a str {
    shown
        .certificate
        .as_ref()
        .map_or("", |certified| &certified.signer.fingerprint)
}

/// The first few, with commas.
fn some(items: impl ExactSizeIterator<Item = String>) -> String {
    let more = items.len().saturating_sub(NAMED);
    let mut list = items.take(NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 {
        list.push_str(&format!(" and {more} more"));
    }
    list
}

fn error(code: &'static Code, message: impl AsRef<str>) -> Error {
    Error::new(code, HOST_KEY, message)
}
