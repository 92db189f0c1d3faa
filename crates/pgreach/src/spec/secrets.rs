//! Where a document has secrets, and what else of it refers to this process.

use super::credentials::CredentialsSpec;
use super::document::{Document, RootsSpec};
use super::fault::{Fault, join};
use super::identity::{CloudSpec, IdentitySpec};
use super::node::at;
use super::secret::SecretSource;
use super::transport::{HopAuthSpec, HopSpec, HostKeysSpec, TransportSpec};

/// The place of a secret in a document.
pub(super) struct Slot<'a> {
    pub(super) path: String,
    pub(super) source: &'a mut Option<SecretSource>,
    /// Whether nothing works without it.
    pub(super) needed: bool,
}

impl Document {
    /// All places where a secret can stand.
    pub(super) fn slots(&mut self) -> Vec<Slot<'_>> {
        let mut slots = Vec::new();
        let mut add = |parent: &str, field: &str, source, needed| {
            slots.push(Slot {
                path: join(parent, field),
                source,
                needed,
            });
        };
        if let TransportSpec::Ssh { hops, .. } = &mut self.transport {
            for (i, hop) in hops.iter_mut().enumerate() {
                let list = join(&at("transport.hops", i), "auth");
                for (i, auth) in hop.auth.iter_mut().enumerate() {
                    let path = at(&list, i);
                    match auth {
                        HopAuthSpec::Key {
                            private_key,
                            passphrase,
                            ..
                        } => {
                            add(&path, "privateKey", private_key, true);
                            add(&path, "passphrase", passphrase, false);
                        }
                        HopAuthSpec::Password { password } => {
                            add(&path, "password", password, true);
                        }
                        HopAuthSpec::Agent { .. } => {}
                    }
                }
            }
        }
        match &mut self.credentials {
            CredentialsSpec::Password { password, .. } => {
                add("credentials", "password", password, true);
            }
            CredentialsSpec::Certificate {
                private_key,
                pkcs12,
                passphrase,
                password,
                ..
            } => {
                let archive = pkcs12.is_some();
                add("credentials", "privateKey", private_key, !archive);
                add("credentials", "pkcs12", pkcs12, false);
                add("credentials", "passphrase", passphrase, false);
                add("credentials", "password", password, false);
            }
            CredentialsSpec::Entra { identity, .. } => match identity {
                IdentitySpec::ClientSecret { client_secret, .. } => {
                    add("credentials.identity", "clientSecret", client_secret, true);
                }
                IdentitySpec::ClientCertificate {
                    pkcs12, passphrase, ..
                } => {
                    add("credentials.identity", "pkcs12", pkcs12, true);
                    add("credentials.identity", "passphrase", passphrase, false);
                }
                _ => {}
            },
            CredentialsSpec::None { .. } | CredentialsSpec::Passfile { .. } => {}
        }
        slots
    }

    /// The paths of the secrets that are needed and not there.
    pub(super) fn missing(&self) -> Vec<String> {
        let mut document = self.clone();
        let slots = document.slots();
        let missing = slots
            .into_iter()
            .filter(|slot| slot.needed && slot.source.is_none());
        let mut paths: Vec<_> = missing.map(|slot| slot.path).collect();
        // No secret, but left out with one: a command's arguments may hold secrets.
        if let CredentialsSpec::Certificate {
            certificate: None,
            pkcs12: None,
            ..
        } = self.credentials
        {
            paths.push("credentials.certificate".to_owned());
        }
        paths
    }

    /// # Errors
    /// The first field that refers to this process' environment, files, commands or identity.
    pub(super) fn forbid_local(&self) -> Result<(), Fault> {
        self.transport
            .forbid_local()
            .map_err(|fault| fault.below("transport"))?;
        for slot in self.clone().slots() {
            let local = slot.source.as_ref().and_then(SecretSource::local);
            if let Some(what) = local {
                return Err(Fault::local(slot.path, what));
            }
        }
        if let Some(tls) = &self.tls {
            if let Some(RootsSpec::File(_)) = tls.roots {
                return Err(Fault::local("tls.roots.file", FILE));
            }
            if tls.crl.is_some() {
                return Err(Fault::local("tls.crl", FILE));
            }
        }
        match &self.credentials {
            CredentialsSpec::Passfile { file, .. } => {
                let path = match file {
                    Some(_) => "credentials.file",
                    None => "credentials.type",
                };
                Err(Fault::local(path, FILE))
            }
            CredentialsSpec::Certificate {
                certificate: Some(certificate),
                ..
            } => match certificate.0.local() {
                Some(what) => Err(Fault::local("credentials.certificate", what)),
                None => Ok(()),
            },
            CredentialsSpec::Entra { identity, .. } if identity.is_local() => Err(Fault::local(
                "credentials.identity.type",
                "this machine's own identity",
            )),
            // It would be asked from inside this machine's network.
            CredentialsSpec::Entra {
                cloud: Some(CloudSpec::Custom(_)),
                ..
            } => Err(Fault::local(
                "credentials.cloud",
                "an authority of its own, which no address policy covers",
            )),
            _ => Ok(()),
        }
    }
}

const FILE: &str = "a file of this machine";

impl TransportSpec {
    fn forbid_local(&self) -> Result<(), Fault> {
        match self {
            Self::Tcp { .. } => Ok(()),
            Self::Unix { .. } => Err(Fault::local("type", "a socket of this machine")),
            Self::Ssh { hops, .. } => hops.iter().enumerate().try_for_each(|(i, hop)| {
                hop.forbid_local()
                    .map_err(|fault| fault.below(&at("hops", i)))
            }),
        }
    }
}

impl HopSpec {
    /// Secrets are looked at with all others.
    fn forbid_local(&self) -> Result<(), Fault> {
        for (i, auth) in self.auth.iter().enumerate() {
            let path = at("auth", i);
            match auth {
                HopAuthSpec::Agent { .. } => {
                    return Err(Fault::local(
                        join(&path, "type"),
                        "an SSH agent of this machine",
                    ));
                }
                HopAuthSpec::Key {
                    certificate: Some(certificate),
                    ..
                } => {
                    if let Some(what) = certificate.0.local() {
                        return Err(Fault::local(join(&path, "certificate"), what));
                    }
                }
                _ => {}
            }
        }
        match &self.host_keys {
            // The default: the files of the user and the system.
            None => Err(Fault::local("hostKeys", FILE)),
            Some(HostKeysSpec::KnownHosts { text: None, file }) => {
                let path = match file {
                    Some(_) => "hostKeys.file",
                    None => "hostKeys.type",
                };
                Err(Fault::local(path, FILE))
            }
            Some(HostKeysSpec::AcceptNew { .. }) => Err(Fault::local("hostKeys.file", FILE)),
            Some(_) => Ok(()),
        }
    }
}
