//! From a connection string to a connector, with libpq's meaning.
//!
//! [`assemble`] does it all and returns the builder, so that a program can replace a part; the other
//! functions make the parts. A platform that takes connection strings from strangers does this:
//!
//! ```no_run
//! use pgreach::conninfo::{Conninfo, Environment, Keyword};
//! use pgreach::prelude::*;
//! use pgreach::{assembly, Error};
//!
//! # fn from_tenant(text: &str) -> Result<PgConnector, Error> {
//! let conninfo = Conninfo::parse(text)?;
//! // None of the keywords that name files.
//! conninfo.allow_only(&[
//!     Keyword::Host, Keyword::Port, Keyword::Dbname, Keyword::User, Keyword::Password,
//! ])?;
//! // Nothing of this process: neither its variables nor the files in its home directory, such as
//! // the passwords in ~/.pgpass.
//! let settings = conninfo.settings_in(&Environment::empty())?;
//! let transport = assembly::transport(&settings)
//!     .with_address_policy(AddressPolicy::public_only())
//!     .build()?;
//! assembly::assemble(&settings)?
//!     .with_transport(transport)
//!     .with_tls(NativeTls::new())
//!     .with_tls_policy(TlsPolicy::verify_full())
//!     .build()
//! # }
//! ```

use std::sync::Arc;

use pgreach_auth_password::{FixedPassword, PassfilePassword};
use pgreach_core::conninfo::{Conninfo, Environment, Passfile, RootCert, Settings};
use pgreach_core::{
    Connection, Connector, CredentialProvider, Error, PgConnector, PgConnectorBuilder, SslMode,
    TlsPolicy,
};
use pgreach_tls::{NativeTls, Roots};
use pgreach_transport_tcp::{Keepalive, TcpTransport, TcpTransportBuilder};

use crate::client_certificate;

/// Connects as `psql` would with the same string, environment and files.
///
/// The differences are listed in `docs/connection-strings.md`. Note that libpq's default is
/// `sslmode=prefer`, which protects from nothing: say `sslmode=verify-full`, or use
/// [`PgConnector::builder`], whose default that is.
///
/// The files that the settings name are read at once and on the calling thread, as
/// [`connector`] does; a program that connects often keeps the connector.
///
/// # Errors
/// Kind Config when the string, the environment or a file is wrong; else the first stage that failed.
///
/// ```no_run
/// # async fn example() -> Result<(), pgreach::Error> {
/// let client = pgreach::connect("postgresql://app@db.internal/orders?sslmode=verify-full").await?;
/// let row = client.query_one("select count(*) from orders", &[]).await?;
/// println!("{} orders", row.get::<_, i64>(0));
/// # Ok(()) }
/// ```
pub async fn connect(conninfo: &str) -> Result<Connection, Error> {
    connector(conninfo)?.connect().await
}

/// The connector for a connection string, with what the environment, the service file and the
/// passfile add.
///
/// # Errors
/// Kind Config, naming the keyword, variable or file.
pub fn connector(conninfo: &str) -> Result<PgConnector, Error> {
    let settings = Conninfo::parse(conninfo)?.resolve(&Environment::process())?;
    assemble(&settings)?.build()
}

/// A builder with everything that `settings` say.
///
/// # Errors
/// Kind Config, naming the file that cannot be used.
pub fn assemble(settings: &Settings) -> Result<PgConnectorBuilder, Error> {
    let mut builder = PgConnector::builder()
        .with_transport(transport(settings).build()?)
        .with_credentials(credentials(settings)?)
        .with_tls_policy(tls_policy(settings))
        .with_endpoints(settings.hosts.iter().cloned())
        .with_require_auth(settings.require_auth)
        .with_channel_binding(settings.channel_binding)
        .with_target_session_attrs(settings.target_session_attrs)
        .with_load_balance_hosts(settings.load_balance_hosts);
    if let Some(provider) = tls(settings)? {
        builder = builder.with_tls(provider);
    }
    // A credential that names its user comes before the operating system's.
    builder = builder.with_default_user(settings.os_user.clone());
    if let Some(user) = &settings.user {
        builder = builder.with_user(user);
    }
    if let Some(database) = &settings.dbname {
        builder = builder.with_database(database);
    }
    let name = settings
        .application_name
        .as_ref()
        .or(settings.fallback_application_name.as_ref());
    if let Some(name) = name {
        builder = builder.with_application_name(name);
    }
    if let Some(options) = &settings.options {
        builder = builder.with_options(options);
    }
    for (name, value) in &settings.session_parameters {
        builder = builder.with_parameter(name, value);
    }
    if let Some(timeout) = settings.connect_timeout {
        builder = builder.with_connect_timeout(timeout);
    }
    Ok(builder)
}

