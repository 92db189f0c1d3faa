//! What the lines say about one host, as plain data.

use std::path::PathBuf;

/// What an SSH configuration file says about a host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SshConfigHost {
    pub(super) host_name: String,
    pub(super) user: Option<String>,
    pub(super) port: u16,
    pub(super) identity_files: Vec<PathBuf>,
    /// There is no `IdentityFile`, not even `none`.
    pub(super) default_keys: bool,
    pub(super) identities_only: bool,
    pub(super) agent: Agent,
    pub(super) proxy_jump: Vec<String>,
    pub(super) user_known_hosts_files: Vec<PathBuf>,
}

/// `IdentityAgent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Agent {
    /// That of `SSH_AUTH_SOCK`, if it is set.
    Environment,
    None,
    At(PathBuf),
}

impl SshConfigHost {
    /// `HostName`, or the alias itself: a name or an address.
    #[must_use]
    pub fn host_name(&self) -> &str {
        &self.host_name
    }

    /// `User`, if there is one; `ssh` takes the local user's name otherwise.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// `Port`, or 22.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `IdentityFile`, in order, without `none`.
    #[must_use]
    pub fn identity_files(&self) -> &[PathBuf] {
        &self.identity_files
    }

    /// Whether `ssh` would try keys with its default names, such as `~/.ssh/id_ed25519`: there is no
    /// `IdentityFile`, not even `none`.
    #[must_use]
    pub fn uses_default_keys(&self) -> bool {
        self.default_keys
    }

    /// `ProxyJump`, in order, each as `[user@]host[:port]`. These are aliases themselves:
    /// [`SshConfig::route`](super::SshConfig::route) resolves them.
    #[must_use]
    pub fn proxy_jump(&self) -> &[String] {
        &self.proxy_jump
    }

    /// `UserKnownHostsFile`, or `ssh`'s defaults. Empty when it is `none`.
    #[must_use]
    pub fn user_known_hosts_files(&self) -> &[PathBuf] {
        &self.user_known_hosts_files
    }
}
