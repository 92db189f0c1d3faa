#![doc = include_str!("../../../README.md")]
//!
//! # The parts
//!
//! | feature | default | module | what it adds |
//! | --- | --- | --- | --- |
//! | `tcp` | yes | `tcp` | TCP and Unix sockets, with an address policy |
//! | `tls` | yes | `tls` | TLS on native-tls |
//! | `password` | yes | `password` | passwords: fixed, environment, passfile, file, command |
//! | `cert` | yes | `cert` | client certificates: PEM, DER, PKCS#12, every key format, reloaded |
//! | `azure` | no | `azure` | Microsoft Entra tokens, on azure_identity |
//! | `azure-client-certificate` | no | | applications that prove themselves to Entra with a certificate |
//! | `ssh` | no | `ssh` | SSH tunnels: bastions, jump hosts, host keys, key pairs |
//! | `spec` | no | `spec` | a connection as a JSON or TOML document: `ConnectionSpec` |
//! | `spec-schema` | no | `spec` | the JSON Schema of these documents |
//! | `deadpool`, `bb8` | no | `pool` | connection pools on deadpool and bb8 |
//!
//! The traits and the connector are `pgreach_core`'s, re-exported here. With the default features,
//! [`connect`], [`connector`] and the [`assembly`] module put a connector together from a
//! connection string.

/// Microsoft Entra tokens.
#[cfg(feature = "azure")]
pub use pgreach_auth_azure as azure;
/// Client certificates: fixed and in files.
#[cfg(feature = "cert")]
pub use pgreach_auth_cert as cert;
/// Passwords: fixed, environment, passfile, file, command.
#[cfg(feature = "password")]
pub use pgreach_auth_password as password;
pub use pgreach_core::*;
/// Connection pools on deadpool and bb8.
#[cfg(any(feature = "deadpool", feature = "bb8"))]
pub use pgreach_pool as pool;
/// TLS on native-tls.
#[cfg(feature = "tls")]
pub use pgreach_tls as tls;
/// SSH tunnels.
#[cfg(feature = "ssh")]
pub use pgreach_transport_ssh as ssh;
/// TCP and Unix sockets.
#[cfg(feature = "tcp")]
pub use pgreach_transport_tcp as tcp;

#[cfg(all(feature = "tcp", feature = "tls", feature = "password"))]
pub mod assembly;
#[cfg(all(feature = "tcp", feature = "tls", feature = "password"))]
mod client_certificate;
#[cfg(all(feature = "tcp", feature = "tls", feature = "password"))]
pub use assembly::{connect, connector};

#[cfg(feature = "spec")]
pub mod spec;
#[cfg(feature = "spec")]
pub use spec::ConnectionSpec;

/// What most programs need.
pub mod prelude {
    #[cfg(feature = "azure")]
    pub use pgreach_auth_azure::{EntraCredentials, EntraIdentity, ManagedIdentityId};
    #[cfg(feature = "cert")]
    pub use pgreach_auth_cert::{FileCertificate, FixedCertificate};
    #[cfg(feature = "password")]
    pub use pgreach_auth_password::{
        CommandPassword, EnvPassword, FilePassword, FixedPassword, PassfilePassword,
    };
    pub use pgreach_core::{
        Connection, Connector, Endpoint, Error, ErrorKind, PgConnector, Secret, TlsPolicy,
    };
    #[cfg(feature = "tls")]
    pub use pgreach_tls::{NativeTls, Roots};
    #[cfg(feature = "ssh")]
    pub use pgreach_transport_ssh::{HostKeyPolicy, SshAuth, SshHop, SshKey, SshTransport};
    #[cfg(feature = "tcp")]
    pub use pgreach_transport_tcp::{AddressPolicy, TcpTransport};
}

/// All error codes of the crates that are compiled in, for documentation and tests.
#[must_use]
pub fn all_codes() -> Vec<&'static Code> {
    let lists: &[&[&'static Code]] = &[
        codes::ALL,
        #[cfg(feature = "tcp")]
        pgreach_transport_tcp::codes::ALL,
        #[cfg(feature = "ssh")]
        pgreach_transport_ssh::codes::ALL,
        #[cfg(feature = "tls")]
        pgreach_tls::codes::ALL,
        #[cfg(feature = "password")]
        pgreach_auth_password::codes::ALL,
        #[cfg(feature = "cert")]
        pgreach_auth_cert::codes::ALL,
        #[cfg(feature = "spec")]
        spec::codes::ALL,
        #[cfg(feature = "azure")]
        pgreach_auth_azure::codes::ALL,
    ];
    lists.concat()
}
