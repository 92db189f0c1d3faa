//! What a token says of itself. Its signature is the server's business: nothing here is trusted with
//! more than the choice of a user name, which the server checks against the token.

use std::time::{Duration, SystemTime};

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// Entra's tokens have a few kilobytes; those that list many groups do not.
const MAX_LEN: usize = 64 * 1024;

/// Where the id of a user-assigned managed identity ends, but for its name.
const USER_ASSIGNED: &str = "/providers/microsoft.managedidentity/userassignedidentities";

/// The claims of a token that are of use here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) user: User,
    pub(crate) tenant: Option<String>,
    pub(crate) expires_at: Option<SystemTime>,
}

/// Whom a token names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum User {
    Named(String),
    /// A system-assigned managed identity of the resource with this name.
    SystemAssigned(String),
    /// An application by its ids only.
    Nobody,
    /// It is no JWT.
    Opaque,
}

/// Reads the payload of a JWT and verifies nothing.
pub(crate) fn read(token: &str) -> Claims {
    let Some(claims) = payload(token) else {
        return Claims {
            user: User::Opaque,
            tenant: None,
            expires_at: None,
        };
    };
    let seconds = claims.get("exp").and_then(Value::as_u64);
    Claims {
        user: user(&claims),
        tenant: text(&claims, "tid").map(str::to_owned),
        expires_at: seconds
            .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))),
    }
}

fn payload(token: &str) -> Option<Map<String, Value>> {
    if token.len() > MAX_LEN {
        return None;
    }
    let mut parts = token.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let bytes = BASE64URL_NOPAD.decode(payload.trim_end_matches('=').as_bytes());
    let bytes = Zeroizing::new(bytes.ok()?);
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(claims)) => Some(claims),
        _ => None,
    }
}

/// In the order of Microsoft's own libraries (azure-postgresql-auth).
fn user(claims: &Map<String, Value>) -> User {
    let resource = text(claims, "xms_mirid").and_then(|id| id.rsplit_once('/'));
    if let Some((path, name)) = resource
        && !name.is_empty()
        && path.to_ascii_lowercase().ends_with(USER_ASSIGNED)
    {
        return User::Named(name.to_owned());
    }
    let named = ["upn", "preferred_username", "unique_name"]
        .into_iter()
        .find_map(|claim| text(claims, claim));
    match (named, resource) {
        (Some(name), _) => User::Named(name.to_owned()),
        (None, Some((_, name))) if !name.is_empty() => User::SystemAssigned(name.to_owned()),
        _ => User::Nobody,
    }
}

/// A claim that is usable text.
fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    let text = claims.get(name)?.as_str()?;
    (!text.is_empty() && !text.chars().any(char::is_control)).then_some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(claims: &Value) -> String {
        let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        format!("{}.{}.c2ln", part("{}"), part(&claims.to_string()))
    }

    fn named(name: &str) -> User {
        User::Named(name.to_owned())
    }

    #[test]
    fn users() {
        let identity = "/subscriptions/1/resourcegroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/App Identity";
        let machine =
            "/subscriptions/1/resourcegroups/g/providers/Microsoft.Compute/virtualMachines/vm-1";
        let table = [
            (json!({ "xms_mirid": identity }), named("App Identity")),
            (
                json!({ "xms_mirid": identity, "upn": "other" }),
                named("App Identity"),
            ),
            (json!({ "upn": "Ann@x.com" }), named("Ann@x.com")),
            (
                json!({ "upn": "a", "preferred_username": "b", "unique_name": "c" }),
                named("a"),
            ),
            (
                json!({ "preferred_username": "b", "unique_name": "c" }),
                named("b"),
            ),
            (json!({ "unique_name": "c" }), named("c")),
            (json!({ "upn": "", "unique_name": "c" }), named("c")),
            (json!({ "upn": "a\u{0}b", "unique_name": "c" }), named("c")),
            (json!({ "upn": 7, "unique_name": ["c"] }), User::Nobody),
            (
                json!({ "xms_mirid": machine }),
                User::SystemAssigned("vm-1".to_owned()),
            ),
            (json!({ "xms_mirid": machine, "upn": "a" }), named("a")),
            (json!({ "xms_mirid": "/" }), User::Nobody),
            (json!({ "xms_mirid": "name" }), User::Nobody),
            // A service principal's.
            (
                json!({ "appid": "1", "oid": "2", "idtyp": "app", "sub": "2" }),
                User::Nobody,
            ),
        ];
        for (claims, expected) in table {
            assert_eq!(read(&token(&claims)).user, expected, "{claims}");
        }
    }

    #[test]
    fn tenant_and_end() {
        let claims = read(&token(&json!({ "tid": "t-1", "exp": 1_700_000_000 })));
        assert_eq!(claims.tenant.as_deref(), Some("t-1"));
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(claims.expires_at, Some(at));
        for exp in [json!("soon"), json!(-1), json!(1.5), json!(null)] {
            assert_eq!(read(&token(&json!({ "exp": exp }))).expires_at, None);
        }
        // Beyond what a time can be, on any platform: no panic.
        let _ = read(&token(&json!({ "exp": u64::MAX })));
    }

    #[test]
    fn what_is_no_jwt() {
        let long = token(&json!({ "upn": "x".repeat(MAX_LEN) }));
        let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        for text in [
            "",
            "opaque",
            "a.b",
            "..",
            "a.b.c.d",
            "a.%%%.c",
            &long,
            &format!("a.{}.c", part("[1]")),
            &format!("a.{}.c", part("not json")),
            &format!("a.{}.c", part("\"{}\"")),
        ] {
            assert_eq!(read(text).user, User::Opaque, "{text}");
        }
    }

    #[test]
    fn padding_is_no_trouble() {
        let claims = json!({ "upn": "abc" }).to_string();
        let token = format!(
            "e30.{}.s",
            data_encoding::BASE64URL.encode(claims.as_bytes())
        );
        assert!(token.contains('='));
        assert_eq!(read(&token).user, named("abc"));
    }
}
