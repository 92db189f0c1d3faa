//! A database and SSH servers to reach it through.

use std::sync::LazyLock;
use std::time::Duration;

use pgreach::prelude::*;
use pgreach::ssh::SshTransportBuilder;
use pgreach::{PgConnectorBuilder, Transport};
use pgreach_testkit::ssh::{SshKeyType, SshKeypair, SshUser, Sshd, SshdBuilder};
use pgreach_testkit::{Pki, Postgres};

use tokio::time::timeout;

use crate::common::Fixture;

/// Longer than anything here takes: a test that waits for it has found a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) static PKI: LazyLock<Pki> = LazyLock::new(|| Pki::generate().unwrap());

/// One database for all tests; none of them stops it.
pub(crate) static DATABASE: LazyLock<Fixture> = LazyLock::new(|| {
    let postgres = Postgres::builder().with_hba([
        "local all all trust",
        "host all app 127.0.0.1/32 scram-sha-256",
        "host all all 127.0.0.1/32 trust",
    ]);
    let postgres = postgres
        .with_setting("max_connections", "200")
        .with_sql("create role app login password 'a password'");
    Fixture::start(&PKI, postgres)
});

/// The client's key. In memory: the folder of a key pair in a static would stay behind.
static KEY: LazyLock<(String, SshKey)> = LazyLock::new(|| {
    let pair = SshKeypair::generate(SshKeyType::Ed25519).unwrap();
    let key = SshKey::from_pem(&pair.private_pem().unwrap(), None).unwrap();
    (pair.public_line().to_owned(), key)
});

pub(crate) fn key() -> SshKey {
    KEY.1.clone()
}

/// The line of `authorized_keys` for the client's key.
pub(crate) fn public_line() -> &'static str {
    &KEY.0
}

/// A bastion that lets the client's key in as `tunnel`, before the settings of the test.
pub(crate) fn bastion(f: impl FnOnce(SshdBuilder) -> SshdBuilder) -> Sshd {
    // The id of PostgreSQL's user, which alone can go where the socket is.
    let user = SshUser::new("tunnel")
        .with_authorized_key(public_line())
        .with_account_of_postgres();
    f(Sshd::builder().with_user(user)).start().unwrap()
}

/// The way to an SSH server, with its host key on record.
pub(crate) fn hop(sshd: &Sshd) -> SshHop {
    SshHop::new(sshd.host(), "tunnel")
        .with_port(sshd.port())
        .with_host_keys(HostKeyPolicy::known_hosts_text(sshd.known_hosts()))
}

/// Through `sshd` with the client's key.
pub(crate) fn through(sshd: &Sshd) -> SshTransportBuilder {
    over(hop(sshd).with_auth(key()))
}

pub(crate) fn over(hop: SshHop) -> SshTransportBuilder {
    SshTransport::builder(TcpTransport::for_tunnels()).with_hop(hop)
}

/// A connector to the database of all tests, without TLS.
pub(crate) fn plain(transport: impl Transport) -> PgConnectorBuilder {
    to(
        transport,
        Endpoint::tcp("127.0.0.1", DATABASE.server.port()),
    )
}

pub(crate) fn to(transport: impl Transport, endpoint: Endpoint) -> PgConnectorBuilder {
    PgConnector::builder()
        .with_transport(transport)
        .with_endpoint(endpoint)
        .with_tls_policy(TlsPolicy::dangerous_plaintext())
        .with_user("postgres")
        .with_database("postgres")
        .with_connect_timeout(PATIENCE)
}

/// The error of a connection that must not succeed.
pub(crate) async fn refused(connector: PgConnectorBuilder) -> Error {
    match connector.build().unwrap().connect().await {
        Ok(connection) => panic!("it connects: {connection:?}"),
        Err(error) => error,
    }
}

/// Asserts kind and code, and that the message speaks of the hop.
pub(crate) fn assert_code(error: &Error, kind: ErrorKind, code: &str) {
    let code_seen = error.code().name();
    assert_eq!((error.kind(), code_seen), (kind, code), "{error:?}");
}

/// Starts a statement that does not end, and does `then` while it runs.
pub(crate) async fn during_a_query(connection: &Connection, then: impl AsyncFnOnce()) -> Error {
    let pid = connection.info().backend_pid().unwrap();
    let sleeping = connection.simple_query("select pg_sleep(600)");
    tokio::pin!(sleeping);
    let running =
        format!("select 1 from pg_stat_activity where pid = {pid} and query like '%pg_sleep%'");
    loop {
        tokio::select! {
            done = &mut sleeping => panic!("it ended by itself: {done:?}"),
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
        if !DATABASE.server.execute(&running).unwrap().is_empty() {
            break;
        }
    }
    then().await;
    let ended = timeout(PATIENCE, sleeping).await.unwrap();
    Error::from(ended.unwrap_err())
}