/// The transport that `settings` ask for: keepalive, `tcp_user_timeout`, `requirepeer`.
pub fn transport(settings: &Settings) -> TcpTransportBuilder {
    let keepalive = settings.keepalives.then(|| {
        Keepalive::default()
            .with_idle(settings.keepalives_idle)
            .with_interval(settings.keepalives_interval)
            .with_count(settings.keepalives_count)
    });
    let builder = TcpTransport::builder()
        .with_keepalive(keepalive)
        .with_tcp_user_timeout(settings.tcp_user_timeout);
    match &settings.requirepeer {
        Some(user) => builder.with_requirepeer(user),
        None => builder,
    }
}

/// What the sslmode means, together with the root file: libpq verifies the authority in every mode
/// once there is one.
#[must_use]
pub fn tls_policy(settings: &Settings) -> TlsPolicy {
    let policy =
        TlsPolicy::from_sslmode(settings.sslmode).with_negotiation(settings.sslnegotiation);
    match settings.sslrootcert {
        RootCert::File { .. } => policy.with_ca_verified(),
        _ => policy,
    }
}

/// The TLS provider that `settings` ask for. `None`: TLS is off and no file of it is named.
///
/// # Errors
/// Kind Config: a file cannot be read or holds no certificate. A file that is named is read even
/// where it will not be used, so that a wrong name shows at once.
pub fn tls(settings: &Settings) -> Result<Option<NativeTls>, Error> {
    let named = matches!(settings.sslrootcert, RootCert::File { named: true, .. })
        || settings.sslcrl.as_ref().is_some_and(|file| file.named)
        || settings.sslcrldir.is_some();
    if settings.sslmode == SslMode::Disable && !named {
        return Ok(None);
    }
    let has_roots = !matches!(settings.sslrootcert, RootCert::None);
    let mut builder = NativeTls::builder()
        .with_min_version(settings.ssl_min_protocol_version)
        .with_sni(settings.sslsni);
    if let RootCert::File { path, .. } = &settings.sslrootcert {
        builder = builder.with_roots(Roots::from_file(path));
    }
    if let Some(version) = settings.ssl_max_protocol_version {
        builder = builder.with_max_version(version);
    }
    // The default list is for the default roots; without roots there is nothing to revoke.
    if let Some(file) = settings
        .sslcrl
        .as_ref()
        .filter(|file| file.named || has_roots)
    {
        builder = builder.with_crl_file(&file.path);
    }
    if let Some(directory) = &settings.sslcrldir {
        builder = builder.with_crl_dir(directory);
    }
    builder.build().map(Some)
}

/// Who we are: the client certificate of the settings, and the password of the settings or else of
/// the passfile.
///
/// # Errors
/// Kind Config: a file that is named does not exist, or a passfile that is named cannot be used.
pub fn credentials(settings: &Settings) -> Result<Arc<dyn CredentialProvider>, Error> {
    let password = password(settings)?;
    client_certificate::with(settings, password)
}

fn password(settings: &Settings) -> Result<Option<Arc<dyn CredentialProvider>>, Error> {
    // A wrong name shows at once, even where the password makes the file unnecessary.
    if let Some(file) = settings.passfile.as_ref().filter(|file| file.named) {
        Passfile::read(&file.path, true)?;
    }
    Ok(match (&settings.password, &settings.passfile) {
        (Some(password), _) => Some(Arc::new(FixedPassword::new(password.clone()))),
        (None, Some(file)) => Some(Arc::new(PassfilePassword::from(file.clone()))),
        (None, None) => None,
    })
}
