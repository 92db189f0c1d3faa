//! The codes of this crate's errors.

use pgreach_core::{Code, ErrorKind as Kind, Retry};

macro_rules! codes {
    ($($ident:ident = $name:literal, $kind:ident, $retry:ident, $meaning:literal, $remedy:literal;)*) => {
        $(
            #[doc = $meaning]
            pub static $ident: Code = Code::new($name, Kind::$kind, Retry::$retry, $meaning, $remedy);
        )*
        /// All codes of this crate.
        pub static ALL: &[&Code] = &[$(&$ident),*];
    };
}

codes! {
    TLS_HANDSHAKE = "tls-handshake", Tls, Never,
        "The TLS handshake failed.",
        "Look into the server's log for its side of the handshake; check that host and port lead to PostgreSQL itself.";
    TLS_WRONG_NAME = "tls-wrong-name", Tls, Never,
        "The server's certificate is not for the name that was asked for.",
        "Set host to a name that the certificate is for (and hostaddr to the address to dial), or have the certificate reissued for this name.";
    TLS_UNKNOWN_CA = "tls-unknown-ca", Tls, Never,
        "The server's certificate does not lead to a trusted authority.",
        "Give the authority's root certificate as sslrootcert; the server must send the intermediate certificates with its own.";
    TLS_SELF_SIGNED = "tls-self-signed", Tls, Never,
        "The server's certificate is signed by itself, and is not itself trusted.",
        "Give the server a certificate of an authority, or give this very certificate as sslrootcert if you got it on a safe way.";
    TLS_EXPIRED = "tls-expired", Tls, Never,
        "The server's certificate, or one that it depends on, has expired.",
        "Renew the certificate on the server; if it is valid, check this machine's clock.";
    TLS_NOT_YET_VALID = "tls-not-yet-valid", Tls, Never,
        "The server's certificate, or one that it depends on, is not valid yet.",
        "Check the clocks of this machine and of the one that issued the certificate.";
    TLS_REVOKED = "tls-revoked", Tls, Never,
        "The server's certificate, or one that it depends on, has been revoked.",
        "Do not connect until the server has a new certificate: whoever has the key of the revoked one may pose as the server.";
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
