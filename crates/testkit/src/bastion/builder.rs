//! What a server is to be like.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::time::Duration;

use russh::keys::key::safe_rng;
use russh::keys::ssh_key::private::{KeypairData, RsaKeypair};
use russh::keys::{Algorithm, Certificate, EcdsaCurve, PrivateKey, PublicKey, decode_secret_key};
use russh::server::Config;
use russh::{MethodKind, MethodSet, Preferred, SshId, cipher, kex, mac};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::handler::Logins;
use super::serve::{self, Shared};
use super::{Bastion, Counts};
use crate::Error;
use crate::ssh::SshKeyType;

/// Describes a server before it is started.
#[derive(Clone)]
#[must_use]
pub struct BastionBuilder {
    user: String,
    authorized_keys: Vec<String>,
    passwords: HashMap<String, String>,
    questions: HashMap<String, Vec<(String, String)>>,
    host_keys: Vec<HostKey>,
    host_certificates: Vec<String>,
    kex: Option<Vec<String>>,
    ciphers: Option<Vec<String>>,
    macs: Option<Vec<String>>,
    key_algorithms: Option<Vec<String>>,
    strict_kex: bool,
    software: Option<String>,
    delay: Duration,
}

#[derive(Clone)]
enum HostKey {
    New(SshKeyType),
    Pem(String),
}

impl fmt::Debug for BastionBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BastionBuilder")
            .field("user", &self.user)
            .field("authorized_keys", &self.authorized_keys)
            .finish_non_exhaustive()
    }
}

impl Default for BastionBuilder {
    fn default() -> Self {
        Self {
            user: "tunnel".to_owned(),
            authorized_keys: Vec::new(),
            passwords: HashMap::new(),
            questions: HashMap::new(),
            host_keys: Vec::new(),
            host_certificates: Vec::new(),
            kex: None,
            ciphers: None,
            macs: None,
            key_algorithms: None,
            strict_kex: true,
            software: None,
            delay: Duration::ZERO,
        }
    }
}

