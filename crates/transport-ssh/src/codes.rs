//! The codes of this crate's errors.

pgreach_core::declare_codes! {
    SSH_UNRESOLVED = "ssh-unresolved", Resolve, Never,
        "The name of the SSH server could not be translated to an address.",
        "Check the spelling of the bastion's name and that this machine's DNS knows it; the first bastion's name is resolved here, a later one's on the bastion before it.";
    SSH_UNREACHABLE = "ssh-unreachable", Transport, Backoff,
        "The SSH server could not be reached.",
        "Check the bastion's address and SSH port, that sshd runs there, and that its firewall admits this client's egress address.";
    SSH_NOT_SSH = "ssh-not-ssh", Transport, Never,
        "What answers does not speak SSH.",
        "Check the port: it must be that of the SSH server, usually 22, not the database's.";
    SSH_TURNED_AWAY = "ssh-turned-away", Transport, Backoff,
        "The SSH server ended the connection before it said who it is.",
        "Check that the port is the SSH server's, not the database's. If it is, try again later: sshd does this when too many connections begin at once (MaxStartups) or after failed attempts (PerSourcePenalties); check also firewalls and hosts.deny on the bastion.";
    SSH_HANDSHAKE = "ssh-handshake", Transport, Backoff,
        "The SSH handshake failed.",
        "Check the SSH server's log and that nothing between alters the traffic.";
    SSH_NO_COMMON_ALGORITHM = "ssh-no-common-algorithm", Transport, Never,
        "Client and SSH server have no algorithm in common.",
        "Update the SSH server, or allow one of the algorithms that it offers if you accept its weakness.";
    SSH_TERRAPIN = "ssh-terrapin", Transport, Never,
        "The SSH server has no strict key exchange and the cipher needs it (CVE-2023-48795).",
        "Update the SSH server (OpenSSH 9.6, Dropbear 2024.84, or a distribution's fix), or enable aes256-gcm@openssh.com there.";
    HOST_KEY_UNKNOWN = "host-key-unknown", HostKey, Never,
        "The SSH server's host key is not on record.",
        "Get the fingerprint from the bastion's administrator (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub) and pin it, or add the key to known_hosts, if it is the one shown.";
    HOST_KEY_CHANGED = "host-key-changed", HostKey, Never,
        "The SSH server shows another host key than the one on record.",
        "Ask the bastion's administrator whether the host key was replaced before recording the new one: somebody may be intercepting the connection.";
    HOST_KEY_REVOKED = "host-key-revoked", HostKey, Never,
        "The SSH server shows a host key that was revoked.",
        "Do not connect: the key was marked @revoked, usually because it was stolen; the bastion needs a new one.";
    HOST_CERTIFICATE_INVALID = "host-certificate-invalid", HostKey, Never,
        "The SSH server's host certificate is not valid for this host.",
        "Have the host certificate issued anew (ssh-keygen -s CA -h -n HOST) with this name as a principal and a current validity, and check the clocks.";
    HOST_KEY_SIGNATURE = "host-key-signature", HostKey, Never,
        "The SSH server could not prove that it holds its host key.",
        "Do not connect: somebody may be intercepting the connection; ask the bastion's administrator.";
    HOST_KEY_WEAK = "host-key-weak", HostKey, Never,
        "The SSH server's host key is too weak or of a type that is not supported.",
        "Give the SSH server an Ed25519 host key (ssh-keygen -A) and name it in sshd_config.";
    KNOWN_HOSTS_UNREADABLE = "known-hosts-unreadable", Config, Never,
        "A known_hosts file could not be read.",
        "Check the path and its permissions.";
    KNOWN_HOSTS_UNWRITABLE = "known-hosts-unwritable", Config, Never,
        "A new host key could not be recorded.",
        "Make the file that accept_new names writable, or create its directory.";
    HOST_KEY_SETTING = "host-key-setting", Config, Never,
        "A host key, fingerprint or authority that was given cannot be understood.",
        "Give a fingerprint as ssh-keygen -l prints it (SHA256:…), or a public key as one line of a .pub file.";
    SSH_KEY_UNREADABLE = "ssh-key-unreadable", Config, Never,
        "A file with an SSH key or certificate could not be read.",
        "Check the path and its permissions.";
    SSH_KEY_INVALID = "ssh-key-invalid", Config, Never,
        "The SSH private key cannot be understood.",
        "Give a private key in OpenSSH, PKCS#8, PKCS#1 or SEC1 format, whole, from its BEGIN line to its END line.";
    SSH_KEY_PASSPHRASE_MISSING = "ssh-key-passphrase-missing", Config, Never,
        "The SSH private key is encrypted and no passphrase was given.",
        "Give the key's passphrase, or a key without one.";
    SSH_KEY_PASSPHRASE_WRONG = "ssh-key-passphrase-wrong", Config, Never,
        "The passphrase does not open the SSH private key.",
        "Give the passphrase that this key was encrypted with.";
    SSH_KEY_UNSUPPORTED = "ssh-key-unsupported", Config, Never,
        "The SSH key is of a type or in an encryption that is not supported.",
        "Use an Ed25519, ECDSA or RSA (2048 bits or more) key, converted with ssh-keygen -p if need be.";
    SSH_CERTIFICATE_MISMATCH = "ssh-certificate-mismatch", Config, Never,
        "The SSH user certificate does not belong to the private key, or is no user certificate.",
        "Give the certificate that was issued for this key's public half.";
    SSH_CONFIG_INVALID = "ssh-config-invalid", Config, Never,
        "An SSH setting is missing, wrong or contradictory.",
        "Correct the setting that the message names.";
    SSH_AGENT = "ssh-agent", SshAuth, Never,
        "The SSH agent could not be asked.",
        "Start the agent (ssh-agent), add the key (ssh-add), and see that SSH_AUTH_SOCK names its socket.";
    SSH_AUTH_REFUSED = "ssh-auth-refused", SshAuth, Never,
        "The SSH server refused the user or every credential that was offered.",
        "Check the user's name and that the public key is one line of its ~/.ssh/authorized_keys (directory 700, file 600, home not writable by others); from here a wrong user, a wrong key, AllowUsers, a locked account and a from= that does not fit look the same: the SSH server's log tells.";
    SSH_AUTH_INCOMPLETE = "ssh-auth-incomplete", SshAuth, Never,
        "The SSH server accepted a credential and demands a further one.",
        "Give a credential for each method that the server's AuthenticationMethods demands, such as a key and a password.";
    SSH_AUTH_NO_METHOD = "ssh-auth-no-method", SshAuth, Never,
        "The SSH server allows none of the authentication methods that were given.",
        "Give a credential for one of the methods that the message lists, or allow yours in the server's sshd_config.";
    SSH_AUTH_SHA1_ONLY = "ssh-auth-sha1-only", SshAuth, Never,
        "The SSH server accepts RSA keys only with SHA-1 signatures.",
        "Use an Ed25519 or ECDSA key, or update the SSH server: SHA-1 signatures can be forged.";
    SSH_AUTH_LOST = "ssh-auth-lost", SshAuth, Backoff,
        "The SSH server ended the connection during authentication.",
        "Check the SSH server's log: it does this after too many failures (MaxAuthTries), for some locked accounts, and when it is shutting down.";
    SSH_CHANNEL_PROHIBITED = "ssh-channel-prohibited", Transport, Never,
        "The SSH server does not permit forwarding to this target.",
        "Allow it on the bastion: AllowTcpForwarding and PermitOpen in sshd_config, and permitopen, restrict and no-port-forwarding in authorized_keys, where the target must be written exactly as it is here.";
    SSH_TARGET_REFUSED = "ssh-target-refused", Transport, Backoff,
        "The bastion was reached, and the target refused its connection.",
        "Check that the database listens on this address and port as seen from the bastion, and that its firewall admits the bastion.";
    SSH_TARGET_UNREACHABLE = "ssh-target-unreachable", Transport, Backoff,
        "The bastion was reached, and could not reach the target.",
        "Check the target's address, and the routes and security groups between bastion and database.";
    SSH_TARGET_UNRESOLVED = "ssh-target-unresolved", Resolve, Never,
        "The bastion was reached, and could not resolve the target's name.",
        "Give a name that the bastion's DNS knows, or the address as seen from the bastion.";
    SSH_CHANNEL_FAILED = "ssh-channel-failed", Transport, Backoff,
        "The SSH server could not open the channel.",
        "Act on the reason that the message gives; the SSH server's log has more.";
    SSH_LOST = "ssh-lost", Closed, Backoff,
        "The SSH session ended.",
        "Connect again; if it recurs, check the SSH server's log and the timeouts on the way: firewalls, and ClientAliveInterval, which also ends sessions whose data is not read for long.";
    SSH_SILENT = "ssh-silent", Closed, Backoff,
        "The SSH server stopped answering.",
        "Connect again; if it recurs, check the network on the way and the bastion's load.";
    SSH_CHANNEL_OVERFLOW = "ssh-channel-overflow", Closed, Backoff,
        "The connection shared an SSH session and read more slowly than its server sent, until its buffer was full.",
        "Give each connection an SSH session of its own (channels_per_session of 1, the default), or raise the channel buffer.";
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
