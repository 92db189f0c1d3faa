//! Who is known to the directory, and how they prove who they are.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jsonwebtoken::DecodingKey;

use super::issuer::TokenIssuer;
use super::keys::identifier;

/// What a principal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PrincipalKind {
    /// An application with a service principal.
    Application,
    /// The identity that belongs to the machine itself.
    SystemIdentity,
    /// An identity of its own that was assigned to the machine.
    UserAssignedIdentity,
    /// A person.
    User,
}

/// Somebody whom tokens are made for.
///
/// It holds no secret. A principal that was removed and added again under the same name has
/// another object id, as in the real directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub(super) kind: PrincipalKind,
    pub(super) name: String,
    pub(super) object_id: String,
    pub(super) client_id: String,
    pub(super) resource_id: Option<String>,
    pub(super) groups: Vec<String>,
}

impl Principal {
    pub(super) fn new(kind: PrincipalKind, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
            object_id: identifier(),
            client_id: identifier(),
            resource_id: None,
            groups: Vec::new(),
        }
    }

    /// What it is.
    pub fn kind(&self) -> PrincipalKind {
        self.kind
    }

    /// Its name; for a user the principal name, as `ann@example.com`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The object id, which a server's roles are matched by.
    pub fn object_id(&self) -> &str {
        &self.object_id
    }

    /// The client (application) id; for a user that of the tool that acts for them.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The resource id of a managed identity.
    pub fn resource_id(&self) -> Option<&str> {
        self.resource_id.as_deref()
    }

    /// The object ids of the groups that it is a member of.
    pub fn groups(&self) -> &[String] {
        &self.groups
    }
}

/// How an application proves who it is.
#[derive(Clone)]
pub(super) enum Proof {
    /// Nobody asks: the machine is proof enough, or the tool that the user logged in to.
    None,
    Secret(String),
    /// A client secret whose time is over.
    ExpiredSecret(String),
    Certificate {
        thumbprint: Vec<u8>,
        key: DecodingKey,
    },
    Federated {
        issuer: TokenIssuer,
        subject: String,
    },
}

#[derive(Clone)]
pub(super) struct Entry {
    pub(super) principal: Principal,
    pub(super) proof: Proof,
}

/// All principals.
#[derive(Default)]
pub(super) struct Directory(Mutex<Vec<Entry>>);

impl Directory {
    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, principal: Principal, proof: Proof) -> Principal {
        self.entries().push(Entry {
            principal: principal.clone(),
            proof,
        });
        principal
    }

    pub(super) fn remove(&self, object_id: &str) {
        self.entries()
            .retain(|entry| entry.principal.object_id != object_id);
    }

    /// Replaces the proof; whether there was a principal with this object id.
    pub(super) fn set_proof(&self, object_id: &str, proof: Proof) -> bool {
        let mut entries = self.entries();
        let entry = entries
            .iter_mut()
            .find(|entry| entry.principal.object_id == object_id);
        entry.map(|entry| entry.proof = proof).is_some()
    }

    pub(super) fn application(&self, client_id: &str) -> Option<Entry> {
        self.entries()
            .iter()
            .find(|Entry { principal, .. }| {
                principal.kind == PrincipalKind::Application
                    && principal.client_id.eq_ignore_ascii_case(client_id)
            })
            .cloned()
    }

    pub(super) fn by_object_id(&self, object_id: &str) -> Option<Entry> {
        self.entries()
            .iter()
            .find(|entry| entry.principal.object_id == object_id)
            .cloned()
    }

    /// The managed identities of a kind.
    pub(super) fn identities(&self, kind: PrincipalKind) -> Vec<Principal> {
        self.entries()
            .iter()
            .filter(|entry| entry.principal.kind == kind)
            .map(|entry| entry.principal.clone())
            .collect()
    }
}
