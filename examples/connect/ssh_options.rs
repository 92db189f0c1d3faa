//! The options for SSH, as they were given.

use crate::options::{once, wrong};
use pgreach::Error;

/// The options for SSH.
#[derive(Default)]
pub(crate) struct SshOptions {
    /// The servers, in order; the last one dials the database.
    pub(crate) hops: Vec<Hop>,
    pub(crate) keys: Vec<String>,
    pub(crate) passphrase_env: Option<String>,
    pub(crate) password_env: Option<String>,
    pub(crate) agent: bool,
    pub(crate) known_hosts: Option<String>,
    pub(crate) fingerprints: Vec<String>,
}

/// `[USER@]HOST[:PORT]`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) user: Option<String>,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

impl SshOptions {
    /// What the option `name` needs; `None`: it is none of these.
    pub(crate) fn value_of(name: &str) -> Option<&'static str> {
        Some(match name {
            "--ssh" => "[USER@]HOST[:PORT]",
            "--ssh-key" => "the file of a private key",
            "--ssh-passphrase-env" => "the name of an environment variable with the passphrase",
            "--ssh-password-env" => "the name of an environment variable with the password",
            "--known-hosts" => "a file in the format of known_hosts",
            "--host-key-fingerprint" => "a fingerprint, SHA256:...",
            _ => return None,
        })
    }

    /// Takes the value of an option that [`value_of`](Self::value_of) knows.
    pub(crate) fn add(&mut self, name: &str, value: String) -> Result<(), Error> {
        // No host, variable or fingerprint begins like that; a file can be given as ./-name.
        if value.is_empty() || value.starts_with('-') {
            let needed = Self::value_of(name).unwrap_or("a value");
            return Err(wrong(format!("{name} needs {needed}")));
        }
        match name {
            "--ssh" => self.hops.push(Hop::parse(&value)?),
            "--ssh-key" => self.keys.push(value),
            "--host-key-fingerprint" => self.fingerprints.push(value),
            "--ssh-passphrase-env" => once(&mut self.passphrase_env, value, name)?,
            "--ssh-password-env" => once(&mut self.password_env, value, name)?,
            _ => once(&mut self.known_hosts, value, name)?,
        }
        Ok(())
    }

    /// Whether the options fit together.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let (hops, pins) = (self.hops.len(), self.fingerprints.len());
        if hops == 0 {
            let given = [
                ("--ssh-key", !self.keys.is_empty()),
                ("--ssh-passphrase-env", self.passphrase_env.is_some()),
                ("--ssh-password-env", self.password_env.is_some()),
                ("--ssh-agent", self.agent),
                ("--known-hosts", self.known_hosts.is_some()),
                ("--host-key-fingerprint", pins > 0),
            ];
            return match given.iter().find(|(_, given)| *given) {
                None => Ok(()),
                Some((name, _)) => Err(wrong(format!("{name} needs --ssh"))
                    .with_hint("give the SSH server: --ssh [USER@]HOST[:PORT]")),
            };
        }
        // One too few could pin the wrong server.
        if pins > 1 && pins != hops {
            return Err(wrong(format!(
                "--host-key-fingerprint was given {pins} times, and --ssh {hops} times"
            ))
            .with_hint("give one fingerprint for the last SSH server, or one for each, in order"));
        }
        Ok(())
    }

    /// The fingerprint that the SSH server number `index` must have, if one was given.
    pub(crate) fn pin(&self, index: usize) -> Option<&String> {
        match self.fingerprints.as_slice() {
            [only] => (index + 1 == self.hops.len()).then_some(only),
            several => several.get(index),
        }
    }
}

impl Hop {
    fn parse(text: &str) -> Result<Self, Error> {
        // The last @: a user's name may hold one, a host's does not.
        let (user, address) = match text.rsplit_once('@') {
            None => (None, text),
            Some(("", _)) => return Err(unclear("the user is missing")),
            Some((user, _)) if user.contains(':') => {
                return Err(unclear("a user's name holds no colon").with_hint(
                    "a password is given in an environment variable: --ssh-password-env VAR",
                ));
            }
            Some((user, address)) => (Some(user.to_owned()), address),
        };
        let (host, port) = match address.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some((host, "")) => (host, None),
                Some((host, port)) if port.starts_with(':') => (host, Some(&port[1..])),
                _ => {
                    return Err(unclear(
                        "after [ comes an IPv6 address, ] and perhaps :PORT",
                    ));
                }
            },
            // Without brackets, the end of an IPv6 address could be a port.
            None if address.matches(':').count() > 1 => {
                return Err(unclear(
                    "an IPv6 address stands in brackets, as in [::1]:22",
                ));
            }
            None => match address.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (address, None),
            },
        };
        if host.is_empty() {
            return Err(unclear("the host is missing"));
        }
        let digits = |port: &&str| port.bytes().all(|byte| byte.is_ascii_digit());
        let port = match port {
            None => None,
            Some(port) => match Some(port).filter(digits).map(str::parse) {
                Some(Ok(port)) if port > 0 => Some(port),
                _ => return Err(unclear("the port is not a number from 1 to 65535")),
            },
        };
        Ok(Self {
            user,
            host: host.to_owned(),
            port,
        })
    }
}

/// The value is not repeated: there may be a password in it.
fn unclear(what: &str) -> Error {
    wrong(format!("--ssh: {what}")).with_hint("give it as [USER@]HOST[:PORT]")
}
