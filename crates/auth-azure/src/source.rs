//! One request for a token, with a new credential object each.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use azure_core::credentials::{Secret as AzureSecret, TokenCredential};
use azure_core::error::ErrorKind;
use azure_core::http::{
    ClientMethodOptions, ClientOptions, ExponentialRetryOptions, RetryOptions, Transport,
};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, AzureDeveloperCliCredential,
    AzureDeveloperCliCredentialOptions, AzurePipelinesCredential, AzurePipelinesCredentialOptions,
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions,
    ClientSecretCredential, ClientSecretCredentialOptions, ManagedIdentityCredential,
    ManagedIdentityCredentialOptions, WorkloadIdentityCredential,
    WorkloadIdentityCredentialOptions,
};
use pgreach_core::{Error, Secret};
use tokio::sync::Semaphore;

use crate::cloud::Cloud;
use crate::failure::{Blame, error};
use crate::http::{Clients, Last, Log};
use crate::identity::{Application, EntraIdentity, Kind};
use crate::redact::Redactor;
use crate::{AssertionSource, codes};

/// A token as it came.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    pub(crate) token: Secret,
    pub(crate) expires_at: Option<SystemTime>,
    /// Which identity it is of.
    pub(crate) of: &'static str,
}

/// Where tokens come from.
#[async_trait]
pub(crate) trait Source: Send + Sync + 'static {
    /// A token, or why there is none within `budget`. `has_valid`: one that this source gave before
    /// is still valid.
    async fn fetch(&self, budget: Duration, has_valid: bool) -> Result<Fetched, Error>;

    /// Whether another token than the last one can come.
    fn is_renewable(&self) -> bool;
}

/// One identity, alone or as a part of a chain.
pub(crate) struct Single {
    identity: EntraIdentity,
    cloud: Cloud,
    clients: Clients,
    redactor: Redactor,
    /// One read of a token file at a time: on a mount that hangs it keeps its thread for good.
    reading: Arc<Semaphore>,
}

impl Single {
    pub(crate) fn new(identity: EntraIdentity, cloud: Cloud, clients: Clients) -> Self {
        let redactor = Redactor::knowing(identity.secrets());
        Self {
            identity,
            cloud,
            clients,
            redactor,
            reading: Arc::new(Semaphore::new(1)),
        }
    }

