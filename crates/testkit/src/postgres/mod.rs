//! A real PostgreSQL server for one test.

mod builder;
mod place;
mod process;
mod sql;
mod standby;
mod template;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::Error;
use crate::account::Account;
use crate::files::read_lossy;
use crate::ports::free_port;
use crate::servers::ServerBinaries;

use place::Place;

pub use builder::PostgresBuilder;
pub use sql::Rows;

/// How long a server may take until it answers, or until it has ended.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many ports are tried: another process may take one between the look and the start.
const PORTS: usize = 10;

/// How long a server that is started again may find its port taken.
const PORT_PATIENCE: Duration = Duration::from_secs(10);

/// What a server logs where its port is taken.
const TAKEN: &str = "Address already in use";

/// A running PostgreSQL server with a data folder of its own, removed when it is dropped: also when
/// the test panics, and, through a guard process, when the test's process is killed.
///
/// While it runs, every local user can log in over TCP, also as a superuser, unless
/// [`with_hba`](PostgresBuilder::with_hba) says otherwise: do not use it on machines shared with
/// people you do not trust. The Unix socket is closed to other users, except for root.
///
/// Every function blocks, for some tens of milliseconds as a rule; they may be called inside an
/// async runtime.
///
/// ```no_run
/// # fn main() -> Result<(), pgreach_testkit::Error> {
/// use pgreach_testkit::Postgres;
///
/// let server = Postgres::builder().with_setting("log_connections", "on").start()?;
/// let rows = server.execute("select 1 + 1")?;
/// assert_eq!(rows, [[Some("2".to_owned())]]);
/// println!("host=127.0.0.1 port={} user=postgres", server.port());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Postgres {
    server: ServerBinaries,
    account: Account,
    port: u16,
    /// But for the port and the folder of the socket.
    settings: Vec<(String, String)>,
    child: Mutex<Child>,
    // Dropped after the server has ended.
    folder: Place,
}

impl Postgres {
    /// Starts the newest server there is, without TLS, trusting every local client.
    ///
    /// # Errors
    /// There is no server and none can be fetched, or it does not start.
    pub fn start() -> Result<Self, Error> {
        Self::builder().start()
    }

