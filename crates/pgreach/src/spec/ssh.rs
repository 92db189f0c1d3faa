//! The route through the SSH servers of a document.

use std::sync::Arc;

use async_trait::async_trait;
use pgreach_core::{
    CredentialRequest, DialContext, Dialed, Endpoint, Error, PgConnectorBuilder, Stage, Transport,
};
use pgreach_transport_ssh::{HostKeyPolicy, SshAuth, SshHop, SshKey, SshTransport};
use pgreach_transport_tcp::{AddressPolicy, TcpTransport};

use super::fault::join;
use super::kept::{Kept, Recipe, Sources, secret};
use super::lookup::{Found, Purpose};
use super::node::at;
use super::secret::SecretSource;
use super::transport::{HopAuthSpec, HopSpec, HostKeysSpec};

/// Adds the route. Where every secret is given as text, keys are read at once.
///
/// # Errors
/// Kind Config, with the path of the field.
pub(super) fn with_route(
    builder: PgConnectorBuilder,
    hops: &[HopSpec],
    policy: AddressPolicy,
) -> Result<PgConnectorBuilder, Error> {
    let mut plan = Plan {
        policy,
        hops: Vec::new(),
    };
    let mut sources = Sources::default();
    for (i, hop) in hops.iter().enumerate() {
        let path = at("transport.hops", i);
        plan.hops.push(HopPlan::new(hop, &path, &mut sources)?);
    }
    if let Some(secrets) = sources.given() {
        return Ok(builder.with_transport(plan.make(&secrets)?));
    }
    let described = plan.without_secrets()?;
    Ok(builder.with_transport(SshRoute {
        kept: Kept::new(plan, sources),
        described,
    }))
}

/// A route whose secrets are looked up for each new connection. While they stay the same, so does the
/// transport, with its sessions.
#[derive(Debug, Clone)]
struct SshRoute {
    kept: Arc<Kept<Plan>>,
    /// Without credentials: for [`Transport::describe`] alone.
    described: SshTransport,
}

#[async_trait]
impl Transport for SshRoute {
    /// Cancel-safe, as the look-up and the transport's own dial are.
    async fn dial(&self, endpoint: &Endpoint, cx: &DialContext) -> Result<Dialed, Error> {
        let request = CredentialRequest::new(endpoint, None, None);
        let stage = cx.trace().with_hop("ssh").enter(Stage::CREDENTIAL);
        let transport = match self.kept.get(&request).await {
            Ok(transport) => transport,
            Err(error) => return Err(stage.fail(error)),
        };
        stage.pass();
        transport.dial(endpoint, cx).await
    }

    fn describe(&self, endpoint: &Endpoint) -> String {
        self.described.describe(endpoint)
    }
}

/// The hops, with the numbers of their secrets in place of these.
#[derive(Debug)]
struct Plan {
    policy: AddressPolicy,
    hops: Vec<HopPlan>,
}

#[derive(Debug)]
struct HopPlan {
    path: String,
    hop: SshHop,
    auth: Vec<AuthPlan>,
}

#[derive(Debug)]
enum AuthPlan {
    Key {
        key: usize,
        passphrase: Option<usize>,
        certificate: Option<usize>,
    },
    Password(usize),
    Agent(SshAuth),
}

impl Recipe for Plan {
    type Made = SshTransport;

    fn make(&self, secrets: &[Found]) -> Result<SshTransport, Error> {
        let mut hops = Vec::new();
        for plan in &self.hops {
            let mut hop = plan.hop.clone();
            for (i, auth) in plan.auth.iter().enumerate() {
                let auth = auth.auth(secrets).map_err(|error| {
                    error
                        .with_stage(Stage::CONFIG)
                        .with_context(at(&join(&plan.path, "auth"), i))
                })?;
                hop = hop.with_auth(auth);
            }
            hops.push(hop);
        }
        self.through(hops)
    }
}

impl Plan {
    fn without_secrets(&self) -> Result<SshTransport, Error> {
        // Some credential must be there; nothing is dialled with it.
        let hops = self.hops.iter().map(|plan| plan.hop.clone());
        self.through(hops.map(|hop| hop.with_auth(SshAuth::agent())))
    }

