//! The servers, the way between, and both clients' settings.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use pgreach::prelude::*;
use pgreach::ssh::SshTransportBuilder;
use pgreach_testkit::ssh::{SshKeyType, SshKeypair, SshPrograms, SshUser, Sshd, programs};
use pgreach_testkit::{Direction, Fault, FaultProxy, Postgres};
use tempfile::NamedTempFile;
use tokio::sync::oneshot;

use crate::Failure;
use crate::peer::{Forward, Tunneled};

/// Half of the round trip of the way through the proxy.
const ONE_WAY: Duration = Duration::from_millis(50);

pub(crate) struct World {
    pub(crate) postgres: Postgres,
    pub(crate) sshd: Sshd,
    pub(crate) pair: SshKeypair,
    pub(crate) known_hosts: NamedTempFile,
    pub(crate) programs: SshPrograms,
    /// Settings of `ssh` that are not its defaults.
    pub(crate) ssh_options: Vec<String>,
    /// sshd's port, 100 ms away.
    pub(crate) far_sshd: u16,
    /// PostgreSQL's, 100 ms away.
    pub(crate) far_postgres: u16,
    key: SshKey,
    known_hosts_text: String,
    /// The proxies end with it.
    _proxies: oneshot::Sender<()>,
}

impl World {
    pub(crate) async fn start(ssh_options: Vec<String>) -> Result<Self, Failure> {
        let postgres = Postgres::builder()
            .with_hba(["host all all 127.0.0.1/32 trust"])
            .with_setting("max_connections", "200")
            .start()?;
        let pair = SshKeypair::generate(SshKeyType::Ed25519)?;
        // The testkit logs more, for tests to look at.
        let sshd = Sshd::builder()
            .with_user(SshUser::default().with_authorized_key(pair.public_line()))
            .with_config("LogLevel VERBOSE")
            .start()?;
        let (far, proxies) = proxies([sshd.addr(), postgres.addr()])?;
        let [far_sshd, far_postgres] = far;
        let host_key = sshd.host_key_public_line();
        let known_hosts_text: String = [sshd.port(), far_sshd]
            .map(|port| format!("[127.0.0.1]:{port} {host_key}\n"))
            .concat();
        let mut known_hosts = NamedTempFile::new()?;
        known_hosts.write_all(known_hosts_text.as_bytes())?;
        Ok(Self {
            key: SshKey::from_pem(&pair.private_pem()?, None)?,
            postgres,
            sshd,
            pair,
            known_hosts,
            programs: programs()?,
            ssh_options,
            far_sshd,
            far_postgres,
            known_hosts_text,
            _proxies: proxies,
        })
    }

    /// Ours, to be built upon.
    pub(crate) fn transport(&self, sshd: u16) -> SshTransportBuilder {
        let hop = SshHop::new("127.0.0.1", self.sshd.user())
            .with_port(sshd)
            .with_auth(self.key.clone())
            .with_host_keys(HostKeyPolicy::known_hosts_text(
                self.known_hosts_text.clone(),
            ));
        SshTransport::builder(TcpTransport::for_tunnels()).with_hop(hop)
    }

    /// Our connector over a transport.
    pub(crate) fn connector(&self, transport: SshTransport) -> Result<PgConnector, Failure> {
        Ok(PgConnector::builder()
            .with_transport(transport)
            .with_tls_policy(TlsPolicy::dangerous_plaintext())
            .with_endpoint(Endpoint::tcp("127.0.0.1", self.postgres.port()))
            .with_user(self.postgres.superuser())
            .with_database("postgres")
            .build()?)
    }

    /// One connection of each kind, to an sshd at this port.
    pub(crate) async fn both(&self, sshd: u16) -> Result<(Connection, Tunneled), Failure> {
        let ours = self.connector(self.transport(sshd).build()?)?;
        let ours = ours.connect().await?;
        let peer = Tunneled::open(self, Forward::ready(self, sshd).await?).await?;
        Ok((ours, peer))
    }

    /// The versions, and what the two clients negotiate.
    pub(crate) async fn describe(&self) -> Result<String, Failure> {
        let ours = self.connector(self.transport(self.sshd.port()).build()?)?;
        let ours = ours.connect().await?;
        let algorithms = ours
            .info()
            .stages()
            .iter()
            .flat_map(|stage| &stage.seen)
            .find(|(what, _)| *what == "algorithms")
            .map_or("?", |(_, algorithms)| algorithms.as_str());
        let text = format!(
            "PostgreSQL {}, sshd {}\nours: {algorithms}\nssh -L: {}",
            self.postgres.version(),
            self.programs.version(),
            Forward::algorithms(self).await?,
        );
        ours.close().await?;
        Ok(text)
    }
}

/// Proxies with the delay, in a thread of their own: the clients' threads have no work with them.
/// They end when the sender is dropped.
fn proxies<const N: usize>(
    targets: [SocketAddr; N],
) -> Result<([u16; N], oneshot::Sender<()>), Failure> {
    let (ports, started) = mpsc::channel();
    let (sender, end) = oneshot::channel();
    thread::spawn(move || {
        let run = || -> Result<(), Failure> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let mut proxies = Vec::new();
                for target in targets {
                    let proxy = FaultProxy::start(target).await?;
                    proxy.set(Direction::Both, Fault::Latency(ONE_WAY));
                    ports.send(proxy.port())?;
                    proxies.push(proxy);
                }
                let _ = end.await;
                Ok(())
            })
        };
        // Without its ports, the other side knows.
        let _ = run();
    });
    let mut far = [0; N];
    for port in &mut far {
        *port = started.recv()?;
    }
    Ok((far, sender))
}
