//! Who asks Entra for a token.

use std::fmt::{self, Debug};
use std::path::PathBuf;
use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_identity::UserAssignedId;
use pgreach_core::Secret;

use crate::tool::ToolOptions;
use crate::{AssertionSource, EntraToken, TokenSource};

/// Which user-assigned managed identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedIdentityId(Id);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Id {
    Client(String),
    Object(String),
    Resource(String),
}

impl ManagedIdentityId {
    /// By its client id.
    #[must_use]
    pub fn client_id(id: impl Into<String>) -> Self {
        Self(Id::Client(id.into()))
    }

    /// By its object (principal) id.
    #[must_use]
    pub fn object_id(id: impl Into<String>) -> Self {
        Self(Id::Object(id.into()))
    }

    /// By its resource id, `/subscriptions/…/userAssignedIdentities/…`. App Service and Functions do
    /// not take it.
    #[must_use]
    pub fn resource_id(id: impl Into<String>) -> Self {
        Self(Id::Resource(id.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        match &self.0 {
            Id::Client(id) | Id::Object(id) | Id::Resource(id) => id,
        }
    }

    pub(crate) fn to_azure(&self) -> UserAssignedId {
        match self.0.clone() {
            Id::Client(id) => UserAssignedId::ClientId(id),
            Id::Object(id) => UserAssignedId::ObjectId(id),
            Id::Resource(id) => UserAssignedId::ResourceId(id),
        }
    }
}

/// Who asks Entra for a token, and how that is proved. The table is at the
/// [crate's beginning](crate#identities).
#[derive(Clone)]
pub struct EntraIdentity(pub(crate) Kind);

/// An application registration.
#[derive(Debug, Clone)]
pub(crate) struct Application {
    pub(crate) tenant: String,
    pub(crate) client: String,
}

#[derive(Clone)]
pub(crate) enum Kind {
    Managed(Option<ManagedIdentityId>),
    Workload(Option<(Application, PathBuf)>),
    Secret(Application, Secret),
    #[cfg(feature = "client-certificate")]
    Certificate(
        Application,
        Arc<zeroize::Zeroizing<Vec<u8>>>,
        Option<Secret>,
    ),
    Assertion(Application, Arc<dyn AssertionSource>),
    Pipelines(Application, String, Secret),
    AzureCli(ToolOptions),
    AzureDeveloperCli(ToolOptions),
    Fixed(EntraToken),
    Source(Arc<dyn TokenSource>),
    Foreign(Arc<dyn TokenCredential>),
    Chain(Vec<EntraIdentity>),
}

fn application(tenant: impl Into<String>, client: impl Into<String>) -> Application {
    Application {
        tenant: tenant.into(),
        client: client.into(),
    }
}

impl EntraIdentity {
    /// The system-assigned managed identity of the resource that this process runs on: a virtual
    /// machine, a scale set, App Service, Functions, Container Apps.
    #[must_use]
    pub fn system_assigned() -> Self {
        Self(Kind::Managed(None))
    }

    /// A user-assigned managed identity of the resource that this process runs on.
    #[must_use]
    pub fn user_assigned(id: ManagedIdentityId) -> Self {
        Self(Kind::Managed(Some(id)))
    }

    /// The workload identity of a Kubernetes pod, as the webhook of Azure Workload Identity describes
    /// it in `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_FEDERATED_TOKEN_FILE`.
    #[must_use]
    pub fn workload_identity() -> Self {
        Self(Kind::Workload(None))
    }

    /// A workload identity whose service account token is in this file. It is read for each token.
    #[must_use]
    pub fn workload_identity_from(
        tenant: impl Into<String>,
        client: impl Into<String>,
        token_file: impl Into<PathBuf>,
    ) -> Self {
        let application = application(tenant, client);
        Self(Kind::Workload(Some((application, token_file.into()))))
    }

    /// A service principal with a client secret: the secret's value, not its id.
    #[must_use]
    pub fn client_secret(
        tenant: impl Into<String>,
        client: impl Into<String>,
        secret: impl Into<Secret>,
    ) -> Self {
        Self(Kind::Secret(application(tenant, client), secret.into()))
    }

    /// A service principal with a certificate and its RSA key, as the bytes of a PKCS#12 file in DER,
    /// of 1 MiB and 2,000,000 iterations of its passphrase at most. Whether the passphrase opens it is
    /// found when the first token is needed.
    #[cfg(feature = "client-certificate")]
    #[must_use]
    pub fn client_certificate(
        tenant: impl Into<String>,
        client: impl Into<String>,
        pkcs12: impl Into<Vec<u8>>,
        passphrase: Option<Secret>,
    ) -> Self {
        let pkcs12 = Arc::new(zeroize::Zeroizing::new(pkcs12.into()));
        Self(Kind::Certificate(
            application(tenant, client),
            pkcs12,
            passphrase,
        ))
    }

    /// A service principal with assertions that others sign, such as another identity provider that
    /// it trusts (federated credentials).
    #[must_use]
    pub fn client_assertion(
        tenant: impl Into<String>,
        client: impl Into<String>,
        source: impl AssertionSource,
    ) -> Self {
        Self(Kind::Assertion(
            application(tenant, client),
            Arc::new(source),
        ))
    }

    /// The service connection of an Azure Pipelines job: its tenant, client and id, and the job's
    /// `System.AccessToken`.
    #[must_use]
    pub fn azure_pipelines(
        tenant: impl Into<String>,
        client: impl Into<String>,
        service_connection: impl Into<String>,
        system_access_token: impl Into<Secret>,
    ) -> Self {
        Self(Kind::Pipelines(
            application(tenant, client),
            service_connection.into(),
            system_access_token.into(),
        ))
    }

    /// Who is logged in to the Azure CLI (`az login`).
    #[must_use]
    pub fn azure_cli() -> Self {
        Self::azure_cli_with(ToolOptions::new())
    }

    /// Who is logged in to the Azure CLI, in a certain tenant or subscription.
    #[must_use]
    pub fn azure_cli_with(options: ToolOptions) -> Self {
        Self(Kind::AzureCli(options))
    }

    /// Who is logged in to the Azure Developer CLI (`azd auth login`).
    #[must_use]
    pub fn azure_developer_cli() -> Self {
        Self::azure_developer_cli_with(ToolOptions::new())
    }

    /// Who is logged in to the Azure Developer CLI, in a certain tenant. It knows no subscriptions.
    #[must_use]
    pub fn azure_developer_cli_with(options: ToolOptions) -> Self {
        Self(Kind::AzureDeveloperCli(options))
    }

    /// The Azure CLI, else the Azure Developer CLI.
    #[must_use]
    pub fn developer_tools() -> Self {
        Self::chain([Self::azure_cli(), Self::azure_developer_cli()])
    }

    /// Tokens that the application gets by itself.
    #[must_use]
    pub fn token(source: impl TokenSource) -> Self {
        Self(Kind::Source(Arc::new(source)))
    }

    /// One token that the application has. Once it has ended or was refused, there is no other.
    #[must_use]
    pub fn fixed_token(token: EntraToken) -> Self {
        Self(Kind::Fixed(token))
    }

    /// A credential of azure_identity or any other implementation, used as it is. Most have a cache
    /// of their own: after the server refused a token, such a credential may give the same one again
    /// until shortly before its end. The other identities here do not.
    #[must_use]
    pub fn credential(credential: Arc<dyn TokenCredential>) -> Self {
        Self(Kind::Foreign(credential))
    }

    /// Several identities, tried in this order. Each gets an equal share of the fetch timeout that is
    /// left.
    ///
    /// They are different identities: while the token of one is valid, the next one is asked of that
    /// one alone. Once there is no valid token, they are tried from the beginning; that another one
    /// answers is logged as a warning.
    #[must_use]
    pub fn chain(identities: impl IntoIterator<Item = Self>) -> Self {
        Self(Kind::Chain(identities.into_iter().collect()))
    }

    /// What it is, for reports.
    pub(crate) fn label(&self) -> &'static str {
        match &self.0 {
            Kind::Managed(None) => "system-assigned managed identity",
            Kind::Managed(Some(_)) => "user-assigned managed identity",
            Kind::Workload(_) => "workload identity",
            Kind::Secret(..) => "client secret",
            #[cfg(feature = "client-certificate")]
            Kind::Certificate(..) => "client certificate",
            Kind::Assertion(..) => "client assertion",
            Kind::Pipelines(..) => "Azure Pipelines",
            Kind::AzureCli(_) => "Azure CLI",
            Kind::AzureDeveloperCli(_) => "Azure Developer CLI",
            Kind::Fixed(_) => "fixed token",
            Kind::Source(_) => "token source",
            Kind::Foreign(_) => "TokenCredential",
            Kind::Chain(_) => "chain",
        }
    }

    fn application(&self) -> Option<&Application> {
        match &self.0 {
            Kind::Secret(application, _)
            | Kind::Assertion(application, _)
            | Kind::Pipelines(application, ..)
            | Kind::Workload(Some((application, _))) => Some(application),
            #[cfg(feature = "client-certificate")]
            Kind::Certificate(application, ..) => Some(application),
            _ => None,
        }
    }

    /// What it is, with its ids, for errors.
    pub(crate) fn name(&self) -> String {
        match (&self.0, self.application()) {
            (_, Some(application)) => format!(
                "{} of application {} in tenant {}",
                self.label(),
                application.client,
                application.tenant
            ),
            (Kind::Managed(Some(id)), _) => format!("{} {}", self.label(), id.as_str()),
            _ => self.label().to_owned(),
        }
    }

    /// What must never be shown.
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        match &self.0 {
            Kind::Secret(_, secret) | Kind::Pipelines(_, _, secret) => vec![secret.clone()],
            #[cfg(feature = "client-certificate")]
            Kind::Certificate(_, _, Some(passphrase)) => vec![passphrase.clone()],
            Kind::Fixed(token) => vec![token.clone().into_parts().0],
            _ => Vec::new(),
        }
    }

    /// Whether it asks the identity endpoint of this machine (`local`), or else the authority, through
    /// an HTTP client of this crate.
    pub(crate) fn asks(&self, local: bool) -> bool {
        match &self.0 {
            Kind::Chain(identities) => identities.iter().any(|identity| identity.asks(local)),
            Kind::Managed(_) => local,
            Kind::AzureCli(_)
            | Kind::AzureDeveloperCli(_)
            | Kind::Fixed(_)
            | Kind::Source(_)
            | Kind::Foreign(_) => false,
            _ => !local,
        }
    }
}

impl Debug for EntraIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Chain(identities) => f.debug_list().entries(identities).finish(),
            _ => write!(f, "EntraIdentity({})", self.name()),
        }
    }
}
