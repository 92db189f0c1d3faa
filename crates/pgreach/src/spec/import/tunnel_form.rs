//! The form of Adobe Commerce Intelligence.

use std::net::IpAddr;

use pgreach_core::Error;
use serde::Deserialize;

use super::{Literal, Toggle, checked, document, named, readable};
use crate::spec::ConnectionSpec;
use crate::spec::credentials::CredentialsSpec;
use crate::spec::document::{TlsMode, TlsSpec};
use crate::spec::fault::Fault;
use crate::spec::secret::SecretSource;
use crate::spec::transport::{HopAuthSpec, HopSpec, TransportSpec};
use crate::spec::value::{Port, check_host, check_text};

/// The PostgreSQL form of Adobe Commerce Intelligence: `Encrypted`, `Database Connection` and
/// `SSH Connection`.
///
/// - `Encrypted` is the SSH tunnel and says nothing about TLS. Where it is `Yes` and the database's host is a
///   loopback address, as the form advises, TLS is off: the way from the SSH server to the database does not
///   leave that machine. In every other case TLS is verified in full.
/// - The form knows no host key. The SSH server must be on record in `known_hosts`, or `hostKeys` be added to
///   the document.
/// - The private key of the connection is the platform's and not in the form: give it with
///   [`with_private_key`](Self::with_private_key), or later with
///   [`ConnectionSpec::with_secret`].
/// - The form has neither a name nor a database: the name is made of the hosts, the database is that with the
///   user's name.
#[derive(Debug, Clone)]
pub struct TunnelForm {
    fields: Fields,
    private_key: Option<SecretSource>,
}

impl TunnelForm {
    /// The private key whose public half was shown with the form.
    #[must_use]
    pub fn with_private_key(mut self, key: impl Into<SecretSource>) -> Self {
        self.private_key = Some(key.into());
        self
    }
}

readable!(TunnelForm from Fields);

impl From<Fields> for TunnelForm {
    fn from(fields: Fields) -> Self {
        Self {
            fields,
            private_key: None,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(rename = "Encrypted")]
    encrypted: Toggle,
    #[serde(rename = "Database Connection")]
    database: DatabaseConnection,
    #[serde(rename = "SSH Connection")]
    ssh: Option<SshConnection>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct DatabaseConnection {
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "Password")]
    password: Option<Literal>,
    #[serde(rename = "Port")]
    port: Option<Port>,
    #[serde(rename = "Host")]
    host: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct SshConnection {
    #[serde(rename = "Remote Address")]
    remote_address: String,
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "SSH Port")]
    port: Option<Port>,
}

impl TryFrom<TunnelForm> for ConnectionSpec {
    type Error = Error;

    fn try_from(form: TunnelForm) -> Result<Self, Error> {
        let Fields {
            encrypted,
            database,
            ssh,
        } = form.fields;
        check_host("Database Connection.Host", &database.host)?;
        check_text(
            "Database Connection.Username",
            filled_or_empty(&database.username),
        )?;
        let loopback = database.host == "localhost"
            || database
                .host
                .parse()
                .is_ok_and(|address: IpAddr| address.is_loopback());
        let credentials = CredentialsSpec::Password {
            user: database.username,
            password: Literal::given(database.password),
        };
        let host = database.host;
        let mut spec = document(named(&host), host.clone(), database.port, credentials);
        match (encrypted, ssh) {
            (Toggle(false), None) => {}
            (Toggle(false), Some(_)) => {
                return Err(
                    Fault::conflict("SSH Connection", "goes with Encrypted set to Yes").into(),
                );
            }
            (Toggle(true), None) => return Err(Fault::missing("SSH Connection").into()),
            (Toggle(true), Some(ssh)) => {
                check_host("SSH Connection.Remote Address", &ssh.remote_address)?;
                check_text("SSH Connection.Username", filled_or_empty(&ssh.username))?;
                spec.name = named(&format!("{host} through {}", ssh.remote_address));
                if loopback {
                    spec.tls = Some(TlsSpec {
                        mode: Some(TlsMode::Disable),
                        ..TlsSpec::default()
                    });
                }
                spec.transport = TransportSpec::Ssh {
                    hops: vec![HopSpec {
                        host: ssh.remote_address,
                        port: ssh.port,
                        user: ssh.username,
                        auth: vec![HopAuthSpec::Key {
                            private_key: form.private_key,
                            passphrase: None,
                            certificate: None,
                        }],
                        host_keys: None,
                    }],
                    address_policy: None,
                };
            }
        }
        checked(spec)
    }
}

/// White space alone counts as nothing.
fn filled_or_empty(text: &str) -> Option<&str> {
    Some(text.trim())
}
