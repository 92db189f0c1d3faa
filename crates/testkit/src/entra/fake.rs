//! The token authority's handle.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use native_tls::Identity;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::directory::{Directory, Principal, Proof};
use super::keys::{self, Claims, SigningKey};
use super::knobs::{Endpoint, Knobs, Outage};
use super::shared::Shared;
use super::{OSS_RDBMS, metadata, server};
use crate::pki::Certificate;
use crate::{Error, Pki};

/// How long a token lives where a test says nothing.
const LIFETIME: Duration = Duration::from_secs(3600);

/// A stand-in for Microsoft Entra and for the services of a machine that hand out its tokens.
///
/// It keeps a directory of one tenant, verifies what applications prove themselves with, signs
/// tokens with claims and errors like those of the real one, and misbehaves on demand. Everything
/// that is changed holds from the next answer on. It listens on 127.0.0.1: the authority with TLS
/// under the name `localhost`, the services of a machine without. The listeners and all connections
/// end when the value is dropped.
pub struct FakeEntra {
    pki: Pki,
    shared: Arc<Shared>,
    authority: SocketAddr,
    machine: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

/// Describes a [`FakeEntra`] before it starts.
#[derive(Debug, Clone)]
#[must_use = "nothing listens before `start`"]
pub struct FakeEntraBuilder {
    tenant: String,
    lifetime: Duration,
}

impl FakeEntraBuilder {
    /// Chooses the tenant id, by default a random one.
    pub fn with_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = tenant.into();
        self
    }

    /// Chooses how long tokens live, by default an hour; see [`FakeEntra::set_lifetime`].
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Starts listening on two free ports.
    ///
    /// # Errors
    /// There is no `ssh-keygen`, which makes the signing key, or no port.
    pub async fn start(self) -> Result<FakeEntra, Error> {
        let pki = Pki::generate()?;
        let certificate = pki
            .server("localhost")
            .with_ip(Ipv4Addr::LOCALHOST.into())
            .issue()?;
        let tls = acceptor(&certificate)?;
        let (authority_listener, authority) = listen().await?;
        let (machine_listener, machine) = listen().await?;
        let shared = Arc::new(Shared {
            tenant: self.tenant,
            authority_host: format!("https://localhost:{}", authority.port()),
            key: SigningKey::generate()?,
            directory: Directory::default(),
            knobs: Knobs::new(self.lifetime),
            identity_header: keys::identifier(),
            pipeline_token: keys::identifier(),
        });
        let tasks = [
            tokio::spawn(server::run(
                authority_listener,
                Some(tls),
                Arc::clone(&shared),
            )),
            tokio::spawn(server::run(machine_listener, None, Arc::clone(&shared))),
        ];
        Ok(FakeEntra {
            pki,
            shared,
            authority,
            machine,
            tasks,
        })
    }
}

impl FakeEntra {
    /// Starts one with a random tenant and an empty directory.
    ///
    /// # Errors
    /// As [`FakeEntraBuilder::start`].
    pub async fn start() -> Result<Self, Error> {
        Self::builder().start().await
    }

    /// Begins one with settings of its own.
    pub fn builder() -> FakeEntraBuilder {
        FakeEntraBuilder {
            tenant: keys::identifier(),
            lifetime: LIFETIME,
        }
    }

    /// The tenant's id.
    pub fn tenant(&self) -> &str {
        &self.shared.tenant
    }

    /// Where the authority is: `https://localhost:PORT`.
    pub fn authority_host(&self) -> &str {
        &self.shared.authority_host
    }

    /// Where applications ask for tokens, which is also the audience of their assertions.
    pub fn token_endpoint(&self) -> String {
        self.shared.token_endpoint()
    }

    /// The authority's address.
    pub fn addr(&self) -> SocketAddr {
        self.authority
    }

    /// Who signs the tokens, as they name it.
    pub fn issuer(&self) -> String {
        self.shared.issuer()
    }

    /// The certificates that clients have to trust, and more of them: for a server, or for one that
    /// is not trusted.
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// The root that signed the authority's certificate.
    pub fn root_pem(&self) -> &str {
        self.pki.root_pem()
    }

    /// The file of [`root_pem`](Self::root_pem).
    pub fn root_file(&self) -> &Path {
        self.pki.root_file()
    }

    /// A token for PostgreSQL, as [`add_user`](Self::add_user)'s users get it from their tools.
    ///
    /// # Errors
    /// The token cannot be signed.
    pub fn token_for(&self, principal: &Principal) -> Result<String, Error> {
        self.token_with(principal, |_| {})
    }

    /// As [`token_for`](Self::token_for), with other claims: for another audience, expired.
    ///
    /// # Errors
    /// The token cannot be signed.
    pub fn token_with(
        &self,
        principal: &Principal,
        change: impl FnOnce(&mut Claims),
    ) -> Result<String, Error> {
        let mut claims = self.shared.claims(principal, OSS_RDBMS);
        change(&mut claims);
        self.shared.key.sign(&claims)
    }

