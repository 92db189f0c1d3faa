//! The SSH agent.

use pgreach_core::{Error, Stage};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::{AgentClient, AgentStream};

use super::AgentSocket;
use crate::{SSH_AUTH, codes};

pub(super) type Agent = AgentClient<Box<dyn AgentStream + Send + Unpin + 'static>>;

/// The agent, bound to this session, and its keys.
pub(super) async fn open(
    socket: &AgentSocket,
    binding: Option<&russh::keys::agent::AgentSessionBinding>,
) -> Result<(Agent, Vec<AgentIdentity>), Error> {
    let path = match socket {
        AgentSocket::Path(path) => path.clone(),
        AgentSocket::Environment => match std::env::var_os("SSH_AUTH_SOCK") {
            Some(path) if !path.is_empty() => path.into(),
            _ => {
                let message = "SSH_AUTH_SOCK is not set: there is no SSH agent";
                return Err(Error::new(
                    &codes::SSH_CONFIG_INVALID,
                    Stage::CONFIG,
                    message,
                ));
            }
        },
    };
    let failed = |what: &str, error: russh::keys::Error| {
        let message = format!("the SSH agent at {} {what}: {error}", path.display());
        Error::new(&codes::SSH_AGENT, SSH_AUTH, message).with_source(error)
    };
    #[cfg(unix)]
    let mut agent = AgentClient::connect_uds(&path)
        .await
        .map_err(|error| failed("does not answer", error))?
        .dynamic();
    #[cfg(windows)]
    let mut agent = AgentClient::connect_named_pipe(&path)
        .await
        .map_err(|error| failed("does not answer", error))?
        .dynamic();
    if let Some(binding) = binding {
        // Keys that are restricted to destinations are shown only then; agents that do not know the
        // request (before OpenSSH 8.9) have no such keys.
        let _ = agent.bind_session(binding, false).await;
    }
    let identities = agent
        .request_identities()
        .await
        .map_err(|error| failed("did not list its keys", error))?;
    Ok((agent, identities))
}