    fn blame(&self) -> Blame<'_> {
        Blame {
            identity: &self.identity,
            redactor: &self.redactor,
        }
    }

    /// What can be checked without asking anybody.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match &self.identity.0 {
            // These look at the environment and at files, which may come and go.
            Kind::Managed(_) | Kind::Workload(None) | Kind::Pipelines(..) => Ok(()),
            Kind::Workload(Some((application, _))) => plain(&self.identity, application),
            // It takes a moment to open: the rest is found when a token is needed, off this thread.
            #[cfg(feature = "client-certificate")]
            Kind::Certificate(application, pkcs12, _) => {
                plain(&self.identity, application)?;
                crate::pkcs12::check(pkcs12)
                    .map_err(|refused| refused.with_context(self.identity.name()))
            }
            Kind::AzureDeveloperCli(options) if options.subscription.is_some() => Err(error(
                &codes::ENTRA_CONFIG,
                "the Azure Developer CLI takes no subscription",
            )),
            _ => match self.credential(&Arc::default()) {
                Ok(_) => Ok(()),
                Err(failure) => Err(match self.blame().azure(&failure, Last::Nothing) {
                    // A tenant that is none, of a tool.
                    told if told.code() == &codes::ENTRA_TOOL => {
                        error(&codes::ENTRA_CONFIG, told.message())
                    }
                    told => told,
                }),
            },
        }
    }

    fn options(&self, local: bool, log: &Arc<Log>) -> ClientOptions {
        let transport = self.clients.recorded(local, log);
        ClientOptions {
            transport: transport.map(Transport::new),
            cloud: Some(self.cloud.configuration()),
            // The connector and the pool try again as well; azure's eight times would end after the
            // deadline of any connection. It sets its own for IMDS.
            retry: RetryOptions::exponential(ExponentialRetryOptions {
                max_retries: 3,
                ..ExponentialRetryOptions::default()
            }),
            ..ClientOptions::default()
        }
    }

    /// A credential object that has no token yet: azure_identity's cache gives a token until five
    /// minutes before its end, also one that the server refused. None for what is not azure's.
    ///
    /// It may block on a file.
    fn credential(&self, log: &Arc<Log>) -> azure_core::Result<Option<Arc<dyn TokenCredential>>> {
        let client_options = self.options(matches!(self.identity.0, Kind::Managed(_)), log);
        let credential: Arc<dyn TokenCredential> = match &self.identity.0 {
            Kind::Managed(id) => {
                ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
                    user_assigned_id: id.as_ref().map(crate::ManagedIdentityId::to_azure),
                    client_options,
                }))?
            }
            Kind::Workload(explicit) => {
                let mut options = WorkloadIdentityCredentialOptions {
                    credential_options: ClientAssertionCredentialOptions { client_options },
                    ..WorkloadIdentityCredentialOptions::default()
                };
                if let Some((application, file)) = explicit {
                    options.tenant_id = Some(application.tenant.clone());
                    options.client_id = Some(application.client.clone());
                    options.token_file_path = Some(file.clone());
                }
                WorkloadIdentityCredential::new(Some(options))?
            }
            Kind::Secret(application, secret) => ClientSecretCredential::new(
                &application.tenant,
                application.client.clone(),
                azure_secret(secret),
                Some(ClientSecretCredentialOptions { client_options }),
            )?,
            #[cfg(feature = "client-certificate")]
            Kind::Certificate(application, pkcs12, passphrase) => {
                let options = azure_identity::ClientCertificateCredentialOptions {
                    client_options,
                    password: passphrase.as_ref().map(azure_secret),
                };
                azure_identity::ClientCertificateCredential::new(
                    application.tenant.clone(),
                    application.client.clone(),
                    azure_core::credentials::SecretBytes::new(pkcs12.to_vec()),
                    Some(options),
                )?
            }
            Kind::Assertion(application, source) => ClientAssertionCredential::new(
                application.tenant.clone(),
                application.client.clone(),
                Assertion {
                    source: Arc::clone(source),
                    log: Arc::clone(log),
                },
                Some(ClientAssertionCredentialOptions { client_options }),
            )?,
            Kind::Pipelines(application, connection, token) => {
                let options = AzurePipelinesCredentialOptions {
                    credential_options: ClientAssertionCredentialOptions { client_options },
                };
                AzurePipelinesCredential::new(
                    application.tenant.clone(),
                    application.client.clone(),
                    connection,
                    azure_secret(token),
                    Some(options),
                )?
            }
            Kind::AzureCli(options) => AzureCliCredential::new(Some(AzureCliCredentialOptions {
                subscription: options.subscription.clone(),
                tenant_id: options.tenant.clone(),
                executor: Some(options.executor()),
            }))?,
            Kind::AzureDeveloperCli(options) => {
                AzureDeveloperCliCredential::new(Some(AzureDeveloperCliCredentialOptions {
                    tenant_id: options.tenant.clone(),
                    executor: Some(options.executor()),
                }))?
            }
            Kind::Foreign(credential) => Arc::clone(credential),
            Kind::Fixed(_) | Kind::Source(_) | Kind::Chain(_) => return Ok(None),
        };
        Ok(Some(credential))
    }

    async fn attempt(self: Arc<Self>, log: Arc<Log>) -> Result<Fetched, Error> {
        let of = self.identity.label();
        let token = match &self.identity.0 {
            Kind::Fixed(token) => Some(token.clone()),
            Kind::Source(source) => {
                let token = source.token().await;
                Some(token.map_err(|cause| self.blame().source(&cause.to_string()))?)
            }
            _ => None,
        };
        if let Some(token) = token {
            let (token, expires_at) = token.into_parts();
            return Ok(Fetched {
                token,
                expires_at,
                of,
            });
        }
        if matches!(self.identity.0, Kind::Workload(None)) {
            workload_environment()?;
        }
        // It reads files, and opens the key of a certificate.
        let permit = Arc::clone(&self.reading).acquire_owned().await;
        let (single, its_log) = (Arc::clone(&self), Arc::clone(&log));
        let credential = tokio::task::spawn_blocking(move || {
            // It ends with the read, not with the request that waits for it.
            let _permit = permit;
            single.credential(&its_log)
        })
        .await;
        let credential = credential.map_err(|_| self.blame().source("it was cut off"))?;
        let blame = |failure: &azure_core::Error| self.blame().azure(failure, log.last());
        let credential = credential.map_err(|failure| blame(&failure))?;
        let Some(credential) = credential else {
            return Err(self.blame().source("it gives no tokens"));
        };
        let token = credential.get_token(&[self.cloud.scope()], None).await;
        let token = token.map_err(|failure| blame(&failure))?;
        Ok(Fetched {
            token: Secret::new(token.token.secret()),
            expires_at: Some(token.expires_on.into()),
            of,
        })
    }
}

