//! The identity of a document.

use serde::{Deserialize, Deserializer, Serialize};

use super::fault::Fault;
use super::identity::{CloudSpec, IdentitySpec};
use super::secret::{SecretSource, TextSource, is_hidden};
use super::transport::exclude;
use super::value::check_text;

/// Who the session belongs to, and what proves it.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "spec-schema", derive(schemars::JsonSchema))]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub(crate) enum CredentialsSpec {
    /// No proof: the server trusts the client or asks the operating system.
    None {
        /// The user.
        user: String,
    },
    /// A password.
    Password {
        /// The user.
        user: String,
        /// The password.
        #[serde(skip_serializing_if = "is_hidden")]
        password: Option<SecretSource>,
    },
    /// The password of the first line that matches in a passfile.
    Passfile {
        /// The user.
        user: String,
        /// The passfile. Default: libpq's, `~/.pgpass`.
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<String>,
    },
    /// A client certificate: `certificate` with `privateKey`, or `pkcs12`.
    Certificate {
        /// The user. Default: the one that the certificate names.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// The certificate chain, the client's own first.
        #[serde(skip_serializing_if = "TextSource::is_hidden")]
        certificate: Option<TextSource>,
        /// The private key.
        #[serde(skip_serializing_if = "is_hidden")]
        private_key: Option<SecretSource>,
        /// Certificate and key in one PKCS#12 archive: base64, or a file.
        #[serde(skip_serializing_if = "is_hidden")]
        pkcs12: Option<SecretSource>,
        /// What the key or the archive is encrypted with.
        #[serde(skip_serializing_if = "is_hidden")]
        passphrase: Option<SecretSource>,
        /// A password, where the server demands one besides.
        #[serde(skip_serializing_if = "is_hidden")]
        password: Option<SecretSource>,
    },
    /// A token of Microsoft Entra, fetched anew as it expires. Needs `verify-full`.
    Entra {
        /// Who asks for the token.
        identity: IdentitySpec,
        /// The user: the name of the role, or of a group that it is a member of. Default: the one that
        /// the token names.
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// The cloud. Default: `public`.
        #[serde(skip_serializing_if = "Option::is_none")]
        cloud: Option<CloudSpec>,
    },
}

impl CredentialsSpec {
    pub(crate) fn user(&self) -> Option<&str> {
        match self {
            Self::None { user } | Self::Password { user, .. } | Self::Passfile { user, .. } => {
                Some(user)
            }
            Self::Certificate { user, .. } | Self::Entra { user, .. } => user.as_deref(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawCredentials {
    r#type: CredentialsType,
    user: Option<String>,
    password: Option<SecretSource>,
    file: Option<String>,
    certificate: Option<TextSource>,
    private_key: Option<SecretSource>,
    pkcs12: Option<SecretSource>,
    passphrase: Option<SecretSource>,
    identity: Option<IdentitySpec>,
    cloud: Option<CloudSpec>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "camelCase")]
enum CredentialsType {
    None,
    Password,
    Passfile,
    Certificate,
    Entra,
}

impl<'de> Deserialize<'de> for CredentialsSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawCredentials::deserialize(deserializer)?;
        Self::try_from(raw).map_err(Fault::through)
    }
}

impl TryFrom<RawCredentials> for CredentialsSpec {
    type Error = Fault;

    fn try_from(raw: RawCredentials) -> Result<Self, Fault> {
        let password = ("password", raw.password.is_some());
        let file = ("file", raw.file.is_some());
        let of_certificate = [
            ("certificate", raw.certificate.is_some()),
            ("privateKey", raw.private_key.is_some()),
            ("pkcs12", raw.pkcs12.is_some()),
            ("passphrase", raw.passphrase.is_some()),
        ];
        let of_entra = [
            ("identity", raw.identity.is_some()),
            ("cloud", raw.cloud.is_some()),
        ];
        check_text("user", raw.user.as_deref())?;
        check_text("file", raw.file.as_deref())?;
        let user = |user: Option<String>| user.ok_or_else(|| Fault::missing("user"));
        let others = |kind: &str, fields: &[&[(&str, bool)]]| exclude(kind, &fields.concat());
        match raw.r#type {
            CredentialsType::None => {
                others("none", &[&[password, file], &of_certificate, &of_entra])?;
                Ok(Self::None {
                    user: user(raw.user)?,
                })
            }
            CredentialsType::Password => {
                others("password", &[&[file], &of_certificate, &of_entra])?;
                Ok(Self::Password {
                    user: user(raw.user)?,
                    password: raw.password,
                })
            }
            CredentialsType::Passfile => {
                others("passfile", &[&[password], &of_certificate, &of_entra])?;
                Ok(Self::Passfile {
                    user: user(raw.user)?,
                    file: raw.file,
                })
            }
            CredentialsType::Certificate => {
                others("certificate", &[&[file], &of_entra])?;
                Ok(Self::Certificate {
                    user: raw.user,
                    certificate: raw.certificate,
                    private_key: raw.private_key,
                    pkcs12: raw.pkcs12,
                    passphrase: raw.passphrase,
                    password: raw.password,
                })
            }
            CredentialsType::Entra => {
                others("entra", &[&[password, file], &of_certificate])?;
                Ok(Self::Entra {
                    identity: raw.identity.ok_or_else(|| Fault::missing("identity"))?,
                    user: raw.user,
                    cloud: raw.cloud,
                })
            }
        }
    }
}
