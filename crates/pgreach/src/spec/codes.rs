//! The codes of [`ConnectionSpec`](super::ConnectionSpec)'s own errors.

pgreach_core::declare_codes! {
    SPEC_SYNTAX = "spec-syntax", Config, Never,
        "A connection document is not the JSON or TOML that it should be.",
        "Correct the document at the line and column that the message names.";
    SPEC_FIELD = "spec-field", Config, Never,
        "A field of a connection document is unknown, missing, or has a value that cannot be used.",
        "Correct the field that the message names; docs/connection-spec.md lists them all.";
    SPEC_CONFLICT = "spec-conflict", Config, Never,
        "Two fields of a connection document exclude each other.",
        "Remove or change the field that the message names.";
    SPEC_SECRET_MISSING = "spec-secret-missing", Config, Never,
        "A connection document lacks a secret, as one does that was written out and read again.",
        "Give the secret at the path that the message names, as text or as a reference.";
    SPEC_LOCAL = "spec-local", Config, Never,
        "A connection document refers to what belongs to this process: its environment, files, commands or identity.",
        "Give the value itself in the field that the message names.";
    SPEC_UNSUPPORTED = "spec-unsupported", Config, Never,
        "A connection document asks for what this build cannot do.",
        "Turn on the Cargo feature that the message names, or use a version that has it.";
}
