//! SSH servers, keys and a database for the tests of `connect --ssh`.

use std::fs;
use std::process::Child;
use std::sync::LazyLock;

use pgreach_testkit::ssh::{SshKeyType, SshKeypair, SshUser, Sshd, SshdBuilder};
use pgreach_testkit::{Error, Postgres};

use super::Run;

/// The secret of every test; no output may hold it.
pub(crate) const SECRET: &str = "s3cret-word";

/// Trusts everybody but `app`, over TCP and its Unix socket; without TLS.
pub(crate) static SERVER: LazyLock<Postgres> = LazyLock::new(|| {
    Postgres::builder()
        .with_hba([
            "host all app 127.0.0.1/32 scram-sha-256",
            "host all all 127.0.0.1/32 trust",
            "local all all trust",
        ])
        .with_sql("create role app login password 'secret'")
        .start()
        .unwrap()
});

/// A key pair in memory: what is static is never dropped, and its files would stay.
pub(crate) struct Key {
    pub(crate) private: String,
    pub(crate) public: String,
}

impl Key {
    pub(crate) fn new(passphrase: &str) -> Self {
        let pair = SshKeypair::builder(SshKeyType::Ed25519)
            .with_passphrase(passphrase)
            .generate()
            .unwrap();
        Self {
            private: pair.private_pem().unwrap(),
            public: pair.public_line().to_owned(),
        }
    }
}

/// The key that every server of these tests lets in.
pub(crate) static KEY: LazyLock<Key> = LazyLock::new(|| Key::new(""));
/// Another one, with [`SECRET`] as its passphrase, which is let in, too.
pub(crate) static LOCKED: LazyLock<Key> = LazyLock::new(|| Key::new(SECRET));
/// One that nobody knows.
pub(crate) static STRANGE: LazyLock<Key> = LazyLock::new(|| Key::new(""));

/// A user with both keys.
pub(crate) fn user() -> SshUser {
    SshUser::default()
        .with_authorized_key(&KEY.public)
        .with_authorized_key(&LOCKED.public)
}

/// The usual server.
pub(crate) static SSHD: LazyLock<Sshd> =
    LazyLock::new(|| Sshd::builder().with_user(user()).start().unwrap());

/// `None` where accounts cannot be made: that needs root and a mount namespace.
pub(crate) fn started(sshd: SshdBuilder) -> Option<Sshd> {
    match sshd.start() {
        Ok(sshd) => Some(sshd),
        Err(Error::State(reason)) if reason.contains("needs root") => {
            use std::os::unix::fs::MetadataExt;
            let root = fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0);
            assert!(!root, "{reason}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// The database as the SSH server sees it.
pub(crate) fn database() -> String {
    format!("host=127.0.0.1 port={} user=postgres", SERVER.port())
}

/// The first user at the server, as `--ssh` takes it.
pub(crate) fn at(sshd: &Sshd) -> String {
    format!("{}@127.0.0.1:{}", sshd.user(), sshd.port())
}

/// A run with these options, parted by spaces, and the connection string. In its home folder is what
/// the usual server and its user need: `key`, `locked`, `strange`, `known_hosts`, `nobody` (a
/// known_hosts file without a host); in its environment are `SECRET` and `WRONG`.
pub(crate) fn run(options: &str, conninfo: &str) -> Run {
    with(options, conninfo)
        .secret_file("key", &KEY.private)
        .secret_file("locked", &LOCKED.private)
        .secret_file("strange", &STRANGE.private)
        .file("known_hosts", &SSHD.known_hosts())
        .file("nobody", "")
        .secret("SECRET", SECRET)
        .secret("WRONG", "wr0ng-word")
}

/// The same, with nothing in its home folder and environment.
pub(crate) fn with(options: &str, conninfo: &str) -> Run {
    let mut args: Vec<&str> = options.split_whitespace().collect();
    args.push(conninfo);
    Run::new(&args)
}

/// To a server as its first user, with the usual key.
pub(crate) fn to(sshd: &Sshd) -> String {
    format!(
        "--ssh {} --ssh-key key --host-key-fingerprint {}",
        at(sshd),
        sshd.host_key_fingerprint()
    )
}

/// Returns once the session `application_name` of the program `child` sleeps in the database.
pub(crate) fn wait_for_query(child: &mut Child, application_name: &str) {
    let sleeping = format!(
        "select 1 from pg_stat_activity \
         where application_name = '{application_name}' and wait_event = 'PgSleep'"
    );
    // Each look is a connection of its own, which takes a while.
    while SERVER.execute(&sleeping).unwrap().is_empty() {
        assert!(child.try_wait().unwrap().is_none(), "the program has ended");
    }
}
