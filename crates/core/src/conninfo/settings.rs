//! What the keywords mean.

use std::path::PathBuf;
use std::time::Duration;

use super::files::check_root_cert;
use super::string::Origin;
use super::value::invalid;
use super::{Conninfo, Environment, Keyword, hosts};
use crate::{
    ChannelBinding, Endpoint, Error, LoadBalanceHosts, RequireAuth, Secret, SslCertMode, SslMode,
    SslNegotiation, Stage, TargetSessionAttrs, TlsVersion, codes,
};

/// A file that a keyword names, or that is at its default place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileSetting {
    /// The path.
    pub path: PathBuf,
    /// Whether a keyword names it; then it is an error when it cannot be read.
    pub named: bool,
}

/// The trusted authorities.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RootCert {
    /// The operating system's.
    System,
    /// Those in a file.
    File {
        /// The path.
        path: PathBuf,
        /// Whether `sslrootcert` names it; else it is at the default place, and exists.
        named: bool,
    },
    /// None: certificates cannot be verified.
    None,
}

/// What the keywords mean, libpq's defaults included.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// The servers to try, in the order given; at least one.
    pub hosts: Vec<Endpoint>,
    /// The database role, when it is given; see [`user_name`](Self::user_name).
    pub user: Option<String>,
    /// The operating system's user name.
    pub os_user: Option<String>,
    /// The database, when it is given; see [`database_name`](Self::database_name).
    pub dbname: Option<String>,
    /// The password, when it is given.
    pub password: Option<Secret>,
    /// The file with passwords, for when no password is given. The default one may not exist.
    pub passfile: Option<FileSetting>,
    /// The time that connecting may take, when one is given.
    pub connect_timeout: Option<Duration>,
    /// Whether to encrypt, and what to verify.
    pub sslmode: SslMode,
    /// How TLS begins.
    pub sslnegotiation: SslNegotiation,
    /// The file of the client certificate. The default one exists.
    pub sslcert: Option<FileSetting>,
    /// The file of the client certificate's key. The default one may not exist; it is then an error
    /// if there is a certificate.
    pub sslkey: Option<FileSetting>,
    /// The passphrase of the client certificate's key.
    pub sslpassword: Option<Secret>,
    /// Whether the client certificate is sent.
    pub sslcertmode: SslCertMode,
    /// The trusted authorities.
    pub sslrootcert: RootCert,
    /// The file of revoked certificates. The default one exists.
    pub sslcrl: Option<FileSetting>,
    /// The directory of revoked certificates.
    pub sslcrldir: Option<PathBuf>,
    /// Whether the host name is sent in the TLS handshake.
    pub sslsni: bool,
    /// The lowest acceptable version of TLS.
    pub ssl_min_protocol_version: TlsVersion,
    /// The highest acceptable version of TLS.
    pub ssl_max_protocol_version: Option<TlsVersion>,
    /// Whether SCRAM is bound to the TLS session.
    pub channel_binding: ChannelBinding,
    /// The authentication methods that the server may ask for.
    pub require_auth: RequireAuth,
    /// The operating system user that the server behind a Unix socket must run as.
    pub requirepeer: Option<String>,
    /// Whether TCP keepalives are sent.
    pub keepalives: bool,
    /// The time without traffic before a keepalive; `None` is the system's default.
    pub keepalives_idle: Option<Duration>,
    /// The time between keepalives; `None` is the system's default.
    pub keepalives_interval: Option<Duration>,
    /// The keepalives that may be lost; `None` is the system's default.
    pub keepalives_count: Option<u32>,
    /// The time that sent data may stay unacknowledged; `None` is the system's default.
    pub tcp_user_timeout: Option<Duration>,
    /// The name of the session. An empty one keeps the fallback from being used, as in libpq.
    pub application_name: Option<String>,
    /// The name of the session when `application_name` is not given.
    pub fallback_application_name: Option<String>,
    /// Command-line options for the server process.
    pub options: Option<String>,
    /// Which session is acceptable.
    pub target_session_attrs: TargetSessionAttrs,
    /// The order in which hosts are tried.
    pub load_balance_hosts: LoadBalanceHosts,
    /// Server settings from `PGDATESTYLE`, `PGTZ` and `PGGEQO`.
    pub session_parameters: Vec<(String, String)>,
}

impl Settings {
    /// The database role: `user`, else the operating system's user name.
    #[must_use]
    pub fn user_name(&self) -> Option<&str> {
        self.user.as_deref().or(self.os_user.as_deref())
    }

