//! A server that takes tokens as passwords.

mod roles;
mod session;
mod verify;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_native_tls::TlsAcceptor;

use super::OSS_RDBMS;
use super::fake::{FakeEntra, acceptor, listen};
use super::shared::Shared;
use crate::pki::Certificate;
use crate::{Error, Postgres};

use roles::Roles;
pub use roles::{Login, RoleKind};

/// A stand-in for a server of Azure Database for PostgreSQL: a real server, behind a gateway that
/// logs clients in with tokens of a [`FakeEntra`].
///
/// It insists on TLS, asks for the password in clear text, verifies the token in it as Azure does,
/// and then passes everything on to the real server, as the role that the client named. That server
/// has to have the role, and to trust local clients, as [`Postgres`] does by default.
///
/// Refusals have the words of Azure's servers as users quote them, under these codes: 28P01 where it
/// is a wrong password for all that the client is told, else 28000.
///
/// The listener and all connections end when the value is dropped.
pub struct EntraGateway {
    addr: SocketAddr,
    certificate: Certificate,
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

/// Describes an [`EntraGateway`] before it starts.
#[derive(Debug, Clone)]
#[must_use = "nothing listens before `start`"]
pub struct EntraGatewayBuilder {
    server: SocketAddr,
    audience: String,
    certificate: Option<Certificate>,
}

impl EntraGatewayBuilder {
    /// Chooses the certificate, by default one for `localhost` and 127.0.0.1 from
    /// [`FakeEntra::pki`].
    pub fn with_certificate(mut self, certificate: &Certificate) -> Self {
        self.certificate = Some(certificate.clone());
        self
    }

    /// Chooses what tokens have to be for, by default [`OSS_RDBMS`]: national clouds have their own.
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = audience.into();
        self
    }

    /// Starts listening on a free port, for tokens of this authority.
    ///
    /// # Errors
    /// There is no port, or the certificate cannot be used.
    pub async fn start(self, entra: &FakeEntra) -> Result<EntraGateway, Error> {
        let certificate = match self.certificate {
            Some(certificate) => certificate,
            None => entra
                .pki()
                .server("localhost")
                .with_ip(std::net::Ipv4Addr::LOCALHOST.into())
                .issue()?,
        };
        let tls = acceptor(&certificate)?;
        let (listener, addr) = listen().await?;
        let inner = Arc::new(Inner {
            server: self.server,
            audience: self.audience,
            entra: Arc::clone(entra.shared()),
            tls,
            state: Mutex::default(),
            logins: Mutex::default(),
        });
        let task = tokio::spawn(run(listener, Arc::clone(&inner)));
        Ok(EntraGateway {
            addr,
            certificate,
            inner,
            task,
        })
    }
}

/// What all connections have in common.
struct Inner {
    server: SocketAddr,
    audience: String,
    entra: Arc<Shared>,
    tls: TlsAcceptor,
    state: Mutex<State>,
    logins: Mutex<Vec<Login>>,
}

#[derive(Default)]
struct State {
    roles: Roles,
    rejecting: usize,
    refusing: bool,
    cancellations: usize,
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn logins(&self) -> MutexGuard<'_, Vec<Login>> {
        self.logins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EntraGateway {
    /// Starts a gateway without roles in front of a server, for tokens of an authority.
    ///
    /// # Errors
    /// As [`EntraGatewayBuilder::start`].
    pub async fn start(entra: &FakeEntra, server: &Postgres) -> Result<Self, Error> {
        Self::builder(server).start(entra).await
    }

    /// Begins a gateway with settings of its own in front of a server.
    pub fn builder(server: &Postgres) -> EntraGatewayBuilder {
        EntraGatewayBuilder {
            server: server.addr(),
            audience: OSS_RDBMS.to_owned(),
            certificate: None,
        }
    }

    /// The address to connect to.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The port of [`EntraGateway::addr`].
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// The certificate that it shows.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Lets an object of the directory log in under a role's name, or the members of a group. A role
    /// that there was under this name is replaced: names are case-sensitive, and what counts is the
    /// object id.
    ///
    /// The role in the real server is the caller's to create.
    pub fn add_role(&self, name: impl Into<String>, kind: RoleKind, object_id: impl Into<String>) {
        let mut state = self.inner.state();
        state.roles.add(name.into(), kind, object_id.into());
    }

    /// Lets nobody log in under this name any more. Open sessions go on.
    pub fn remove_role(&self, name: &str) {
        self.inner.state().roles.remove(name);
    }

    /// Refuses so many logins to come as a wrong password is refused, however good the token is.
    pub fn reject_next(&self, count: usize) {
        self.inner.state().rejecting = count;
    }

    /// Refuses clients without asking for a password, or asks again.
    pub fn set_refusing(&self, refusing: bool) {
        self.inner.state().refusing = refusing;
    }

    /// Who tried to log in so far and showed a password, in this order.
    pub fn logins(&self) -> Vec<Login> {
        self.inner.logins().clone()
    }

    /// How many requests for a cancellation there were; each is passed on.
    pub fn cancellations(&self) -> usize {
        self.inner.state().cancellations
    }
}

impl fmt::Debug for EntraGateway {
    /// Leaves out keys and tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntraGateway")
            .field("addr", &self.addr)
            .field("server", &self.inner.server)
            .field("roles", &self.inner.state().roles)
            .field("logins", &self.inner.logins().len())
            .finish_non_exhaustive()
    }
}

impl Drop for EntraGateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts connections; those it holds end with it.
async fn run(listener: TcpListener, inner: Arc<Inner>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(_) => {
                    // Out of descriptors, most likely: let some connections end.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            },
            Some(_) = connections.join_next() => continue,
        };
        let inner = Arc::clone(&inner);
        connections.spawn(async move {
            // How a connection ends is the client's to judge.
            let _ = session::serve(stream, peer, &inner).await;
        });
    }
}