fn owned(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

impl BastionBuilder {
    /// The user whom the keys let in. Default: `tunnel`.
    pub fn with_user(mut self, name: impl Into<String>) -> Self {
        self.user = name.into();
        self
    }

    /// A key of the user, without options; may be repeated.
    pub fn with_authorized_key(mut self, public_line: impl Into<String>) -> Self {
        self.authorized_keys.push(public_line.into());
        self
    }

    /// Lets a user in with a password.
    pub fn with_password(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.passwords.insert(user.into(), password.into());
        self
    }

    /// Lets a user in who answers these questions (prompt and answer), all asked at once.
    pub fn with_keyboard_interactive(
        mut self,
        user: impl Into<String>,
        questions: &[(&str, &str)],
    ) -> Self {
        let questions = questions
            .iter()
            .map(|(prompt, answer)| ((*prompt).to_owned(), (*answer).to_owned()))
            .collect();
        self.questions.insert(user.into(), questions);
        self
    }

    /// A new host key of this type; may be repeated. Default: Ed25519. One for RSA takes seconds
    /// in a debug build, so that [`with_host_key_pem`](Self::with_host_key_pem) is better for it.
    pub fn with_host_key(mut self, kind: SshKeyType) -> Self {
        self.host_keys.push(HostKey::New(kind));
        self
    }

    /// A host key that is there already, not encrypted; may be repeated.
    pub fn with_host_key_pem(mut self, pem: impl Into<String>) -> Self {
        self.host_keys.push(HostKey::Pem(pem.into()));
        self
    }

    /// A certificate for one of the host keys, as [`SshCa::sign_host`](crate::ssh::SshCa::sign_host)
    /// returns it; may be repeated.
    pub fn with_host_certificate(mut self, certificate: impl Into<String>) -> Self {
        self.host_certificates.push(certificate.into());
        self
    }

    /// The key exchanges, such as `diffie-hellman-group14-sha1`, the preferred one first.
    pub fn with_kex(mut self, names: &[&str]) -> Self {
        self.kex = owned(names);
        self
    }

    /// The ciphers, such as `aes128-cbc`.
    pub fn with_ciphers(mut self, names: &[&str]) -> Self {
        self.ciphers = owned(names);
        self
    }

    /// The MACs, such as `hmac-sha1`.
    pub fn with_macs(mut self, names: &[&str]) -> Self {
        self.macs = owned(names);
        self
    }

    /// The signatures for host keys, such as `ssh-rsa`. They are also what the server says that it
    /// takes from users (`server-sig-algs`).
    pub fn with_key_algorithms(mut self, names: &[&str]) -> Self {
        self.key_algorithms = owned(names);
        self
    }

    /// Offers no strict key exchange, as servers from before 2024.
    pub fn without_strict_kex(mut self) -> Self {
        self.strict_kex = false;
        self
    }

    /// The server's first line, such as `SSH-2.0-OpenSSH_6.6`.
    pub fn with_software(mut self, line: impl Into<String>) -> Self {
        self.software = Some(line.into());
        self
    }

    /// Says nothing on a connection for so long.
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Starts it on a free port.
    ///
    /// # Errors
    /// A key, a certificate or the name of an algorithm is none.
    pub async fn start(self) -> Result<Bastion, Error> {
        let config = self.config()?;
        let host_keys = config
            .keys
            .iter()
            .map(|key| public_line(key.public_key()))
            .collect::<Result<_, _>>()?;
        let keys = self
            .authorized_keys
            .iter()
            .map(|line| {
                PublicKey::from_openssh(line)
                    .map(|key| key.key_data().clone())
                    .map_err(|error| wrong("authorized key", line, error))
            })
            .collect::<Result<_, _>>()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(Error::network("bind the port of a bastion"))?;
        let addr = listener
            .local_addr()
            .map_err(Error::network("read the address of a bastion"))?;
        let counts = Arc::new(Counts::default());
        let channels = Arc::new(AtomicU8::default());
        let ended = watch::Sender::new(());
        let shared = Arc::new(Shared {
            config: Arc::new(config),
            logins: Logins {
                user: self.user.clone(),
                keys,
                passwords: self.passwords,
                questions: self.questions,
            },
            delay: self.delay,
            counts: Arc::clone(&counts),
            channels: Arc::clone(&channels),
            ended: ended.clone(),
        });
        Ok(Bastion {
            addr,
            user: self.user,
            host_keys,
            counts,
            channels,
            ended,
            task: tokio::spawn(serve::run(listener, shared)),
        })
    }

    fn config(&self) -> Result<Config, Error> {
        let mut config = Config {
            methods: self.methods(),
            // A test of wrong passwords need not take a second for each.
            auth_rejection_time: Duration::ZERO,
            inactivity_timeout: None,
            nodelay: true,
            preferred: self.preferred()?,
            ..Config::default()
        };
        if let Some(line) = &self.software {
            config.server_id = SshId::Standard(Cow::Owned(line.clone()));
        }
        let usual = [HostKey::New(SshKeyType::Ed25519)];
        let host_keys = match self.host_keys.as_slice() {
            [] => &usual[..],
            some => some,
        };
        for key in host_keys {
            config.keys.push(match key {
                HostKey::New(kind) => new_key(*kind)?,
                HostKey::Pem(pem) => decode_secret_key(pem, None)
                    .map_err(|error| Error::State(format!("a host key: {error}")))?,
            });
        }
        for text in &self.host_certificates {
            let certificate = Certificate::from_openssh(text)
                .map_err(|error| wrong("host certificate", text, error))?;
            config.certificates.push(certificate);
        }
        Ok(config)
    }

    fn methods(&self) -> MethodSet {
        let mut methods = MethodSet::empty();
        if !self.authorized_keys.is_empty() {
            methods.push(MethodKind::PublicKey);
        }
        if !self.questions.is_empty() {
            methods.push(MethodKind::KeyboardInteractive);
        }
        if !self.passwords.is_empty() {
            methods.push(MethodKind::Password);
        }
        methods
    }

    fn preferred(&self) -> Result<Preferred, Error> {
        let mut preferred = Preferred::default();
        if let Some(names) = &self.kex {
            let mut list = parse(names, |name| kex::Name::try_from(name).ok())?;
            list.extend([
                kex::EXTENSION_SUPPORT_AS_SERVER,
                kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
            ]);
            preferred.kex = Cow::Owned(list);
        }
        if !self.strict_kex {
            preferred
                .kex
                .to_mut()
                .retain(|name| *name != kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER);
        }
        if let Some(names) = &self.ciphers {
            preferred.cipher = Cow::Owned(parse(names, |name| cipher::Name::try_from(name).ok())?);
        }
        if let Some(names) = &self.macs {
            preferred.mac = Cow::Owned(parse(names, |name| mac::Name::try_from(name).ok())?);
        }
        if let Some(names) = &self.key_algorithms {
            preferred.key = Cow::Owned(parse(names, |name| Algorithm::new(name).ok())?);
        }
        Ok(preferred)
    }
}

fn parse<T>(names: &[String], one: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Error> {
    names
        .iter()
        .map(|name| {
            one(name).ok_or_else(|| Error::State(format!("russh has no algorithm {name:?}")))
        })
        .collect()
}

fn wrong(what: &str, text: &str, error: impl fmt::Display) -> Error {
    Error::State(format!("the {what} {text:?}: {error}"))
}

/// Type and base64.
fn public_line(key: &PublicKey) -> Result<String, Error> {
    let mut key = key.clone();
    key.set_comment("");
    key.to_openssh()
        .map(|line| line.trim_end().to_owned())
        .map_err(|error| Error::State(format!("a host key: {error}")))
}

fn new_key(kind: SshKeyType) -> Result<PrivateKey, Error> {
    let curve = |curve| Algorithm::Ecdsa { curve };
    let algorithm = match kind {
        SshKeyType::Ed25519 => Algorithm::Ed25519,
        SshKeyType::Ecdsa256 => curve(EcdsaCurve::NistP256),
        SshKeyType::Ecdsa384 => curve(EcdsaCurve::NistP384),
        SshKeyType::Ecdsa521 => curve(EcdsaCurve::NistP521),
        SshKeyType::Rsa => return new_rsa_key(2048),
        SshKeyType::RsaBits(bits) => return new_rsa_key(bits),
    };
    PrivateKey::random(&mut safe_rng(), algorithm)
        .map_err(|error| Error::State(format!("a host key: {error}")))
}

fn new_rsa_key(bits: u32) -> Result<PrivateKey, Error> {
    let bits = usize::try_from(bits).unwrap_or(usize::MAX);
    RsaKeypair::random(&mut safe_rng(), bits)
        .and_then(|pair| PrivateKey::new(KeypairData::from(pair), ""))
        .map_err(|error| Error::State(format!("a host key: {error}")))
}
