//! What a configuration file says about a host, as a hop.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use pgreach_core::{Error, Secret};

use super::SshConfigHost;
use super::host::Agent;
use super::lines::error;
use crate::known_hosts::system_files;
use crate::{HostKeyPolicy, SshAuth, SshHop, SshKey};

/// OpenSSH's own names, for hosts without `IdentityFile`.
const DEFAULT_KEYS: [&str; 3] = ["id_rsa", "id_ecdsa", "id_ed25519"];

/// Where this process finds keys and agent when the file says nothing of them.
struct Surroundings {
    home: Option<PathBuf>,
    /// `SSH_AUTH_SOCK`.
    agent: Option<OsString>,
}

impl SshConfigHost {
    /// The server as a hop: user, port, host keys from its known_hosts files and the system's, and its
    /// credentials.
    ///
    /// These are its identity files, as far as they exist; without `IdentityFile`, those with `ssh`'s
    /// default names. Behind them comes the agent: that of `IdentityAgent`, or that of `SSH_AUTH_SOCK`
    /// where it is set. With `IdentitiesOnly yes` the agent is left out if any of the files exists,
    /// since it would offer all its keys.
    ///
    /// A file that cannot be used (encrypted otherwise than with `passphrase`, on a security key, in
    /// PuTTY's format, a public key) is passed over if there is another credential.
    ///
    /// This reads files and blocks.
    ///
    /// ```no_run
    /// use pgreach_transport_ssh::SshConfig;
    ///
    /// # fn main() -> Result<(), pgreach_core::Error> {
    /// let config = SshConfig::from_file("/home/etl/.ssh/config")?;
    /// let hops = config
    ///     .route("bastion")?
    ///     .iter()
    ///     .map(|host| host.hop(None))
    ///     .collect::<Result<Vec<_>, _>>()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `ssh-config-invalid` when there is neither a key nor an agent, or no user; those of
    /// [`SshKey::from_file`] when there are files and none can be used.
    pub fn hop(&self, passphrase: Option<&Secret>) -> Result<SshHop, Error> {
        let surroundings = Surroundings {
            home: std::env::home_dir(),
            agent: std::env::var_os("SSH_AUTH_SOCK"),
        };
        self.hop_in(&surroundings, passphrase)
    }

    fn hop_in(
        &self,
        surroundings: &Surroundings,
        passphrase: Option<&Secret>,
    ) -> Result<SshHop, Error> {
        let user = match self.user() {
            Some(user) => user.to_owned(),
            None => whoami::username()
                .map_err(|_| error(format!("there is no user for {}", self.host_name())))?,
        };
        let mut known_hosts = self.user_known_hosts_files.clone();
        known_hosts.extend(system_files());
        let mut hop = SshHop::new(self.host_name(), user)
            .with_port(self.port())
            .with_host_keys(HostKeyPolicy::known_hosts(known_hosts));

        let (mut exists, mut problem) = (false, None);
        let home = surroundings.home.as_deref();
        for file in self.keys(home) {
            if !file.try_exists().unwrap_or(true) {
                continue;
            }
            exists = true;
            match SshKey::from_file(&file, passphrase) {
                Ok(key) => hop = hop.with_auth(key),
                Err(error) => {
                    tracing::debug!(file = %file.display(), %error, "identity file passed over");
                    problem.get_or_insert(error);
                }
            }
        }
        if !(self.identities_only && exists)
            && let Some(agent) = self.agent(surroundings)
        {
            hop = hop.with_auth(agent);
        }
        if hop.auth.is_empty() {
            return Err(problem.unwrap_or_else(|| {
                error(format!(
                    "there is no key for {}: no identity file exists and there is no agent",
                    self.host_name()
                ))
            }));
        }
        Ok(hop)
    }

    fn agent(&self, surroundings: &Surroundings) -> Option<SshAuth> {
        match &self.agent {
            Agent::None => None,
            Agent::At(socket) => Some(SshAuth::agent_at(socket)),
            Agent::Environment => {
                let socket = surroundings.agent.as_ref();
                socket
                    .is_some_and(|socket| !socket.is_empty())
                    .then(SshAuth::agent)
            }
        }
    }

    fn keys(&self, home: Option<&Path>) -> Vec<PathBuf> {
        if !self.default_keys {
            return self.identity_files.clone();
        }
        let ssh = home.map(|home| home.join(".ssh"));
        ssh.iter()
            .flat_map(|ssh| DEFAULT_KEYS.map(|name| ssh.join(name)))
            .collect()
    }
}

#[cfg(test)]
mod tests;
