//! One SSH session: a handshake that ends in trust, an identity, and channels.

use std::fmt;
use std::mem::discriminant;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pgreach_core::{BoxStream, DialContext, Error};
use russh::client::{Config, Handle, connect_stream};
use russh::{ChannelOpenFailure, Limits, SshId};
use tokio::sync::mpsc;

use crate::auth::authenticate;
use crate::channel::Target;
use crate::failure;
use crate::handler::{Fate, Refused, SILENT, Seen, Watcher};
use crate::hop::SshHop;
use crate::wire::{Switch, Wire};
use crate::{HOST_KEY, SSH_AUTH, SSH_HANDSHAKE, codes};

/// A channel's window: what the server may send before it hears from us. 100 ms at 1 Gbit/s are 12.5 MB.
/// Here it is a promise, not a buffer: what is not read stays in the sockets. OpenSSH's server, though,
/// buffers as much as it may; with more than this, it spends its time on that.
pub(crate) const WINDOW: u32 = 16 * 1024 * 1024;
/// Messages between russh's task and a channel's reader, each of up to 32 KiB.
const QUEUE: usize = 32;

/// An authenticated session.
pub(crate) struct Session {
    pub(crate) handle: Handle<Watcher>,
    /// Switches the wire off when the session is dropped: russh's task ends with it.
    switch: Switch,
    fate: Arc<Fate>,
    /// The server's words for each refused channel, in order.
    refused: tokio::sync::Mutex<mpsc::UnboundedReceiver<Refused>>,
    name: String,
    host_key: String,
}