    /// The database: `dbname`, else the role's name.
    #[must_use]
    pub fn database_name(&self) -> Option<&str> {
        self.dbname.as_deref().or_else(|| self.user_name())
    }
}

impl Conninfo {
    /// Adds what the service and the environment supply, and returns what it all means.
    ///
    /// # Errors
    /// Those of [`merge_service`](Self::merge_service),
    /// [`merge_environment`](Self::merge_environment) and [`settings`](Self::settings).
    pub fn resolve(mut self, environment: &Environment) -> Result<Settings, Error> {
        self.merge_service(environment)?;
        self.merge_environment(environment)?;
        self.settings_in(environment)
    }

    /// What the keywords mean. Files at default places are looked for in the process' home
    /// directory; environment variables are not consulted.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config), naming the keyword, when a value is
    /// invalid, is not supported here or contradicts another.
    pub fn settings(&self) -> Result<Settings, Error> {
        self.settings_in(&Environment::process())
    }

    /// As [`settings`](Self::settings), with the home directory and the user's name of
    /// `environment`.
    ///
    /// # Errors
    /// As [`settings`](Self::settings).
    pub fn settings_in(&self, environment: &Environment) -> Result<Settings, Error> {
        self.check_nul()?;
        self.check_service()?;
        self.check_limited()?;
        let owned = |keyword| self.text(keyword).map(str::to_owned);
        let path = |keyword| self.text(keyword).map(PathBuf::from);

        let hosts = hosts::endpoints(self)?;
        let sslrootcert = self.root_cert(environment);
        let sslmode = self.sslmode(&sslrootcert)?;
        let sslnegotiation = self.sslnegotiation(sslmode)?;
        let uses_tls = sslmode != SslMode::Disable && !hosts.iter().all(Endpoint::is_unix);
        if uses_tls {
            check_root_cert(sslmode, &sslrootcert, environment)?;
        }
        let (ssl_min_protocol_version, ssl_max_protocol_version) = self.tls_versions()?;
        let sslcrldir = path(Keyword::SslCrlDir);

        Ok(Settings {
            hosts,
            user: owned(Keyword::User),
            os_user: environment.user().map(str::to_owned),
            dbname: owned(Keyword::Dbname),
            password: self.text(Keyword::Password).map(Secret::new),
            passfile: self.file(Keyword::Passfile, environment, ".pgpass", "pgpass.conf"),
            connect_timeout: self.duration(Keyword::ConnectTimeout, Duration::from_secs)?,
            sslmode,
            sslnegotiation,
            sslcert: self
                .file(
                    Keyword::SslCert,
                    environment,
                    ".postgresql/postgresql.crt",
                    "postgresql.crt",
                )
                .filter(|file| file.named || file.path.exists()),
            sslkey: self.file(
                Keyword::SslKey,
                environment,
                ".postgresql/postgresql.key",
                "postgresql.key",
            ),
            sslpassword: self.text(Keyword::SslPassword).map(Secret::new),
            sslcertmode: self.word(Keyword::SslCertMode)?.unwrap_or_default(),
            sslrootcert,
            sslcrl: self.sslcrl(environment, sslcrldir.is_some()),
            sslcrldir,
            sslsni: self.switch(Keyword::SslSni)?.unwrap_or(true),
            ssl_min_protocol_version,
            ssl_max_protocol_version,
            channel_binding: self.word(Keyword::ChannelBinding)?.unwrap_or_default(),
            require_auth: self.word(Keyword::RequireAuth)?.unwrap_or_default(),
            requirepeer: owned(Keyword::RequirePeer),
            keepalives: self.number(Keyword::Keepalives)? != Some(0),
            keepalives_idle: self.duration(Keyword::KeepalivesIdle, Duration::from_secs)?,
            keepalives_interval: self.duration(Keyword::KeepalivesInterval, Duration::from_secs)?,
            keepalives_count: self.positive(Keyword::KeepalivesCount)?,
            tcp_user_timeout: self.duration(Keyword::TcpUserTimeout, Duration::from_millis)?,
            application_name: self.get(Keyword::ApplicationName).map(str::to_owned),
            fallback_application_name: owned(Keyword::FallbackApplicationName),
            options: owned(Keyword::Options),
            target_session_attrs: self.word(Keyword::TargetSessionAttrs)?.unwrap_or_default(),
            load_balance_hosts: self.word(Keyword::LoadBalanceHosts)?.unwrap_or_default(),
            session_parameters: self.session_parameters.clone(),
        })
    }

