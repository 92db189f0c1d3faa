//! What the fields of a document must be to each other.

use super::credentials::CredentialsSpec;
use super::document::{Document, EndpointSpec, RootsSpec, TlsMode, TlsNegotiation, TlsSpec};
use super::fault::{Fault, join};
use super::node::at;
use super::transport::TransportSpec;
use super::value::{check_host, check_text};

const LONGEST_NAME: usize = 128;
const LONGEST_DESCRIPTION: usize = 256;

impl Document {
    /// # Errors
    /// The first field that is wrong or excluded by another one.
    pub(super) fn check(&self) -> Result<(), Fault> {
        self.check_texts()?;
        self.check_endpoints()?;
        if let Some(tls) = &self.tls {
            if matches!(self.transport, TransportSpec::Unix { .. }) {
                return Err(Fault::conflict(
                    "tls",
                    "does not go with a Unix socket, which has no TLS",
                ));
            }
            tls.check().map_err(|fault| fault.below("tls"))?;
        }
        self.check_archive()?;
        self.check_token()?;
        self.check_session()
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
    fn check_token(&self) -> Result<(), Fault> {
        if !matches!(self.credentials, CredentialsSpec::Entra { .. }) {
            return Ok(());
        }
        let verified = self
            .tls
            .as_ref()
            .is_none_or(|tls| tls.mode() == TlsMode::VerifyFull);
        if matches!(self.transport, TransportSpec::Unix { .. }) {
            return Err(Fault::conflict(
                "credentials.type",
                "entra does not go with a Unix socket: a token is sent over TLS only",
            ));
        }
        match verified {
            true => Ok(()),
            false => Err(Fault::conflict(
                "tls.mode",
                "must be verify-full with a token, which whoever poses as the server could use",
            )),
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
