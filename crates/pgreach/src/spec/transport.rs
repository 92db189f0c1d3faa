//! The route of a document.

use serde::{Deserialize, Deserializer, Serialize};

use super::fault::Fault;
use super::node::at;
use super::secret::{SecretSource, TextSource, is_hidden, no_key};
use super::value::{AddressRules, Port, check_host, check_text, check_user};

/// How the server is reached.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "spec-schema", derive(schemars::JsonSchema))]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub(crate) enum TransportSpec {
    /// TCP.
    Tcp {
        /// Which addresses may be dialled.
        #[serde(skip_serializing_if = "Option::is_none")]
        address_policy: Option<AddressRules>,
    },
    /// A Unix socket of this machine.
    Unix {
        /// The directory of the socket, such as `/run/postgresql`.
        directory: String,
        /// The port in the socket's name. Default: 5432.
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<Port>,
    },
    /// Through SSH servers. The last one resolves the database's name.
    Ssh {
        /// The SSH servers in order; the last one dials the database.
        #[cfg_attr(feature = "spec-schema", schemars(length(min = 1, max = 8)))]
        hops: Vec<HopSpec>,
        /// Which addresses may be dialled for the first SSH server.
        #[serde(skip_serializing_if = "Option::is_none")]
        address_policy: Option<AddressRules>,
    },
}

impl Default for TransportSpec {
    fn default() -> Self {
        Self::Tcp {
            address_policy: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawTransport {
    r#type: TransportType,
    address_policy: Option<AddressRules>,
    directory: Option<String>,
    port: Option<Port>,
    hops: Option<Vec<HopSpec>>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "camelCase")]
enum TransportType {
    Tcp,
    Unix,
    Ssh,
}

/// # Errors
/// One of `fields`, whose name comes with whether it is there, does not go with `kind`.
pub(crate) fn exclude(kind: &str, fields: &[(&str, bool)]) -> Result<(), Fault> {
    match fields.iter().find(|(_, present)| *present) {
        None => Ok(()),
        Some((field, _)) => Err(Fault::conflict(
            *field,
            format!("does not go with type {kind}"),
        )),
    }
}

impl<'de> Deserialize<'de> for TransportSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Flat first: serde reads a tagged enum from a buffer, where paths are lost.
        let raw = RawTransport::deserialize(deserializer)?;
        Self::try_from(raw).map_err(Fault::through)
    }
}

impl TryFrom<RawTransport> for TransportSpec {
    type Error = Fault;

    fn try_from(raw: RawTransport) -> Result<Self, Fault> {
        let hops = ("hops", raw.hops.is_some());
        let directory = ("directory", raw.directory.is_some());
        let port = ("port", raw.port.is_some());
        let policy = ("addressPolicy", raw.address_policy.is_some());
        match raw.r#type {
            TransportType::Tcp => {
                exclude("tcp", &[hops, directory, port])?;
                Ok(Self::Tcp {
                    address_policy: raw.address_policy,
                })
            }
            TransportType::Unix => {
                exclude("unix", &[hops, policy])?;
                let directory = raw.directory.ok_or_else(|| Fault::missing("directory"))?;
                check_text("directory", Some(&directory))?;
                Ok(Self::Unix {
                    directory,
                    port: raw.port,
                })
            }
            TransportType::Ssh => {
                exclude("ssh", &[directory, port])?;
                let hops = raw.hops.ok_or_else(|| Fault::missing("hops"))?;
                if hops.is_empty() {
                    return Err(Fault::field("hops", "is empty; name the SSH server"));
                }
                for (index, hop) in hops.iter().enumerate() {
                    hop.check()
                        .map_err(|fault| fault.below(&at("hops", index)))?;
                }
                Ok(Self::Ssh {
                    hops,
                    address_policy: raw.address_policy,
                })
            }
        }
    }
}

/// An SSH server on the way.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "spec-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct HopSpec {
    /// Its name or address, without a port.
    pub(crate) host: String,
    /// Its port. Default: 22.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<Port>,
    /// The user to log in as.
    pub(crate) user: String,
    /// The ways to authenticate, in order.
    #[cfg_attr(feature = "spec-schema", schemars(length(min = 1, max = 8)))]
    pub(crate) auth: Vec<HopAuthSpec>,
    /// Which host keys are trusted. Default: those on record for the user and the system, strictly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) host_keys: Option<HostKeysSpec>,
}

impl HopSpec {
    fn check(&self) -> Result<(), Fault> {
        check_host("host", &self.host)?;
        check_user("user", &self.user)?;
        match self.auth.is_empty() {
            true => Err(Fault::field(
                "auth",
                "is empty; give a way to authenticate: key, password or agent",
            )),
            false => Ok(()),
        }
    }
}

/// A way to authenticate to an SSH server.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "spec-schema", derive(schemars::JsonSchema))]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub(crate) enum HopAuthSpec {
    /// A private key.
    Key {
        /// The key, in any format that begins with `-----BEGIN`.
        #[serde(skip_serializing_if = "is_hidden")]
        private_key: Option<SecretSource>,
        /// What the key is encrypted with.
        #[serde(skip_serializing_if = "is_hidden")]
        passphrase: Option<SecretSource>,
        /// The user certificate that was issued for the key: the line of a `-cert.pub` file.
        #[serde(skip_serializing_if = "TextSource::is_hidden")]
        certificate: Option<TextSource>,
    },
    /// A password.
    Password {
        /// The password.
        #[serde(skip_serializing_if = "is_hidden")]
        password: Option<SecretSource>,
    },
    /// The keys of an SSH agent on this machine.
    Agent {
        /// The agent's socket. Default: the one that `SSH_AUTH_SOCK` names.
        #[serde(skip_serializing_if = "Option::is_none")]
        socket: Option<String>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawHopAuth {
    r#type: HopAuthType,
    private_key: Option<SecretSource>,
    passphrase: Option<SecretSource>,
    certificate: Option<TextSource>,
    password: Option<SecretSource>,
    socket: Option<String>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "camelCase")]