impl Session {
    /// Runs the handshake and authenticates over `stream`. Cancel-safe: dropping the future ends the
    /// stream and, with it, russh's task.
    pub(crate) async fn establish(
        hop: &SshHop,
        stream: BoxStream,
        carried: bool,
        cx: &DialContext,
    ) -> Result<Self, Error> {
        let Begun {
            mut handle,
            switch,
            fate,
            refused,
            host_key,
        } = handshake(hop, stream, carried, cx).await?;
        let stage = cx.enter(SSH_AUTH);
        stage.note("user", hop.user());
        let authenticated = authenticate(hop, &mut handle, &fate, &stage).await;
        stage.end(authenticated.map_err(|error| error.with_context(hop)))?;
        Ok(Self {
            handle,
            switch,
            fate,
            refused: tokio::sync::Mutex::new(refused),
            name: hop.to_string(),
            host_key,
        })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// The fingerprint of the server's host key.
    pub(crate) fn host_key(&self) -> &str {
        &self.host_key
    }

    /// Whether the server gives a sign of life within `patience`.
    pub(crate) async fn answers(&self, patience: Duration) -> bool {
        let answered = tokio::time::timeout(patience, self.handle.send_ping()).await;
        matches!(answered, Ok(Ok(()))) && !self.is_closed()
    }

    /// Why the session is over, as an error of one of its channels.
    pub(crate) fn lost(&self) -> Error {
        let reason = if self.switch.stalled() {
            SILENT
        } else {
            self.fate.reason().unwrap_or("the session is closed")
        };
        let code = if reason == SILENT {
            &codes::SSH_SILENT
        } else {
            &codes::SSH_LOST
        };
        let message = format!("the SSH session with {} ended: {reason}", self.name);
        Error::new(code, pgreach_core::Stage::QUERY, message)
    }

    /// Opens a channel. Cancel-safe as far as this side goes: a channel that the server confirms
    /// later stays open until the session ends, so a session whose open was dropped is not used again.
    pub(crate) async fn open(
        &self,
        target: &Target,
    ) -> Result<russh::Channel<russh::client::Msg>, Error> {
        let opened = match target {
            Target::Tcp { host, port } => {
                // The originator is for the server's log; there is none that would mean anything.
                let port = u32::from(*port);
                self.handle
                    .channel_open_direct_tcpip(host.as_str(), port, "127.0.0.1", 0)
                    .await
            }
            Target::Socket(path) => {
                self.handle
                    .channel_open_direct_streamlocal(path.as_str())
                    .await
            }
        };
        match opened {
            Ok(channel) => Ok(channel),
            Err(russh::Error::ChannelOpenFailure(reason)) => {
                // russh hands the reason to us and the words to its handler, right afterwards.
                let words = self.refused.lock().await.recv().await;
                // Of another channel, when one was given up before its answer came.
                let same = |of: &ChannelOpenFailure| discriminant(of) == discriminant(&reason);
                let words = words.filter(|(of, _)| same(of));
                let words = words.map(|(_, words)| words).unwrap_or_default();
                Err(failure::channel(&reason, &words, target).with_context(&self.name))
            }
            Err(_) => Err(self.lost().with_stage(crate::CHANNEL)),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("with", &self.name)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// A session with a server that is trusted, and does not know us yet.
struct Begun {
    handle: Handle<Watcher>,
    switch: Switch,
    fate: Arc<Fate>,
    refused: mpsc::UnboundedReceiver<Refused>,
    host_key: String,
}

/// Exchanges keys with a server that is then trusted.
async fn handshake(
    hop: &SshHop,
    stream: BoxStream,
    carried: bool,
    cx: &DialContext,
) -> Result<Begun, Error> {
    let stage = cx.enter(SSH_HANDSHAKE);
    let loaded = hop.host_keys.load(hop.host(), hop.port()).await;
    let host_keys = match loaded {
        Ok(host_keys) => host_keys,
        Err(error) => return Err(stage.fail(error.with_context(hop))),
    };
    let preference = host_keys.preference(hop.algorithms.host_keys());
    let config = Arc::new(Config {
        client_id: SshId::Standard(concat!("SSH-2.0-pgreach_", env!("CARGO_PKG_VERSION")).into()),
        limits: limits(hop),
        window_size: WINDOW,
        channel_buffer_size: QUEUE,
        preferred: hop
            .algorithms
            .preferred(preference.keys, preference.certificates),
        keepalive_interval: Some(hop.keepalive.interval),
        keepalive_max: usize::try_from(hop.keepalive.max_unanswered).unwrap_or(usize::MAX),
        ..Config::default()
    });
    let (wire, switch) = Wire::new(stream, carried, hop.keepalive.patience());
    let (sender, refused) = mpsc::unbounded_channel();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let fate = Arc::new(Fate::default());
    let watcher = Watcher {
        host_keys,
        seen: Arc::clone(&seen),
        fate: Arc::clone(&fate),
        refused: sender,
    };
    let connected = connect_stream(config, wire, watcher).await;
    let seen = std::mem::take(&mut *seen.lock().unwrap_or_else(PoisonError::into_inner));
    for (what, value) in [("server", seen.version), ("algorithms", seen.algorithms)] {
        if let Some(value) = value {
            stage.note(what, value);
        }
    }
    match connected {
        Ok(handle) => {
            stage.pass();
            let stage = cx.enter(HOST_KEY);
            if let Err(error) = check_signature(&handle, seen.host_key_algorithm.as_deref()) {
                return Err(stage.fail(error.with_context(hop)));
            }
            let mut host_key = String::new();
            if let Some(trusted) = seen.trusted {
                host_key = trusted.fingerprint;
                stage.note("fingerprint", &host_key);
                stage.note("type", trusted.key_type);
                stage.note("trusted", trusted.how);
            }
            stage.pass();
            Ok(Begun {
                handle,
                switch,
                fate,
                refused,
                host_key,
            })
        }
        Err(refusal) => {
            let error = failure::handshake(refusal, &switch, &fate, hop);
            if error.stage() == HOST_KEY {
                stage.pass();
                return Err(cx.enter(HOST_KEY).fail(error));
            }
            Err(stage.fail(error))
        }
    }
}

/// russh verifies a host key's signature of whatever algorithm it is, with SHA-1 where the server says
/// so. It must be the one that was agreed on, as OpenSSH has it.
fn check_signature(handle: &Handle<Watcher>, agreed: Option<&str>) -> Result<(), Error> {
    use russh::keys::ssh_encoding::Decode;

    let binding = handle.agent_session_binding();
    let mut signature = binding
        .map(|binding| binding.signature())
        .unwrap_or_default();
    let made_with = String::decode(&mut signature).unwrap_or_default();
    if Some(made_with.as_str()) == agreed {
        return Ok(());
    }
    let message = format!(
        "the host key signed with \"{}\" and not with {}, as was agreed",
        failure::brief(&made_with),
        agreed.unwrap_or("anything")
    );
    Err(Error::new(&codes::HOST_KEY_SIGNATURE, HOST_KEY, message))
}

fn limits(hop: &SshHop) -> Limits {
    match hop.rekey_limit {
        Some(bytes) => Limits::new(bytes, bytes, REKEY_AFTER),
        None => Limits::default(),
    }
}

/// RFC 4253, section 9: after an hour at the latest.
const REKEY_AFTER: Duration = Duration::from_secs(3600);
