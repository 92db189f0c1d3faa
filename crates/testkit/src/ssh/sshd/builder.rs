//! What a server is to be like, and the files that make it so.

use std::fs;
use std::sync::Mutex;

use super::super::authority::{SshCa, Validity};
use super::super::keys::SshKeyType;
use super::super::place::{Place, has_namespaces};
use super::super::programs::{SshPrograms, programs};
use super::super::server::{Recipe, Server};
use super::super::users::{Settled, SshUser};
use super::Sshd;
use super::config::Lines;
use super::host_key::{HostCertificate, HostKeys};
use crate::Error;
use crate::account::{Account, set_mode};

/// Describes a server before it is started.
#[derive(Debug, Default, Clone)]
#[must_use]
pub struct SshdBuilder {
    users: Vec<SshUser>,
    host_keys: Vec<SshKeyType>,
    host_certificate: Option<HostCertificate>,
    user_cas: Vec<String>,
    config: Lines,
    without_namespace: bool,
}

impl SshdBuilder {
    /// A user who may log in; may be repeated. Default: one without password or keys.
    pub fn with_user(mut self, user: SshUser) -> Self {
        self.users.push(user);
        self
    }

    /// A host key of this type; may be repeated. Default: Ed25519.
    pub fn with_host_key(mut self, kind: SshKeyType) -> Self {
        self.host_keys.push(kind);
        self
    }

    /// Certificates of this authority for the host keys, for hosts of these names.
    pub fn with_host_certificate(
        mut self,
        authority: &SshCa,
        principals: &[&str],
        validity: &Validity,
    ) -> Self {
        self.host_certificate = Some(HostCertificate {
            authority: authority.clone(),
            principals: principals.iter().map(|name| (*name).to_owned()).collect(),
            validity: validity.clone(),
        });
        self
    }

    /// An authority for users' certificates (`TrustedUserCAKeys`); may be repeated.
    pub fn with_user_ca(mut self, public_line: impl Into<String>) -> Self {
        self.user_cas.push(public_line.into());
        self
    }

    /// Lines of `sshd_config`. They win over the kit's own, and earlier ones over later ones; a
    /// `Match` block is put at the end of the file.
    pub fn with_config(mut self, lines: impl AsRef<str>) -> Self {
        self.config.add(lines.as_ref());
        self
    }

    /// Does as where this process is not root: see [`ssh`](crate::ssh).
    pub fn without_namespace(mut self) -> Self {
        self.without_namespace = true;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// There is no `sshd` and none can be fetched; or what was asked for needs root; or `sshd`
    /// refuses its configuration, and the error shows its log.
    pub fn start(self) -> Result<Sshd, Error> {
        let programs = programs()?;
        let account = Account::current()?;
        let namespace = !self.without_namespace && has_namespaces();
        let users = match namespace {
            true => SshUser::settle(&self.users, &account)?,
            false => SshUser::settle_plain(&self.users, &account)?,
        };
        let place = Place::make(namespace)?;
        place.write_users(&users)?;
        let host_keys = HostKeys::make(&programs, &place, &self.host_keys, self.host_certificate)?;
        if !self.user_cas.is_empty() {
            let file = place.path.join("user_cas");
            fs::write(&file, self.user_cas.join("\n") + "\n")
                .map_err(Error::file("write", &file))?;
            set_mode(&file, 0o644)?;
        }
        let mut defaults = usual(&programs, &place, &users, !self.user_cas.is_empty());
        defaults += &host_keys.config(&place);
        let config = place.path.join("sshd_config");
        fs::write(&config, self.config.around(&defaults)).map_err(Error::file("write", &config))?;
        set_mode(&config, 0o644)?;
        let file = config.clone();
        let recipe = Recipe {
            name: "sshd",
            listening: "Server listening on",
            command: Box::new(move |place, port| {
                let mut command = place.command(programs.sshd());
                command.args(["-D", "-e", "-f"]).arg(&file);
                command.arg("-p").arg(port.to_string());
                command
            }),
        };
        let server = Server::start(place, recipe)?;
        Ok(Sshd {
            users,
            host_keys: Mutex::new(host_keys),
            config,
            server,
        })
    }
}

/// The kit's own settings. What is not here is as OpenSSH has it.
fn usual(programs: &SshPrograms, place: &Place, users: &[Settled], user_cas: bool) -> String {
    let mut text = "\
ListenAddress 127.0.0.1
PidFile none
LogLevel DEBUG
UseDNS no
PrintMotd no
"
    .to_owned();
    // Its sockets would stay behind in /tmp when a session is killed.
    text += "AllowAgentForwarding no\n";
    if programs.is_at_least(9, 8) {
        // All tests come from one address: one test's wrong password would lock out the others.
        text += "PerSourcePenalties no\n";
    }
    if let Some(helpers) = programs.helpers() {
        text += &format!(
            "SshdSessionPath {}\n",
            helpers.join("sshd-session").display()
        );
        if helpers.join("sshd-auth").is_file() {
            text += &format!("SshdAuthPath {}\n", helpers.join("sshd-auth").display());
        }
    }
    if user_cas {
        let file = place.path.join("user_cas");
        text += &format!("TrustedUserCAKeys {}\n", file.display());
    }
    if place.namespace {
        let passwords = match users.iter().any(|user| user.has_password) {
            true => "yes",
            false => "no",
        };
        text += "UsePAM yes\nAuthorizedKeysFile .ssh/authorized_keys\n";
        text += &format!(
            "PasswordAuthentication {passwords}\nKbdInteractiveAuthentication {passwords}\n"
        );
    } else {
        // The folder is in one that everybody can write to.
        text += "UsePAM no\nStrictModes no\n";
        text += "PasswordAuthentication no\nKbdInteractiveAuthentication no\n";
        let home = place.path.join("home");
        text += &format!(
            "AuthorizedKeysFile {}/%u/.ssh/authorized_keys\n",
            home.display()
        );
    }
    text
}
