//! A real Dropbear server for one test.

use std::net::SocketAddr;
use std::path::Path;

use super::fetch::fetch_dropbear;
use super::keys::fingerprint;
use super::place::{Place, has_namespaces};
use super::programs::{SshPrograms, find};
use super::server::{Recipe, Server};
use super::users::{Settled, SshUser};
use crate::Error;
use crate::account::Account;
use crate::command::run;

/// Describes a server before it is started.
#[derive(Debug, Default, Clone)]
#[must_use]
pub struct DropbearBuilder {
    users: Vec<SshUser>,
    options: Vec<String>,
}

/// A running `dropbear` on 127.0.0.1, with users of its own; needs root and a mount namespace. It
/// ends with all its sessions when it is dropped, as [`Sshd`](super::Sshd) does.
#[derive(Debug)]
pub struct Dropbear {
    users: Vec<Settled>,
    host_key: String,
    server: Server,
}

impl DropbearBuilder {
    /// A user who may log in; may be repeated. Default: one without password or keys.
    pub fn with_user(mut self, user: SshUser) -> Self {
        self.users.push(user);
        self
    }

    /// An option of the command line, such as `-s`, which refuses passwords, or `-j`, which refuses
    /// local forwarding.
    pub fn with_option(mut self, option: impl Into<String>) -> Self {
        self.options.push(option.into());
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// There is no `dropbear` and none can be fetched; this process is not root; or it ends at once.
    pub fn start(self) -> Result<Dropbear, Error> {
        if !has_namespaces() {
            return Err(Error::State(
                "dropbear needs root and a mount namespace here".to_owned(),
            ));
        }
        let (dropbear, key_program, programs) = parts()?;
        let users = SshUser::settle(&self.users, &Account::current()?)?;
        let place = Place::make(true)?;
        place.write_users(&users)?;
        let key = place.path.join("keys/host");
        let host_key = make_key(&programs, &key_program, &key)?;
        let options = self.options;
        let recipe = Recipe {
            name: "dropbear",
            listening: "Not backgrounding",
            command: Box::new(move |place, port| {
                let mut command = place.command(&dropbear);
                command.args(["-F", "-E", "-r"]).arg(&key);
                command.arg("-p").arg(format!("127.0.0.1:{port}"));
                command.arg("-P").arg(place.path.join("dropbear.pid"));
                command.args(&options);
                command
            }),
        };
        Ok(Dropbear {
            users,
            host_key,
            server: Server::start(place, recipe)?,
        })
    }
}

impl Dropbear {
    /// Begins a server.
    pub fn builder() -> DropbearBuilder {
        DropbearBuilder::default()
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Address and port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// The name of the first user.
    #[must_use]
    pub fn user(&self) -> &str {
        self.users.first().map_or("", |user| &user.name)
    }

    /// The host key as a line of `known_hosts`.
    #[must_use]
    pub fn known_hosts_line(&self) -> String {
        format!("[127.0.0.1]:{} {}", self.port(), self.host_key)
    }

    /// The host key: type and base64.
    #[must_use]
    pub fn host_key_public_line(&self) -> &str {
        &self.host_key
    }

    /// The fingerprint of the host key: `SHA256:…`.
    #[must_use]
    pub fn host_key_fingerprint(&self) -> String {
        fingerprint(&self.host_key)
    }

    /// What the server and its sessions logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Waits until the log has this text, for at most half a minute.
    ///
    /// # Errors
    /// It has not; the error shows what it has instead.
    pub fn wait_for_log(&self, text: &str) -> Result<(), Error> {
        self.server.wait_for_log(text)
    }

    /// How many connections there are, those not logged in yet included.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.server.session_count()
    }

    /// Kills the listener and all sessions at once.
    ///
    /// # Errors
    /// Something could not be ended.
    pub fn kill(&self) -> Result<(), Error> {
        self.server.kill()
    }

    /// Starts a server that was killed, on the same port, with the same key and users.
    ///
    /// # Errors
    /// It is still running, or does not start.
    pub fn start_again(&self) -> Result<(), Error> {
        self.server.start_again()
    }
}

type Parts = (std::path::PathBuf, std::path::PathBuf, SshPrograms);

fn parts() -> Result<Parts, Error> {
    let complete = |programs: SshPrograms| {
        let dropbear = programs.dropbear()?.to_owned();
        let key = programs.dropbearkey()?.to_owned();
        Some((dropbear, key, programs))
    };
    if let Some(parts) = find().and_then(complete) {
        return Ok(parts);
    }
    complete(fetch_dropbear()?).ok_or_else(|| {
        Error::State("the package of dropbear holds no dropbear and dropbearkey".to_owned())
    })
}

/// Makes a host key and returns its public line, which is one of those that `dropbearkey` prints.
fn make_key(programs: &SshPrograms, program: &Path, file: &Path) -> Result<String, Error> {
    let mut command = programs.command(program);
    let said = run(command.args(["-t", "ed25519", "-f"]).arg(file))?;
    said.lines()
        .find(|line| line.starts_with("ssh-ed25519 "))
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .ok_or_else(|| Error::State(format!("dropbearkey printed no public key: {said}")))
}
