//! Tokens of Microsoft Entra for a document.

use std::sync::Arc;

use async_trait::async_trait;
use pgreach_auth_azure::{Cloud, EntraCredentials, EntraIdentity, ManagedIdentityId};
use pgreach_core::{
    Credential, CredentialProvider, CredentialRequest, Error, PgConnectorBuilder, Secret,
};

use super::credentials::CredentialsSpec;
use super::fault::Fault;
use super::identity::{CloudName, CloudSpec, IdentitySpec};
use super::kept::{Kept, Recipe, Sources, secret};

/// Adds the source of tokens that `credentials` describe; the user is set already.
///
/// # Errors
/// Of kind Credential where an id cannot be one, with the path of the field.
pub(super) fn with_entra(
    builder: PgConnectorBuilder,
    credentials: &CredentialsSpec,
) -> Result<PgConnectorBuilder, Error> {
    let CredentialsSpec::Entra {
        identity, cloud, ..
    } = credentials
    else {
        return Ok(builder);
    };
    let mut sources = Sources::default();
    let plan = Plan {
        identity: Identity::new(identity, &mut sources)?,
        cloud: match cloud {
            None | Some(CloudSpec::Named(CloudName::Public)) => Cloud::public(),
            Some(CloudSpec::Named(CloudName::UsGovernment)) => Cloud::us_government(),
            Some(CloudSpec::Named(CloudName::China)) => Cloud::china(),
            Some(CloudSpec::Custom(custom)) => Cloud::custom(&custom.authority, &custom.scope),
        },
    };
    if let Some(secrets) = sources.given() {
        let made = plan
            .make(&secrets)
            .map_err(|error| error.with_context("credentials.identity"))?;
        return Ok(builder.with_credentials(made));
    }
    Ok(builder.with_credentials(Entra(Kept::new(plan, sources))))
}

/// The tokens of what the references lead to.
#[derive(Debug)]
struct Entra(Arc<Kept<Plan>>);

#[async_trait]
impl CredentialProvider for Entra {
    async fn credential(&self, request: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        self.0.get(request).await?.credential(request).await
    }

    fn invalidate(&self, rejected: &Credential) -> bool {
        self.0.last().is_some_and(|made| made.invalidate(rejected))
    }
}

#[derive(Debug)]
struct Plan {
    identity: Identity,
    cloud: Cloud,
}

#[derive(Debug)]
enum Identity {
    Whole(EntraIdentity),
    Secret {
        tenant: String,
        client: String,
        secret: usize,
    },
    #[cfg(feature = "azure-client-certificate")]
    Certificate {
        tenant: String,
        client: String,
        archive: usize,
        passphrase: Option<usize>,
    },
}

impl Identity {
    fn new(identity: &IdentitySpec, sources: &mut Sources) -> Result<Self, Error> {
        Ok(Self::Whole(match identity {
            IdentitySpec::SystemAssigned {} => EntraIdentity::system_assigned(),
            IdentitySpec::UserAssigned {
                client_id,
                object_id,
                resource_id,
            } => EntraIdentity::user_assigned(match (client_id, object_id, resource_id) {
                (Some(id), _, _) => ManagedIdentityId::client_id(id),
                (_, Some(id), _) => ManagedIdentityId::object_id(id),
                (_, _, Some(id)) => ManagedIdentityId::resource_id(id),
                (None, None, None) => {
                    return Err(Fault::missing("credentials.identity.clientId").into());
                }
            }),
            IdentitySpec::WorkloadIdentity {} => EntraIdentity::workload_identity(),
            IdentitySpec::AzureCli {} => EntraIdentity::azure_cli(),
            IdentitySpec::DeveloperTools {} => EntraIdentity::developer_tools(),
            IdentitySpec::ClientSecret {
                tenant_id,
                client_id,
                client_secret,
            } => {
                let field = "credentials.identity.clientSecret";
                let given = client_secret.as_ref();
                let given = given.ok_or_else(|| Fault::secret_missing(field))?;
                return Ok(Self::Secret {
                    tenant: tenant_id.clone(),
                    client: client_id.clone(),
                    secret: sources.add(field, given),
                });
            }
            #[cfg(feature = "azure-client-certificate")]
            IdentitySpec::ClientCertificate {
                tenant_id,
                client_id,
                pkcs12,
                passphrase,
            } => {
                let field = "credentials.identity.pkcs12";
                let given = pkcs12.as_ref();
                let given = given.ok_or_else(|| Fault::secret_missing(field))?;
                return Ok(Self::Certificate {
                    tenant: tenant_id.clone(),
                    client: client_id.clone(),
                    archive: sources.add_archive(field, given),
                    passphrase: passphrase.as_ref().map(|passphrase| {
                        sources.add("credentials.identity.passphrase", passphrase)
                    }),
                });
            }
            #[cfg(not(feature = "azure-client-certificate"))]
            IdentitySpec::ClientCertificate { .. } => {
                return Err(super::build::without_feature(
                    "credentials.identity.type",
                    "azure-client-certificate",
                ));
            }
        }))
    }
}

impl Recipe for Plan {
    type Made = EntraCredentials;

    fn make(&self, secrets: &[Secret]) -> Result<EntraCredentials, Error> {
        let identity = match &self.identity {
            Identity::Whole(identity) => identity.clone(),
            Identity::Secret {
                tenant,
                client,
                secret: number,
            } => EntraIdentity::client_secret(tenant, client, secret(secrets, *number)?.clone()),
            #[cfg(feature = "azure-client-certificate")]
            Identity::Certificate {
                tenant,
                client,
                archive,
                passphrase,
            } => {
                let archive = secret(secrets, *archive)?;
                let archive = super::kept::base64("credentials.identity.pkcs12", archive)?;
                let passphrase = passphrase
                    .map(|number| secret(secrets, number).cloned())
                    .transpose()?;
                EntraIdentity::client_certificate(tenant, client, archive.to_vec(), passphrase)
            }
        };
        EntraCredentials::builder(identity)
            .with_cloud(self.cloud.clone())
            .build()
    }
}
