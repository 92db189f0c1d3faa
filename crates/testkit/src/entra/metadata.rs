//! What a machine asks on the spot: IMDS, App Service, a pipeline's job.

use serde_json::json;

use super::directory::{Principal, PrincipalKind, Proof};
use super::form::Form;
use super::keys;
use super::server::{Asked, Reply};
use super::shared::Shared;

pub(super) const IMDS_PATH: &str = "/metadata/identity/oauth2/token";
pub(super) const APP_SERVICE_PATH: &str = "/msi/token";
pub(super) const OIDC_PATH: &str = "/oidctoken";

/// What these services answer while they are out of order.
pub(super) fn transient(status: u16) -> Reply {
    Reply {
        status,
        body: json!({
            "error": "temporarily_unavailable",
            "error_description": "The service is temporarily unavailable. Retry later.",
        }),
    }
}

fn refused(status: u16, error: &str, words: &str) -> Reply {
    Reply {
        status,
        body: json!({"error": error, "error_description": words}),
    }
}

/// Answers a virtual machine.
pub(super) fn imds(asked: &Asked, shared: &Shared) -> Reply {
    if !asked.header("metadata").eq_ignore_ascii_case("true") {
        let words = "Required metadata header not specified";
        return refused(400, "invalid_request", words);
    }
    if asked.query.get("api-version").is_none() {
        return Reply {
            status: 400,
            body: json!({
                "error": "Bad request. api-version was not specified in the request. For more \
                          information refer to aka.ms/azureimds",
                "newest-versions": ["2021-02-01", "2020-12-01", "2020-10-01"],
            }),
        };
    }
    let Some(resource) = asked.query.get("resource") else {
        let words = "Required audience parameter not specified";
        return refused(400, "invalid_request", words);
    };
    let ids = ["client_id", "object_id", "msi_res_id"].map(|name| asked.query.get(name));
    let Some(identity) = identity(ids, true, shared) else {
        return refused(400, "invalid_request", "Identity not found");
    };
    let now = keys::now();
    let lifetime = shared.knobs.lifetime().as_secs();
    match shared.token(&identity, resource) {
        // Every number is a text here.
        Ok(token) => Reply::ok(json!({
            "access_token": token,
            "client_id": identity.client_id(),
            "expires_in": lifetime.to_string(),
            "expires_on": expires_on(now, lifetime),
            "ext_expires_in": lifetime.to_string(),
            "not_before": now.to_string(),
            "resource": resource,
            "token_type": "Bearer",
        })),
        Err(error) => refused(500, "server_error", &error.to_string()),
    }
}

/// Answers an application on App Service.
pub(super) fn app_service(asked: &Asked, shared: &Shared) -> Reply {
    let refused = |status: u16, words: &str| Reply {
        status,
        body: json!({"statusCode": status, "message": words}),
    };
    if asked.header("x-identity-header") != shared.identity_header {
        return refused(401, "The X-IDENTITY-HEADER header is missing or wrong.");
    }
    if asked.query.get("api-version") != Some("2019-08-01") {
        return refused(400, "The api-version is missing or not supported.");
    }
    let Some(resource) = asked.query.get("resource") else {
        return refused(400, "The resource is missing.");
    };
    let either = |one: &str, other: &str| asked.query.get(one).or(asked.query.get(other));
    let ids = [
        asked.query.get("client_id"),
        // The documented names, and those that azure_identity for Rust sends.
        either("principal_id", "object_id"),
        either("mi_res_id", "msi_res_id"),
    ];
    let Some(identity) = identity(ids, false, shared) else {
        return refused(
            400,
            "No User Assigned or Delegated Managed Identity found for specified \
             ClientId/ResourceId/PrincipalId.",
        );
    };
    let expires_on = expires_on(keys::now(), shared.knobs.lifetime().as_secs());
    match shared.token(&identity, resource) {
        Ok(token) => Reply::ok(json!({
            "access_token": token,
            "client_id": identity.client_id(),
            "expires_on": expires_on,
            "resource": resource,
            "token_type": "Bearer",
        })),
        Err(error) => refused(500, &error.to_string()),
    }
}

fn expires_on(now: i64, lifetime: u64) -> String {
    now.saturating_add_unsigned(lifetime).to_string()
}

/// The managed identity with one of these ids, or the machine's own where there is none. IMDS takes
/// the only assigned one where the machine has none of its own.
fn identity(ids: [Option<&str>; 3], only_one_will_do: bool, shared: &Shared) -> Option<Principal> {
    let assigned = shared
        .directory
        .identities(PrincipalKind::UserAssignedIdentity);
    let system = shared.directory.identities(PrincipalKind::SystemIdentity);
    if ids == [None; 3] {
        let only = match assigned.as_slice() {
            [only] if only_one_will_do => Some(only.clone()),
            _ => None,
        };
        return system.into_iter().next().or(only);
    }
    let is_it = |identity: &Principal| {
        let known = [
            Some(identity.client_id()),
            Some(identity.object_id()),
            identity.resource_id(),
        ];
        ids.iter().zip(known).all(|(asked, known)| match asked {
            Some(asked) => known.is_some_and(|known| known.eq_ignore_ascii_case(asked)),
            None => true,
        })
    };
    assigned.into_iter().chain(system).find(is_it)
}

/// Answers a pipeline's job: the assertion of a service connection.
pub(super) fn pipelines(asked: &Asked, shared: &Shared) -> Reply {
    let Some(shown) = asked.header("authorization").strip_prefix("Bearer ") else {
        return refused(401, "unauthorized", "TF400813: The user is not authorized.");
    };
    if shown != shared.pipeline_token {
        return refused(401, "unauthorized", "TF400813: The user is not authorized.");
    }
    match connection(&asked.query, shared) {
        Some((issuer, subject)) => match issuer.token(&subject) {
            Ok(token) => Reply::ok(json!({"oidcToken": token})),
            Err(error) => refused(500, "server_error", &error.to_string()),
        },
        None => refused(404, "not_found", "There is no such service connection."),
    }
}

/// A service connection is known by the object id of its application.
fn connection(query: &Form, shared: &Shared) -> Option<(super::TokenIssuer, String)> {
    let entry = shared
        .directory
        .by_object_id(query.get("serviceConnectionId")?)?;
    match entry.proof {
        Proof::Federated { issuer, subject } => Some((issuer, subject)),
        _ => None,
    }
}
