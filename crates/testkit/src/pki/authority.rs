//! A certificate authority: a key, its certificate and the lists it signs.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, SerialNumber,
};
use time::{Duration, OffsetDateTime};

use crate::Error;

/// An authority that can sign certificates and revocation lists.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// Makes an authority that signs itself.
    pub(super) fn root(name: &str) -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let params = Self::params(name, &key);
        Ok(Self::new(CertifiedIssuer::self_signed(params, key)?))
    }

    /// Makes an authority that another one signs.
    pub(super) fn below(parent: &Self, name: &str) -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let params = Self::params(name, &key);
        Ok(Self::new(CertifiedIssuer::signed_by(
            params,
            key,
            &parent.issuer,
        )?))
    }

    fn new(issuer: CertifiedIssuer<'static, KeyPair>) -> Self {
        Self {
            pem: issuer.pem(),
            issuer,
        }
    }

    /// The subject key identifier comes with `is_ca`.
    fn params(name: &str, key: &KeyPair) -> CertificateParams {
        let mut params = base_params(name, key);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// Signs a certificate.
    pub(super) fn sign(
        &self,
        params: &CertificateParams,
        key: &KeyPair,
    ) -> Result<rcgen::Certificate, Error> {
        Ok(params.signed_by(key, &self.issuer)?)
    }

    /// Signs a revocation list.
    pub(super) fn crl(
        &self,
        serials: &[u128],
        number: u64,
        since: OffsetDateTime,
        until: OffsetDateTime,
    ) -> Result<String, Error> {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: encode_serial(*serial),
            revocation_time: since,
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: since,
            next_update: until,
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(params.signed_by(&self.issuer)?.pem()?)
    }
}

/// What authorities and other certificates share: name, serial number and key identifiers, and
/// 30 days of validity from yesterday on.
pub(super) fn base_params(name: &str, key: &KeyPair) -> CertificateParams {
    let now = OffsetDateTime::now_utc();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = now - Duration::DAY;
    params.not_after = now + Duration::DAY * 30;
    params.serial_number = Some(encode_serial(serial_of(key)));
    params.use_authority_key_identifier_extension = true;
    params.key_identifier_method = KeyIdMethod::Sha256;
    params
}

/// The serial number of the certificate for a key.
///
/// It is part of a digest of the key, which is as random and unique as the key itself: no key here
/// gets a second certificate.
pub(super) fn serial_of(key: &KeyPair) -> u128 {
    let digest = CertificateParams::default().key_identifier(key);
    let digest = digest
        .iter()
        .take(16)
        .fold(0, |serial, byte| (serial << 8) | u128::from(*byte));
    // Positive and of one length, whatever the digest.
    (digest >> 2) | (1 << 126)
}

fn encode_serial(serial: u128) -> SerialNumber {
    SerialNumber::from(serial.to_be_bytes().to_vec())
}