    /// A token as [`token_for`](Self::token_for), under a signature that belongs to another one.
    ///
    /// # Errors
    /// The token cannot be signed.
    pub fn forged_token_for(&self, principal: &Principal) -> Result<String, Error> {
        let token = self.token_for(principal)?;
        // Every token has an identifier of its own, and with it a signature of its own.
        let other = self.token_for(principal)?;
        match (token.rsplit_once('.'), other.rsplit_once('.')) {
            (Some((signed, _)), Some((_, signature))) => Ok(format!("{signed}.{signature}")),
            _ => Err(Error::Token("a token has no signature".to_owned())),
        }
    }

    /// Where a virtual machine asks for tokens: to be put in place of `http://169.254.169.254`, which
    /// clients do not let one choose, by an HTTP transport of the test's own.
    pub fn imds_url(&self) -> String {
        format!("http://{}{}", self.machine, metadata::IMDS_PATH)
    }

    /// The variables that App Service sets: `IDENTITY_ENDPOINT` and `IDENTITY_HEADER`.
    pub fn app_service_environment(&self) -> Vec<(&'static str, String)> {
        let endpoint = format!("http://{}{}", self.machine, metadata::APP_SERVICE_PATH);
        vec![
            ("IDENTITY_ENDPOINT", endpoint),
            ("IDENTITY_HEADER", self.shared.identity_header.clone()),
        ]
    }

    /// The variables that a cluster sets for workload identity, with a fresh token in the file.
    ///
    /// # Errors
    /// The principal is not from [`add_federated_application`](Self::add_federated_application), or
    /// the file cannot be written.
    pub fn workload_environment(
        &self,
        application: &Principal,
    ) -> Result<Vec<(&'static str, String)>, Error> {
        let entry = self.shared.directory.by_object_id(application.object_id());
        let Some(Proof::Federated { issuer, subject }) = entry.map(|entry| entry.proof) else {
            return Err(Error::State(format!(
                "{} is not a federated application",
                application.name()
            )));
        };
        let file = issuer.write_token(&subject)?;
        Ok(vec![
            ("AZURE_CLIENT_ID", application.client_id().to_owned()),
            ("AZURE_TENANT_ID", self.tenant().to_owned()),
            ("AZURE_FEDERATED_TOKEN_FILE", file.display().to_string()),
            ("AZURE_AUTHORITY_HOST", self.authority_host().to_owned()),
        ])
    }

    /// The variables of a pipeline's job: `SYSTEM_OIDCREQUESTURI` and `SYSTEM_ACCESSTOKEN`.
    pub fn pipelines_environment(&self) -> Vec<(&'static str, String)> {
        let endpoint = format!("{}{}", self.authority_host(), metadata::OIDC_PATH);
        vec![
            ("SYSTEM_OIDCREQUESTURI", endpoint),
            ("SYSTEM_ACCESSTOKEN", self.shared.pipeline_token.clone()),
        ]
    }

    /// How long tokens made from now on live, in whole seconds.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.shared.knobs.set_lifetime(lifetime);
    }

    /// How long every request waits before it is answered.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.knobs.set_latency(latency);
    }

    /// Puts everything out of order, or back into order.
    pub fn set_outage(&self, outage: Outage) {
        self.shared.knobs.set_outage(outage);
    }

    /// Lets the next answers, of whatever endpoint, be errors with this status.
    pub fn fail_next(&self, count: usize, status: u16) {
        self.shared.knobs.fail_next(count, status);
    }

    /// Holds all answers back until [`release`](Self::release); requests are read and counted.
    pub fn hold(&self) {
        self.shared.knobs.set_held(true);
    }

    /// Answers what was held back.
    pub fn release(&self) {
        self.shared.knobs.set_held(false);
    }

    /// How many requests there were so far, refused and held ones included.
    pub fn requests(&self, endpoint: Endpoint) -> usize {
        self.shared.knobs.requests(endpoint)
    }

    /// Waits until there were so many requests, however long that takes.
    pub async fn wait_requests(&self, endpoint: Endpoint, count: usize) {
        self.shared.knobs.wait_requests(endpoint, count).await;
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl fmt::Debug for FakeEntra {
    /// Leaves out keys, secrets and what services are asked with.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeEntra")
            .field("tenant", &self.tenant())
            .field("authority", &self.authority)
            .field("machine", &self.machine)
            .finish_non_exhaustive()
    }
}

impl Drop for FakeEntra {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Binds a free port of the loopback.
pub(super) async fn listen() -> Result<(TcpListener, SocketAddr), Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .map_err(Error::network("bind a port"))?;
    let addr = listener
        .local_addr()
        .map_err(Error::network("read the address of a port"))?;
    Ok((listener, addr))
}

/// The server's end of TLS with this certificate.
pub(super) fn acceptor(certificate: &Certificate) -> Result<tokio_native_tls::TlsAcceptor, Error> {
    let (chain, key) = (certificate.chain_pem(), certificate.key_pem());
    Identity::from_pkcs8(chain.as_bytes(), key.as_bytes())
        .and_then(native_tls::TlsAcceptor::new)
        .map(Into::into)
        .map_err(|error| Error::Certificate(error.to_string()))
}
