//! What russh tells of a session, and what it asks.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use pgreach_core::Error;
use pgreach_core::text::escape_control;
use russh::client::{ChannelOpenHandle, DisconnectReason, Handler, Msg, Session};
use russh::keys::Algorithm;
use russh::{Channel, ChannelId, ChannelOpenFailure, Names};
use tokio::sync::mpsc;

use crate::algorithms::is_gcm;
use crate::failure::brief;
use crate::known_hosts::{HostKeyChecker, Trusted};
use crate::{CHANNEL, HOST_KEY, SSH_HANDSHAKE, codes};

/// Why russh's task ended before a session was there.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// russh's own reasons.
    Ssh(russh::Error),
    /// Ours.
    Ours(Box<Error>),
}

impl From<russh::Error> for Refusal {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

/// What was seen of the server while the session began.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) trusted: Option<Trusted>,
    pub(crate) version: Option<String>,
    pub(crate) algorithms: Option<String>,
    /// What the host key was agreed to sign with.
    pub(crate) host_key_algorithm: Option<String>,
}

/// How a session ended. The first reason stays.
#[derive(Debug, Default)]
pub(crate) struct Fate(OnceLock<String>);

impl Fate {
    pub(crate) fn seal(&self, reason: impl Into<String>) {
        let _ = self.0.set(reason.into());
    }

    pub(crate) fn reason(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// Why a channel was refused, in the server's words.
pub(crate) type Refused = (ChannelOpenFailure, String);

/// russh's handler. It lives in the session's task.
pub(crate) struct Watcher {
    pub(crate) host_keys: HostKeyChecker,
    pub(crate) seen: Arc<Mutex<Seen>>,
    pub(crate) fate: Arc<Fate>,
    pub(crate) refused: mpsc::UnboundedSender<Refused>,
}

impl Watcher {
    fn with_seen<T>(&self, f: impl FnOnce(&mut Seen) -> T) -> T {
        f(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Handler for Watcher {
    type Error = Refusal;

    async fn check_server_key(
        &mut self,
        offered: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, Refusal> {
        let trusted = self
            .host_keys
            .check(offered)
            .await
            .map_err(|error| Refusal::Ours(Box::new(error.with_stage(HOST_KEY))))?;
        self.with_seen(|seen| seen.trusted = Some(trusted));
        Ok(true)
    }

    /// Before the first authentication message, and after each later key exchange.
    async fn kex_done(
        &mut self,
        _: Option<&[u8]>,
        names: &Names,
        session: &mut Session,
    ) -> Result<(), Refusal> {
        let version = escape_control(&String::from_utf8_lossy(session.remote_sshid()));
        let cipher = names.cipher;
        // Only the first exchange says whether the server supports it; russh keeps to it afterwards.
        let first = self.with_seen(|seen| seen.algorithms.is_none());
        if first && !names.strict_kex() && !is_gcm(cipher) {
            let message = format!(
                "{version} has no strict key exchange and negotiated the cipher {}",
                cipher.as_ref()
            );
            let error = Error::new(&codes::SSH_TERRAPIN, SSH_HANDSHAKE, message);
            return Err(Refusal::Ours(Box::new(error)));
        }
        // A server must show a key of the type that was agreed on, or the order of our list, which
        // follows what is on record, would mean nothing.
        let shown = self.with_seen(|seen| seen.trusted.as_ref().map(|t| t.key_type.clone()));
        if first
            && shown
                .as_deref()
                .is_some_and(|shown| !is_of(shown, &names.key))
        {
            let message = format!(
                "{version} agreed on a host key of type {} and showed one of type {}",
                names.key.as_str(),
                shown.unwrap_or_default()
            );
            let error = Error::new(&codes::HOST_KEY_SIGNATURE, HOST_KEY, message);
            return Err(Refusal::Ours(Box::new(error)));
        }
        self.with_seen(|seen| {
            seen.version = Some(version);
            seen.host_key_algorithm = Some(names.key.as_str().to_owned());
            seen.algorithms = Some(format!("{} {}", names.kex.as_ref(), cipher.as_ref()));
        });
        Ok(())
    }

    // Nothing here lets a server open channels. russh would queue an answer to each, without a bound
    // while keys are exchanged, so a server that tries ends its session.

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Refusal> {
        Err(unwanted_channel())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Refusal> {
        Err(unwanted_channel())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Refusal> {
        Err(unwanted_channel())
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Refusal> {
        Err(unwanted_channel())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Refusal> {
        Err(unwanted_channel())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Refusal> {
        Err(unwanted_channel())
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Refusal> {
        Err(unwanted_channel())
    }

    async fn server_channel_open_unknown(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Refusal> {
        Err(unwanted_channel())
    }

    fn should_accept_unknown_server_channel(
        &mut self,
        _: ChannelId,
        _: &str,
    ) -> impl Future<Output = bool> + Send {
        // So that it comes to the refusal above.
        std::future::ready(true)
    }

    async fn channel_open_failure(
        &mut self,
        _: ChannelId,
        reason: ChannelOpenFailure,
        description: &str,
        _: &str,
        _: &mut Session,
    ) -> Result<(), Refusal> {
        let _ = self.refused.send((reason, brief(description)));
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Refusal>) -> Result<(), Refusal> {
        self.fate.seal(match reason {
            DisconnectReason::ReceivedDisconnect(info) => format!(
                "the server ended the session: {}",
                brief(info.message.trim())
            ),
            DisconnectReason::Error(Refusal::Ssh(error)) => ended_by(&error),
            DisconnectReason::Error(Refusal::Ours(error)) => error.to_string(),
        });
        Ok(())
    }
}

fn unwanted_channel() -> Refusal {
    let message = "the SSH server tried to open a channel towards this client";
    Refusal::Ours(Box::new(Error::new(&codes::SSH_LOST, CHANNEL, message)))
}

/// Whether a key of the type `shown` fits the algorithm that was agreed on: the algorithms of RSA
/// differ in the hash only.
fn is_of(shown: &str, agreed: &Algorithm) -> bool {
    match agreed {
        Algorithm::Rsa { .. } => shown.starts_with("ssh-rsa"),
        other => shown == other.as_str() || shown == other.to_certificate_type(),
    }
}

/// What ended a session, in one line.
pub(crate) fn ended_by(error: &russh::Error) -> String {
    use russh::Error as E;
    match error {
        E::HUP | E::Disconnect | E::RecvError => "the server closed the connection".into(),
        E::KeepaliveTimeout | E::InactivityTimeout | E::ConnectionTimeout => SILENT.into(),
        E::IO(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the server closed the connection".into()
        }
        E::IO(io) if io.kind() == std::io::ErrorKind::TimedOut => SILENT.into(),
        E::NoAuthMethod => NO_METHOD.into(),
        other => brief(&escape_control(&other.to_string())),
    }
}

/// The reason of sessions whose peer stopped answering.
pub(crate) const SILENT: &str = "the server stopped answering";
/// The reason of sessions with a server that lets nobody in.
pub(crate) const NO_METHOD: &str = "the SSH server allows no authentication method at all";
