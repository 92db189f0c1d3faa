//! Answers of Entra and of identity endpoints that are no tokens.

use serde_json::Value;

/// What an answer without success says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Entra's number.
    pub(crate) aadsts: Option<u32>,
    /// Its words.
    pub(crate) text: Option<String>,
    /// By which Microsoft's support finds it again.
    pub(crate) trace_id: Option<String>,
}

impl Reply {
    /// Entra's, IMDS' and App Service's forms; of anything else, the status.
    pub(crate) fn read(status: u16, body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let string = |value: &Value| {
            let text = value.as_str()?.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        let text = string(&body["error_description"])
            .or_else(|| string(&body["message"]))
            .or_else(|| string(&body["error"]["message"]))
            .or_else(|| string(&body["error"]));
        let listed = || u32::try_from(body["error_codes"][0].as_u64()?).ok();
        Self {
            status,
            aadsts: text.as_deref().and_then(aadsts).or_else(listed),
            trace_id: string(&body["trace_id"]).filter(|id| id.len() <= 64),
            text: text.map(|text| first_sentence(&text).to_owned()),
        }
    }

    /// Whether the same request may be answered otherwise later.
    pub(crate) fn is_transient(&self) -> bool {
        // 50196 is Entra's word for a client that asks in a loop.
        let busy = matches!(self.aadsts, Some(90033 | 90024 | 90012 | 50196));
        busy || matches!(self.status, 408 | 429 | 500..=599)
    }
}

/// The number after `AADSTS`.
pub(crate) fn aadsts(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("AADSTS")?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

/// Without the ids that follow, in their own lines or in the same.
fn first_sentence(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.split(" Trace ID:").next().unwrap_or_default().trim()
}

/// What to do about Entra's most common numbers.
pub(crate) fn hint(aadsts: u32) -> Option<&'static str> {
    Some(match aadsts {
        7_000_215 => {
            "give the value of the client secret, not its id, and one of this very application"
        }
        7_000_222 => "the client secret has expired: create a new one for the application",
        700_016 | 7_000_229 => {
            "the tenant does not know this application: check the client id, the tenant and the cloud"
        }
        90_002 | 900_023 => {
            "give the tenant's id or one of its domains, and the cloud that it is in"
        }
        700_027 => "add this certificate to the application's certificates",
        70_021 | 700_211 | 700_212 | 700_213 => {
            "issuer, subject and audience of the assertion must be exactly those of a federated credential of the application"
        }
        70_025 => "the application has no federated credential: create one",
        700_024 => "the assertion is not valid now: check this machine's clock and the token file",
        50_105 => "assign the user or group to the application",
        65_001 => "let an administrator consent to the application",
        50_034 => "the account is not in this tenant: check the tenant",
        50_055 => "the account's password has expired",
        50_057 | 7_000_112 => "the account or application is disabled: enable it",
        50_076 | 50_079 => {
            "multi-factor authentication is demanded: log in interactively, or use an identity of an application"
        }
        53_003 => "a Conditional Access policy forbids it: ask the tenant's administrator",
        70_043 | 700_082 | 50_173 => "the login has expired: log in again",
        500_011 => "the scope is unknown in this tenant: check the cloud",
        50_196 => {
            "the same request came too often: share one EntraCredentials in the whole program"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET_ID: &str = r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '11111111-2222-3333-4444-555555555555'. Trace ID: 5d1b0d4c-0000-0000-0000-aaaaaaaaaaaa Correlation ID: 6d1b0d4c-0000-0000-0000-bbbbbbbbbbbb Timestamp: 2025-01-01 00:00:00Z","error_codes":[7000215],"timestamp":"2025-01-01 00:00:00Z","trace_id":"5d1b0d4c-0000-0000-0000-aaaaaaaaaaaa","correlation_id":"6d1b0d4c-0000-0000-0000-bbbbbbbbbbbb","error_uri":"https://login.microsoftonline.com/error?code=7000215"}"#;

    #[test]
    fn forms() {
        let reply = Reply::read(401, SECRET_ID.as_bytes());
        assert_eq!(reply.aadsts, Some(7_000_215));
        let text = reply.text.unwrap();
        assert!(
            text.starts_with("AADSTS7000215: Invalid client secret") && text.ends_with("5555'.")
        );
        assert!(reply.trace_id.unwrap().starts_with("5d1b0d4c"));

        let table = [
            (
                r#"{"error_description":"AADSTS90002: Tenant 'x' not found.\r\nTrace ID: 1\r\nCorrelation ID: 2"}"#,
                Some(90_002),
                Some("AADSTS90002: Tenant 'x' not found."),
            ),
            (
                r#"{"error":"invalid_request","error_description":"Identity not found"}"#,
                None,
                Some("Identity not found"),
            ),
            (
                r#"{"statusCode":400,"message":"No managed identity was found"}"#,
                None,
                Some("No managed identity was found"),
            ),
            (
                r#"{"error":{"code":"X","message":"words"}}"#,
                None,
                Some("words"),
            ),
            (
                r#"{"error":"too_many_requests","error_codes":[50196]}"#,
                Some(50_196),
                Some("too_many_requests"),
            ),
            ("<html>AADSTS1</html>", None, None),
            ("", None, None),
            ("[]", None, None),
            ("7", None, None),
            (r#"{"error_codes":"7","error":[],"message":{}}"#, None, None),
        ];
        for (body, number, text) in table {
            let reply = Reply::read(400, body.as_bytes());
            assert_eq!(reply.aadsts, number, "{body}");
            assert_eq!(reply.text.as_deref(), text, "{body}");
        }
    }

    #[test]
    fn what_may_pass() {
        for (status, body, expected) in [
            (400, r#"{"error_codes":[90033]}"#, true),
            (400, r#"{"error_codes":[7000215]}"#, false),
            (429, "", true),
            (503, "<html>", true),
            (401, "", false),
            (403, "", false),
        ] {
            let reply = Reply::read(status, body.as_bytes());
            assert_eq!(reply.is_transient(), expected, "{status} {body}");
        }
    }
}
