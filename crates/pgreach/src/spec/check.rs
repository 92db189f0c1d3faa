//! What the fields of a document must be to each other.

use super::credentials::CredentialsSpec;
use super::document::{
    Binding, Document, EndpointSpec, RootsSpec, TlsMode, TlsNegotiation, TlsSpec,
};
use super::fault::{Fault, join};
use super::node::at;
use super::transport::TransportSpec;
use super::value::{check_host, check_text};

const LONGEST_NAME: usize = 128;
const LONGEST_DESCRIPTION: usize = 256;
/// As PostgreSQL's identifiers.
const LONGEST_PARAMETER: usize = 63;

/// Why a session has no TLS or may have none.
#[derive(Clone, Copy)]
enum Plain {
    /// A server is reached through a Unix socket, here or behind an SSH server.
    Socket,
    /// Mode `disable`.
    Disabled,
    /// Mode `allow` or `prefer`.
    Perhaps,
}

impl Document {
    /// # Errors
    /// The first field that is wrong or excluded by another one.
    pub(super) fn check(&self) -> Result<(), Fault> {
        self.check_texts()?;
        self.check_route()?;
        self.check_endpoints()?;
        let plain = self.plain();
        if let Some(tls) = &self.tls {
            if matches!(plain, Some(Plain::Socket)) {
                return Err(Fault::conflict(
                    "tls",
                    "does not go with a Unix socket, which has no TLS",
                ));
            }
            tls.check().map_err(|fault| fault.below("tls"))?;
        }
        self.check_archive()?;
        self.check_token(plain)?;
        self.check_needs_of_tls(plain)?;
        self.check_session()?;
        self.check_secrets()?;
        self.check_size()
    }

    /// Where a session has no TLS or may have none.
    fn plain(&self) -> Option<Plain> {
        let unix = matches!(self.transport, TransportSpec::Unix { .. });
        let listed = self.endpoints.iter().flatten();
        if unix
            || self
                .endpoint
                .iter()
                .chain(listed)
                .any(EndpointSpec::is_socket)
        {
            return Some(Plain::Socket);
        }
        match self.tls.as_ref().map_or(TlsMode::VerifyFull, TlsSpec::mode) {
            TlsMode::Disable => Some(Plain::Disabled),
            TlsMode::Allow | TlsMode::Prefer => Some(Plain::Perhaps),
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => None,
        }
    }

    fn check_route(&self) -> Result<(), Fault> {
        match &self.transport {
            TransportSpec::Tcp {
                address_policy: Some(rules),
            }
            | TransportSpec::Ssh {
                address_policy: Some(rules),
                ..
            } => rules
                .check()
                .map_err(|fault| fault.below("transport.addressPolicy")),
            _ => Ok(()),
        }
    }

    fn check_texts(&self) -> Result<(), Fault> {
        let name = self.name.chars().count();
        if self.name.trim().is_empty() {
            return Err(Fault::field("name", "is empty"));
        }
        if name > LONGEST_NAME {
            return Err(too_long("name", name, LONGEST_NAME));
        }
        if let Some(text) = &self.description {
            let length = text.chars().count();
            if length > LONGEST_DESCRIPTION {
                return Err(too_long("description", length, LONGEST_DESCRIPTION));
            }
        }
        check_text("database", self.database.as_deref())
    }

    fn check_endpoints(&self) -> Result<(), Fault> {
        if let TransportSpec::Unix { .. } = self.transport {
            let unneeded = "does not go with a Unix socket, which transport names";
            let hostaddr = |endpoint: &EndpointSpec| endpoint.hostaddr.is_some();
            return match (&self.endpoint, &self.endpoints) {
                (Some(endpoint), _) if hostaddr(endpoint) => {
                    Err(Fault::conflict("endpoint.hostaddr", unneeded))
                }
                (Some(_), _) => Err(Fault::conflict("endpoint", unneeded)),
                (_, Some(_)) => Err(Fault::conflict("endpoints", unneeded)),
                (None, None) => Ok(()),
            };
        }
        match (&self.endpoint, &self.endpoints) {
            (Some(_), Some(_)) => Err(Fault::conflict(
                "endpoints",
                "excludes endpoint; give one of them",
            )),
            (None, None) => Err(Fault::field(
                "endpoint",
                "is missing; give it, or a list of endpoints",
            )),
            (Some(endpoint), None) => self
                .check_endpoint(endpoint)
                .map_err(|fault| fault.below("endpoint")),
            (None, Some(endpoints)) if endpoints.is_empty() => {
                Err(Fault::field("endpoints", "is empty; name a server"))
            }
            (None, Some(endpoints)) => {
                endpoints.iter().enumerate().try_for_each(|(i, endpoint)| {
                    self.check_endpoint(endpoint)
                        .map_err(|fault| fault.below(&at("endpoints", i)))
                })
            }
        }
    }

    fn check_endpoint(&self, endpoint: &EndpointSpec) -> Result<(), Fault> {
        if !endpoint.is_socket() {
            return check_host("host", &endpoint.host);
        }
        check_text("host", Some(&endpoint.host))?;
        if !matches!(self.transport, TransportSpec::Ssh { .. }) {
            return Err(Fault::conflict(
                "host",
                "is a directory; for a Unix socket of this machine, give a transport of type unix",
            ));
        }
        match endpoint.hostaddr {
            Some(_) => Err(Fault::conflict(
                "hostaddr",
                "does not go with a Unix socket, which host names",
            )),
            None => Ok(()),
        }
    }

