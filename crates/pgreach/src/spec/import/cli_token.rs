//! A token as the Azure CLI prints it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use pgreach_core::{Credential, CredentialProvider, CredentialRequest, Error, Secret};
use serde::Deserialize;

use super::{Literal, readable};
use crate::spec::fault::Fault;

/// What `az account get-access-token --resource-type oss-rdbms` prints.
///
/// It is a credential source for as long as the token lives, and cannot be a part of a document: a token is
/// never saved. A connector sends it only over TLS verified in full.
///
/// ```
/// use pgreach::prelude::*;
/// use pgreach::spec::import::CliToken;
///
/// # fn connector(output: &str, builder: pgreach::PgConnectorBuilder) -> Result<PgConnector, Error> {
/// let token = CliToken::from_json(output)?;
/// builder.with_user("app@example.com").with_credentials(token).build()
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct CliToken {
    token: Secret,
    expires_at: Option<SystemTime>,
}

readable!(CliToken from Checked);

impl From<Checked> for CliToken {
    fn from(Checked(token): Checked) -> Self {
        token
    }
}

struct Checked(CliToken);

/// `expiresOn` is the local time of whoever ran the CLI, without a zone: only newer versions say it in
/// seconds (`expires_on`).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "fields that are there and say nothing to us")]
struct Fields {
    #[serde(rename = "accessToken")]
    access_token: Literal,
    #[serde(rename = "expiresOn")]
    expires: Option<String>,
    expires_on: Option<u64>,
    subscription: Option<String>,
    tenant: Option<String>,
    #[serde(rename = "tokenType")]
    token_type: String,
}

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Fields::deserialize(deserializer)?;
        if fields.token_type != "Bearer" {
            return Err(Fault::field("tokenType", "must be Bearer").through());
        }
        if fields.access_token.0.expose().is_empty() {
            return Err(Fault::field("accessToken", "is empty").through());
        }
        Ok(Self(CliToken {
            token: fields.access_token.0,
            expires_at: fields.expires_on.and_then(|seconds| {
                SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
            }),
        }))
    }
}

#[async_trait]
impl CredentialProvider for CliToken {
    async fn credential(&self, _: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        let credential = Credential::bearer_token(self.token.clone());
        Ok(Arc::new(match self.expires_at {
            Some(at) => credential.with_expiry(at),
            None => credential,
        }))
    }

    fn invalidate(&self, _rejected: &Credential) -> bool {
        false
    }
}
