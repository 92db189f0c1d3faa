//! The codes of this crate's own errors.

crate::declare_codes! {
    CONFIG_INVALID = "config-invalid", Config, Never,
        "A setting has a value that cannot be understood or is out of range.",
        "Correct the setting that the message names.";
    CONFIG_UNKNOWN = "config-unknown", Config, Never,
        "A keyword is not known.",
        "Correct the spelling of the keyword; docs/connection-strings.md lists them all.";
    CONFIG_UNSUPPORTED = "config-unsupported", Config, Never,
        "A keyword of libpq is known but cannot be honoured here.",
        "Remove the keyword, or give it the value that the message names.";
    CONFIG_CONFLICT = "config-conflict", Config, Never,
        "Two settings exclude each other.",
        "Remove or change one of the two settings that the message names.";
    CONFIG_MISSING = "config-missing", Config, Never,
        "A setting that is needed is missing.",
        "Give the setting that the message names.";
    CONFIG_FILE = "config-file", Config, Never,
        "A file that a setting names cannot be read, or is not safe to use.",
        "Correct the path, the permissions or the content of the file that the message names.";
    TLS_NOT_SUPPORTED = "tls-not-supported", Tls, Never,
        "The server does not support TLS, and the settings require it.",
        "Turn TLS on at the server (ssl = on), or choose a weaker sslmode if the network can be trusted.";
    TLS_NEGOTIATION = "tls-negotiation", Tls, Never,
        "The server's answer to the TLS request was not a TLS negotiation.",
        "Check that host and port lead to PostgreSQL itself, and that nothing between alters the traffic.";
    TLS_STUFFED = "tls-stuffed", Tls, Never,
        "Unencrypted bytes followed the server's agreement to TLS, as in an injection attack.",
        "Do not connect through this network path until it is known what alters the traffic.";
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
    TLS_CLOSED = "tls-closed", Tls, Never,
        "The server ended the TLS session before it answered, often because it refused the client certificate.",
        "Check that the server trusts the authority that issued the client certificate (ssl_ca_file).";
    TLS_PROVIDER_MISSING = "tls-provider-missing", Config, Never,
        "TLS is asked for and no TLS provider was given.",
        "Give the builder a TLS provider, such as pgreach_tls::NativeTls.";
    CHANNEL_BINDING = "channel-binding", Authentication, Never,
        "Channel binding is required and cannot be used on this connection.",
        "Use TLS and scram-sha-256 on the server, or set channel_binding=prefer.";
    AUTH_METHOD = "auth-method", Authentication, Never,
        "The server asked for an authentication method that require_auth does not allow.",
        "Change the method in the server's pg_hba.conf, or allow it in require_auth if you trust this server with it.";
    AUTH_UNSUPPORTED = "auth-unsupported", Authentication, Never,
        "The server asked for an authentication method that is not supported here.",
        "Use scram-sha-256, md5, password, cert or trust in the server's pg_hba.conf for this client.";
    AUTH_REFUSED = "auth-refused", Authentication, RefreshCredential,
        "The server refused the user name or the password.",
        "Correct the user name or the password.";
    AUTH_HBA = "auth-hba", Authentication, Never,
        "The server's pg_hba.conf does not admit this client.",
        "Add a line for this user, database and client address to the server's pg_hba.conf and reload it.";
    AUTH_NO_PASSWORD = "auth-no-password", Authentication, Never,
        "The server asked for a password and none was given.",
        "Give a password: in the settings, in PGPASSWORD, or in the passfile.";
    AUTH_FAILED = "auth-failed", Authentication, Never,
        "The authentication exchange failed.",
        "Check that the server is the one you mean: it could not prove that it knows the password.";
    AUTH_UNVERIFIED_TLS = "auth-unverified-tls", Authentication, Never,
        "A bearer token would be sent over a connection whose server is not verified in full.",
        "Use sslmode=verify-full.";
    PROTOCOL = "protocol", Closed, Never,
        "The server sent something that is not the PostgreSQL protocol or is beyond its limits.",
        "Check that host and port lead to a PostgreSQL server.";
    CLOSED = "closed", Closed, Backoff,
        "The server closed the connection.",
        "Look into the server's log for the reason, and try again.";
    IO = "io", Closed, Backoff,
        "The connection broke.",
        "Check the network between here and the server, and try again.";
    TIMEOUT = "timeout", Timeout, Backoff,
        "The deadline passed before the connection was ready.",
        "Check that the host is reachable at the stage that the message names, or raise connect_timeout.";
    SERVER_TERMINATED = "server-terminated", Closed, Backoff,
        "The server ended the session: an administrator, a shutdown or a timeout.",
        "Connect again; if it recurs, look into the server's log for who ended the session.";
    SERVER_ERROR = "server-error", Database, Never,
        "The server answered with an error.",
        "Act on the server's message.";
    STATEMENT = "statement", Database, Never,
        "The driver refused the statement, its parameters or a result's type.",
        "Correct the statement or the types in the program.";
    SERVER_BUSY = "server-busy", Database, Backoff,
        "The server cannot accept a connection now.",
        "Try again later; raise max_connections or the role's connection limit if it lasts.";
    DATABASE_MISSING = "database-missing", Database, Never,
        "The database does not exist on this server.",
        "Correct dbname, or create the database.";
    PRIVILEGE = "privilege", Database, Never,
        "The role lacks a privilege.",
        "Grant the role the privilege that the server's message names.";
    SESSION_ATTRS = "session-attrs", Database, Backoff,
        "No host has a session as target_session_attrs asks for.",
        "Check which server is the primary, add it to host, or relax target_session_attrs.";
    STARTUP_CREDENTIAL = "credential-invalid", Credential, Never,
        "The credential cannot be used, for example because it has expired.",
        "Renew the credential at its source.";
}