    /// A NUL would end a text early in the startup message and smuggle further parameters in.
    fn check_nul(&self) -> Result<(), Error> {
        let error = |name: &str| {
            Error::new(
                &codes::CONFIG_INVALID,
                Stage::CONFIG,
                format!("NUL character in {name}"),
            )
        };
        for entry in self.entries() {
            if entry.value.contains('\0') {
                return Err(entry.origin.explain(error(entry.keyword.as_str())));
            }
        }
        match self
            .session_parameters
            .iter()
            .find(|(_, value)| value.contains('\0'))
        {
            Some((name, _)) => Err(error(name)),
            None => Ok(()),
        }
    }

    fn check_service(&self) -> Result<(), Error> {
        match self.entry(Keyword::Service) {
            Some(entry) if !self.service_merged => Err(entry.origin.explain(
                Error::new(
                    &codes::CONFIG_UNSUPPORTED,
                    Stage::CONFIG,
                    format!("service \"{}\" was not looked up", entry.value.as_str()),
                )
                .with_hint("remove service, or call merge_service first"),
            )),
            _ => Ok(()),
        }
    }

    /// Adds where a contradiction comes from: the first of `keywords` that the string does not give.
    fn explain(&self, keywords: &[Keyword], error: Error) -> Error {
        let origin = keywords
            .iter()
            .filter_map(|keyword| self.entry(*keyword))
            .map(|entry| &entry.origin)
            .find(|origin| !matches!(origin, Origin::Given | Origin::Uri));
        match origin {
            Some(origin) => origin.explain(error),
            None => error,
        }
    }

    fn positive(&self, keyword: Keyword) -> Result<Option<u32>, Error> {
        let number = self.number(keyword)?;
        Ok(number
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| *number != 0))
    }

    fn duration(
        &self,
        keyword: Keyword,
        unit: fn(u64) -> Duration,
    ) -> Result<Option<Duration>, Error> {
        Ok(self.positive(keyword)?.map(|number| unit(number.into())))
    }

    fn sslmode(&self, roots: &RootCert) -> Result<SslMode, Error> {
        let given: Option<SslMode> = self.word(Keyword::SslMode)?;
        let system = *roots == RootCert::System;
        match given {
            Some(mode) if system && mode != SslMode::VerifyFull => {
                let error = conflict(format!(
                    "weak sslmode \"{}\" may not be used with sslrootcert=system (use \"verify-full\")",
                    mode.as_str()
                ));
                let error = error.with_hint(
                    "set sslmode=verify-full, or sslrootcert to the file of an authority",
                );
                Err(self.explain(&[Keyword::SslMode, Keyword::SslRootCert], error))
            }
            Some(mode) => Ok(mode),
            None if system => Ok(SslMode::VerifyFull),
            None => Ok(SslMode::Prefer),
        }
    }

    fn sslnegotiation(&self, mode: SslMode) -> Result<SslNegotiation, Error> {
        let negotiation = self.word(Keyword::SslNegotiation)?.unwrap_or_default();
        let weak = matches!(mode, SslMode::Disable | SslMode::Allow | SslMode::Prefer);
        if negotiation == SslNegotiation::Direct && weak {
            let error = conflict(format!(
                "weak sslmode \"{}\" may not be used with sslnegotiation=direct (use \"require\", \"verify-ca\", or \"verify-full\")",
                mode.as_str()
            ))
            .with_hint("set sslmode=verify-full, or sslnegotiation=postgres");
            return Err(self.explain(&[Keyword::SslMode, Keyword::SslNegotiation], error));
        }
        Ok(negotiation)
    }

    fn tls_versions(&self) -> Result<(TlsVersion, Option<TlsVersion>), Error> {
        let version = |keyword| match self.entry(keyword) {
            Some(entry) if !entry.value.is_empty() => entry
                .value
                .parse::<TlsVersion>()
                .map(Some)
                .map_err(|error| invalid(entry).with_hint(error.hint())),
            _ => Ok(None),
        };
        let min = version(Keyword::SslMinProtocolVersion)?.unwrap_or(TlsVersion::V1_2);
        let max = version(Keyword::SslMaxProtocolVersion)?;
        if let Some(max) = max.filter(|max| *max < min) {
            let error = conflict(format!(
                "invalid SSL protocol version range: ssl_min_protocol_version {min} is above ssl_max_protocol_version {max}"
            ));
            let keywords = [
                Keyword::SslMinProtocolVersion,
                Keyword::SslMaxProtocolVersion,
            ];
            return Err(self.explain(&keywords, error));
        }
        Ok((min, max))
    }
}

fn conflict(message: String) -> Error {
    Error::new(&codes::CONFIG_CONFLICT, Stage::CONFIG, message)
}
