//! Asking the `ssh` program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pgreach_testkit::ssh::SshPrograms;

use super::files::Case;
use super::keys::{Keys, Offered};

/// The programs of OpenSSH that are asked.
pub(super) struct Programs(SshPrograms);

impl Programs {
    pub(super) fn find() -> Self {
        Self(pgreach_testkit::ssh::programs().unwrap())
    }

    /// `ssh`, with what the server that it starts needs.
    fn client(&self) -> Command {
        let mut client = self.0.command(&self.0.client());
        for (name, value) in self.0.command(self.0.sshd()).get_envs() {
            if let Some(value) = value {
                client.env(name, value);
            }
        }
        client
    }
}

/// The directory in which `ssh` works: a server configuration for each key, a file for each worker.
pub(super) struct Workshop<'a> {
    programs: Programs,
    directory: &'a Path,
}

impl<'a> Workshop<'a> {
    pub(super) fn new(programs: Programs, directory: &'a Path, keys: &Keys) -> Self {
        for offered in &keys.offered {
            let mut config = format!("HostKey {}\n", keys.path(offered.key).display());
            if offered.certificate.is_some() {
                config.push_str(&format!(
                    "HostCertificate {}\n",
                    keys.path(&offered.name).display()
                ));
            }
            config.push_str("UsePAM no\nLogLevel QUIET\nRequiredRSASize 1024\n");
            fs::write(directory.join(config_name(offered)), config).unwrap();
        }
        let workshop = Self {
            programs,
            directory,
        };
        workshop.open_to_all();
        workshop
    }

    /// The server runs as nobody when this is root: it then needs no account and directory of its
    /// own.
    fn open_to_all(&self) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(self.directory, fs::Permissions::from_mode(0o755)).unwrap();
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        for entry in fs::read_dir(self.directory).unwrap() {
            let mode = fs::Permissions::from_mode(0o644);
            fs::set_permissions(entry.unwrap().path(), mode).unwrap();
        }
    }

    /// The files of a case.
    pub(super) fn files(&self, worker: usize, case: &Case<'_>) -> Vec<PathBuf> {
        let file = |name: &str| self.directory.join(format!("{name}-{worker}"));
        let mut files = vec![file("known_hosts")];
        files.extend(case.second.is_some().then(|| file("known_hosts2")));
        files
    }

    /// Whether `ssh` accepts the key, or what it says.
    pub(super) fn ask(&self, worker: usize, case: &Case<'_>) -> Result<(), String> {
        let files = self.files(worker, case);
        let texts = [Some(&case.text), case.second.as_ref()];
        for (file, text) in files.iter().zip(texts.into_iter().flatten()) {
            fs::write(file, text).unwrap();
        }
        let files: Vec<_> = files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        let option = |name: &str, value: &str| ["-o".to_owned(), format!("{name}={value}")];
        let proxy = format!(
            "{} -i -f {}",
            self.programs.0.sshd().display(),
            self.directory.join(config_name(case.offered)).display()
        );
        let mut command = self.programs.client();
        command
            .args(["-F", "/dev/null"])
            .args(option("UserKnownHostsFile", &files.join(" ")))
            .args(option("GlobalKnownHostsFile", "/dev/null"))
            .args(option("StrictHostKeyChecking", "yes"))
            .args(option("HostKeyAlgorithms", &case.offered.algorithm))
            .args(option("KexAlgorithms", "curve25519-sha256"))
            .args(option("BatchMode", "yes"))
            .args(option("PreferredAuthentications", "none"))
            .args(option("IdentityAgent", "none"))
            .args(option("IdentityFile", "/dev/null"))
            .args(option("UpdateHostKeys", "no"))
            .args(option("VerifyHostKeyDNS", "no"))
            .args(option("ProxyCommand", &proxy))
            .args(["-p", &case.port.to_string(), "--", case.host, "true"])
            .stdin(Stdio::null());
        if nix::unistd::geteuid().is_root() {
            use std::os::unix::process::CommandExt as _;
            command.uid(65534).gid(65534);
        }
        let output = command.output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        if words.contains("Permission denied (") {
            return Ok(());
        }
        assert!(
            words.contains("Host key verification failed."),
            "ssh could not judge {}: {words}",
            case.offered.name
        );
        Err(words)
    }
}

fn config_name(offered: &Offered) -> String {
    format!("sshd-{}.conf", offered.name)
}
