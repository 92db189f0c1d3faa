//! `~/.ssh/config`: what it says about a host, as plain data.

mod criteria;
mod expand;
mod hop;
mod host;
mod jump;
mod keywords;
mod lines;
mod pattern;
mod resolve;

use std::path::{Path, PathBuf};

use host::Agent;
pub use host::SshConfigHost;
use jump::Jump;
use lines::{Line, Reader, error};
use pgreach_core::Error;
use resolve::{Found, Route};

const DEFAULT_PORT: u16 = 22;
/// Jump hosts that are reached through jump hosts.
const MAX_ROUTE: usize = 16;

/// A file such as `~/.ssh/config`.
///
/// Nothing is read unless a program asks for it, neither this file nor the system's. What is found
/// follows `ssh`: of each keyword the first value counts, `Host` and `Match` lines select, `Include`
/// includes. Keywords that change which server is reached or how it is verified, and that pgreach
/// does not follow (`ProxyCommand`, `StrictHostKeyChecking no`, `HostKeyAlias`, `Match exec` and
/// others), are refused by name where they apply to the host; the remaining ones are ignored.
/// `Match final`, for which `ssh` reads everything twice, is refused for all hosts.
///
/// `~` and the default files are in the directory that `HOME` names, and where it is not set, in that
/// of the system's user database. `ssh` goes by the database alone; for a service with a `HOME` of its
/// own, the two differ.
///
/// ```
/// use pgreach_transport_ssh::SshConfig;
///
/// # fn main() -> Result<(), pgreach_core::Error> {
/// let config = SshConfig::from_text(
///     "Host bastion
///          HostName bastion.example.org
///          User tunnel
///          IdentityFile /etc/tunnel/id_ed25519
///      Host *
///          User nobody",
/// )?;
/// let bastion = config.host("bastion")?;
/// assert_eq!(bastion.host_name(), "bastion.example.org");
/// assert_eq!(bastion.user(), Some("tunnel"));
/// assert_eq!(bastion.port(), 22);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SshConfig {
    lines: Vec<Line>,
    home: Option<PathBuf>,
}

