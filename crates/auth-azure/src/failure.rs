//! What went wrong, as errors of this crate. azure_core's errors are not kept as sources: their text
//! can repeat what a proxy, a tool or an identity endpoint wrote, and their `Debug` the headers.

use std::time::Duration;

use azure_core::error::ErrorKind;
use pgreach_core::{Code, Error, Retry, Stage};

use crate::codes;
use crate::http::{Last, innermost};
use crate::identity::{EntraIdentity, Kind};
use crate::redact::Redactor;
use crate::reply::{Reply, aadsts, hint};

pub(crate) fn error(code: &'static Code, message: impl AsRef<str>) -> Error {
    Error::new(code, Stage::CREDENTIAL, message)
}

/// Whose failure it is, and what must not be shown of it.
pub(crate) struct Blame<'a> {
    pub(crate) identity: &'a EntraIdentity,
    pub(crate) redactor: &'a Redactor,
}

impl Blame<'_> {
    fn error(&self, code: &'static Code, what: &str) -> Error {
        error(code, format!("{}: {what}", self.identity.name()))
    }

    /// A credential of azure_identity, or of others, gave no token.
    pub(crate) fn azure(&self, failure: &azure_core::Error, last: Last) -> Error {
        match &self.identity.0 {
            Kind::AzureCli(_) | Kind::AzureDeveloperCli(_) => return self.tool(failure),
            Kind::Foreign(_) => return self.foreign(failure),
            _ => {}
        }
        match last {
            // It failed before it asked anybody.
            Last::Nothing => self.setup(failure),
            Last::Answered { host } => self.error(
                &codes::ENTRA_TOKEN,
                &format!("{host} answered with success and without a usable token"),
            ),
            // Its own kind says whether it was the answer that is wrong.
            Last::Asked { host } => self.unreachable(&host, &innermost(failure)),
            other => self.outcome(other).unwrap_or_else(|| self.setup(failure)),
        }
    }

    /// No token came within `budget`.
    pub(crate) fn timeout(&self, budget: Duration, last: Last) -> Error {
        let silent = match &last {
            Last::Asked { host } | Last::Answered { host } => host.clone(),
            _ => self.asked().to_owned(),
        };
        match self.outcome(last) {
            Some(known) => known.with_context(format!("tried for {budget:?}")),
            None => self.error(
                &codes::ENTRA_TIMEOUT,
                &format!("{silent} gave no token within {budget:?}"),
            ),
        }
    }

    /// What is waited for where it is not HTTP.
    fn asked(&self) -> &'static str {
        match &self.identity.0 {
            Kind::AzureCli(_) => "az",
            Kind::AzureDeveloperCli(_) => "azd",
            Kind::Assertion(..) => "the application's assertion source",
            Kind::Source(_) => "the application's token source",
            Kind::Foreign(_) => "the application's credential",
            _ => "it",
        }
    }

    /// How the last exchange ended, if it did.
    fn outcome(&self, last: Last) -> Option<Error> {
        match last {
            Last::Nothing | Last::Asked { .. } | Last::Answered { .. } => None,
            Last::Refused { host, reply } => Some(self.refused(&host, &reply)),
            Last::Failed { host, cause } => Some(self.unreachable(&host, &cause)),
            Last::Source { cause } => Some(self.source(&cause)),
        }
    }

    fn managed(&self) -> bool {
        matches!(self.identity.0, Kind::Managed(_))
    }

    fn unreachable(&self, host: &str, cause: &str) -> Error {
        let cause = self.redactor.line(cause);
        if self.managed() {
            // Perhaps the machine is only starting.
            return self
                .error(
                    &codes::ENTRA_NO_IDENTITY,
                    &format!("the identity endpoint {host} does not answer ({cause})"),
                )
                .with_hint("run this on an Azure resource that has a managed identity, or choose another EntraIdentity")
                .with_retry(Retry::Backoff);
        }
        let error = self.error(
            &codes::ENTRA_UNREACHABLE,
            &format!("{host} cannot be reached ({cause})"),
        );
        if cause.contains("certificate") {
            return error.with_hint(
                "if a proxy inspects TLS here, add its root with with_root_certificate",
            );
        }
        error
    }

    /// Entra or an identity endpoint said no.
    fn refused(&self, host: &str, reply: &Reply) -> Error {
        let text = reply.text.as_deref().map(|text| self.redactor.line(text));
        let mut said = match text {
            Some(text)
                if reply
                    .aadsts
                    .is_some_and(|n| !text.contains(&format!("AADSTS{n}"))) =>
            {
                format!("AADSTS{}: {text}", reply.aadsts.unwrap_or_default())
            }
            Some(text) if reply.aadsts.is_some() => text,
            Some(text) => format!("status {}: {text}", reply.status),
            None => format!("status {}", reply.status),
        };
        if let Some(id) = &reply.trace_id {
            said.push_str(&format!(" (trace id {})", self.redactor.line(id)));
        }
        let code = match reply.status {
            // IMDS answers so while it is updated, and others do where there is no Azure.
            404 | 410 if self.managed() => &codes::ENTRA_NO_IDENTITY,
            _ if reply.is_transient() => &codes::ENTRA_UNAVAILABLE,
            400 if self.managed() => &codes::ENTRA_NO_IDENTITY,
            _ => &codes::ENTRA_REFUSED,
        };
        let mut error = self.error(code, &format!("{host} answered {said}"));
        // Microsoft's advice for IMDS: a machine that has only started, or an update that passes.
        if self.managed() && matches!(reply.status, 404 | 410) {
            error = error.with_retry(Retry::Backoff);
        }
        match (reply.aadsts.and_then(hint), &self.identity.0) {
            (Some(hint), _) => error.with_hint(hint),
            (None, Kind::Pipelines(..)) if reply.aadsts.is_none() => {
                error.with_hint("check the service connection's id, and that the job may use it")
            }
            (None, _) if reply.aadsts.is_none() && reply.status == 407 => {
                error.with_hint("the proxy demands authentication: put it into the proxy's address")
            }
            (None, _) if reply.aadsts.is_none() && reply.text.is_none() && !self.managed() => {
                error.with_hint("this is no answer of Entra's: see which proxy is in between")
            }
            _ => error,
        }
    }

    /// It failed before any request: a setting, a file, a variable.
    fn setup(&self, failure: &azure_core::Error) -> Error {
        let text = self.text(failure);
        let code = match &self.identity.0 {
            // Cloud Shell, Arc and others, which azure_identity does not know; an address that is none.
            Kind::Managed(_) => &codes::ENTRA_NO_IDENTITY,
            _ => &codes::ENTRA_CONFIG,
        };
        self.error(code, &text)
    }

    fn tool(&self, failure: &azure_core::Error) -> Error {
        let text = self.text(failure);
        let lower = text.to_ascii_lowercase();
        let (name, login) = match &self.identity.0 {
            Kind::AzureCli(_) => ("az", "run az login as the user of this process"),
            _ => ("azd", "run azd auth login as the user of this process"),
        };
        let error = self.error(&codes::ENTRA_TOOL, &text);
        if lower.contains("not found on path") {
            return error.with_hint(format!(
                "install {name}, or put it on the PATH of this process"
            ));
        }
        if let Some(hint) = aadsts(&text).and_then(hint) {
            return error.with_hint(format!("{hint}, or {login}"));
        }
        // The name of the authority's host holds "login" as well.
        let logged_out = ["az login", "azd auth login", "logged in", "log in"];
        if logged_out.iter().any(|words| lower.contains(words)) {
            return error.with_hint(login);
        }
        // Whatever else it is may pass: the network, a cache that another process holds.
        error.with_retry(Retry::Backoff)
    }

    /// A credential that the application brought: what it says is looked at, not who it is.
    fn foreign(&self, failure: &azure_core::Error) -> Error {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(failure);
        while let Some(error) = cause {
            match error
                .downcast_ref::<azure_core::Error>()
                .map(azure_core::Error::kind)
            {
                Some(ErrorKind::HttpResponse {
                    raw_response: Some(response),
                    ..
                }) => {
                    let reply = Reply::read(*response.status(), response.body());
                    return self.refused("the authority", &reply);
                }
                Some(ErrorKind::Connection | ErrorKind::Io) => {
                    return self.unreachable("the authority", &innermost(error));
                }
                _ => cause = error.source(),
            }
        }
        self.source(&self.text(failure))
    }

    /// The application's own source failed.
    pub(crate) fn source(&self, cause: &str) -> Error {
        self.error(&codes::ENTRA_SOURCE, &self.redactor.line(cause))
    }

    /// What azure_identity says, without its preface and its links.
    fn text(&self, failure: &azure_core::Error) -> String {
        let text = failure.to_string();
        let text = match text.split_once(" authentication failed.") {
            Some((name, rest)) if !name.contains(char::is_whitespace) => rest,
            _ => &text,
        };
        let lines = text.lines().map(str::trim);
        let line = lines
            .filter(|line| !line.is_empty() && !line.starts_with("To troubleshoot"))
            // The Azure CLI warns before it fails.
            .filter(|line| !line.starts_with("WARNING:"))
            .map(|line| line.trim_start_matches("ERROR:"))
            .next();
        self.redactor
            .line(line.unwrap_or("it failed without a word"))
    }
}
