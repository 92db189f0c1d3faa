//! The form of integrator.io.

use pgreach_core::Error;
use serde::Deserialize;

use super::{Literal, PublicText, Toggle, checked, document, filled, readable};
use crate::spec::ConnectionSpec;
use crate::spec::credentials::CredentialsSpec;
use crate::spec::document::{RootsSpec, TlsMode, TlsSpec};
use crate::spec::fault::Fault;
use crate::spec::secret::{SecretSource, TextSource};
use crate::spec::value::{Port, check_host, check_text};

/// The PostgreSQL form of integrator.io, with the labels of its fields.
///
/// - `Mode` is `Cloud` or `On-Premises`. An `Agent` goes with the latter, and must be there; agents come in a later
///   version, so such a form is understood and refused.
/// - `Use SSL` means `verify-full`, with `Certificate Authority` (a self-signed certificate is its own) in
///   place of the system's authorities where it is given; so does a form without the field. Only with an
///   explicit `No` there is no TLS.
/// - `Key` and `Certificate` are the client's certificate, and `Passphrase` opens the key. `Password` may then
///   be left out.
/// - The concurrency that a connection borrows is no part of how it is made.
#[derive(Debug, Clone)]
pub struct IntegrationForm(Fields);

readable!(IntegrationForm from Fields);

impl From<Fields> for IntegrationForm {
    fn from(fields: Fields) -> Self {
        Self(fields)
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(rename = "Name")]
    name: String,
    #[serde(rename = "Mode")]
    mode: Mode,
    #[serde(rename = "Agent")]
    agent: Option<String>,
    #[serde(rename = "Host")]
    host: String,
    #[serde(rename = "Database Name")]
    database: String,
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "Password")]
    password: Option<Literal>,
    #[serde(rename = "Port")]
    port: Option<Port>,
    #[serde(rename = "Use SSL")]
    use_ssl: Option<Toggle>,
    #[serde(rename = "Certificate Authority")]
    authority: Option<PublicText>,
    #[serde(rename = "Key")]
    key: Option<Literal>,
    #[serde(rename = "Certificate")]
    certificate: Option<PublicText>,
    #[serde(rename = "Passphrase")]
    passphrase: Option<Literal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Mode {
    #[serde(rename = "Cloud")]
    Cloud,
    #[serde(rename = "On-Premises", alias = "On-Premise", alias = "On-premise")]
    OnPremises,
}

impl TryFrom<IntegrationForm> for ConnectionSpec {
    type Error = Error;

    fn try_from(IntegrationForm(form): IntegrationForm) -> Result<Self, Error> {
        match (form.mode, filled(form.agent).is_some()) {
            (Mode::Cloud, false) => {}
            (Mode::Cloud, true) => {
                return Err(Fault::conflict("Agent", "does not go with mode Cloud").into());
            }
            (Mode::OnPremises, false) => {
                return Err(Fault::field("Agent", "must be given with mode On-Premises").into());
            }
            (Mode::OnPremises, true) => {
                let message = "asks for an agent, which comes in a later version";
                return Err(Fault::unsupported("Mode", message).into());
            }
        }
        check_host("Host", &form.host)?;
        check_text("Database Name", Some(&form.database))?;
        check_text("Username", Some(&form.username))?;
        let authority = PublicText::given(form.authority);
        let certificate = PublicText::given(form.certificate);
        let key = Literal::given(form.key);
        let passphrase = Literal::given(form.passphrase);
        // Where nothing is said, the password does not go out in cleartext.
        let use_ssl = form.use_ssl.is_none_or(|Toggle(on)| on);
        if !use_ssl {
            let fields = [
                ("Certificate Authority", authority.is_some()),
                ("Key", key.is_some()),
                ("Certificate", certificate.is_some()),
                ("Passphrase", passphrase.is_some()),
            ];
            if let Some((field, _)) = fields.iter().find(|(_, given)| *given) {
                return Err(Fault::conflict(*field, "goes with Use SSL, which is off").into());
            }
        }
        if key.is_none() && passphrase.is_some() {
            return Err(Fault::conflict("Passphrase", "goes with a Key, which it opens").into());
        }
        let user = form.username;
        let password = Literal::given(form.password);
        let credentials = match (certificate, key) {
            (None, None) => CredentialsSpec::Password { user, password },
            (Some(_), None) => return Err(Fault::missing("Key").into()),
            (None, Some(_)) => return Err(Fault::missing("Certificate").into()),
            (Some(certificate), Some(key)) => CredentialsSpec::Certificate {
                user: Some(user),
                certificate: Some(TextSource(SecretSource::from(certificate))),
                private_key: Some(key),
                pkcs12: None,
                passphrase,
                password,
            },
        };
        let mut spec = document(form.name, form.host, form.port, credentials);
        spec.database = Some(form.database);
        spec.tls = Some(match use_ssl {
            true => TlsSpec {
                mode: Some(TlsMode::VerifyFull),
                roots: authority.map(RootsSpec::Pem),
                ..TlsSpec::default()
            },
            false => TlsSpec {
                mode: Some(TlsMode::Disable),
                ..TlsSpec::default()
            },
        });
        checked(spec)
    }
}
