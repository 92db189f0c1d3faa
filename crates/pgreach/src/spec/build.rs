//! From a document to a connector.

use pgreach_auth_password::PassfilePassword;
use pgreach_core::{Endpoint, Error, PgConnector, PgConnectorBuilder, SslMode, TlsPolicy};
use pgreach_tls::{NativeTls, Roots};
use pgreach_transport_tcp::{AddressPolicy, TcpTransport};

use super::ConnectionSpec;
use super::credentials::CredentialsSpec;
use super::document::{Document, EndpointSpec, RootsSpec, TlsSpec};
use super::fault::Fault;
use super::transport::TransportSpec;
use super::value::{AddressRules, Port};

impl ConnectionSpec {
    /// A builder with everything that the document says, so that a program can replace a part.
    ///
    /// Files with authorities and revocation lists are read here, on the calling thread. References to
    /// secrets are resolved for each new connection.
    ///
    /// # Errors
    /// Kind Config: `spec-secret-missing`, with the path of the first secret that is missing and all
    /// paths in the hint; `spec-unsupported` for what this build cannot do; and what the parts
    /// themselves find, with the path of the field. Kind Credential where a certificate or key that is
    /// given as text cannot be used.
    pub fn builder(&self) -> Result<PgConnectorBuilder, Error> {
        let document = &self.document;
        let missing = document.missing();
        if let Some(first) = missing.first() {
            let hint = format!("give the secrets at: {}", missing.join(", "));
            return Err(Error::from(Fault::secret_missing(first)).with_hint(hint));
        }
        let builder = PgConnector::builder()
            .with_endpoints(document.endpoints())
            // A document means the same wherever it is read: nothing depends on who reads it.
            .with_default_user(None);
        let builder = self.with_route(builder)?;
        let builder = with_tls(builder, document.tls.as_ref())?;
        let builder = with_credentials(builder, &document.credentials)?;
        Ok(document.with_session(builder))
    }

    fn with_route(&self, builder: PgConnectorBuilder) -> Result<PgConnectorBuilder, Error> {
        let policy = |rules: &Option<AddressRules>| match (&self.address_policy, rules) {
            (Some(policy), _) => policy.clone(),
            (None, Some(rules)) => rules.policy(),
            (None, None) => AddressPolicy::allow_all(),
        };
        Ok(match &self.document.transport {
            TransportSpec::Tcp { address_policy } => {
                let tcp = TcpTransport::builder().with_address_policy(policy(address_policy));
                builder.with_transport(tcp.build()?)
            }
            TransportSpec::Unix { .. } => {
                let tcp = TcpTransport::builder().with_address_policy(policy(&None));
                builder.with_transport(tcp.build()?)
            }
            #[cfg(feature = "ssh")]
            TransportSpec::Ssh {
                hops,
                address_policy,
            } => super::ssh::with_route(builder, hops, policy(address_policy))?,
            #[cfg(not(feature = "ssh"))]
            TransportSpec::Ssh { .. } => {
                return Err(without_feature("transport.type", "ssh"));
            }
        })
    }
}

/// The error of a document that needs a Cargo feature.
#[allow(dead_code, reason = "with all features, nothing is missing")]
pub(super) fn without_feature(path: &str, feature: &str) -> Error {
    let fault = Fault::unsupported(
        path,
        format!("needs the Cargo feature {feature} of pgreach"),
    );
    fault.into()
}

fn port(port: Option<Port>) -> u16 {
    port.map_or(pgreach_core::DEFAULT_PORT, Port::get)
}

impl Document {
    fn endpoints(&self) -> Vec<Endpoint> {
        if let TransportSpec::Unix {
            directory,
            port: number,
        } = &self.transport
        {
            return vec![Endpoint::unix(directory, port(*number))];
        }
        let listed = self.endpoints.iter().flatten();
        self.endpoint
            .iter()
            .chain(listed)
            .map(EndpointSpec::endpoint)
            .collect()
    }

