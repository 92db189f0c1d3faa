//! Both pools behind one face, and what several tests need; each of them uses a part.
#![allow(dead_code)]

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use pgreach_core::tokio_postgres::SimpleQueryMessage;
use pgreach_core::{
    Credential, CredentialProvider, CredentialRequest, Endpoint, Error, PgConnector,
    PgConnectorBuilder, TlsPolicy,
};
use pgreach_pool::deadpool::PoolExt as _;
use pgreach_pool::{Manager, PooledClient, bb8, deadpool};
use pgreach_testkit::Postgres;
use pgreach_transport_tcp::TcpTransport;
use tokio::net::TcpSocket;

/// Against hanging; nothing is asserted of how fast it goes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Which pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lib {
    Deadpool,
    Bb8,
}

pub(crate) const BOTH: [Lib; 2] = [Lib::Deadpool, Lib::Bb8];

#[derive(Debug, Clone)]
pub(crate) enum Pool {
    Deadpool(deadpool::Pool),
    Bb8(bb8::Pool),
}

/// Why there was no connection.
#[derive(Debug)]
pub(crate) enum Failure {
    Backend(Error),
    TimedOut,
    Closed,
}

impl Failure {
    pub(crate) fn error(self) -> Error {
        match self {
            Self::Backend(error) => error,
            other => panic!("{other:?} has no reason"),
        }
    }

    pub(crate) fn code(self) -> &'static str {
        self.error().code().name()
    }
}

#[derive(Debug)]
pub(crate) enum Client {
    Deadpool(deadpool::Client),
    Bb8(bb8::Client<'static>),
}

impl Lib {
    pub(crate) async fn pool(self, manager: Manager, size: u32) -> Pool {
        self.pool_with_wait(manager, size, PATIENCE).await
    }

    pub(crate) async fn pool_with_wait(self, manager: Manager, size: u32, wait: Duration) -> Pool {
        match self {
            Self::Deadpool => {
                let builder = deadpool::builder(manager)
                    .max_size(size as usize)
                    .wait_timeout(Some(wait));
                Pool::Deadpool(builder.build().unwrap())
            }
            Self::Bb8 => {
                let builder = bb8::builder().max_size(size).connection_timeout(wait);
                Pool::Bb8(bb8::Pool::build(builder, manager).await.unwrap())
            }
        }
    }
}

impl Pool {
    pub(crate) async fn get(&self) -> Result<Client, Failure> {
        match self {
            Self::Deadpool(pool) => {
                pool.get()
                    .await
                    .map(Client::Deadpool)
                    .map_err(|error| match error {
                        deadpool::PoolError::Backend(error) => Failure::Backend(error),
                        deadpool::PoolError::Timeout(_) => Failure::TimedOut,
                        deadpool::PoolError::Closed => Failure::Closed,
                        other => panic!("{other}"),
                    })
            }
            Self::Bb8(pool) => {
                pool.get_owned()
                    .await
                    .map(Client::Bb8)
                    .map_err(|error| match error {
                        bb8::RunError::User(error) => Failure::Backend(error),
                        bb8::RunError::TimedOut => Failure::TimedOut,
                    })
            }
        }
    }

    pub(crate) async fn rotate(&self) {
        match self {
            Self::Deadpool(pool) => {
                pool.rotate();
            }
            Self::Bb8(pool) => pool.rotate().await,
        }
    }

    /// The backend that a checkout leads to now.
    pub(crate) async fn backend(&self) -> i32 {
        pid(&self.get().await.unwrap())
    }
}

impl Deref for Client {
    type Target = PooledClient;

