//! Putting a connector together.

use std::sync::Arc;
use std::time::Duration;

use super::epoch::Epoch;
use super::negotiate::missing_provider;
use super::startup::SessionRequest;
use super::{Handler, MessageHandler, PgConnector, Settings, Tls};
use crate::{
    ChannelBinding, CredentialProvider, Endpoint, Error, LoadBalanceHosts, NoCredential,
    RequireAuth, SslMode, SslNegotiation, Stage, TargetSessionAttrs, TlsPolicy, TlsProvider,
    Transport, Verification, codes,
};

/// How long a connection to one host may take, when nothing else was said: 30 seconds.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A longer one is cut to this: a moment that far ahead may not exist on the system's clock.
const MAX_CONNECT_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The longest message that is taken from a server once the session is ready: 1 GiB, the longest
/// that PostgreSQL itself can make.
pub const DEFAULT_MAX_MESSAGE_SIZE: usize = 1 << 30;

/// Builds a [`PgConnector`].
///
/// Needed are a transport and at least one endpoint, and a TLS provider unless TLS is turned off or
/// every endpoint is a Unix socket.
///
/// ```
/// # use async_trait::async_trait;
/// # use pgreach_core::*;
/// # #[derive(Debug)] struct MyRoute;
/// # #[async_trait] impl Transport for MyRoute {
/// #     async fn dial(&self, _: &Endpoint, _: &DialContext) -> Result<Dialed, Error> {
/// #         Err(Error::new(&codes::CLOSED, Stage::TCP, "not in this example"))
/// #     }
/// #     fn describe(&self, endpoint: &Endpoint) -> String { format!("my route to {endpoint}") }
/// # }
/// let connector = PgConnector::builder()
///     .with_transport(MyRoute)
///     .with_endpoint(Endpoint::unix("/run/postgresql", 5432))
///     .with_user("app")
///     .build()?;
/// assert_eq!(connector.route(), "my route to /run/postgresql/.s.PGSQL.5432");
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Default, Clone)]
#[must_use]
pub struct PgConnectorBuilder {
    transport: Option<Arc<dyn Transport>>,
    credentials: Option<Arc<dyn CredentialProvider>>,
    tls_provider: Option<Arc<dyn TlsProvider>>,
    tls_policy: TlsPolicy,
    endpoints: Vec<Endpoint>,
    user: Option<String>,
    default_user: Option<Option<String>>,
    database: Option<String>,
    application_name: Option<String>,
    options: Option<String>,
    parameters: Vec<(String, String)>,
    require_auth: RequireAuth,
    channel_binding: ChannelBinding,
    target_session_attrs: TargetSessionAttrs,
    load_balance_hosts: LoadBalanceHosts,
    connect_timeout: Option<Duration>,
    max_message_size: Option<usize>,
    message_handler: Option<Handler>,
}

impl PgConnectorBuilder {
    /// The route.
    pub fn with_transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// Where credentials come from. Default: none, for servers that trust the client.
    pub fn with_credentials(mut self, credentials: impl CredentialProvider) -> Self {
        self.credentials = Some(Arc::new(credentials));
        self
    }

    /// What establishes TLS.
    pub fn with_tls(mut self, provider: impl TlsProvider) -> Self {
        self.tls_provider = Some(Arc::new(provider));
        self
    }

    /// Whether to encrypt and what to verify. Default: [`TlsPolicy::verify_full`].
    pub fn with_tls_policy(mut self, policy: TlsPolicy) -> Self {
        self.tls_policy = policy;
        self
    }

    /// Adds a server. Several are tried in turn, as libpq does: the next one after a failure to
    /// reach or to resolve one, after a timeout, after "cannot connect now" (57P03) or where the
    /// session is not as [`with_target_session_attrs`](Self::with_target_session_attrs) asks; not
    /// after a refusal.
    pub fn with_endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// Adds servers; see [`with_endpoint`](Self::with_endpoint).
    pub fn with_endpoints(mut self, endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        self.endpoints.extend(endpoints);
        self
    }

