//! The token endpoint, with the refusals of the real one.

use data_encoding::{BASE64URL_NOPAD, HEXUPPER};
use jsonwebtoken::{Algorithm, DecodingKey, decode_header};
use serde_json::json;

use super::directory::Proof;
use super::issuer::{TokenIssuer, is_for_exchange};
use super::keys::{self, Claims, seconds, text, unverified, verified};
use super::server::{Asked, Reply};
use super::shared::Shared;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How far an assertion's clock may be ahead.
const SKEW: i64 = 300;

/// A refusal: the status, OAuth's word for it, Entra's number and its words.
struct Refusal(u16, &'static str, u32, String);

/// A refusal because of the client's proof.
fn invalid_client(number: u32, words: impl Into<String>) -> Refusal {
    Refusal(401, "invalid_client", number, words.into())
}

impl From<Refusal> for Reply {
    fn from(Refusal(status, error, number, words): Refusal) -> Self {
        let now = time::OffsetDateTime::now_utc();
        let timestamp = format!(
            "{} {:02}:{:02}:{:02}Z",
            now.date(),
            now.hour(),
            now.minute(),
            now.second()
        );
        let (trace, correlation) = (keys::identifier(), keys::identifier());
        Self {
            status,
            body: json!({
                "error": error,
                "error_description": format!(
                    "AADSTS{number}: {words} Trace ID: {trace} Correlation ID: {correlation} \
                     Timestamp: {timestamp}"
                ),
                "error_codes": [number],
                "timestamp": timestamp,
                "trace_id": trace,
                "correlation_id": correlation,
                "error_uri": format!("https://login.microsoftonline.com/error?code={number}"),
            }),
        }
    }
}

/// What the endpoint answers while it is out of order.
pub(super) fn transient(status: u16) -> Reply {
    let words = "A transient error has occurred. Please try again.".to_owned();
    Refusal(status, "temporarily_unavailable", 90033, words).into()
}

/// Answers a request for a token.
pub(super) fn token(asked: &Asked, shared: &Shared) -> Reply {
    match granted(asked, shared) {
        Ok(reply) => reply,
        Err(refusal) => refusal.into(),
    }
}

fn granted(asked: &Asked, shared: &Shared) -> Result<Reply, Refusal> {
    let tenant = asked.path.split('/').nth(1).unwrap_or_default();
    if !tenant.eq_ignore_ascii_case(&shared.tenant) {
        return Err(Refusal(
            400,
            "invalid_request",
            90002,
            format!(
                "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID \
                 and are signing into the correct cloud."
            ),
        ));
    }
    let grant = required(asked, "grant_type")?;
    if grant != "client_credentials" {
        return Err(Refusal(
            400,
            "unsupported_grant_type",
            70003,
            format!("The app requested an unsupported grant type '{grant}'."),
        ));
    }
    let client_id = required(asked, "client_id")?;
    let resource = resource(required(asked, "scope")?)?;
    let Some(entry) = shared.directory.application(client_id) else {
        return Err(Refusal(
            400,
            "unauthorized_client",
            700016,
            format!(
                "Application with identifier '{client_id}' was not found in the directory \
                 '{tenant}'. This can happen if the application has not been installed by the \
                 administrator of the tenant."
            ),
        ));
    };
    prove(asked, shared, client_id, &entry.proof)?;
    let token = shared
        .token(&entry.principal, resource)
        .map_err(|error| Refusal(500, "server_error", 90100, error.to_string()))?;
    let lifetime = shared.knobs.lifetime().as_secs();
    Ok(Reply::ok(json!({
        "token_type": "Bearer",
        "expires_in": lifetime,
        "ext_expires_in": lifetime,
        "access_token": token,
    })))
}

fn required<'a>(asked: &'a Asked, name: &str) -> Result<&'a str, Refusal> {
    asked.form.get(name).ok_or_else(|| {
        Refusal(
            400,
            "invalid_request",
            900144,
            format!("The request body must contain the following parameter: '{name}'."),
        )
    })
}

/// The resource of a scope, which an application asks for as a whole.
fn resource(scope: &str) -> Result<&str, Refusal> {
    scope
        .strip_suffix("/.default")
        .filter(|resource| !resource.is_empty() && !resource.contains(' '))
        .ok_or_else(|| {
            Refusal(
                400,
                "invalid_scope",
                70011,
                format!(
                    "The provided request must include a 'scope' input parameter. The provided \
                     value for the input parameter 'scope' is not valid. The scope {scope} is not \
                     valid."
                ),
            )
        })
}

