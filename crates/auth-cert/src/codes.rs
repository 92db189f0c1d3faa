//! The codes of this crate's errors. All are of kind `Credential`.

pgreach_core::declare_codes! {
    CERT_FILE = "cert-file", Credential, Never,
        "The file of the client certificate or of its key cannot be read.",
        "Correct the path, or let this process read the file that the message names.";
    CERT_KEY_PERMISSIONS = "cert-key-permissions", Credential, Never,
        "The file of the client certificate's key can be read by others than its owner.",
        "Give the file mode 0600 or 0400; a file of root may have 0640 or 0440.";
    CERT_INVALID = "cert-invalid", Credential, Never,
        "The client certificate cannot be parsed.",
        "Give the certificate as its authority issued it, in PEM, DER or PKCS#12.";
    CERT_UNSUPPORTED = "cert-unsupported", Credential, Never,
        "The client certificate is in a form that is not supported, or is something else than a certificate.",
        "Give an X.509 certificate in PEM, DER or PKCS#12.";
    CERT_KEY_INVALID = "cert-key-invalid", Credential, Never,
        "The private key of the client certificate cannot be parsed.",
        "Give the key as it was made, in PEM, DER or PKCS#12.";
    CERT_KEY_UNSUPPORTED = "cert-key-unsupported", Credential, Never,
        "The private key is in a form or of a type that is not supported, or is something else than a private key.",
        "Convert the key: openssl pkcs8 -topk8 -in old.key -out new.key.";
    CERT_KEY_WORK = "cert-key-work", Credential, Never,
        "The encrypted private key asks for more work than is accepted.",
        "Encrypt the key anew with OpenSSL's defaults: openssl pkcs8 -topk8 -in old.key -out new.key.";
    CERT_PASSPHRASE_MISSING = "cert-passphrase-missing", Credential, Never,
        "The private key is encrypted and no passphrase was given.",
        "Give the passphrase of the key (sslpassword).";
    CERT_PASSPHRASE_WRONG = "cert-passphrase-wrong", Credential, Never,
        "The passphrase does not open the private key.",
        "Correct the passphrase of the key (sslpassword).";
    CERT_KEY_MISMATCH = "cert-key-mismatch", Credential, Never,
        "The private key does not belong to the client certificate.",
        "Give the key that the certificate was requested with.";
    CERT_CHAIN = "cert-chain", Credential, Never,
        "The certificates of the chain are not in order, or one is missing between them.",
        "Put the client's own certificate first, and after each certificate the one of its issuer.";
    CERT_SUBJECT = "cert-subject", Credential, Never,
        "The subject of the client certificate names no user.",
        "Name the user in the settings, or use a certificate with a common name (CN).";
    CERT_EXPIRED = "cert-expired", Credential, Never,
        "The client certificate has expired.",
        "Renew the client certificate; if it is valid, check this machine's clock.";
    CERT_NOT_YET_VALID = "cert-not-yet-valid", Credential, Never,
        "The client certificate is not valid yet.",
        "Check the clocks of this machine and of the one that issued the certificate.";
}