#[async_trait]
impl Source for Arc<Single> {
    async fn fetch(&self, budget: Duration, _: bool) -> Result<Fetched, Error> {
        let log = Arc::<Log>::default();
        let attempt = Arc::clone(self).attempt(Arc::clone(&log));
        match tokio::time::timeout(budget, attempt).await {
            Ok(done) => done,
            Err(_) => Err(self.blame().timeout(budget, log.last())),
        }
    }

    fn is_renewable(&self) -> bool {
        !matches!(self.identity.0, Kind::Fixed(_))
    }
}

fn azure_secret(secret: &Secret) -> AzureSecret {
    AzureSecret::new(secret.expose().to_owned())
}

/// azure_identity's rule, without reading the token file.
fn plain(identity: &EntraIdentity, application: &Application) -> Result<(), Error> {
    let tenant = &application.tenant;
    let allowed = |c: char| c.is_alphanumeric() || ".-".contains(c);
    let what = if tenant.is_empty() || !tenant.chars().all(allowed) {
        "the tenant is neither an id nor a domain"
    } else if application.client.is_empty() {
        "the client id is missing"
    } else {
        return Ok(());
    };
    Err(error(
        &codes::ENTRA_CONFIG,
        format!("{}: {what}", identity.name()),
    ))
}

fn workload_environment() -> Result<(), Error> {
    let names = [
        "AZURE_TENANT_ID",
        "AZURE_CLIENT_ID",
        "AZURE_FEDERATED_TOKEN_FILE",
    ];
    match names.into_iter().find(|name| std::env::var_os(name).is_none()) {
        None => Ok(()),
        Some(name) => Err(error(
            &codes::ENTRA_NO_IDENTITY,
            format!("workload identity: the environment variable {name} is not set"),
        )
        .with_hint("label the pod azure.workload.identity/use: \"true\" and give it the service account of the identity")),
    }
}

/// The application's source of assertions, for azure_identity.
struct Assertion {
    source: Arc<dyn AssertionSource>,
    log: Arc<Log>,
}

impl std::fmt::Debug for Assertion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Assertion")
    }
}

#[async_trait]
impl ClientAssertion for Assertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        let assertion = self.source.assertion().await.map_err(|cause| {
            let cause = cause.to_string();
            self.log.set(Last::Source { cause });
            azure_core::Error::with_message(ErrorKind::Credential, "there is no assertion")
        })?;
        Ok(assertion.expose().to_owned())
    }
}
