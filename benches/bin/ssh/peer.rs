//! `ssh -L` and tokio-postgres.

use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Deref;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, NoTls};

use crate::Failure;
use crate::world::World;

/// The pause between two looks at whether `ssh` listens.
const TICK: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(30);

/// A running `ssh -N -L`, killed when the value is dropped.
pub(crate) struct Forward {
    child: Child,
    port: u16,
}

impl Forward {
    /// Starts it and returns at once.
    pub(crate) fn start(world: &World, sshd: u16) -> Result<Self, Failure> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let child = command(world, sshd, port).stderr(Stdio::null()).spawn()?;
        Ok(Self { child, port })
    }

    /// Starts it and waits until it listens.
    pub(crate) async fn ready(world: &World, sshd: u16) -> Result<Self, Failure> {
        let mut forward = Self::start(world, sshd)?;
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, forward.port))
            .await
            .is_err()
        {
            forward.wait_on(began).await?;
        }
        Ok(forward)
    }

    /// Pauses, unless there is nothing to be waited for.
    async fn wait_on(&mut self, began: Instant) -> Result<(), Failure> {
        if self.child.try_wait()?.is_some() || began.elapsed() > PATIENCE {
            return Err("ssh -L does not listen".into());
        }
        tokio::time::sleep(TICK).await;
        Ok(())
    }

    /// A connection through it, as soon as there can be one.
    pub(crate) async fn connect(
        &mut self,
        world: &World,
    ) -> Result<(Client, JoinHandle<Result<(), tokio_postgres::Error>>), Failure> {
        let began = Instant::now();
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(self.port)
            .user(world.postgres.superuser())
            .dbname("postgres")
            .ssl_mode(SslMode::Disable)
            .connect_timeout(PATIENCE);
        // It has set TCP_NODELAY.
        loop {
            match config.connect(NoTls).await {
                Ok((client, connection)) => return Ok((client, tokio::spawn(connection))),
                Err(error) if began.elapsed() > PATIENCE => return Err(error.into()),
                Err(_) => self.wait_on(began).await?,
            }
        }
    }

    /// What it negotiates, in its own words.
    pub(crate) async fn algorithms(world: &World) -> Result<String, Failure> {
        let mut child = command(world, world.sshd.port(), 0)
            .args(["-v", "-o", "ClearAllForwardings=yes"])
            .stderr(Stdio::piped())
            .spawn()?;
        world.sshd.wait_for_log("Accepted publickey")?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        child.kill()?;
        let mut said = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            stderr.read_to_string(&mut said)?;
        }
        child.wait()?;
        let word = |what: &str| {
            let line = said.lines().find_map(|line| line.split_once(what))?;
            line.1.split_whitespace().next()
        };
        Ok(format!(
            "{} {}",
            word("kex: algorithm: ").unwrap_or("?"),
            word("kex: server->client cipher: ").unwrap_or("?"),
        ))
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        // It has ended by itself where that fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `ssh` with its defaults, but for what the test's server needs.
fn command(world: &World, sshd: u16, port: u16) -> Command {
    let mut command = world.programs.command(&world.programs.client());
    command.args(["-F", "/dev/null", "-N", "-o", "ExitOnForwardFailure=yes"]);
    command.args(["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"]);
    command.args(["-o", "StrictHostKeyChecking=yes", "-o"]);
    command.arg(format!(
        "UserKnownHostsFile={}",
        world.known_hosts.path().display()
    ));
    for option in &world.ssh_options {
        command.args(["-o", option]);
    }
    command.arg("-i").arg(world.pair.private_file());
    if port > 0 {
        let target = format!("127.0.0.1:{}", world.postgres.port());
        command.arg("-L").arg(format!("127.0.0.1:{port}:{target}"));
    }
    command.arg("-p").arg(sshd.to_string());
    command.arg(format!("{}@127.0.0.1", world.sshd.user()));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// A connection with the `ssh` that it goes through.
pub(crate) struct Tunneled {
    client: Client,
    _forward: Forward,
}

impl Tunneled {
    pub(crate) async fn open(world: &World, mut forward: Forward) -> Result<Self, Failure> {
        let (client, _) = forward.connect(world).await?;
        Ok(Self {
            client,
            _forward: forward,
        })
    }
}

impl Deref for Tunneled {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}
