//! Tokens of Microsoft Entra for a document.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pgreach_auth_azure::{Cloud, EntraCredentials, EntraIdentity, ManagedIdentityId};
use pgreach_core::{
    Credential, CredentialProvider, CredentialRequest, Error, PgConnectorBuilder, Stage,
};

use super::credentials::CredentialsSpec;
use super::fault::Fault;
use super::identity::{CloudName, CloudSpec, IdentitySpec};
use super::kept::{Kept, Recipe, Sources, secret};
use super::lookup::{Found, Purpose};

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
        return Ok(builder.with_credentials(plan.make(&secrets)?));
    }
    Ok(builder.with_credentials(Entra {
        kept: Kept::new(plan, sources),
        working: Mutex::new(None),
    }))
}

/// The tokens of what the references lead to.
///
/// A token outlives its proof. While a secret cannot be looked up, or Entra does not take the one that was
/// found, the identity goes on that gave a token last, as long as it does give one.
#[derive(Debug)]
struct Entra {
    kept: Arc<Kept<Plan>>,
    /// What gave a token last.
    working: Mutex<Option<EntraCredentials>>,
}

impl Entra {
    fn working(&self) -> Option<EntraCredentials> {
        let working = self.working.lock().unwrap_or_else(PoisonError::into_inner);
        working.clone()
    }

    async fn current(&self, request: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        let made = self.kept.get(request).await?;
        let credential = made.credential(request).await?;
        *self.working.lock().unwrap_or_else(PoisonError::into_inner) = Some(made);
        Ok(credential)
    }
}

#[async_trait]
impl CredentialProvider for Entra {
    async fn credential(&self, request: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        let error = match self.current(request).await {
            Ok(credential) => return Ok(credential),
            Err(error) => error,
        };
        match self.working() {
            Some(working) => working.credential(request).await.map_err(|_| error),
            None => Err(error),
        }
    }

    /// Of what gave a token last, and so gave this one, or one that is newer.
    fn invalidate(&self, rejected: &Credential) -> bool {
        let working = self.working();
        working.is_some_and(|working| working.invalidate(rejected))
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
                    secret: sources.add(field, given, Purpose::Password),
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
                    archive: sources.add(field, given, Purpose::Archive),
                    passphrase: passphrase.as_ref().map(|passphrase| {
                        let field = "credentials.identity.passphrase";
                        sources.add(field, passphrase, Purpose::Password)
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

    fn make(&self, secrets: &[Found]) -> Result<EntraCredentials, Error> {
        let identity = match &self.identity {
            Identity::Whole(identity) => identity.clone(),
            Identity::Secret {
                tenant,
                client,
                secret: number,
            } => {
                let secret = secret(secrets, *number)?.secret()?;
                EntraIdentity::client_secret(tenant, client, secret)
            }
            #[cfg(feature = "azure-client-certificate")]
            Identity::Certificate {
                tenant,
                client,
                archive,
                passphrase,
            } => {
                let archive = secret(secrets, *archive)?;
                let archive = super::lookup::archive("credentials.identity.pkcs12", archive)?;
                let passphrase = passphrase
                    .map(|number| secret(secrets, number)?.secret())
                    .transpose()?;
                EntraIdentity::client_certificate(tenant, client, archive.to_vec(), passphrase)
            }
        };
        EntraCredentials::builder(identity)
            .with_cloud(self.cloud.clone())
            .build()
            .map_err(|error| {
                error
                    .with_stage(Stage::CONFIG)
                    .with_context("credentials.identity")
            })
    }
}
