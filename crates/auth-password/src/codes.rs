//! The codes of this crate's errors. All are of kind `Credential`.

pgreach_core::declare_codes! {
    PASSWORD_ENV = "password-env", Credential, Never,
        "The environment variable that should hold the password is missing, empty or not Unicode.",
        "Set the variable that the message names in the environment of this process.";
    PASSWORD_FILE = "password-file", Credential, Never,
        "The password file cannot be read.",
        "Correct the path, or let this process read the file that the message names.";
    PASSWORD_FILE_PERMISSIONS = "password-file-permissions", Credential, Never,
        "The password file can be read by others than its owner.",
        "Give the file mode 0600 or 0400; a file of root may have 0640 or 0440.";
    PASSWORD_FILE_CONTENT = "password-file-content", Credential, Backoff,
        "The password file holds no usable password.",
        "Write the password alone, as UTF-8 text, to a new file and rename it over the old one.";
    PASSFILE = "passfile", Credential, Never,
        "The passfile cannot be read, is open to others than its owner, or has a line that is none.",
        "Give the file mode 0600 and lines of host:port:database:user:password.";
    PASSWORD_COMMAND_START = "password-command-start", Credential, Never,
        "The program that should print the password cannot be started.",
        "Give the full path of an executable program.";
    PASSWORD_COMMAND_FAILED = "password-command-failed", Credential, Backoff,
        "The program that should print the password failed.",
        "Run the program by hand, as the user of this process, and correct what it reports.";
    PASSWORD_COMMAND_TIMEOUT = "password-command-timeout", Credential, Backoff,
        "The program that should print the password did not end in time.",
        "See that the program asks nothing and leaves no process behind that holds its output, or raise its timeout.";
    PASSWORD_COMMAND_OUTPUT = "password-command-output", Credential, Never,
        "The program printed no usable password.",
        "Let the program print the password alone, as UTF-8 text, on the first line of its standard output.";
}
