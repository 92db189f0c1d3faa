//! What went wrong with an SSH server, in words that say what to change.

use pgreach_core::{Code, Error, ErrorKind, Retry};
use russh::{AlgorithmKind, ChannelOpenFailure};

use crate::channel::Target;
use crate::handler::{Fate, Refusal, ended_by};
use crate::hop::SshHop;
use crate::wire::Switch;
use crate::{CHANNEL, HOST_KEY, SSH_HANDSHAKE, SSH_TCP, codes};

/// The way to an SSH server failed: `error` is that of the transport below, or of the hop before.
pub(crate) fn way(error: Error, hop: &SshHop) -> Error {
    let code: &'static Code = match error.kind() {
        ErrorKind::Resolve => &codes::SSH_UNRESOLVED,
        ErrorKind::Transport | ErrorKind::Closed => &codes::SSH_UNREACHABLE,
        // Settings, policies and deadlines speak for themselves.
        _ => {
            return error
                .with_stage(SSH_TCP)
                .with_context(format!("the way to {hop}"));
        }
    };
    let message = format!("the way to {hop}: {error}");
    let retry = error.retry();
    Error::new(code, SSH_TCP, message)
        .with_retry(retry)
        .with_source(error)
}

/// The handshake with an SSH server failed.
pub(crate) fn handshake(refusal: Refusal, wire: &Switch, fate: &Fate, hop: &SshHop) -> Error {
    use russh::Error as E;
    let error = match refusal {
        Refusal::Ours(error) => return error.with_context(hop),
        Refusal::Ssh(error) => error,
    };
    // The session that carries this one ended.
    if let E::IO(io) = &error
        && let Some(own) = Error::of_io(io)
    {
        return way(own.repeat(), hop);
    }
    // A server that hangs up politely says why.
    if let Some(reason) = fate.reason() {
        return Error::new(&codes::SSH_HANDSHAKE, SSH_HANDSHAKE, reason)
            .with_context(hop)
            .with_source(error);
    }
    let closed = matches!(&error, E::HUP | E::Disconnect | E::IO(_));
    let (code, stage, message): (&'static Code, _, String) = match &error {
        E::NoCommonAlgo { kind, ours, theirs } => {
            let message = format!(
                "no common {} algorithm: ours are {}, the server's {}",
                kind_of(kind),
                brief(&ours.join(", ")),
                brief(&theirs.join(", ")),
            );
            (&codes::SSH_NO_COMMON_ALGORITHM, SSH_HANDSHAKE, message)
        }
        E::WrongServerSig | E::SshKey(_) | E::Signature(_) => {
            let message = format!("the proof of the host key is wrong: {error}");
            (&codes::HOST_KEY_SIGNATURE, HOST_KEY, message)
        }
        E::Version => (
            &codes::SSH_NOT_SSH,
            SSH_HANDSHAKE,
            "the server did not introduce itself as an SSH server".into(),
        ),
        _ => match wire.instead_of_introduction().filter(|_| closed) {
            None => (
                &codes::SSH_HANDSHAKE,
                SSH_HANDSHAKE,
                format!("the handshake broke off: {}", ended_by(&error)),
            ),
            Some(said) if said.is_empty() => (
                &codes::SSH_TURNED_AWAY,
                SSH_HANDSHAKE,
                format!("the server said nothing: {}", ended_by(&error)),
            ),
            Some(said) if TURNED_AWAY.iter().any(|words| said.contains(words)) => (
                &codes::SSH_TURNED_AWAY,
                SSH_HANDSHAKE,
                format!("the server said \"{said}\" and hung up"),
            ),
            Some(said) => (
                &codes::SSH_NOT_SSH,
                SSH_HANDSHAKE,
                format!("the server said \"{said}\", and not that it is an SSH server"),
            ),
        },
    };
    Error::new(code, stage, message)
        .with_context(hop)
        .with_source(error)
}

/// What OpenSSH says to connections that it does not want now.
const TURNED_AWAY: &[&str] = &["Exceeded MaxStartups", "Not allowed at this time"];

fn kind_of(kind: &AlgorithmKind) -> &'static str {
    match kind {
        AlgorithmKind::Kex => "key exchange",
        AlgorithmKind::Key => "host key",
        AlgorithmKind::Cipher => "cipher",
        AlgorithmKind::Compression => "compression",
        AlgorithmKind::Mac => "MAC",
    }
}