/// Fails unless the request proves that it comes from the application.
fn prove(asked: &Asked, shared: &Shared, client_id: &str, proof: &Proof) -> Result<(), Refusal> {
    let assertion = asked.form.get("client_assertion");
    match (asked.form.get("client_secret"), assertion, proof) {
        (Some(shown), _, Proof::Secret(secret)) if shown == secret => Ok(()),
        (Some(shown), _, Proof::ExpiredSecret(secret)) if shown == secret => Err(invalid_client(
            7000222,
            format!(
                "The provided client secret keys for app '{client_id}' are expired. Visit the Azure \
                 portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider \
                 using certificate credentials for added security: https://aka.ms/certCreds."
            ),
        )),
        (Some(_), ..) => Err(invalid_client(
            7000215,
            format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is \
                 the client secret value, not the client secret ID, for a secret added to app \
                 '{client_id}'."
            ),
        )),
        (None, None, _) => Err(invalid_client(
            7000218,
            "The request body must contain the following parameter: 'client_assertion' or \
             'client_secret'.",
        )),
        (None, Some(assertion), proof) => {
            if asked.form.get("client_assertion_type") != Some(ASSERTION_TYPE) {
                return Err(invalid_client(50027, "JWT token is invalid or malformed."));
            }
            match proof {
                Proof::Certificate { thumbprint, key } => {
                    let known = (thumbprint.as_slice(), key);
                    by_certificate(assertion, shared, client_id, Some(known))
                }
                Proof::Federated { issuer, subject } => by_federation(assertion, issuer, subject),
                Proof::None | Proof::Secret(_) | Proof::ExpiredSecret(_) => {
                    by_certificate(assertion, shared, client_id, None)
                }
            }
        }
    }
}

/// Verifies an assertion that the application signed with its certificate.
fn by_certificate(
    assertion: &str,
    shared: &Shared,
    client_id: &str,
    known: Option<(&[u8], &DecodingKey)>,
) -> Result<(), Refusal> {
    let header = decode_header(assertion)
        .map_err(|_| invalid_client(50027, "JWT token is invalid or malformed."))?;
    let shown = thumbprint(&header.x5t.unwrap_or_default());
    let bad = |reason: &str| {
        invalid_client(
            700027,
            format!(
                "The certificate with identifier used to sign the client assertion is not \
                 registered on application. [Reason - {reason}, Thumbprint of key used by client: \
                 '{}']",
                HEXUPPER.encode(&shown)
            ),
        )
    };
    let Some((_, key)) = known.filter(|(thumbprint, _)| *thumbprint == shown) else {
        return Err(bad("The key was not found."));
    };
    let Some(claims) = verified(assertion, key, &[Algorithm::RS256, Algorithm::PS256]) else {
        return Err(bad("The key was found, but the signature is invalid."));
    };
    if text(&claims, "iss") != client_id || text(&claims, "sub") != client_id {
        return Err(invalid_client(
            700021,
            "Client assertion application identifier doesn't match 'client_id' parameter.",
        ));
    }
    if text(&claims, "aud") != shared.token_endpoint() {
        return Err(invalid_client(
            700023,
            "Client assertion audience claim does not match Realm issuer.",
        ));
    }
    within_its_time(&claims)
}

/// SHA-1 of a certificate, in either of the two alphabets that clients encode it with.
fn thumbprint(encoded: &str) -> Vec<u8> {
    let encoded = encoded.trim_end_matches('=').replace('+', "-");
    BASE64URL_NOPAD
        .decode(encoded.replace('/', "_").as_bytes())
        .unwrap_or_default()
}

/// Verifies a token of an issuer that the application trusts.
fn by_federation(assertion: &str, issuer: &TokenIssuer, subject: &str) -> Result<(), Refusal> {
    // A token file may end with an end of line.
    let assertion = assertion.trim();
    let claims = unverified(assertion)
        .ok_or_else(|| invalid_client(50027, "JWT token is invalid or malformed."))?;
    let (shown_issuer, shown_subject) = (text(&claims, "iss"), text(&claims, "sub"));
    if shown_issuer != issuer.url() || shown_subject != subject || !is_for_exchange(&claims) {
        let audience = claims
            .get("aud")
            .map(|audience| match audience.as_str() {
                Some(audience) => audience.to_owned(),
                // Quotes would be escaped, which azure_identity does not read.
                None => audience.to_string().replace('"', ""),
            })
            .unwrap_or_default();
        return Err(invalid_client(
            70021,
            format!(
                "No matching federated identity record found for presented assertion. Assertion \
                 Issuer: '{shown_issuer}'. Assertion Subject: '{shown_subject}'. Assertion \
                 Audience: '{audience}'."
            ),
        ));
    }
    let claims = verified(assertion, issuer.key().verifying(), &[Algorithm::RS256]);
    let claims = claims.ok_or_else(|| {
        invalid_client(
            50013,
            "Assertion failed signature validation. [Reason - The key was not found.]",
        )
    })?;
    within_its_time(&claims)
}

fn within_its_time(claims: &Claims) -> Result<(), Refusal> {
    let now = keys::now();
    let begun = seconds(claims, "nbf").is_none_or(|begin| begin <= now + SKEW);
    match begun && seconds(claims, "exp").is_some_and(|end| end > now) {
        true => Ok(()),
        false => Err(invalid_client(
            700024,
            "Client assertion is not within its valid time range.",
        )),
    }
}
