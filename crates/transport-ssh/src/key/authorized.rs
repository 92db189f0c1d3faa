//! The options of a line of `authorized_keys`.

use std::net::{IpAddr, Ipv6Addr};

use pgreach_core::Error;

use super::problem::setting;

/// What the holder of a key may do on the bastion: forward connections to the given targets.
///
/// On OpenSSH the line that comes of it
/// - forwards TCP connections, to the targets of [`with_permit_open`](Self::with_permit_open) only;
///   without any, to anywhere that the bastion reaches, Unix sockets among it;
/// - runs no shell, no program and no subsystem such as SFTP: in the place of each, `/bin/false` is
///   run, by the account's shell, which may read its start-up files first;
/// - denies terminals, `~/.ssh/rc`, and the forwarding of agents and of X11;
/// - denies listening on TCP ports of the bastion (`ssh -R`).
///
/// **It does not deny listening on Unix sockets of the bastion** (`ssh -R /path:…`), for which a line
/// of `authorized_keys` has no option. The account can create them wherever it may write; put
/// `AllowStreamLocalForwarding no` into `sshd_config` to deny that, at best in a `Match User` block
/// for this account. Give the key an account of its own that may write nowhere.
///
/// The values are checked when the line is written, by
/// [`SshKeyPair::authorized_key`](super::SshKeyPair::authorized_key).
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct AuthorizedKeyOptions {
    permit_open: Vec<(String, u16)>,
    from: Vec<String>,
    without_forced_command: bool,
    without_permit_listen: bool,
}

impl AuthorizedKeyOptions {
    /// Forwarding to anywhere, from anywhere, and nothing else.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows forwarding to this target; several add up. sshd compares the host with what the
    /// client asks for as text, so `localhost` does not allow `127.0.0.1`. With any target, Unix sockets
    /// of the bastion are no targets (`ssh -L …:/path`).
    pub fn with_permit_open(mut self, host: impl Into<String>, port: u16) -> Self {
        self.permit_open.push((host.into(), port));
        self
    }

    /// Accepts the key only from this address or network, such as `203.0.113.0/24`; several add up.
    pub fn with_from(mut self, network: impl Into<String>) -> Self {
        self.from.push(network.into());
        self
    }

    /// Leaves out the forced command: whoever has the key may then run programs on the bastion, as far
    /// as the account's shell lets them. `restrict` alone does not deny that.
    pub fn without_forced_command(mut self) -> Self {
        self.without_forced_command = true;
        self
    }

    /// Leaves out `permitlisten`, with which remote forwarding is denied although `port-forwarding`
    /// allows both directions. Servers before OpenSSH 7.8, and others than OpenSSH, refuse a key
    /// with an option that they do not know; there, deny remote forwarding in `sshd_config`
    /// (`AllowTcpForwarding local`).
    pub fn without_permit_listen(mut self) -> Self {
        self.without_permit_listen = true;
        self
    }

    /// The options as they stand before the key.
    pub(super) fn text(&self) -> Result<String, Error> {
        let mut text = String::from("restrict,port-forwarding");
        if !self.without_forced_command {
            text.push_str(",command=\"/bin/false\"");
        }
        for (host, port) in &self.permit_open {
            text.push_str(&format!(",permitopen=\"{}\"", target(host, *port)?));
        }
        if !self.without_permit_listen {
            // There is no way to say "nowhere": this is a port that only root can listen on.
            text.push_str(",permitlisten=\"127.0.0.1:1\"");
        }
        if !self.from.is_empty() {
            self.from.iter().try_for_each(|from| check_network(from))?;
            text.push_str(&format!(",from=\"{}\"", self.from.join(",")));
        }
        Ok(text)
    }
}

fn target(host: &str, port: u16) -> Result<String, Error> {
    if port == 0 {
        return Err(setting("a port of permitopen is 0"));
    }
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if bare.parse::<Ipv6Addr>().is_ok() {
        return Ok(format!("[{bare}]:{port}"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if host.is_empty() || host.len() > 255 || !host.chars().all(plain) {
        return Err(setting(format!(
            "a host of permitopen is neither a name nor an address: \"{host}\""
        )));
    }
    Ok(format!("{host}:{port}"))
}

/// sshd refuses the key for a network that it cannot read, and for one with bits set after the
/// prefix.
fn check_network(network: &str) -> Result<(), Error> {
    let wrong = |what: &str| setting(format!("from: \"{network}\" {what}"));
    let (address, prefix) = match network.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (network, None),
    };
    let (bits, width): (u128, u32) = match address.parse() {
        Ok(IpAddr::V4(address)) => (u128::from(u32::from(address)) << 96, 32),
        Ok(IpAddr::V6(address)) => (u128::from(address), 128),
        Err(_) => return Err(wrong("is neither an address nor a network")),
    };
    let Some(prefix) = prefix else {
        return Ok(());
    };
    let digits = prefix.chars().all(|c| c.is_ascii_digit());
    let length = prefix
        .parse()
        .ok()
        .filter(|length| digits && *length <= width);
    let Some(length) = length else {
        return Err(wrong(&format!(
            "does not end with a length of 0 to {width}"
        )));
    };
    if bits.checked_shl(length).unwrap_or(0) != 0 {
        return Err(wrong("has bits set after its prefix"));
    }
    Ok(())
}
