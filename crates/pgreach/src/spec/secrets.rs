//! Where a document has secrets, and what else of it refers to this process.

use super::credentials::CredentialsSpec;
use super::document::{Document, RootsSpec};
use super::fault::{Fault, join};
use super::identity::{CloudSpec, IdentitySpec};
use super::node::at;
use super::secret::{SecretSource, TextSource, no_key};
use super::size::check_source;
use super::transport::{HopAuthSpec, HopSpec, HostKeysSpec, TransportSpec};

/// The place of a secret in a document, or of a certificate: what a command prints is left out like a
/// secret, since its arguments may hold some.
pub(super) struct Slot<'a> {
    pub(super) path: String,
    place: Place<'a>,
    /// Whether the rest of the document says that nothing works without it.
    needed: bool,
    /// Whether it is known to have been there.
    absent: bool,
}

enum Place<'a> {
    Secret(&'a mut Option<SecretSource>),
    Text(&'a mut Option<TextSource>),
}

impl Slot<'_> {
    fn source(&self) -> Option<&SecretSource> {
        match &self.place {
            Place::Secret(source) => source.as_ref(),
            Place::Text(text) => text.as_ref().map(|text| &text.0),
        }
    }

    /// # Errors
    /// A private key, where what is public is written out.
    pub(super) fn give(&mut self, secret: SecretSource) -> Result<(), Fault> {
        match &mut self.place {
            Place::Secret(source) => **source = Some(secret),
            Place::Text(text) => {
                if let SecretSource::Value(text) = &secret {
                    no_key(text.expose())?;
                }
                **text = Some(TextSource(secret));
            }
        }
        Ok(())
    }

    fn is_missing(&self) -> bool {
        self.source().is_none() && (self.needed || self.absent)
    }

    /// Whether it must be on record as absent when the document is written.
    fn is_recorded(&self) -> bool {
        let left_out = match (&self.place, self.source()) {
            (_, None) => self.absent,
            (Place::Secret(_), Some(source)) => !source.is_shown(),
            (Place::Text(_), Some(source)) => matches!(source, SecretSource::Command(_)),
        };
        left_out && !self.needed
    }
}

impl Document {
    /// All places where a secret can stand.
    pub(super) fn slots(&mut self) -> Vec<Slot<'_>> {
        let mut slots = Vec::new();
        let absent = &self.absent_secrets;
        let mut add = |parent: &str, field: &str, place, needed| {
            let path = join(parent, field);
            slots.push(Slot {
                absent: absent.contains(&path),
                path,
                place,
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
                            certificate,
                        } => {
                            add(&path, "privateKey", Place::Secret(private_key), true);
                            add(&path, "passphrase", Place::Secret(passphrase), false);
                            add(&path, "certificate", Place::Text(certificate), false);
                        }
                        HopAuthSpec::Password { password } => {
                            add(&path, "password", Place::Secret(password), true);
                        }
                        HopAuthSpec::Agent { .. } => {}
                    }
                }
            }
        }
        // What takes the place of an archive that was there.
        let mut replaced = false;
        match &mut self.credentials {
            CredentialsSpec::Password { password, .. } => {
                add("credentials", "password", Place::Secret(password), true);
            }
            CredentialsSpec::Certificate {
                certificate,
                private_key,
                pkcs12,
                passphrase,
                password,
                ..
            } => {
                replaced = certificate.is_some() || private_key.is_some();
                let known = absent.iter().any(|path| path == ARCHIVE);
                let archive = pkcs12.is_some() || (known && !replaced);
                let mut add = |field: &str, place, needed| add("credentials", field, place, needed);
                add("privateKey", Place::Secret(private_key), !archive);
                add("certificate", Place::Text(certificate), !archive);
                add("pkcs12", Place::Secret(pkcs12), false);
                add("passphrase", Place::Secret(passphrase), false);
                add("password", Place::Secret(password), false);
            }
            CredentialsSpec::Entra { identity, .. } => match identity {
                IdentitySpec::ClientSecret { client_secret, .. } => {
                    let place = Place::Secret(client_secret);
                    add("credentials.identity", "clientSecret", place, true);
                }
                IdentitySpec::ClientCertificate {
                    pkcs12, passphrase, ..
                } => {
                    let mut add = |field: &str, place, needed| {
                        add("credentials.identity", field, place, needed)
                    };
                    add("pkcs12", Place::Secret(pkcs12), true);
                    add("passphrase", Place::Secret(passphrase), false);
                }
                _ => {}
            },
            CredentialsSpec::None { .. } | CredentialsSpec::Passfile { .. } => {}
        }
        if replaced {
            let archive = slots.iter_mut().find(|slot| slot.path == ARCHIVE);
            archive.into_iter().for_each(|slot| slot.absent = false);
        }
        slots
    }

    /// The paths of the secrets that are needed and not there.
    pub(super) fn missing(&self) -> Vec<String> {
        let mut document = self.clone();
        let slots = document.slots().into_iter();
        slots
            .filter(Slot::is_missing)
            .map(|slot| slot.path)
            .collect()
    }

    /// As it is written out: what is left out and not missed by the rest of it is on record.
    pub(super) fn to_write(&self) -> Self {
        let mut document = self.clone();
        let slots = document.slots().into_iter();
        document.absent_secrets = slots
            .filter(Slot::is_recorded)
            .map(|slot| slot.path)
            .collect();
        document
    }

    /// # Errors
    /// A secret cannot be one, or is missed where there is no place for it.
    pub(super) fn check_secrets(&self) -> Result<(), Fault> {
        let mut document = self.clone();
        let slots = document.slots();
        for slot in &slots {
            if let Some(source) = slot.source() {
                check_secret(source).map_err(|fault| fault.below(&slot.path))?;
            }
        }
        for (i, path) in self.absent_secrets.iter().enumerate() {
            if !slots.iter().any(|slot| slot.path == *path) {
                let message = "is not the path of a secret of this document";
                return Err(Fault::field(at("absentSecrets", i), message));
            }
        }
        Ok(())
    }

    /// # Errors
    /// The first field that refers to this process' environment, files, commands or identity.
    pub(super) fn forbid_local(&self) -> Result<(), Fault> {
        self.transport
            .forbid_local()
            .map_err(|fault| fault.below("transport"))?;
        for slot in self.clone().slots() {
            if let Some(what) = slot.source().and_then(SecretSource::local) {
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

/// # Errors
/// What cannot be a secret, nor a reference to one.
pub(super) fn check_secret(source: &SecretSource) -> Result<(), Fault> {
    source.check()?;
    check_source(source)
}

const ARCHIVE: &str = "credentials.pkcs12";
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
            if let HopAuthSpec::Agent { .. } = auth {
                let path = join(&at("auth", i), "type");
                return Err(Fault::local(path, "an SSH agent of this machine"));
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