    /// The user. Default: the credential's, else [`with_default_user`](Self::with_default_user)'s.
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The user where neither this builder nor the credential names one. Default: the operating
    /// system's user name. With `None`, a connection without a user is an error: for programs whose
    /// own account is nobody's business.
    pub fn with_default_user(mut self, user: Option<String>) -> Self {
        self.default_user = Some(user);
        self
    }

    /// The database. Default: the user's name.
    pub fn with_database(mut self, database: impl Into<String>) -> Self {
        self.database = Some(database.into());
        self
    }

    /// `application_name` of the session.
    pub fn with_application_name(mut self, name: impl Into<String>) -> Self {
        self.application_name = Some(name.into());
        self
    }

    /// Command-line options for the session, such as `-c statement_timeout=5s`.
    pub fn with_options(mut self, options: impl Into<String>) -> Self {
        self.options = Some(options.into());
        self
    }

    /// A configuration parameter of the session, such as `statement_timeout` and `5s`.
    pub fn with_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// Which authentication methods the server may ask for. Default: any.
    pub fn with_require_auth(mut self, methods: RequireAuth) -> Self {
        self.require_auth = methods;
        self
    }

    /// Whether SCRAM is bound to TLS. Default: where both sides can.
    pub fn with_channel_binding(mut self, binding: ChannelBinding) -> Self {
        self.channel_binding = binding;
        self
    }

    /// Which session is acceptable. Default: any.
    pub fn with_target_session_attrs(mut self, attrs: TargetSessionAttrs) -> Self {
        self.target_session_attrs = attrs;
        self
    }

    /// In which order hosts and their addresses are tried. Default: as given.
    pub fn with_load_balance_hosts(mut self, order: LoadBalanceHosts) -> Self {
        self.load_balance_hosts = order;
        self
    }

