//! Who asks Microsoft Entra for a token.

use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer, Serialize};

use super::fault::Fault;
use super::secret::{SecretSource, is_hidden};
use super::transport::exclude;
use super::value::check_text;

/// Who asks for the token.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "spec-schema", derive(schemars::JsonSchema))]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub(crate) enum IdentitySpec {
    /// The managed identity of the machine.
    SystemAssigned {},
    /// A managed identity that was assigned to the machine, by one of its three ids.
    UserAssigned {
        /// Its client id.
        #[serde(skip_serializing_if = "Option::is_none")]
        client_id: Option<String>,
        /// Its object id.
        #[serde(skip_serializing_if = "Option::is_none")]
        object_id: Option<String>,
        /// Its resource id.
        #[serde(skip_serializing_if = "Option::is_none")]
        resource_id: Option<String>,
    },
    /// The workload identity of the Kubernetes pod.
    WorkloadIdentity {},
    /// An application with a secret.
    ClientSecret {
        /// The tenant.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Its secret.
        #[serde(skip_serializing_if = "is_hidden")]
        client_secret: Option<SecretSource>,
    },
    /// An application with a certificate.
    ClientCertificate {
        /// The tenant.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Certificate and key in one PKCS#12 archive: base64, or a file.
        #[serde(skip_serializing_if = "is_hidden")]
        pkcs12: Option<SecretSource>,
        /// What the archive is encrypted with.
        #[serde(skip_serializing_if = "is_hidden")]
        passphrase: Option<SecretSource>,
    },
    /// Whoever is signed in to the Azure CLI on this machine.
    AzureCli {},
    /// Whoever is signed in to the developer tools on this machine.
    DeveloperTools {},
}

impl IdentitySpec {
    /// Whether it is this machine's own.
    pub(crate) fn is_local(&self) -> bool {
        !matches!(
            self,
            Self::ClientSecret { .. } | Self::ClientCertificate { .. }
        )
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawIdentity {
    r#type: IdentityType,
    client_id: Option<String>,
    object_id: Option<String>,
    resource_id: Option<String>,
    tenant_id: Option<String>,
    client_secret: Option<SecretSource>,
    pkcs12: Option<SecretSource>,
    passphrase: Option<SecretSource>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "camelCase")]
enum IdentityType {
    SystemAssigned,
    UserAssigned,
    WorkloadIdentity,
    ClientSecret,
    ClientCertificate,
    AzureCli,
    DeveloperTools,
}

impl<'de> Deserialize<'de> for IdentitySpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawIdentity::deserialize(deserializer)?;
        Self::try_from(raw).map_err(Fault::through)
    }
}

impl TryFrom<RawIdentity> for IdentitySpec {
    type Error = Fault;

    fn try_from(raw: RawIdentity) -> Result<Self, Fault> {
        for (field, text) in [
            ("clientId", &raw.client_id),
            ("objectId", &raw.object_id),
            ("resourceId", &raw.resource_id),
            ("tenantId", &raw.tenant_id),
        ] {
            check_text(field, text.as_deref())?;
        }
        let client = ("clientId", raw.client_id.is_some());
        let ids = [
            ("objectId", raw.object_id.is_some()),
            ("resourceId", raw.resource_id.is_some()),
        ];
        let tenant = ("tenantId", raw.tenant_id.is_some());
        let secret = ("clientSecret", raw.client_secret.is_some());
        let pkcs12 = ("pkcs12", raw.pkcs12.is_some());
        let passphrase = ("passphrase", raw.passphrase.is_some());
        let nothing = |kind: &str| {
            let own = [client, tenant, secret, pkcs12, passphrase];
            exclude(kind, &[&own[..], &ids].concat())
        };
        let needed = |field: &str, text: Option<String>| text.ok_or_else(|| Fault::missing(field));
        Ok(match raw.r#type {
            IdentityType::SystemAssigned => {
                nothing("systemAssigned")?;
                Self::SystemAssigned {}
            }
            IdentityType::WorkloadIdentity => {
                nothing("workloadIdentity")?;
                Self::WorkloadIdentity {}
            }
            IdentityType::AzureCli => {
                nothing("azureCli")?;
                Self::AzureCli {}
            }
            IdentityType::DeveloperTools => {
                nothing("developerTools")?;
                Self::DeveloperTools {}
            }
            IdentityType::UserAssigned => {
                exclude("userAssigned", &[tenant, secret, pkcs12, passphrase])?;
                let given = [client, ids[0], ids[1]];
                let mut given = given.iter().filter(|(_, present)| *present);
                match (given.next(), given.next()) {
                    (None, _) => {
                        return Err(Fault::field(
                            "clientId",
                            "is missing; give it, or objectId or resourceId",
                        ));
                    }
                    (Some(_), None) => {}
                    (Some((first, _)), Some((second, _))) => {
                        return Err(Fault::conflict(
                            *second,
                            format!("excludes {first}; give one id"),
                        ));
                    }
                }
                Self::UserAssigned {
                    client_id: raw.client_id,
                    object_id: raw.object_id,
                    resource_id: raw.resource_id,
                }
            }
            IdentityType::ClientSecret => {
                exclude("clientSecret", &[&ids[..], &[pkcs12, passphrase]].concat())?;
                Self::ClientSecret {
                    tenant_id: needed("tenantId", raw.tenant_id)?,
                    client_id: needed("clientId", raw.client_id)?,
                    client_secret: raw.client_secret,
                }
            }
            IdentityType::ClientCertificate => {
                exclude("clientCertificate", &[&ids[..], &[secret]].concat())?;
                Self::ClientCertificate {
                    tenant_id: needed("tenantId", raw.tenant_id)?,
                    client_id: needed("clientId", raw.client_id)?,
                    pkcs12: raw.pkcs12,
                    passphrase: raw.passphrase,
                }
            }
        })
    }
}

/// A cloud of Microsoft: the name of one, or its addresses.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "spec-schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(crate) enum CloudSpec {
    /// By name.
    Named(CloudName),
    /// By its addresses.
    Custom(CustomCloud),
}

/// A cloud by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "spec-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub(crate) enum CloudName {
    /// The public cloud.
    Public,
    /// Azure US Government.
    UsGovernment,
    /// Azure China.
    China,
}

/// A cloud by its addresses.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "spec-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CustomCloud {
    /// Where tokens are asked for, such as `https://login.microsoftonline.com`.
    pub(crate) authority: String,
    /// What they are asked for, such as `https://ossrdbms-aad.database.windows.net/.default`.
    pub(crate) scope: String,
}

impl<'de> Deserialize<'de> for CloudSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CloudVisitor;

        impl<'de> Visitor<'de> for CloudVisitor {
            type Value = CloudSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("public, usGovernment, china, or an object with authority and scope")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<CloudSpec, E> {
                match text {
                    "public" => Ok(CloudSpec::Named(CloudName::Public)),
                    "usGovernment" | "us_government" => {
                        Ok(CloudSpec::Named(CloudName::UsGovernment))
                    }
                    "china" => Ok(CloudSpec::Named(CloudName::China)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CloudSpec, A::Error> {
                let cloud = CustomCloud::deserialize(MapAccessDeserializer::new(map))?;
                // The application's secret is sent there.
                if !cloud.authority.starts_with("https://") {
                    return Err(Fault::field("authority", "must begin with https://").through());
                }
                if cloud.scope.is_empty() {
                    return Err(A::Error::custom("scope: is empty"));
                }
                Ok(CloudSpec::Custom(cloud))
            }
        }

        deserializer.deserialize_any(CloudVisitor)
    }
}