    fn with_session(&self, mut builder: PgConnectorBuilder) -> PgConnectorBuilder {
        let session = &self.session;
        if let Some(database) = &self.database {
            builder = builder.with_database(database);
        }
        if let Some(name) = &session.application_name {
            builder = builder.with_application_name(name);
        }
        if let Some(options) = &session.options {
            builder = builder.with_options(options);
        }
        for (name, value) in &session.parameters {
            builder = builder.with_parameter(name, value);
        }
        if let Some(attrs) = session.target_session_attrs {
            builder = builder.with_target_session_attrs(attrs.into());
        }
        if let Some(order) = session.load_balance_hosts {
            builder = builder.with_load_balance_hosts(order.into());
        }
        if let Some(methods) = &session.require_auth {
            builder = builder.with_require_auth(methods.methods);
        }
        if let Some(binding) = session.channel_binding {
            builder = builder.with_channel_binding(binding.into());
        }
        if let Some(timeout) = self.limits.connect_timeout {
            builder = builder.with_connect_timeout(timeout.0);
        }
        match self.limits.max_message_size.map(usize::try_from) {
            Some(Ok(bytes)) => builder.with_max_message_size(bytes),
            _ => builder,
        }
    }
}

impl EndpointSpec {
    fn endpoint(&self) -> Endpoint {
        if self.is_socket() {
            return Endpoint::unix(&self.host, port(self.port));
        }
        let endpoint = Endpoint::tcp(&self.host, port(self.port));
        match self.hostaddr {
            Some(address) => endpoint.with_hostaddr(address),
            None => endpoint,
        }
    }
}

fn with_tls(
    builder: PgConnectorBuilder,
    tls: Option<&TlsSpec>,
) -> Result<PgConnectorBuilder, Error> {
    let Some(tls) = tls else {
        return Ok(builder
            .with_tls(NativeTls::new())
            .with_tls_policy(TlsPolicy::verify_full()));
    };
    let mode = SslMode::from(tls.mode());
    let negotiation = tls.negotiation.map(Into::into).unwrap_or_default();
    let builder =
        builder.with_tls_policy(TlsPolicy::from_sslmode(mode).with_negotiation(negotiation));
    if mode == SslMode::Disable {
        return Ok(builder);
    }
    let mut provider = NativeTls::builder();
    match &tls.roots {
        None | Some(RootsSpec::System) => {}
        Some(RootsSpec::Pem(text)) => provider = provider.with_roots(Roots::from_pem(text.clone())),
        Some(RootsSpec::File(path)) => provider = provider.with_roots(Roots::from_file(path)),
    }
    if let Some(version) = tls.min_version {
        provider = provider.with_min_version(version.into());
    }
    if let Some(version) = tls.max_version {
        provider = provider.with_max_version(version.into());
    }
    if let Some(path) = &tls.crl {
        provider = provider.with_crl_file(path);
    }
    let provider = provider.build().map_err(|error| {
        let field = match error.code() {
            code if code == &pgreach_tls::codes::TLS_ROOTS => "tls.roots",
            code if code == &pgreach_tls::codes::TLS_CRL => "tls.crl",
            _ => "tls",
        };
        error.with_context(field)
    })?;
    Ok(builder.with_tls(provider))
}

fn with_credentials(
    builder: PgConnectorBuilder,
    credentials: &CredentialsSpec,
) -> Result<PgConnectorBuilder, Error> {
    let builder = match credentials.user() {
        Some(user) => builder.with_user(user),
        None => builder,
    };
    Ok(match credentials {
        CredentialsSpec::None { .. } => builder,
        CredentialsSpec::Password { password, .. } => match password {
            Some(password) => builder.with_credentials(password.provider()),
            None => return Err(Fault::secret_missing("credentials.password").into()),
        },
        CredentialsSpec::Passfile { file, .. } => builder.with_credentials(match file {
            Some(file) => PassfilePassword::named(file),
            None => PassfilePassword::default(),
        }),
        #[cfg(feature = "cert")]
        CredentialsSpec::Certificate { .. } => {
            super::certificate::with_certificate(builder, credentials)?
        }
        #[cfg(not(feature = "cert"))]
        CredentialsSpec::Certificate { .. } => {
            return Err(without_feature("credentials.type", "cert"));
        }
        #[cfg(feature = "azure")]
        CredentialsSpec::Entra { .. } => super::entra::with_entra(builder, credentials)?,
        #[cfg(not(feature = "azure"))]
        CredentialsSpec::Entra { .. } => {
            return Err(without_feature("credentials.type", "azure"));
        }
    })
}