    /// How long a connection to one host may take, from the first look-up to the checked session:
    /// the one deadline over all stages. Default: [`DEFAULT_CONNECT_TIMEOUT`]; at most a year.
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = Some(timeout);
        self
    }

    /// The longest message, in bytes, that is taken from a server once the session is ready; a
    /// longer one ends the connection before any memory is taken for it. Default:
    /// [`DEFAULT_MAX_MESSAGE_SIZE`]. Before that it is always 64 KiB.
    pub fn with_max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = Some(bytes);
        self
    }

    /// Receives the server's notices and notifications. It runs on the task that drives the
    /// connection, so it must not block. Default: they are dropped.
    pub fn with_message_handler(mut self, handler: MessageHandler) -> Self {
        self.message_handler = Some(Handler(handler));
        self
    }

    /// Checks the settings against each other.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config), naming the setting.
    pub fn build(self) -> Result<PgConnector, Error> {
        let transport = self.transport.clone().ok_or_else(|| missing("transport"))?;
        if self.endpoints.is_empty() {
            return Err(missing("endpoint"));
        }
        self.check_tls()?;
        let options = self.session_options()?;
        for (setting, text) in [
            ("user", &self.user),
            ("dbname", &self.database),
            ("application_name", &self.application_name),
            ("options", &options),
        ] {
            if text.as_deref().is_some_and(|text| text.contains('\0')) {
                return Err(invalid(format!("{setting} contains a NUL character")));
            }
        }
        let connect_timeout = self
            .connect_timeout
            .unwrap_or(DEFAULT_CONNECT_TIMEOUT)
            .min(MAX_CONNECT_TIMEOUT);
        if connect_timeout.is_zero() {
            return Err(invalid("connect_timeout must be more than zero"));
        }
        let default_user = match (&self.user, self.default_user) {
            (Some(_), _) => None,
            (None, Some(given)) => given,
            (None, None) => whoami::username().ok(),
        };
        Ok(PgConnector(Arc::new(Settings {
            transport,
            credentials: self
                .credentials
                .unwrap_or_else(|| Arc::new(NoCredential::new())),
            tls: Tls {
                policy: self.tls_policy,
                provider: self.tls_provider,
            },
            endpoints: self.endpoints,
            user: self.user,
            default_user,
            database: self.database,
            session: SessionRequest {
                require_auth: self.require_auth,
                channel_binding: self.channel_binding,
                application_name: self.application_name,
                options,
                max_message_size: self.max_message_size.unwrap_or(DEFAULT_MAX_MESSAGE_SIZE),
            },
            target_session_attrs: self.target_session_attrs,
            load_balance_hosts: self.load_balance_hosts,
            connect_timeout,
            message_handler: self.message_handler,
            epoch: Epoch::default(),
        })))
    }

    fn check_tls(&self) -> Result<(), Error> {
        let policy = self.tls_policy;
        let over_network = self.endpoints.iter().any(|endpoint| !endpoint.is_unix());
        if !over_network || policy.mode() == SslMode::Disable {
            return Ok(());
        }
        if self.tls_provider.is_none() {
            return Err(missing_provider());
        }
        let weak = matches!(policy.mode(), SslMode::Allow | SslMode::Prefer);
        if weak && policy.negotiation() == SslNegotiation::Direct {
            let message = format!(
                "weak sslmode \"{}\" may not be used with sslnegotiation=direct (use \"require\", \"verify-ca\", or \"verify-full\")",
                policy.mode().as_str()
            );
            return Err(Error::new(&codes::CONFIG_CONFLICT, Stage::CONFIG, message));
        }
        let nameless = self
            .endpoints
            .iter()
            .find(|e| !e.is_unix() && e.host().is_empty());
        if let (Some(endpoint), Verification::Full) = (nameless, policy.verification()) {
            let message =
                format!("host name must be specified for a verified TLS connection to {endpoint}");
            return Err(Error::new(&codes::CONFIG_MISSING, Stage::CONFIG, message)
                .with_hint("set host to the name in the server's certificate; hostaddr stays the address that is dialled"));
        }
        Ok(())
    }

    /// `options` with the parameters added: the server splits at white space and takes a backslash
    /// as an escape (PostgreSQL manual, libpq's `options`).
    fn session_options(&self) -> Result<Option<String>, Error> {
        let mut options = self.options.clone().unwrap_or_default();
        for (name, value) in &self.parameters {
            let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
            if name.is_empty() || !name.chars().all(sound) {
                return Err(invalid(format!(
                    "\"{name}\" is not the name of a parameter"
                )));
            }
            if !options.is_empty() {
                options.push(' ');
            }
            options.push_str("-c ");
            options.push_str(name);
            options.push('=');
            for c in value.chars() {
                if c == '\\' || c.is_whitespace() {
                    options.push('\\');
                }
                options.push(c);
            }
        }
        Ok((!options.is_empty()).then_some(options))
    }
}

fn missing(what: &str) -> Error {
    Error::new(
        &codes::CONFIG_MISSING,
        Stage::CONFIG,
        format!("the connector has no {what}"),
    )
}

fn invalid(message: impl AsRef<str>) -> Error {
    Error::new(&codes::CONFIG_INVALID, Stage::CONFIG, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_parameters() {
        let builder = PgConnector::builder()
            .with_options("-c a=1")
            .with_parameter("datestyle", "ISO, MDY")
            .with_parameter("search_path", "a\\b");
        let options = builder.session_options().unwrap().unwrap();
        assert_eq!(
            options,
            "-c a=1 -c datestyle=ISO,\\ MDY -c search_path=a\\\\b"
        );
        let hostile = PgConnector::builder().with_parameter("a=1 -c b", "2");
        assert_eq!(
            hostile.session_options().unwrap_err().code(),
            &codes::CONFIG_INVALID
        );
    }
}