enum HopAuthType {
    Key,
    Password,
    Agent,
}

impl<'de> Deserialize<'de> for HopAuthSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawHopAuth::deserialize(deserializer)?;
        Self::try_from(raw).map_err(Fault::through)
    }
}

impl TryFrom<RawHopAuth> for HopAuthSpec {
    type Error = Fault;

    fn try_from(raw: RawHopAuth) -> Result<Self, Fault> {
        let key = ("privateKey", raw.private_key.is_some());
        let passphrase = ("passphrase", raw.passphrase.is_some());
        let certificate = ("certificate", raw.certificate.is_some());
        let password = ("password", raw.password.is_some());
        let socket = ("socket", raw.socket.is_some());
        match raw.r#type {
            HopAuthType::Key => {
                exclude("key", &[password, socket])?;
                Ok(Self::Key {
                    private_key: raw.private_key,
                    passphrase: raw.passphrase,
                    certificate: raw.certificate,
                })
            }
            HopAuthType::Password => {
                exclude("password", &[key, passphrase, certificate, socket])?;
                Ok(Self::Password {
                    password: raw.password,
                })
            }
            HopAuthType::Agent => {
                exclude("agent", &[key, passphrase, certificate, password])?;
                check_text("socket", raw.socket.as_deref())?;
                Ok(Self::Agent { socket: raw.socket })
            }
        }
    }
}

/// Which host keys of an SSH server are trusted.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "spec-schema", derive(schemars::JsonSchema))]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub(crate) enum HostKeysSpec {
    /// Those on record, in a file or in a text; without either, the user's and the system's files.
    KnownHosts {
        /// A file in the format of `known_hosts`.
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        /// What such a file would hold.
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// Those with one of these fingerprints.
    Fingerprints {
        /// Fingerprints as `ssh-keygen -l` prints them: `SHA256:` and 43 characters.
        #[cfg_attr(feature = "spec-schema", schemars(length(min = 1)))]
        fingerprints: Vec<String>,
    },
    /// Those with a certificate of one of these authorities.
    Authority {
        /// The public keys of the authorities, each as the line of a `.pub` file.
        #[cfg_attr(feature = "spec-schema", schemars(length(min = 1)))]
        keys: Vec<String>,
    },
    /// Any at the first time; then only the one that was recorded.
    AcceptNew {
        /// The file in which they are recorded.
        file: String,
    },
    /// All: whoever can intercept the connection can read it.
    DangerousAcceptAny {},
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawHostKeys {
    r#type: HostKeysType,
    file: Option<String>,
    text: Option<String>,
    fingerprints: Option<Vec<String>>,
    keys: Option<Vec<String>>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "camelCase")]
enum HostKeysType {
    KnownHosts,
    Fingerprints,
    Authority,
    AcceptNew,
    DangerousAcceptAny,
}

impl<'de> Deserialize<'de> for HostKeysSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = RawHostKeys::deserialize(deserializer)?;
        Self::try_from(raw).map_err(Fault::through)
    }
}

impl TryFrom<RawHostKeys> for HostKeysSpec {
    type Error = Fault;

    fn try_from(raw: RawHostKeys) -> Result<Self, Fault> {
        let file = ("file", raw.file.is_some());
        let text = ("text", raw.text.is_some());
        let fingerprints = ("fingerprints", raw.fingerprints.is_some());
        let keys = ("keys", raw.keys.is_some());
        check_text("file", raw.file.as_deref())?;
        check_text("text", raw.text.as_deref())?;
        if let Some(text) = &raw.text {
            no_key(text).map_err(|fault| fault.below("text"))?;
        }
        match raw.r#type {
            HostKeysType::KnownHosts => {
                exclude("knownHosts", &[fingerprints, keys])?;
                if file.1 && text.1 {
                    return Err(Fault::conflict("text", "excludes file; give one of them"));
                }
                Ok(Self::KnownHosts {
                    file: raw.file,
                    text: raw.text,
                })
            }
            HostKeysType::Fingerprints => {
                exclude("fingerprints", &[file, text, keys])?;
                Ok(Self::Fingerprints {
                    fingerprints: some("fingerprints", raw.fingerprints)?,
                })
            }
            HostKeysType::Authority => {
                exclude("authority", &[file, text, fingerprints])?;
                let keys = some("keys", raw.keys)?;
                for (index, key) in keys.iter().enumerate() {
                    no_key(key).map_err(|fault| fault.below(&at("keys", index)))?;
                }
                Ok(Self::Authority { keys })
            }
            HostKeysType::AcceptNew => {
                exclude("acceptNew", &[text, fingerprints, keys])?;
                Ok(Self::AcceptNew {
                    file: raw.file.ok_or_else(|| Fault::missing("file"))?,
                })
            }
            HostKeysType::DangerousAcceptAny => {
                exclude("dangerousAcceptAny", &[file, text, fingerprints, keys])?;
                Ok(Self::DangerousAcceptAny {})
            }
        }
    }
}

fn some(field: &str, list: Option<Vec<String>>) -> Result<Vec<String>, Fault> {
    match list {
        None => Err(Fault::missing(field)),
        Some(list) if list.is_empty() => Err(Fault::field(field, "is empty")),
        Some(list) => Ok(list),
    }
}