    /// Begins a server with settings of its own.
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder::default()
    }

    /// The address that it listens on: always `127.0.0.1`.
    #[must_use]
    pub fn host(&self) -> &'static str {
        "127.0.0.1"
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Address and port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The folder of the Unix socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.folder.path
    }

    /// The major version.
    #[must_use]
    pub fn major(&self) -> u16 {
        self.server.major()
    }

    /// The full version.
    #[must_use]
    pub fn version(&self) -> &str {
        self.server.version()
    }

    /// The data folder.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path.join("data")
    }

    /// The superuser: `postgres`.
    #[must_use]
    pub fn superuser(&self) -> &'static str {
        "postgres"
    }

    /// A connection string for the superuser over TCP.
    #[must_use]
    pub fn conninfo(&self) -> String {
        format!(
            "host=127.0.0.1 port={} user=postgres dbname=postgres",
            self.port
        )
    }

    /// What the server logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        read_lossy(&self.folder.path.join("log"))
    }

    /// Runs SQL in the database `postgres` as a superuser of the kit's own, over the Unix socket.
    /// Neither `pg_hba.conf` nor the password of `postgres` has a say in it.
    ///
    /// # Errors
    /// The server's error.
    pub fn execute(&self, sql: &str) -> Result<Rows, Error> {
        sql::with_session(&self.folder.path, self.port, "postgres", |session| {
            session.run(sql)
        })
    }

    /// Replaces `pg_hba.conf` and makes the server read it.
    ///
    /// # Errors
    /// The file cannot be written, or the server has ended.
    pub fn set_hba(&self, lines: &[&str]) -> Result<(), Error> {
        builder::write_hba(&self.data_dir(), &self.account, lines)?;
        self.reload()
    }

    /// Makes the server read its configuration again, and waits until it has.
    ///
    /// # Errors
    /// The server has ended, does not answer, or does not accept what it read: it then goes on with
    /// what it had before, and a test would be about something else.
    pub fn reload(&self) -> Result<(), Error> {
        let loaded = || self.execute("select pg_conf_load_time()::text");
        let logged = self.log().len();
        let before = loaded()?;
        process::signal(&self.child(), Signal::SIGHUP)?;
        let deadline = Instant::now() + PATIENCE;
        // Two loads within the clock's resolution would look alike; a microsecond is shorter.
        while loaded()? == before {
            if Instant::now() > deadline {
                return Err(Error::State(
                    "the server did not read its configuration".to_owned(),
                ));
            }
            thread::sleep(process::TICK);
        }
        // The main process reads `pg_hba.conf` before any session sees the new load time.
        let log = self.log();
        let news = log.get(logged..).unwrap_or_default();
        if news.contains("was not reloaded") || news.contains("contains errors") {
            return Err(Error::State(format!(
                "the server refused its configuration:\n{news}"
            )));
        }
        Ok(())
    }

    /// Stops the server (a fast shutdown) and starts it again on the same port and data.
    ///
    /// # Errors
    /// It does not stop or start.
    pub fn restart(&self) -> Result<(), Error> {
        self.stop()?;
        self.start_again()
    }

    /// Stops the server: a fast shutdown, which ends every session.
    ///
    /// # Errors
    /// It had to be killed.
    pub fn stop(&self) -> Result<(), Error> {
        process::end(&mut self.child(), Signal::SIGINT, PATIENCE)
    }

    /// Starts a server that was stopped, on the same port and data. Where another program has the
    /// port meanwhile, as for an outgoing connection, it tries again for some seconds.
    ///
    /// # Errors
    /// It is still running, or does not start.
    pub fn start_again(&self) -> Result<(), Error> {
        let mut child = self.child();
        if process::exited(&mut child)?.is_none() {
            return Err(Error::State("the server is still running".to_owned()));
        }
        let deadline = Instant::now() + PORT_PATIENCE;
        loop {
            let logged = self.log().len();
            *child = process::spawn(
                &self.server,
                &self.account,
                &self.data_dir(),
                &self.log_file(),
            )?;
            let ready = wait_until_ready(&mut child, &self.server, &self.folder.path, self.port);
            let taken = || {
                let log = self.log();
                log.get(logged..).is_some_and(|news| news.contains(TAKEN))
            };
            if ready.is_ok() || Instant::now() > deadline || !taken() {
                return ready;
            }
            // Not at once: each try adds some lines to the log.
            thread::sleep(process::TICK * 20);
        }
    }

    /// Freezes the server's main process: new connections are accepted by the system and never
    /// answered.
    ///
    /// # Errors
    /// It has ended.
    pub fn pause(&self) -> Result<(), Error> {
        process::signal(&self.child(), Signal::SIGSTOP)
    }

    /// Ends [`pause`](Self::pause).
    ///
    /// # Errors
    /// It has ended.
    pub fn unpause(&self) -> Result<(), Error> {
        process::signal(&self.child(), Signal::SIGCONT)
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path.join("log")
    }

    /// Starts a server on the data that `prepare` puts into the new folder it is given, with the
    /// settings that it returns.
    fn launch(
        server: ServerBinaries,
        account: Account,
        prepare: impl FnOnce(&Path) -> Result<Vec<(String, String)>, Error>,
    ) -> Result<Self, Error> {
        let folder = Place::make(&account)?;
        let settings = prepare(&folder.path)?;
        let data = folder.path.join("data");
        let log = folder.path.join("log");
        let mut last = None;
        for _ in 0..PORTS {
            let port = free_port()?;
            builder::write_settings(&data, &folder.path, port, &settings)?;
            let mut child = process::spawn(&server, &account, &data, &log)?;
            match wait_until_ready(&mut child, &server, &folder.path, port) {
                Ok(()) => {
                    return Ok(Self {
                        server,
                        account,
                        folder,
                        port,
                        settings,
                        child: Mutex::new(child),
                    });
                }
                Err(error) => {
                    // Whatever state it is in, it must not outlive this function.
                    let _ = process::end(&mut child, Signal::SIGQUIT, PATIENCE);
                    let taken = read_lossy(&log).contains(TAKEN);
                    if !taken {
                        return Err(error);
                    }
                    fs::remove_file(&log).map_err(Error::file("remove", &log))?;
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| Error::State("no free port was found".to_owned())))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; the guard tries once more.
        let _ = process::end(&mut self.child(), Signal::SIGQUIT, PATIENCE);
    }
}

/// Ready is a server that answers a query.
fn wait_until_ready(
    child: &mut Child,
    server: &ServerBinaries,
    folder: &Path,
    port: u16,
) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    let socket = folder.join(format!(".s.PGSQL.{port}"));
    let not_ready = |reason: String| Error::NotReady {
        version: server.version().to_owned(),
        reason,
        log: read_lossy(&folder.join("log")),
    };
    loop {
        if let Some(status) = process::exited(child)? {
            return Err(not_ready(format!("it ended ({status})")));
        }
        let tried = if socket.exists() {
            sql::with_session(folder, port, "postgres", |session| session.run("select 1"))
        } else {
            Err(Error::State("there is no socket yet".to_owned()))
        };
        match tried {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(not_ready(error.to_string())),
            Err(_) => thread::sleep(process::TICK),
        }
    }
}
