//! Authorities, certificates and revocation lists.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
    date_time_ymd,
};

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key, and the intermediates that a server sends with it.
pub struct Leaf {
    pub pem: String,
    pub der: Vec<u8>,
    pub key: String,
    pub sent_with: String,
}

impl Leaf {
    pub fn sent_with(mut self, authority: &Authority) -> Self {
        self.sent_with = authority.pem();
        self
    }
}

fn authority_params(name: &str, serial: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
        .distinguished_name
        .push(DnType::OrganizationName, "pgreach tests");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.serial_number = Some(SerialNumber::from(serial));
    params
}

impl Authority {
    pub fn root(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(authority_params(name, 1), key).unwrap())
    }

    pub fn intermediate(&self, name: &str, serial: u64) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = authority_params(name, serial);
        params.use_authority_key_identifier_extension = true;
        Self(CertifiedIssuer::signed_by(params, key, &self.0).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn issue(&self, wanted: Wanted) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let certificate = wanted.params.signed_by(&key, &self.0).unwrap();
        leaf(&certificate, &key)
    }

    /// A revocation list for `serials`, valid until the year `until`.
    pub fn crl(&self, serials: &[u64], until: i32) -> String {
        let revoked_certs = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2001, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2001, 1, 1),
            next_update: date_time_ymd(until, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

fn leaf(certificate: &rcgen::Certificate, key: &KeyPair) -> Leaf {
    Leaf {
        pem: certificate.pem(),
        der: certificate.der().to_vec(),
        key: key.serialize_pem(),
        sent_with: String::new(),
    }
}

/// What a certificate shall say.
pub struct Wanted {
    pub params: CertificateParams,
}

impl Wanted {
    /// A certificate whose only names are in `alternatives`: DNS names or IP addresses.
    pub fn names(alternatives: &[&str]) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.serial_number = Some(SerialNumber::from(7));
        params.use_authority_key_identifier_extension = true;
        for name in alternatives {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName((*name).try_into().unwrap()),
            });
        }
        Self { params }
    }

    pub fn common_name(mut self, name: &str) -> Self {
        self.params
            .distinguished_name
            .push(DnType::CommonName, name);
        self
    }

    pub fn years(mut self, from: i32, to: i32) -> Self {
        self.params.not_before = date_time_ymd(from, 1, 1);
        self.params.not_after = date_time_ymd(to, 1, 1);
        self
    }

    pub fn serial(mut self, serial: u64) -> Self {
        self.params.serial_number = Some(SerialNumber::from(serial));
        self
    }

    pub fn self_signed(self) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let mut params = self.params;
        params.use_authority_key_identifier_extension = false;
        leaf(&params.self_signed(&key).unwrap(), &key)
    }
}

/// A self-signed certificate whose signature has no digest of its own in OpenSSL's tables.
#[cfg(not(any(target_os = "windows", target_vendor = "apple")))]
pub fn self_signed_by_openssl(name: &str, algorithm: openssl::pkey::Id) -> Leaf {
    use openssl::asn1::Asn1Time;
    use openssl::hash::MessageDigest;
    use openssl::pkey::{Id, PKey};
    use openssl::pkey_ctx::PkeyCtx;
    use openssl::x509::extension::SubjectAlternativeName;
    use openssl::x509::{X509, X509Name};

    let mut context = PkeyCtx::new_id(algorithm).unwrap();
    context.keygen_init().unwrap();
    let key: PKey<_> = context.keygen().unwrap();
    let mut subject = X509Name::builder().unwrap();
    subject.append_entry_by_text("CN", name).unwrap();
    let subject = subject.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_subject_name(&subject).unwrap();
    builder.set_issuer_name(&subject).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder
        .set_not_before(&Asn1Time::days_from_now(0).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(1).unwrap())
        .unwrap();
    let alternative = SubjectAlternativeName::new()
        .dns(name)
        .build(&builder.x509v3_context(None, None))
        .unwrap();
    builder.append_extension(alternative).unwrap();
    let digest = if algorithm == Id::ED25519 {
        MessageDigest::null()
    } else {
        MessageDigest::sha256()
    };
    builder.sign(&key, digest).unwrap();
    let certificate = builder.build();
    Leaf {
        pem: String::from_utf8(certificate.to_pem().unwrap()).unwrap(),
        der: certificate.to_der().unwrap(),
        key: String::from_utf8(key.private_key_to_pem_pkcs8().unwrap()).unwrap(),
        sent_with: String::new(),
    }
}
