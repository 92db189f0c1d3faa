//! What a certificate says of itself.

use std::time::{Duration, SystemTime};

use pgreach_core::Error;
use pgreach_core::text::escape_control;
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::{Decode as _, Encode as _};
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, SubjectKeyIdentifier};
use x509_cert::time::Time;

use crate::codes;
use crate::problem::{error, invalid};

/// How far the clocks of the authority, of this machine and of the server may be apart: a
/// certificate is often used in the minute in which it was issued.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// In bytes. RFC 5280 bounds the parts of a name to some 64 to 200 characters each.
const MAX_NAME: u32 = 4096;

const DAY: u64 = 24 * 60 * 60;

/// What a certificate says of itself, as text that can be shown.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) issuer: String,
    /// Not escaped: it is a user's name.
    pub(crate) common_name: Option<String>,
    own_key: Option<Vec<u8>>,
    issuers_key: Option<Vec<u8>>,
    begins: (SystemTime, String),
    ends: (SystemTime, String),
}

impl Subject {
    /// The `Raw` profile forgives what real certificates get wrong, such as long serial numbers.
    pub(crate) fn of(der: &[u8]) -> Result<Self, Error> {
        let damaged = || invalid("the certificate is damaged: it is no X.509 certificate");
        let certificate = CertificateInner::<Raw>::from_der(der).map_err(|_| damaged())?;
        let tbs = certificate.tbs_certificate();
        let own_key = tbs.get_extension::<SubjectKeyIdentifier>().ok().flatten();
        let issuers_key = tbs.get_extension::<AuthorityKeyIdentifier>().ok().flatten();
        let validity = tbs.validity();
        if [tbs.subject(), tbs.issuer()].iter().any(|name| {
            name.encoded_len()
                .is_ok_and(|len| u32::from(len) > MAX_NAME)
        }) {
            return Err(invalid(
                "the certificate's subject or issuer is longer than any real one",
            ));
        }
        Ok(Self {
            name: escape_control(&tbs.subject().to_string()),
            issuer: escape_control(&tbs.issuer().to_string()),
            common_name: tbs
                .subject()
                .common_name()
                .ok()
                .flatten()
                .map(|name| name.value().into_owned()),
            own_key: own_key.map(|(_, id)| id.0.as_bytes().to_vec()),
            issuers_key: issuers_key
                .and_then(|(_, id)| Some(id.key_identifier?.as_bytes().to_vec())),
            begins: moment(validity.not_before).ok_or_else(damaged)?,
            ends: moment(validity.not_after).ok_or_else(damaged)?,
        })
    }

    /// Whether this certificate's key signed `other`, as far as the names tell.
    pub(crate) fn issued(&self, other: &Self) -> bool {
        // Some authorities spell their name otherwise in what they issue.
        let same_name = self.name.eq_ignore_ascii_case(&other.issuer);
        match (&self.own_key, &other.issuers_key) {
            (Some(own), Some(wanted)) => same_name && own == wanted,
            _ => same_name,
        }
    }

    pub(crate) fn expiry(&self) -> SystemTime {
        self.ends.0
    }

    /// The end, as text.
    pub(crate) fn expires(&self) -> &str {
        &self.ends.1
    }

    /// Refuses a certificate that no server would accept at `now`.
    pub(crate) fn check_dates(&self, now: SystemTime) -> Result<(), Error> {
        let name = &self.name;
        if self.ends.0 <= now {
            let ends = &self.ends.1;
            let message = format!("the client certificate of {name} expired on {ends}");
            return Err(error(&codes::CERT_EXPIRED, message));
        }
        if self
            .begins
            .0
            .duration_since(now)
            .is_ok_and(|ahead| ahead > CLOCK_SKEW)
        {
            let begins = &self.begins.1;
            let message = format!("the client certificate of {name} is valid only from {begins}");
            return Err(error(&codes::CERT_NOT_YET_VALID, message));
        }
        Ok(())
    }

    /// A warning, when the end is within `span`.
    pub(crate) fn warning(&self, now: SystemTime, span: Duration) -> Option<String> {
        let left = self.ends.0.duration_since(now).ok()?;
        if left >= span {
            return None;
        }
        let when = match left.as_secs() / DAY {
            0 => "in less than a day".to_owned(),
            1 => "in 1 day".to_owned(),
            days => format!("in {days} days"),
        };
        let date = self.ends.1.split('T').next().unwrap_or_default();
        let name = &self.name;
        Some(format!(
            "the client certificate of {name} expires {when} ({date})"
        ))
    }
}

fn moment(time: Time) -> Option<(SystemTime, String)> {
    let at = SystemTime::UNIX_EPOCH.checked_add(time.to_unix_duration())?;
    Some((at, time.to_date_time().to_string()))
}
