//! The way through SSH servers: what the options name is read here.

use std::path::{Path, PathBuf};

use crate::ssh_options::SshOptions;
use pgreach::conninfo::Settings;
use pgreach::prelude::*;
use pgreach::{Code, Secret, Stage, codes, ssh};

/// Where `ssh` looks, best first.
const USUAL_KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// The transport for `options`, which name one SSH server at least.
///
/// # Errors
/// Kind Config: a variable, key or file cannot be used.
pub(crate) fn transport(options: &SshOptions, settings: &Settings) -> Result<SshTransport, Error> {
    if settings.requirepeer.is_some() && settings.hosts.iter().any(Endpoint::is_unix) {
        let message = "requirepeer cannot be checked through SSH, only on this machine";
        return Err(config(&codes::CONFIG_UNSUPPORTED, message)
            .with_hint("remove requirepeer; the SSH server says which database it dials"));
    }
    let auth = credentials(options)?;
    let known_hosts = known_hosts(options)?;
    let mut builder = SshTransport::builder(TcpTransport::for_tunnels());
    for (index, given) in options.hops.iter().enumerate() {
        let Some(user) = given.user.as_ref().or(settings.os_user.as_ref()) else {
            let message = "--ssh names no user, and the current user has no name";
            return Err(
                config(&codes::CONFIG_MISSING, message).with_hint("give the user: --ssh USER@HOST")
            );
        };
        let host_keys = match options.pin(index) {
            Some(pin) => HostKeyPolicy::fingerprints([pin]).map_err(|error| {
                error
                    .with_stage(Stage::CONFIG)
                    .with_context("--host-key-fingerprint")
            })?,
            None => known_hosts.clone(),
        };
        let mut hop = SshHop::new(&given.host, user).with_host_keys(host_keys);
        if let Some(port) = given.port {
            hop = hop.with_port(port);
        }
        builder = builder.with_hop(auth.iter().cloned().fold(hop, SshHop::with_auth));
    }
    builder.build()
}

/// Everything that was given, and where nothing was, what `ssh` would use.
fn credentials(options: &SshOptions) -> Result<Vec<SshAuth>, Error> {
    let passphrase = match &options.passphrase_env {
        Some(variable) => Some(secret("--ssh-passphrase-env", variable)?),
        None => None,
    };
    let password = match &options.password_env {
        Some(variable) => Some(secret("--ssh-password-env", variable)?),
        None => None,
    };
    if password
        .as_ref()
        .is_some_and(|password| password.expose().is_empty())
    {
        let message = "the environment variable of --ssh-password-env is empty";
        return Err(config(&codes::CONFIG_INVALID, message));
    }
    if options.keys.is_empty() && password.is_none() && !options.agent {
        return usual(passphrase.as_ref());
    }
    if options.keys.is_empty() && passphrase.is_some() {
        let message = "--ssh-passphrase-env needs --ssh-key: there is no key to open";
        return Err(config(&codes::CONFIG_MISSING, message));
    }
    let mut auth = Vec::new();
    for file in &options.keys {
        auth.push(key(Path::new(file), passphrase.as_ref())?.into());
    }
    if options.agent {
        if agent_socket().is_none() {
            let message = "--ssh-agent: SSH_AUTH_SOCK is not set, so there is no SSH agent";
            return Err(config(&codes::CONFIG_MISSING, message)
                .with_hint("start an agent with eval $(ssh-agent) and add the key with ssh-add"));
        }
        auth.push(SshAuth::agent());
    }
    auth.extend(password.map(SshAuth::password));
    Ok(auth)
}

/// The user's own keys and the agent. A key that cannot be used is passed over, as `ssh` does, and
/// is the error where nothing else is there.
fn usual(passphrase: Option<&Secret>) -> Result<Vec<SshAuth>, Error> {
    let folder = std::env::home_dir().map(|home| home.join(".ssh"));
    let mut auth = Vec::new();
    let mut unusable = None;
    for file in USUAL_KEYS
        .iter()
        .filter_map(|name| Some(folder.as_ref()?.join(name)))
    {
        if !file.exists() {
            continue;
        }
        match key(&file, passphrase) {
            Ok(key) => auth.push(key.into()),
            Err(error) => drop(unusable.get_or_insert(error)),
        }
    }
    if agent_socket().is_some_and(|socket| answers(&socket)) {
        auth.push(SshAuth::agent());
    }
    match (auth.is_empty(), unusable) {
        (false, _) => Ok(auth),
        (true, Some(error)) => Err(error),
        (true, None) => {
            let message = "--ssh: there is no credential, neither a key in ~/.ssh nor an SSH agent";
            Err(config(&codes::CONFIG_MISSING, message)
                .with_hint("give --ssh-key FILE, --ssh-password-env VAR or --ssh-agent"))
        }
    }
}

fn key(file: &Path, passphrase: Option<&Secret>) -> Result<SshKey, Error> {
    SshKey::from_file(file, passphrase).map_err(|error| {
        if error.code() == &ssh::codes::SSH_KEY_PASSPHRASE_MISSING {
            error.with_hint(
                "set an environment variable to the key's passphrase and give --ssh-passphrase-env VAR",
            )
        } else {
            error
        }
    })
}

fn agent_socket() -> Option<PathBuf> {
    let socket = std::env::var_os("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty())?;
    Some(socket.into())
}

/// Whether somebody listens there. A variable may outlive its agent.
fn answers(socket: &Path) -> bool {
    #[cfg(unix)]
    return std::os::unix::net::UnixStream::connect(socket).is_ok();
    #[cfg(not(unix))]
    return socket.exists();
}

/// The value of an environment variable.
fn secret(option: &str, variable: &str) -> Result<Secret, Error> {
    let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    // Anything else may be the secret itself, in the wrong place.
    let name = match variable.chars().all(plain) {
        true => format!("{option}: the environment variable {variable}"),
        false => format!("{option}: the environment variable"),
    };
    // Names that no variable can have make `std::env` panic.
    let value = match variable.contains(['=', '\0']) {
        true => Err(std::env::VarError::NotPresent),
        false => std::env::var(variable),
    };
    match value {
        Ok(value) => Ok(Secret::new(value)),
        Err(std::env::VarError::NotPresent) => {
            Err(config(&codes::CONFIG_MISSING, format!("{name} is not set"))
                .with_hint(format!("{option} takes the name of a variable that is set")))
        }
        Err(std::env::VarError::NotUnicode(_)) => Err(config(
            &codes::CONFIG_INVALID,
            format!("{name} is not Unicode text"),
        )),
    }
}

/// The host keys on record. A file that was named must be there.
fn known_hosts(options: &SshOptions) -> Result<HostKeyPolicy, Error> {
    let Some(file) = &options.known_hosts else {
        return Ok(HostKeyPolicy::default());
    };
    let unreadable = |what: &str| {
        let message = format!("known_hosts file \"{file}\" {what}");
        config(&ssh::codes::KNOWN_HOSTS_UNREADABLE, message)
    };
    // Looked at before it is opened: a pipe would block, and is refused by the policy itself.
    let meta = std::fs::metadata(file)
        .map_err(|cause| unreadable(&format!("cannot be read: {cause}")).with_source(cause))?;
    if meta.is_dir() {
        return Err(unreadable("is a folder"));
    }
    if meta.is_file() {
        std::fs::File::open(file)
            .map_err(|cause| unreadable(&format!("cannot be read: {cause}")).with_source(cause))?;
    }
    Ok(HostKeyPolicy::known_hosts([file]))
}

fn config(code: &'static Code, message: impl AsRef<str>) -> Error {
    Error::new(code, Stage::CONFIG, message)
}
