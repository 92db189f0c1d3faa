//! The codes of this crate's errors.

pgreach_core::declare_codes! {
    HOST_INVALID = "host-invalid", Config, Never,
        "The host is not a name or an address that could be resolved.",
        "Give a DNS name or an IP address alone, without a port, brackets or a scheme.";
    RESOLVE_FAILED = "resolve-failed", Resolve, Never,
        "The host name could not be translated to an address.",
        "Check the spelling of the host name and that this machine's DNS knows it.";
    ADDRESS_DENIED = "address-denied", Denied, Never,
        "The address policy forbids an address that the host stands for.",
        "Use a host whose addresses the policy allows, or allow the network if this destination is meant.";
    SOCKET_DENIED = "socket-denied", Denied, Never,
        "The address policy forbids Unix sockets.",
        "Use a TCP host, or allow Unix sockets in the address policy.";
    TCP_REFUSED = "tcp-refused", Transport, Backoff,
        "The host refused the TCP connection: nothing listens on the port, or a firewall rejects it.",
        "Check that PostgreSQL listens on this address and port (listen_addresses, port) and that the firewall admits this client.";
    TCP_TIMEOUT = "tcp-timeout", Transport, Backoff,
        "The host did not answer before the operating system gave up.",
        "Check the address, and that no firewall or security group drops this client's packets.";
    TCP_UNREACHABLE = "tcp-unreachable", Transport, Backoff,
        "There is no route to the host or its network.",
        "Check the address, the routes and the VPN of this machine, and that the host is running.";
    TCP_FAILED = "tcp-failed", Transport, Backoff,
        "The TCP connection could not be opened.",
        "Act on the operating system's reason that the message gives.";
    TCP_OPTION = "tcp-option", Config, Never,
        "A socket option that was asked for cannot be set.",
        "Remove the option that the message names, or give it a value that this system takes.";
    SOCKET_MISSING = "socket-missing", Transport, Backoff,
        "The Unix socket does not exist.",
        "Check that the server runs on this machine and that host names its unix_socket_directories and port its port.";
    SOCKET_REFUSED = "socket-refused", Transport, Backoff,
        "The Unix socket exists and no server accepts connections on it.",
        "Start the server; the socket was left behind by one that is gone.";
    SOCKET_PERMISSION = "socket-permission", Transport, Never,
        "This user may not connect to the Unix socket.",
        "Adjust unix_socket_permissions, unix_socket_group or the directory's mode on the server.";
    SOCKET_FAILED = "socket-failed", Transport, Backoff,
        "The connection to the Unix socket could not be opened.",
        "Act on the operating system's reason that the message gives.";
    PEER_MISMATCH = "peer-mismatch", Denied, Never,
        "The server behind the Unix socket does not run as the user that requirepeer names.",
        "Check who owns the socket before trusting it; correct requirepeer if the server does run as this user.";
    REQUIREPEER_USER = "requirepeer-user", Config, Never,
        "The user that requirepeer names is not known on this system.",
        "Give the name of the operating-system user that the server runs as, often postgres.";
    REQUIREPEER_UNSUPPORTED = "requirepeer-unsupported", Config, Never,
        "This system cannot tell which user a Unix socket's server runs as.",
        "Remove requirepeer, or connect over TLS with sslmode=verify-full.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_name_a_meaning_and_a_remedy() {
        let mut names: Vec<_> = ALL.iter().map(|code| code.name()).collect();
        names.extend(pgreach_core::codes::ALL.iter().map(|code| code.name()));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "a name is used twice");
        for code in ALL {
            assert!(code.meaning().ends_with('.'), "{}", code.name());
            assert!(code.remedy().ends_with('.'), "{}", code.name());
        }
    }
}
