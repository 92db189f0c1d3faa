//! What all requests have in common, and the tokens that are made for them.

use super::directory::{Directory, Principal, PrincipalKind};
use super::keys::{self, Claims, SigningKey};
use super::knobs::Knobs;
use crate::Error;

pub(super) struct Shared {
    pub(super) tenant: String,
    pub(super) authority_host: String,
    pub(super) key: SigningKey,
    pub(super) directory: Directory,
    pub(super) knobs: Knobs,
    /// What a request to App Service's endpoint has to show.
    pub(super) identity_header: String,
    /// What a pipeline's job has to show.
    pub(super) pipeline_token: String,
}

impl Shared {
    /// Where applications ask for tokens, which is also whom their assertions are for.
    pub(super) fn token_endpoint(&self) -> String {
        format!("{}/{}/oauth2/v2.0/token", self.authority_host, self.tenant)
    }

    /// Who signs, as the tokens for PostgreSQL name it: they are of version 1.
    pub(super) fn issuer(&self) -> String {
        format!("https://sts.windows.net/{}/", self.tenant)
    }

    /// What a token for a resource says.
    pub(super) fn claims(&self, principal: &Principal, resource: &str) -> Claims {
        let now = keys::now();
        let lifetime = i64::try_from(self.knobs.lifetime().as_secs()).unwrap_or(i64::MAX / 2);
        let mut claims = Claims::new();
        let mut set = |name: &str, value: serde_json::Value| {
            claims.insert(name.to_owned(), value);
        };
        set("aud", resource.into());
        set("iss", self.issuer().into());
        set("iat", now.into());
        set("nbf", now.into());
        set("exp", (now.saturating_add(lifetime)).into());
        set("appid", principal.client_id.as_str().into());
        set("oid", principal.object_id.as_str().into());
        set("tid", self.tenant.as_str().into());
        set("uti", keys::identifier().into());
        set("ver", "1.0".into());
        if principal.kind == PrincipalKind::User {
            set("idtyp", "user".into());
            set("name", principal.name.as_str().into());
            set("scp", "user_impersonation".into());
            // Not the object id: each application gets another one.
            set("sub", keys::identifier().into());
            set("unique_name", principal.name.as_str().into());
            set("upn", principal.name.as_str().into());
        } else {
            set("idp", self.issuer().into());
            set("idtyp", "app".into());
            set("sub", principal.object_id.as_str().into());
        }
        if let Some(resource_id) = &principal.resource_id {
            set("xms_mirid", resource_id.as_str().into());
        }
        if !principal.groups.is_empty() {
            set("groups", principal.groups.clone().into());
        }
        claims
    }

    /// A token for a resource.
    pub(super) fn token(&self, principal: &Principal, resource: &str) -> Result<String, Error> {
        self.key.sign(&self.claims(principal, resource))
    }
}
