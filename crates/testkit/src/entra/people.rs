//! Adding principals to the directory, and removing them.

use super::certificate::AppCertificate;
use super::directory::{Principal, PrincipalKind, Proof};
use super::fake::FakeEntra;
use super::issuer::TokenIssuer;
use super::keys;
use crate::Error;

/// What the Azure CLI is called in the tokens of its users.
const AZURE_CLI: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";

impl FakeEntra {
    /// Adds an application with a client secret.
    pub fn add_application(
        &self,
        name: impl Into<String>,
        client_secret: impl Into<String>,
    ) -> Principal {
        let principal = Principal::new(PrincipalKind::Application, name);
        self.add(principal, Proof::Secret(client_secret.into()))
    }

    /// Replaces the client secret of an application: the old one is refused from now on.
    ///
    /// # Errors
    /// There is no such application.
    pub fn set_client_secret(
        &self,
        application: &Principal,
        client_secret: impl Into<String>,
    ) -> Result<(), Error> {
        let proof = Proof::Secret(client_secret.into());
        match self
            .shared()
            .directory
            .set_proof(application.object_id(), proof)
        {
            true => Ok(()),
            false => Err(Error::State(format!(
                "there is no application {}",
                application.name()
            ))),
        }
    }

    /// Ends the time of an application's client secret: it is refused as expired from now on.
    ///
    /// # Errors
    /// There is no such application, or it has no client secret.
    pub fn expire_client_secret(&self, application: &Principal) -> Result<(), Error> {
        let directory = &self.shared().directory;
        let entry = directory.by_object_id(application.object_id());
        match entry.map(|entry| entry.proof) {
            Some(Proof::Secret(secret) | Proof::ExpiredSecret(secret)) => {
                directory.set_proof(application.object_id(), Proof::ExpiredSecret(secret));
                Ok(())
            }
            _ => Err(Error::State(format!(
                "there is no client secret of {}",
                application.name()
            ))),
        }
    }

    /// Adds an application that signs assertions with a certificate's key.
    pub fn add_certificate_application(
        &self,
        name: impl Into<String>,
        certificate: &AppCertificate,
    ) -> Principal {
        let proof = Proof::Certificate {
            thumbprint: certificate.thumbprint(),
            key: certificate.key().verifying().clone(),
        };
        self.add(Principal::new(PrincipalKind::Application, name), proof)
    }

    /// Adds an application that shows another issuer's tokens about a subject: workload identity.
    ///
    /// Its object id is at the same time the id of a service connection of
    /// [`pipelines_environment`](Self::pipelines_environment).
    pub fn add_federated_application(
        &self,
        name: impl Into<String>,
        issuer: &TokenIssuer,
        subject: impl Into<String>,
    ) -> Principal {
        let proof = Proof::Federated {
            issuer: issuer.clone(),
            subject: subject.into(),
        };
        self.add(Principal::new(PrincipalKind::Application, name), proof)
    }

    /// Gives the machine an identity of its own.
    pub fn add_system_identity(&self, name: impl Into<String>) -> Principal {
        self.add_identity(
            PrincipalKind::SystemIdentity,
            "Microsoft.Compute/virtualMachines",
            name.into(),
        )
    }

    /// Assigns an identity to the machine.
    pub fn add_user_assigned_identity(&self, name: impl Into<String>) -> Principal {
        self.add_identity(
            PrincipalKind::UserAssignedIdentity,
            "Microsoft.ManagedIdentity/userAssignedIdentities",
            name.into(),
        )
    }

    fn add_identity(&self, kind: PrincipalKind, resource: &str, name: String) -> Principal {
        let subscription = keys::identifier();
        let mut principal = Principal::new(kind, name);
        principal.resource_id = Some(format!(
            "/subscriptions/{subscription}/resourcegroups/test/providers/{resource}/{}",
            principal.name
        ));
        self.add(principal, Proof::None)
    }

    /// Adds a user, by principal name (`ann@example.com`), with the object ids of their groups.
    pub fn add_user<G: Into<String>>(
        &self,
        name: impl Into<String>,
        groups: impl IntoIterator<Item = G>,
    ) -> Principal {
        let mut principal = Principal::new(PrincipalKind::User, name);
        AZURE_CLI.clone_into(&mut principal.client_id);
        principal.groups = groups.into_iter().map(Into::into).collect();
        self.add(principal, Proof::None)
    }

    fn add(&self, principal: Principal, proof: Proof) -> Principal {
        self.shared().directory.add(principal, proof)
    }

    /// A fresh object id, for a group or for somebody unknown.
    pub fn new_object_id(&self) -> String {
        keys::identifier()
    }

    /// Removes a principal; tokens made for it stay as good as their time.
    pub fn remove(&self, principal: &Principal) {
        self.shared().directory.remove(principal.object_id());
    }
}