    fn through(&self, hops: impl IntoIterator<Item = SshHop>) -> Result<SshTransport, Error> {
        let tcp = TcpTransport::for_tunnels()
            .into_builder()
            .with_address_policy(self.policy.clone())
            .build()?;
        hops.into_iter()
            .fold(SshTransport::builder(tcp), |builder, hop| {
                builder.with_hop(hop)
            })
            .build()
            .map_err(|error| error.with_context("transport.hops"))
    }
}

impl AuthPlan {
    fn auth(&self, secrets: &[Found]) -> Result<SshAuth, Error> {
        let secret = |number: usize| secret(secrets, number)?.secret();
        match self {
            Self::Agent(auth) => Ok(auth.clone()),
            Self::Password(number) => Ok(SshAuth::password(secret(*number)?)),
            Self::Key {
                key,
                passphrase,
                certificate,
            } => {
                let passphrase = passphrase.map(secret).transpose()?;
                let key = SshKey::from_pem(secret(*key)?.expose(), passphrase.as_ref())?;
                let key = match certificate {
                    Some(number) => key.with_certificate(secret(*number)?.expose().trim_end())?,
                    None => key,
                };
                Ok(SshAuth::key(key))
            }
        }
    }
}

impl HopPlan {
    fn new(hop: &HopSpec, path: &str, sources: &mut Sources) -> Result<Self, Error> {
        let mut plan = SshHop::new(&hop.host, &hop.user);
        if let Some(port) = hop.port {
            plan = plan.with_port(port.get());
        }
        if let Some(keys) = &hop.host_keys {
            let policy = host_keys(keys).map_err(|error| {
                error
                    .with_stage(Stage::CONFIG)
                    .with_context(join(path, "hostKeys"))
            })?;
            plan = plan.with_host_keys(policy);
        }
        let mut auth = Vec::new();
        for (i, given) in hop.auth.iter().enumerate() {
            let path = at(&join(path, "auth"), i);
            let mut optional = |field: &str, source: Option<&SecretSource>, purpose| {
                source.map(|source| sources.add(join(&path, field), source, purpose))
            };
            let planned = match given {
                HopAuthSpec::Key {
                    private_key,
                    passphrase,
                    certificate,
                } => {
                    let certificate = certificate.as_ref().map(|text| &text.0);
                    let key = optional("privateKey", private_key.as_ref(), Purpose::PrivateKey);
                    key.map(|key| AuthPlan::Key {
                        key,
                        passphrase: optional("passphrase", passphrase.as_ref(), Purpose::Password),
                        certificate: optional("certificate", certificate, Purpose::Public),
                    })
                }
                HopAuthSpec::Password { password } => {
                    optional("password", password.as_ref(), Purpose::Password)
                        .map(AuthPlan::Password)
                }
                HopAuthSpec::Agent { socket } => Some(AuthPlan::Agent(match socket {
                    Some(socket) => SshAuth::agent_at(socket),
                    None => SshAuth::agent(),
                })),
            };
            // One without its secret was refused before: see `Document::missing`.
            auth.extend(planned);
        }
        Ok(Self {
            path: path.to_owned(),
            hop: plan,
            auth,
        })
    }
}

fn host_keys(keys: &HostKeysSpec) -> Result<HostKeyPolicy, Error> {
    Ok(match keys {
        HostKeysSpec::KnownHosts {
            text: Some(text), ..
        } => HostKeyPolicy::known_hosts_text(text),
        HostKeysSpec::KnownHosts {
            file: Some(file), ..
        } => HostKeyPolicy::known_hosts([file]),
        HostKeysSpec::KnownHosts { .. } => HostKeyPolicy::default(),
        HostKeysSpec::Fingerprints { fingerprints } => HostKeyPolicy::fingerprints(fingerprints)?,
        HostKeysSpec::Authority { keys } => HostKeyPolicy::authority(keys.join("\n"))?,
        HostKeysSpec::AcceptNew { file } => HostKeyPolicy::accept_new(file),
        HostKeysSpec::DangerousAcceptAny {} => HostKeyPolicy::dangerous_accept_any(),
    })
}
