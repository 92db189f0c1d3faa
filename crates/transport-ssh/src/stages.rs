//! The stages of an SSH hop, each marked in the trace with the hop that it is about.

use pgreach_core::Stage;

/// The SSH server is resolved and reached, directly or through the hop before.
pub const SSH_TCP: Stage = Stage::new("ssh-tcp");
/// Versions and keys are exchanged.
pub const SSH_HANDSHAKE: Stage = Stage::new("ssh-handshake");
/// The server's host key is verified.
pub const HOST_KEY: Stage = Stage::new("host-key");
/// The client proves who it is.
pub const SSH_AUTH: Stage = Stage::new("ssh-auth");
/// A channel to the target is opened.
pub const CHANNEL: Stage = Stage::new("channel");
/// Another connection's handshake, or the pause after a failed one, is waited for. It is only there
/// when something was waited for.
pub const SSH_SESSION: Stage = Stage::new("ssh-session");