/// An SSH server refused a channel, giving a reason and, most of them, words.
pub(crate) fn channel(reason: &ChannelOpenFailure, words: &str, target: &Target) -> Error {
    let words = brief(words.trim());
    let says = |needles: &[&str]| {
        let words = words.to_ascii_lowercase();
        needles.iter().any(|needle| words.contains(needle))
    };
    let code: &'static Code = match reason {
        ChannelOpenFailure::AdministrativelyProhibited => &codes::SSH_CHANNEL_PROHIBITED,
        // OpenSSH gives the resolver's words, or those of connect(2).
        ChannelOpenFailure::ConnectFailed if says(RESOLVER) => &codes::SSH_TARGET_UNRESOLVED,
        ChannelOpenFailure::ConnectFailed if says(&["refused"]) => &codes::SSH_TARGET_REFUSED,
        ChannelOpenFailure::ConnectFailed => &codes::SSH_TARGET_UNREACHABLE,
        _ => &codes::SSH_CHANNEL_FAILED,
    };
    let what = match code.kind() {
        _ if code.name() == codes::SSH_CHANNEL_PROHIBITED.name() => "does not permit",
        _ => "could not open",
    };
    let said = match words.as_str() {
        "" => String::new(),
        words => format!(" ({words})"),
    };
    let message = format!("the SSH server {what} a channel to {target}{said}");
    let error = Error::new(code, CHANNEL, message);
    match reason {
        ChannelOpenFailure::ConnectFailed if says(&["temporary failure"]) => {
            error.with_retry(Retry::Backoff)
        }
        // OpenSSH does not say more than "open failed".
        ChannelOpenFailure::ConnectFailed if matches!(target, Target::Socket(_)) => error.with_hint(
            "check the socket's path on the SSH server, that the SSH user may reach it, and that sshd_config and authorized_keys permit it (AllowStreamLocalForwarding, restrict); or give the database's TCP address",
        ),
        ChannelOpenFailure::UnknownChannelType => error.with_hint(
            "the SSH server does not know this kind of channel: a Unix socket needs OpenSSH 6.7 or later; give the database's TCP address",
        ),
        ChannelOpenFailure::ResourceShortage => {
            error.with_hint("the SSH server is short of resources: try again later, or look into its log")
        }
        // Windows' and some embedded servers say nothing more: the three cases cannot be told apart.
        ChannelOpenFailure::ConnectFailed if words.is_empty() => error.with_hint(
            "check the target's name and address as seen from the bastion, that the database listens there, and that its firewall admits the bastion; this SSH server does not say which",
        ),
        _ => error,
    }
}

/// Text of a server, as much of it as a person would read.
pub(crate) fn brief(text: &str) -> String {
    const MOST: usize = 1000;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// How resolvers say that they do not know a name (gai_strerror(3) of glibc, musl, BSD and macOS).
const RESOLVER: &[&str] = &[
    "name or service not known",
    "name does not resolve",
    "nodename nor servname",
    "no address associated",
    "temporary failure in name resolution",
    "name has no usable address",
    "unknown host",
    "non-recoverable failure",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_channels_are_told_apart() {
        use ChannelOpenFailure::{
            AdministrativelyProhibited, ConnectFailed, ResourceShortage, UnknownChannelType,
        };
        let target = Target::Tcp {
            host: "db.internal".into(),
            port: 5432,
        };
        let cases = [
            (
                AdministrativelyProhibited,
                "open failed",
                "ssh-channel-prohibited",
            ),
            (ConnectFailed, "Connection refused", "ssh-target-refused"),
            (
                ConnectFailed,
                "Name or service not known",
                "ssh-target-unresolved",
            ),
            (
                ConnectFailed,
                "Temporary failure in name resolution",
                "ssh-target-unresolved",
            ),
            (ConnectFailed, "No route to host", "ssh-target-unreachable"),
            (ConnectFailed, "", "ssh-target-unreachable"),
            (UnknownChannelType, "", "ssh-channel-failed"),
            (ResourceShortage, "", "ssh-channel-failed"),
        ];
        for (reason, words, code) in cases {
            let error = channel(&reason, words, &target);
            assert_eq!(error.code().name(), code, "{reason:?} {words}");
            assert!(error.to_string().contains("db.internal:5432"), "{error}");
        }
        let error = channel(&ConnectFailed, "\u{1b}[31mrefused", &target);
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }
}
