//! How the client proves who it is.

mod agent;
mod answers;
mod attempt;
mod methods;
mod sign;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use pgreach_core::{Error, Secret};

use crate::SshKey;

pub(crate) use attempt::authenticate;

/// One way to authenticate to an SSH server (RFC 4252).
///
/// Secrets are not shown by `Debug`.
#[derive(Debug, Clone)]
pub struct SshAuth(pub(crate) Way);

#[derive(Debug, Clone)]
pub(crate) enum Way {
    Key(SshKey),
    Password(Secret),
    Interactive(Arc<dyn Prompter>),
    Agent(AgentSocket),
}

/// Where the agent listens.
#[derive(Debug, Clone)]
pub(crate) enum AgentSocket {
    /// Where `SSH_AUTH_SOCK` says, at the time of the handshake.
    Environment,
    Path(PathBuf),
}

impl SshAuth {
    /// A private key, with its certificate where it has one. RSA keys sign with SHA-2 only.
    #[must_use]
    pub fn key(key: SshKey) -> Self {
        Self(Way::Key(key))
    }

    /// A password. It also answers a keyboard-interactive question whose answer is not echoed, for
    /// servers that ask for the password that way.
    #[must_use]
    pub fn password(password: impl Into<Secret>) -> Self {
        Self(Way::Password(password.into()))
    }

    /// Answers the server's questions (RFC 4256), such as one for a one-time code.
    #[must_use]
    pub fn keyboard_interactive(prompter: impl Prompter) -> Self {
        Self(Way::Interactive(Arc::new(prompter)))
    }

    /// The keys and certificates of the agent that `SSH_AUTH_SOCK` names when the handshake begins.
    ///
    /// At most five are offered, in the agent's order: servers end a session after a few wrong keys
    /// (`MaxAuthTries`, 6 by default).
    #[must_use]
    pub fn agent() -> Self {
        Self(Way::Agent(AgentSocket::Environment))
    }

    /// As [`agent`](Self::agent), with the agent that listens at `socket`.
    #[must_use]
    pub fn agent_at(socket: impl Into<PathBuf>) -> Self {
        Self(Way::Agent(AgentSocket::Path(socket.into())))
    }
}

impl From<SshKey> for SshAuth {
    fn from(key: SshKey) -> Self {
        Self::key(key)
    }
}

/// Answers an SSH server's questions, for [`SshAuth::keyboard_interactive`].
#[async_trait]
pub trait Prompter: fmt::Debug + Send + Sync + 'static {
    /// One answer for each prompt of one round, in order. The future is dropped when the deadline of
    /// the connection passes.
    ///
    /// # Errors
    /// Any error ends the authentication.
    async fn answer(&self, challenge: &Challenge) -> Result<Vec<Secret>, Error>;
}

/// One round of a server's questions. The texts are the server's, with control characters escaped.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Challenge {
    /// A title, often empty.
    pub name: String,
    /// What to do, often empty.
    pub instructions: String,
    /// The questions; there may be none.
    pub prompts: Vec<ChallengePrompt>,
}

/// One question.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ChallengePrompt {
    /// The question, such as `Verification code: `.
    pub text: String,
    /// Whether the answer may be shown while it is typed.
    pub echo: bool,
}