impl SshConfig {
    /// Reads the file `path` and the files that it includes. This blocks.
    ///
    /// As `ssh` has it, on Unix each file must belong to this user or to root, and nobody else may have
    /// write permission.
    ///
    /// # Errors
    ///
    /// `config-file` when a file cannot be read or could be changed by others, `ssh-config-invalid` when a line makes no sense.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let mut reader = Reader::new(std::env::home_dir());
        let lines = reader.file(path.as_ref(), 0)?;
        let home = reader.home;
        Ok(Self { lines, home })
    }

    /// Takes the text of such a file. The files that it includes are read: this blocks.
    ///
    /// # Errors
    ///
    /// As of [`from_file`](Self::from_file).
    pub fn from_text(text: &str) -> Result<Self, Error> {
        let mut reader = Reader::new(std::env::home_dir());
        let lines = reader.text(text, "SSH configuration", 0)?;
        let home = reader.home;
        Ok(Self { lines, home })
    }

    /// What applies to `alias`, the name that one would give to `ssh`.
    ///
    /// # Errors
    ///
    /// `ssh-config-invalid` when a line that applies makes no sense or cannot be followed.
    pub fn host(&self, alias: &str) -> Result<SshConfigHost, Error> {
        self.resolve(alias, None, None)
    }

    /// The servers on the way to `alias`, which is the last one: each jump host with what applies
    /// to it. As with `ssh`, the first jump host can have jump hosts of its own, and a user or port
    /// in `ProxyJump` counts before those in the jump host's own lines.
    ///
    /// # Errors
    ///
    /// As of [`host`](Self::host), and when jump hosts lead to each other without end.
    pub fn route(&self, alias: &str) -> Result<Vec<SshConfigHost>, Error> {
        let target = self.host(alias)?;
        let mut jumps = target.proxy_jump.clone();
        let mut backwards = vec![target];
        while let Some(last) = jumps.pop() {
            if backwards.len() >= MAX_ROUTE {
                return Err(error(format!("the jump hosts to {alias} have no end")));
            }
            let jump = Jump::parse(&last)
                .ok_or_else(|| error(format!("\"{last}\" is no server to jump over")))?;
            let host = self.resolve(&jump.host, jump.user.as_deref(), jump.port)?;
            // The ones before it in the same line replace its own.
            if jumps.is_empty() {
                jumps.clone_from(&host.proxy_jump);
            }
            backwards.push(host);
        }
        backwards.reverse();
        Ok(backwards)
    }

    fn resolve(
        &self,
        alias: &str,
        user: Option<&str>,
        port: Option<u16>,
    ) -> Result<SshConfigHost, Error> {
        let local_user = whoami::username().unwrap_or_default();
        criteria::check(&self.lines)?;
        let mut found = Found::new(alias, &local_user);
        found.walk(&self.lines, user)?;
        found.check()?;

        // As ssh does: known_hosts has names in lower case.
        let host_name = found.host_name()?.to_ascii_lowercase();
        let user = match (user, found.one("user")) {
            (Some(user), _) => Some(user),
            // Tokens since OpenSSH 10.0, and not before.
            (None, Some((place, text))) if text.contains('%') || text.contains("${") => {
                return Err(place.error(format!("user \"{text}\": nothing is replaced here")));
            }
            (None, said) => said.map(|(_, user)| user),
        };
        let port = match (port, found.one("port")) {
            (Some(port), _) => port,
            (None, None) => DEFAULT_PORT,
            (None, Some((place, text))) => match text.parse() {
                Ok(port) if port != 0 => port,
                _ => return Err(place.error(format!("port \"{text}\" is not a number of a port"))),
            },
        };

        let home = self.home.as_deref();
        let home_text = home.map(|home| home.to_string_lossy().into_owned());
        let port_text = port.to_string();
        let values = [
            ('h', host_name.as_str()),
            ('n', alias),
            ('p', &port_text),
            ('r', user.unwrap_or(&local_user)),
            ('d', home_text.as_deref().unwrap_or_default()),
            ('u', &local_user),
        ];
        let (server, _) = values.split_at(4);
        let mut identity_files = Vec::new();
        for (place, text) in &found.identity_files {
            if !text.eq_ignore_ascii_case("none") {
                identity_files.push(expand::path(place, text, home, &values)?);
            }
        }
        let mut known_hosts = Vec::new();
        match found.first.get("userknownhostsfile") {
            Some((_, args)) if is_none(args) => {}
            Some((place, args)) => {
                for text in args {
                    known_hosts.push(expand::path(place, text, home, &values)?);
                }
            }
            None => {
                let files = ["known_hosts", "known_hosts2"];
                let ssh = home.map(|home| home.join(".ssh"));
                known_hosts.extend(ssh.iter().flat_map(|ssh| files.map(|file| ssh.join(file))));
            }
        }
        let mut proxy_jump = Vec::new();
        if let Some((place, Route::Jump(text))) = &found.route {
            for jump in expand::tokens(place, text, server)?.split(',') {
                let jump = jump.trim();
                if Jump::parse(jump).is_none() {
                    return Err(place.error(format!("\"{jump}\" is no server to jump over")));
                }
                proxy_jump.push(jump.to_owned());
            }
        }
        let agent = match found.one("identityagent") {
            None | Some((_, "SSH_AUTH_SOCK")) => Agent::Environment,
            Some((_, text)) if text.eq_ignore_ascii_case("none") => Agent::None,
            Some((place, text)) if text.starts_with('$') => {
                return Err(place.error(format!("\"{text}\": variables are not replaced here")));
            }
            Some((place, text)) => Agent::At(expand::path(place, text, home, &values)?),
        };
        let identities_only = match found.one("identitiesonly") {
            None => false,
            Some((place, text)) => match text.to_ascii_lowercase().as_str() {
                "yes" | "true" => true,
                "no" | "false" => false,
                _ => return Err(place.error(format!("\"{text}\" is neither yes nor no"))),
            },
        };
        Ok(SshConfigHost {
            default_keys: found.identity_files.is_empty(),
            identities_only,
            agent,
            user: user.map(ToOwned::to_owned),
            port,
            identity_files,
            proxy_jump,
            user_known_hosts_files: known_hosts,
            host_name,
        })
    }
}

/// Whether the only argument is `none`.
fn is_none(args: &[String]) -> bool {
    matches!(args, [none] if none.eq_ignore_ascii_case("none"))
}
