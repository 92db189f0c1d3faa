//! Whether a token lets a role in.

use jsonwebtoken::Algorithm;
use serde_json::Value;

use super::roles::{Role, RoleKind};
use super::{Inner, State};
use crate::entra::keys::{self, Claims, seconds, text, unverified, verified};

/// A refusal: the code and the words.
pub(super) type Refusal = (&'static str, String);

/// A refusal that tells no more than a wrong password does.
fn wrong_password(user: &str) -> Refusal {
    (
        "28P01",
        format!("password authentication failed for user \"{user}\""),
    )
}

fn invalid(words: impl Into<String>) -> Refusal {
    ("28000", words.into())
}

/// Verifies what a client showed for a password.
pub(super) fn verify(inner: &Inner, user: &str, token: &str) -> Result<(), Refusal> {
    let role = {
        let mut state = inner.state();
        if take_rejection(&mut state) {
            return Err(wrong_password(user));
        }
        // To PostgreSQL a role that is not Entra's is one with a password, which is not this.
        state.roles.get(user).ok_or_else(|| wrong_password(user))?
    };
    let claims = genuine(inner, token)?;
    is_current_and_for_us(inner, &claims)?;
    matches_role(&claims, user, &role)
}

fn take_rejection(state: &mut State) -> bool {
    let rejecting = state.rejecting > 0;
    state.rejecting = state.rejecting.saturating_sub(1);
    rejecting
}

/// The claims of a token that the authority signed for its own tenant.
fn genuine(inner: &Inner, token: &str) -> Result<Claims, Refusal> {
    if unverified(token).is_none() {
        return Err(invalid(
            "The access token has invalid format. Please ensure the token is passed exactly as \
             returned by the authentication endpoint and retry.",
        ));
    }
    let entra = &inner.entra;
    verified(token, entra.key.verifying(), &[Algorithm::RS256])
        .filter(|claims| text(claims, "iss") == entra.issuer())
        .filter(|claims| text(claims, "tid") == entra.tenant)
        .filter(|claims| seconds(claims, "nbf").is_none_or(|begin| begin <= keys::now()))
        .ok_or_else(|| {
            invalid(
                "An error occurred while validating the access token. Please acquire a new token \
                 and retry.",
            )
        })
}

fn is_current_and_for_us(inner: &Inner, claims: &Claims) -> Result<(), Refusal> {
    if seconds(claims, "exp").is_none_or(|end| end <= keys::now()) {
        return Err(invalid(
            "The access token has expired. Please acquire a new token and retry.",
        ));
    }
    let ours = inner.audience.as_str();
    if text(claims, "aud").trim_end_matches('/') != ours.trim_end_matches('/') {
        return Err(invalid(format!(
            "The access token does not have a valid audience claim. Please acquire a new token for \
             the resource \"{ours}\"."
        )));
    }
    Ok(())
}

fn matches_role(claims: &Claims, user: &str, role: &Role) -> Result<(), Refusal> {
    let is_app = text(claims, "idtyp") == "app";
    match role.kind {
        RoleKind::Group => {
            let member = claims
                .get("groups")
                .and_then(Value::as_array)
                .is_some_and(|groups| groups.iter().any(|group| *group == *role.object_id));
            return member.then_some(()).ok_or_else(|| {
                invalid(format!(
                    "Azure AD access token not valid for role {user} (does not contain group ID {})",
                    role.object_id
                ))
            });
        }
        RoleKind::User if is_app => {
            return Err(invalid(format!(
                "Azure AD user token for role[{user}] is neither an AAD_AUTH_TOKENTYPE_APP_USER or \
                 an AAD_AUTH_TOKENTYPE_APP_OBO token."
            )));
        }
        RoleKind::Service if !is_app => {
            return Err(invalid(format!(
                "Service Principals cannot generate AAD_AUTH_TOKENTYPE_APP_USER tokens for \
                 role[{user}]"
            )));
        }
        RoleKind::User | RoleKind::Service => {}
    }
    // Somebody else, if only one who was removed and added again under the same name.
    match text(claims, "oid") == role.object_id {
        true => Ok(()),
        false => Err(wrong_password(user)),
    }
}
