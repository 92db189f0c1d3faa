//! The host keys of a server, and their certificates.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::authority::{SshCa, Validity};
use super::super::keys::{SshKeyType, generate_in};
use super::super::place::Place;
use super::super::programs::SshPrograms;
use crate::Error;

/// A certificate for each host key of a server.
#[derive(Debug, Clone)]
pub(super) struct HostCertificate {
    pub(super) authority: SshCa,
    pub(super) principals: Vec<String>,
    pub(super) validity: Validity,
}

#[derive(Debug)]
pub(super) struct HostKeys {
    programs: SshPrograms,
    kinds: Vec<SshKeyType>,
    certificate: Option<HostCertificate>,
    lines: Vec<String>,
}

impl HostKeys {
    pub(super) fn make(
        programs: &SshPrograms,
        place: &Place,
        kinds: &[SshKeyType],
        certificate: Option<HostCertificate>,
    ) -> Result<Self, Error> {
        let usual = [SshKeyType::Ed25519];
        let kinds = if kinds.is_empty() { &usual } else { kinds };
        let mut keys = Self {
            programs: programs.clone(),
            kinds: kinds.to_vec(),
            certificate,
            lines: Vec::new(),
        };
        keys.replace(place)?;
        Ok(keys)
    }

    /// Makes new ones in the place of those that there are.
    pub(super) fn replace(&mut self, place: &Place) -> Result<(), Error> {
        let mut lines = Vec::new();
        for (index, kind) in self.kinds.iter().enumerate() {
            let file = private_file(&place.path, index);
            if file.exists() {
                // ssh-keygen would ask whether it may.
                fs::remove_file(&file).map_err(Error::file("remove", &file))?;
            }
            let line = generate_in(&self.programs, *kind, &file)?;
            place.own(&file)?;
            if let Some(wanted) = &self.certificate {
                let principals: Vec<&str> = wanted.principals.iter().map(String::as_str).collect();
                let text = wanted
                    .authority
                    .sign_host(&line, &principals, &wanted.validity)?;
                let file = certificate_file(&place.path, index);
                fs::write(&file, text + "\n").map_err(Error::file("write", &file))?;
                place.own(&file)?;
            }
            // Without the comment, as `ssh-keyscan` shows them.
            lines.push(line.split(' ').take(2).collect::<Vec<_>>().join(" "));
        }
        self.lines = lines;
        Ok(())
    }

    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The lines of `sshd_config` for them.
    pub(super) fn config(&self, place: &Place) -> String {
        let mut text = String::new();
        for index in 0..self.kinds.len() {
            text += &format!("HostKey {}\n", private_file(&place.path, index).display());
            if self.certificate.is_some() {
                let file = certificate_file(&place.path, index);
                text += &format!("HostCertificate {}\n", file.display());
            }
        }
        text
    }
}

fn private_file(folder: &Path, index: usize) -> PathBuf {
    folder.join("keys").join(format!("host_{index}"))
}

fn certificate_file(folder: &Path, index: usize) -> PathBuf {
    folder.join("keys").join(format!("host_{index}-cert.pub"))
}
