//! A real OpenSSH server for one test.

mod builder;
mod config;
mod host_key;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::server::Server;
use super::users::Settled;
use crate::Error;

use host_key::HostKeys;

pub use builder::SshdBuilder;

/// A running `sshd` on 127.0.0.1 with users, keys and settings of its own, removed with all its
/// sessions when it is dropped: also when the test panics, and, through a guard process, when the
/// test's process is killed. What it can do as root and what otherwise, [`ssh`](crate::ssh) says.
///
/// Every function blocks, for some tens of milliseconds as a rule; they may be called inside an
/// async runtime.
///
/// ```no_run
/// # fn main() -> Result<(), pgreach_testkit::Error> {
/// use pgreach_testkit::ssh::{SshKeyType, SshKeypair, SshUser, Sshd};
///
/// let key = SshKeypair::generate(SshKeyType::Ed25519)?;
/// let sshd = Sshd::builder()
///     .with_user(SshUser::default().with_authorized_key(key.public_line()))
///     .with_config("AllowTcpForwarding local")
///     .start()?;
/// println!("ssh -i {} -p {} {}@127.0.0.1", key.private_file().display(), sshd.port(), sshd.user());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Sshd {
    users: Vec<Settled>,
    host_keys: Mutex<HostKeys>,
    config: PathBuf,
    server: Server,
}

impl Sshd {
    /// Begins a server.
    pub fn builder() -> SshdBuilder {
        SshdBuilder::default()
    }

    /// The address that it listens on: always `127.0.0.1`.
    #[must_use]
    pub fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    /// The port.
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

    /// The first host key as a line of `known_hosts`.
    #[must_use]
    pub fn known_hosts_line(&self) -> String {
        let line = self.host_key_public_line();
        format!("[127.0.0.1]:{} {line}", self.port())
    }

    /// All host keys as lines of `known_hosts`.
    #[must_use]
    pub fn known_hosts(&self) -> String {
        self.host_key_public_lines()
            .iter()
            .map(|line| format!("[127.0.0.1]:{} {line}\n", self.port()))
            .collect()
    }

    /// The first host key: type and base64.
    #[must_use]
    pub fn host_key_public_line(&self) -> String {
        self.host_key_public_lines().swap_remove(0)
    }

    /// Every host key: type and base64.
    #[must_use]
    pub fn host_key_public_lines(&self) -> Vec<String> {
        self.host_keys().lines().to_vec()
    }

    /// The fingerprint of the first host key: `SHA256:…`.
    #[must_use]
    pub fn host_key_fingerprint(&self) -> String {
        super::keys::fingerprint(&self.host_key_public_line())
    }

    /// The fingerprint of every host key.
    #[must_use]
    pub fn host_key_fingerprints(&self) -> Vec<String> {
        let lines = self.host_key_public_lines();
        lines
            .iter()
            .map(|line| super::keys::fingerprint(line))
            .collect()
    }

    /// The process id of the listener.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// The file `sshd_config`. What is changed there counts from the next start on.
    #[must_use]
    pub fn config_path(&self) -> &Path {
        &self.config
    }

    /// The home folder of a user.
    #[must_use]
    pub fn home(&self, user: &str) -> PathBuf {
        self.server.place.home(user)
    }

    /// What the server and its sessions logged so far. The level is `DEBUG`, unless
    /// [`with_config`](SshdBuilder::with_config) says otherwise.
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

    /// Waits until there are so many connections, for at most half a minute.
    ///
    /// # Errors
    /// There are more or fewer.
    pub fn wait_for_sessions(&self, count: usize) -> Result<(), Error> {
        self.server.wait_for_sessions(count)
    }

    /// Stops the listener, then all sessions: each client gets an ordinary end of the connection.
    ///
    /// # Errors
    /// Something could not be ended.
    pub fn stop(&self) -> Result<(), Error> {
        self.server.stop()
    }

    /// Starts a server that was stopped or killed, on the same port, with the same keys and users.
    ///
    /// # Errors
    /// It is still running, or does not start.
    pub fn start_again(&self) -> Result<(), Error> {
        self.server.start_again()
    }

    /// Kills the listener and all sessions at once, so that none of them says goodbye.
    ///
    /// # Errors
    /// Something could not be ended.
    pub fn kill(&self) -> Result<(), Error> {
        self.server.kill()
    }

    /// Kills all sessions; new ones are accepted.
    ///
    /// # Errors
    /// The server is not running.
    pub fn kill_sessions(&self) -> Result<(), Error> {
        self.server.kill_sessions()
    }

    /// Freezes the listener and all sessions: the system accepts connections, nobody answers.
    ///
    /// # Errors
    /// The server is not running.
    pub fn pause(&self) -> Result<(), Error> {
        self.server.pause()
    }

    /// Ends [`pause`](Self::pause).
    ///
    /// # Errors
    /// The server is not running.
    pub fn unpause(&self) -> Result<(), Error> {
        self.server.unpause()
    }

    /// Gives the server new host keys of the same types (and new certificates for them where it
    /// had some), and starts it again, which ends all sessions.
    ///
    /// # Errors
    /// It does not stop or start.
    pub fn replace_host_key(&self) -> Result<(), Error> {
        self.stop()?;
        self.host_keys().replace(&self.server.place)?;
        self.start_again()
    }

    /// Replaces the `authorized_keys` of a user; the next login sees it.
    ///
    /// # Errors
    /// There is no such user.
    pub fn set_authorized_keys<S: Into<String>>(
        &self,
        user: &str,
        lines: impl IntoIterator<Item = S>,
    ) -> Result<(), Error> {
        let known = self.users.iter().find(|known| known.name == user);
        let user = known.ok_or_else(|| Error::State(format!("there is no user {user:?}")))?;
        let lines: Vec<String> = lines.into_iter().map(Into::into).collect();
        self.server.place.write_keys(user, &lines)
    }

    fn host_keys(&self) -> MutexGuard<'_, HostKeys> {
        self.host_keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