    fn deref(&self) -> &PooledClient {
        match self {
            Self::Deadpool(client) => client,
            Self::Bb8(client) => client,
        }
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut PooledClient {
        match self {
            Self::Deadpool(client) => client,
            Self::Bb8(client) => client,
        }
    }
}

pub(crate) fn pid(client: &PooledClient) -> i32 {
    client.info().backend_pid().unwrap()
}

/// The first column of the first row, as text.
pub(crate) async fn text(client: &PooledClient, sql: &str) -> String {
    let messages = client.simple_query(sql).await.unwrap();
    messages
        .iter()
        .find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .unwrap_or_default()
}

/// A connector for the role `app`, without TLS, whose sessions carry `name`.
pub(crate) fn builder(port: u16, name: &str) -> PgConnectorBuilder {
    PgConnector::builder()
        .with_transport(TcpTransport::new())
        .with_endpoint(Endpoint::tcp("127.0.0.1", port))
        .with_tls_policy(TlsPolicy::dangerous_plaintext())
        .with_database("postgres")
        .with_application_name(name)
}

/// A connector for the superuser.
pub(crate) fn trusted(server: &Postgres, name: &str) -> PgConnector {
    let builder = builder(server.port(), name).with_user("postgres");
    builder.build().unwrap()
}

/// Gives the credentials in turn, the last one for ever, and counts.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    answers: Arc<Vec<Arc<Credential>>>,
    calls: Arc<AtomicUsize>,
}

impl Script {
    pub(crate) fn passwords<const N: usize>(passwords: [&str; N]) -> Self {
        let answers = passwords.map(|password| Arc::new(Credential::password(password)));
        Self {
            answers: Arc::new(answers.into()),
            calls: Arc::default(),
        }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }
}

#[async_trait]
impl CredentialProvider for Script {
    async fn credential(&self, _: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        let call = self.calls.fetch_add(1, SeqCst);
        Ok(Arc::clone(&self.answers[call.min(self.answers.len() - 1)]))
    }

    fn invalidate(&self, _: &Credential) -> bool {
        true
    }
}

/// The only value of the only row, asked beside every pool.
pub(crate) fn ask(server: &Postgres, sql: &str) -> String {
    server.execute(sql).unwrap()[0][0]
        .clone()
        .unwrap_or_default()
}

/// How many sessions carry `name`.
pub(crate) fn sessions(server: &Postgres, name: &str) -> usize {
    let sql = format!("select count(*) from pg_stat_activity where application_name = '{name}'");
    ask(server, &sql).parse().unwrap()
}

/// Ends every session that carries `name`, and says how many there were.
pub(crate) fn terminate(server: &Postgres, name: &str) -> usize {
    let sql = format!(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = '{name}'"
    );
    ask(server, &sql).parse().unwrap()
}

/// Waits until `done` says so.
pub(crate) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "it did not come to this: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits for `work`, and for no more than [`PATIENCE`].
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work)
        .await
        .expect("it hangs")
}

/// A port that nobody listens at, and nobody else can take while the socket is there.
pub(crate) fn unheard_port() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

/// What came of a load.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) checkouts: usize,
    pub(crate) failures: Vec<String>,
}

/// Takes connections out of the pool, in `workers` tasks at once, and runs a statement on each, for
/// as long as `enough` does not say that it has been enough; it is given the number of checkouts so
/// far.
pub(crate) async fn load(
    pool: &Pool,
    workers: usize,
    enough: impl Fn(usize) -> bool + Clone + Send + 'static,
) -> Tally {
    let done = Arc::new(AtomicUsize::new(0));
    let tasks: Vec<_> = (0..workers)
        .map(|_| {
            let (pool, done, enough) = (pool.clone(), Arc::clone(&done), enough.clone());
            tokio::spawn(async move {
                let mut failures = Vec::new();
                while !enough(done.load(SeqCst)) {
                    match pool.get().await {
                        Ok(client) => {
                            let statement = client.prepare_cached("select $1::int4").await;
                            let answer = match statement {
                                Ok(statement) => client.query_one(&statement, &[&7_i32]).await,
                                Err(error) => Err(error),
                            };
                            match answer {
                                Ok(row) => assert_eq!(row.get::<_, i32>(0), 7),
                                Err(error) => failures.push(format!("statement: {error:?}")),
                            }
                        }
                        Err(failure) => failures.push(format!("checkout: {failure:?}")),
                    }
                    done.fetch_add(1, SeqCst);
                }
                failures
            })
        })
        .collect();
    let mut tally = Tally::default();
    for task in tasks {
        tally.failures.extend(task.await.unwrap());
    }
    tally.checkouts = done.load(SeqCst);
    tally
}
