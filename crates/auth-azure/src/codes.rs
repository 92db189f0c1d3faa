//! The codes of this crate's errors. All are of kind `Credential`.

pgreach_core::declare_codes! {
    ENTRA_CONFIG = "entra-config", Credential, Never,
        "A setting of the Entra identity is wrong or missing.",
        "Correct the setting that the message names.";
    ENTRA_UNREACHABLE = "entra-unreachable", Credential, Backoff,
        "The Entra authority could not be reached over HTTPS.",
        "Let this process reach the authority, or its proxy, on port 443.";
    ENTRA_UNAVAILABLE = "entra-unavailable", Credential, Backoff,
        "The Entra authority or the identity endpoint answered that it cannot serve the request now.",
        "Try again later; where it is throttling, share one EntraCredentials in the whole program.";
    ENTRA_REFUSED = "entra-refused", Credential, Never,
        "Entra refused the request for a token.",
        "Look the AADSTS number up at https://login.microsoftonline.com/error.";
    ENTRA_NO_IDENTITY = "entra-no-identity", Credential, Never,
        "This machine or pod has no such managed identity or workload identity.",
        "Assign the identity to the resource that this process runs on, or choose another EntraIdentity.";
    ENTRA_TOOL = "entra-tool", Credential, Never,
        "The Azure command line tool is not installed, not logged in or failed.",
        "Run az login (azd auth login), as the user of this process and with the tool on its PATH.";
    ENTRA_SOURCE = "entra-source", Credential, Backoff,
        "The token or assertion source that the application handed in failed.",
        "See what the application's own source reports.";
    ENTRA_CHAIN = "entra-chain", Credential, Backoff,
        "No identity of the chain gave a token.",
        "Make one of the identities work; the message says what each of them said.";
    ENTRA_TIMEOUT = "entra-timeout", Credential, Backoff,
        "No token came in time.",
        "See why what the message names does not answer, or raise the fetch timeout.";
    ENTRA_TOKEN = "entra-token", Credential, Never,
        "The token is expired or cannot be used.",
        "See that the source gives fresh access tokens for Azure Database for PostgreSQL and that this machine's clock is right.";
    ENTRA_USER = "entra-user", Credential, Never,
        "The token does not say which PostgreSQL user it is for.",
        "Give the role's name with with_user: the display name of the service principal, managed identity or group.";
}