    /// A token is sent in cleartext: only over TLS verified in full.
    fn check_token(&self, plain: Option<Plain>) -> Result<(), Fault> {
        if !matches!(self.credentials, CredentialsSpec::Entra { .. }) {
            return Ok(());
        }
        if matches!(plain, Some(Plain::Socket)) {
            return Err(Fault::conflict(
                "credentials.type",
                "entra does not go with a Unix socket: a token is sent over TLS only",
            ));
        }
        let verified = self
            .tls
            .as_ref()
            .is_none_or(|tls| tls.mode() == TlsMode::VerifyFull);
        match verified {
            true => Ok(()),
            false => Err(Fault::conflict(
                "tls.mode",
                "must be verify-full with a token, which whoever poses as the server could use",
            )),
        }
    }

    /// What is presented in TLS or bound to it does nothing where there is none.
    fn check_needs_of_tls(&self, plain: Option<Plain>) -> Result<(), Fault> {
        let certificate = matches!(self.credentials, CredentialsSpec::Certificate { .. });
        let bound = self.session.channel_binding == Some(Binding::Require);
        match plain {
            Some(Plain::Socket) if certificate => Err(Fault::conflict(
                "credentials.type",
                "certificate does not go with a Unix socket: it is presented over TLS only",
            )),
            Some(Plain::Disabled | Plain::Perhaps) if certificate => Err(Fault::conflict(
                "tls.mode",
                "must be require, verify-ca or verify-full with a client certificate, which is presented over TLS only",
            )),
            Some(Plain::Socket | Plain::Disabled) if bound => Err(Fault::conflict(
                "session.channelBinding",
                "require goes with TLS, which a Unix socket and mode disable do not have",
            )),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// A PKCS#12 archive is there together with what it holds.
    pub(super) fn check_archive(&self) -> Result<(), Fault> {
        match &self.credentials {
            CredentialsSpec::Certificate {
                pkcs12: Some(_),
                certificate,
                private_key,
                ..
            } if certificate.is_some() || private_key.is_some() => Err(Fault::conflict(
                "credentials.pkcs12",
                "holds certificate and key; leave out certificate and privateKey",
            )),
            _ => Ok(()),
        }
    }

    fn check_session(&self) -> Result<(), Fault> {
        let session = &self.session;
        let path = |field| join("session", field);
        check_text(
            &path("applicationName"),
            session.application_name.as_deref(),
        )?;
        check_text(&path("options"), session.options.as_deref())?;
        let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        for (name, value) in &session.parameters {
            if name.len() > LONGEST_PARAMETER {
                let message = format!("a name is longer than {LONGEST_PARAMETER} characters");
                return Err(Fault::field(path("parameters"), message));
            }
            let path = join("session.parameters", name);
            if name.is_empty() || !name.chars().all(sound) {
                return Err(Fault::field(path, "is not the name of a parameter"));
            }
            if value.contains('\0') {
                return Err(Fault::field(path, "contains a NUL character"));
            }
        }
        match self.limits.max_message_size {
            Some(bytes) if !(1 << 16..=1 << 30).contains(&bytes) => Err(Fault::field(
                "limits.maxMessageSize",
                "must be a number of bytes from 65536 to 1073741824",
            )),
            _ => Ok(()),
        }
    }
}

impl EndpointSpec {
    /// Whether the host is the directory of a Unix socket, as in libpq.
    pub(super) fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }
}

impl TlsSpec {
    fn check(&self) -> Result<(), Fault> {
        let mode = self.mode();
        check_text("crl", self.crl.as_deref())?;
        let of_verification = [("roots", self.roots.is_some()), ("crl", self.crl.is_some())];
        if mode == TlsMode::Disable {
            let others = [
                ("minVersion", self.min_version.is_some()),
                ("maxVersion", self.max_version.is_some()),
                ("negotiation", self.negotiation.is_some()),
            ];
            return match of_verification.iter().chain(&others).find(|field| field.1) {
                Some((field, _)) => Err(Fault::conflict(
                    *field,
                    "does not go with mode disable, which has no TLS",
                )),
                None => Ok(()),
            };
        }
        let verifies = matches!(mode, TlsMode::VerifyCa | TlsMode::VerifyFull);
        if let (false, Some((field, _))) = (
            verifies,
            of_verification.iter().find(|(_, present)| *present),
        ) {
            return Err(Fault::conflict(
                *field,
                "goes with mode verify-ca or verify-full; this mode verifies nothing",
            ));
        }
        let own = matches!(self.roots, Some(RootsSpec::Pem(_) | RootsSpec::File(_)));
        if mode == TlsMode::VerifyCa && !own {
            return Err(Fault::conflict(
                "roots",
                "must be given with mode verify-ca: the system's authorities sign for anybody",
            ));
        }
        if self.negotiation == Some(TlsNegotiation::Direct)
            && matches!(mode, TlsMode::Allow | TlsMode::Prefer)
        {
            return Err(Fault::conflict(
                "negotiation",
                "direct goes with mode require, verify-ca or verify-full",
            ));
        }
        let least = self.min_version.map(pgreach_core::TlsVersion::from);
        let greatest = self.max_version.map(pgreach_core::TlsVersion::from);
        match (least.unwrap_or(pgreach_core::TlsVersion::V1_2), greatest) {
            (least, Some(greatest)) if least > greatest => Err(Fault::conflict(
                "maxVersion",
                format!("is below the least version, {least}"),
            )),
            _ => Ok(()),
        }
    }
}

fn too_long(field: &str, length: usize, most: usize) -> Fault {
    Fault::field(
        field,
        format!("has {length} characters; at most {most} are allowed"),
    )
}
