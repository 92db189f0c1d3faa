//! The codes of this crate's errors.
//!
//! Those that every TLS library shares are the core's, so that the connector can explain them.

pub use pgreach_core::codes::{
    TLS_EXPIRED, TLS_HANDSHAKE, TLS_NOT_YET_VALID, TLS_REVOKED, TLS_SELF_SIGNED, TLS_UNKNOWN_CA,
    TLS_WRONG_NAME,
};

pgreach_core::declare_codes! {
    TLS_CRL_UNAVAILABLE = "tls-crl-unavailable", Tls, Never,
        "It cannot be told whether the server's certificate has been revoked.",
        "Give a current revocation list of every authority in the chain, and every intermediate certificate in sslrootcert.";
    TLS_CERTIFICATE = "tls-certificate", Tls, Never,
        "The server's certificate does not meet the rules for certificates.",
        "Have the certificate reissued as a TLS server certificate with a current key and signature algorithm.";
    TLS_ALPN = "tls-alpn", Tls, Never,
        "The server did not agree to speak PostgreSQL over TLS.",
        "Set sslnegotiation=postgres for servers before PostgreSQL 17; check that host and port lead to PostgreSQL itself.";
    TLS_PROTOCOL_VERSION = "tls-protocol-version", Tls, Never,
        "Client and server have no TLS version in common.",
        "Enable TLS 1.2 or later on the server, or relax ssl_min_protocol_version or ssl_max_protocol_version.";
    TLS_CERTIFICATE_REFUSED = "tls-certificate-refused", Tls, Never,
        "The server refused the client's certificate, or demands one.",
        "Give a client certificate (sslcert and sslkey) that is valid and of an authority in the server's ssl_ca_file.";
    TLS_SERVER_NAME = "tls-server-name", Config, Never,
        "There is no name that the server's certificate could be verified for.",
        "Set host to the DNS name or IP address that the server's certificate is for.";
    TLS_ROOTS = "tls-roots", Config, Never,
        "The root certificates cannot be used.",
        "Correct the path or the content of sslrootcert: certificates in PEM, one after the other.";
    TLS_WEAK_SYSTEM_ROOTS = "tls-weak-system-roots", Config, Never,
        "With the system's roots the name must be verified: anybody can get a certificate of a public authority for a name of their own.",
        "Use sslmode=verify-full, or give the private authority's certificate as sslrootcert.";
    TLS_CRL = "tls-crl", Config, Never,
        "The certificate revocation lists cannot be used.",
        "Correct the path or the content of sslcrl or sslcrldir (PEM), or remove the setting.";
    TLS_CLIENT_IDENTITY = "tls-client-identity", Config, Never,
        "The client certificate or its key cannot be used.",
        "Give a certificate chain in PEM that begins with the client's own, and the key that belongs to it as unencrypted PKCS#8.";
    TLS_VERSIONS = "tls-versions", Config, Never,
        "The least TLS version is above the greatest.",
        "Correct ssl_min_protocol_version or ssl_max_protocol_version.";
    TLS_SETUP = "tls-setup", Config, Never,
        "The TLS library cannot be set up as asked.",
        "Check the TLS versions that were asked for, and the configuration of the system's TLS library.";
}
