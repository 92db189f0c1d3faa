//! Roles, and who logged in under them.

use std::collections::BTreeMap;
use std::fmt;

/// What may log in under a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RoleKind {
    /// A user.
    User,
    /// An application or a managed identity.
    Service,
    /// The members of a group.
    Group,
}

/// What a role stands for in the directory.
#[derive(Debug, Clone)]
pub(super) struct Role {
    pub(super) kind: RoleKind,
    pub(super) object_id: String,
}

/// The roles by name.
#[derive(Debug, Default)]
pub(super) struct Roles(BTreeMap<String, Role>);

impl Roles {
    pub(super) fn add(&mut self, name: String, kind: RoleKind, object_id: String) {
        self.0.insert(name, Role { kind, object_id });
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    pub(super) fn get(&self, name: &str) -> Option<Role> {
        self.0.get(name).cloned()
    }
}

/// A password that a client showed.
#[derive(Clone)]
pub struct Login {
    pub(super) user: String,
    pub(super) token: String,
    pub(super) object_id: Option<String>,
    pub(super) accepted: bool,
}

impl Login {
    /// The role that the client named.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password as it was shown.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The object id in the token, verified or not; none where it is no token.
    pub fn object_id(&self) -> Option<&str> {
        self.object_id.as_deref()
    }

    /// Whether the client was let in.
    pub fn accepted(&self) -> bool {
        self.accepted
    }
}

impl fmt::Debug for Login {
    /// Leaves out the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .field("object_id", &self.object_id)
            .field("accepted", &self.accepted)
            .finish_non_exhaustive()
    }
}
