//! The provider and its builder.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use azure_core::http::HttpClient;
use pgreach_core::{Credential, CredentialProvider, CredentialRequest, Error};
use reqwest::Certificate;

use crate::cache::{Cache, Held, Mint};
use crate::chain::Chain;
use crate::claims::{self, User};
use crate::clock::{Moment, SystemClock};
use crate::cloud::Cloud;
use crate::codes;
use crate::failure::error;
use crate::freshness::Times;
use crate::http::Clients;
use crate::identity::{EntraIdentity, Kind};
use crate::source::{Fetched, Single, Source};

/// Less than a connector's own deadline, so that the error says what was waited for.
const FETCH_TIMEOUT: Duration = Duration::from_secs(20);
const REFRESH_AHEAD: Duration = Duration::from_secs(300);

/// Longer times mean the same, and cannot be added to every moment.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A source without an end is asked again after the shortest life that Entra gives a token.
const UNKNOWN_LIFE: Duration = Duration::from_secs(300);

/// How much later than the token itself the answer that brought it may put the token's end. It says
/// how long the token lives, in whole seconds, and they are counted from when it comes; what the server
/// goes by is the token. A larger difference is that of this machine's clock, which the answer does
/// not depend on.
const ROUNDING: Duration = Duration::from_secs(60);

/// About the year 9000.
const FAR: Duration = Duration::from_secs(222_000_000_000);

/// Entra tokens for Azure Database for PostgreSQL.
///
/// The token is cached until shortly before its end and shared by all clones: make one of these for
/// the whole program. However many connections begin at once, one request for a token is under way
/// (one per Tokio runtime). From `refresh_ahead` before the end, or half of a shorter life, the next
/// token is fetched while connections still get the old one; if that fails, it is tried again after
/// growing pauses, and no connection fails while the old token is valid.
///
/// A token is valid if the wall clock and the monotonic clock both say so. After a jump between them
/// (the machine slept, the time was corrected) that is larger than what is left of the token, the
/// next one is fetched first, for three seconds; then connections get the old one, and the server
/// judges.
///
/// After a server refused a token the next connection waits for a new one. If none comes, it gets the
/// old one while that is valid: one server that refuses does not take it from the others. If the new
/// one is refused as well, further requests wait for a pause that grows from 5 seconds to 5 minutes. A
/// failure is told for one second to whoever asks, before the request is made again.
///
/// # Cancel safety
///
/// `credential` may be dropped at any time: the request is a task of its own, and what it brings is
/// kept for the next connection. The fetch timeout bounds it.
#[derive(Clone)]
pub struct EntraCredentials {
    cache: Cache,
    about: Arc<About>,
}

struct About {
    identity: EntraIdentity,
    cloud: Cloud,
    user: Option<String>,
}

impl EntraCredentials {
    /// Tokens for this identity.
    pub fn builder(identity: EntraIdentity) -> EntraCredentialsBuilder {
        EntraCredentialsBuilder {
            identity,
            cloud: Cloud::public(),
            user: None,
            fetch_timeout: FETCH_TIMEOUT,
            refresh_ahead: REFRESH_AHEAD,
            roots: Vec::new(),
            client: None,
            unverified_tls: false,
        }
    }
}

impl Debug for EntraCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntraCredentials")
            .field("identity", &self.about.identity)
            .field("cloud", &self.about.cloud.name())
            .field("user", &self.about.user)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl CredentialProvider for EntraCredentials {
    async fn credential(&self, request: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        let held = self.cache.get().await?;
        match &held.nameless {
            Some(reason) if request.user.is_none() => Err(reason.repeat()),
            _ => Ok(Arc::clone(&held.credential)),
        }
    }

    /// True when the identity can give another token and the pause between such requests is over. Of
    /// a token that is older than the one that is cached, always.
    fn invalidate(&self, rejected: &Credential) -> bool {
        self.cache.invalidate(rejected)
    }
}

/// Settings of [`EntraCredentials`].
#[derive(Clone)]
#[must_use]
pub struct EntraCredentialsBuilder {
    identity: EntraIdentity,
    cloud: Cloud,
    user: Option<String>,
    fetch_timeout: Duration,
    refresh_ahead: Duration,
    roots: Vec<Vec<u8>>,
    client: Option<Arc<dyn HttpClient>>,
    unverified_tls: bool,
}

impl EntraCredentialsBuilder {
    /// The cloud. Default: [`Cloud::public`].
    pub fn with_cloud(mut self, cloud: Cloud) -> Self {
        self.cloud = cloud;
        self
    }

    /// The PostgreSQL role, exactly as it was created: the display name of a service principal, the
    /// name of a group that the identity is a member of. Default: the name in the token. A user given
    /// to the connector itself comes first.
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// How long one request for a token may take, with all that is tried again: 20 seconds unless
    /// set, and a year at most. The connection's deadline is apart from it, and should be later: else
    /// a connection that waits for a token ends with `timeout`, which does not say for what.
    pub fn with_fetch_timeout(mut self, timeout: Duration) -> Self {
        self.fetch_timeout = timeout;
        self
    }

    /// How long before its end a token is replaced: 5 minutes unless set, and never more than half of
    /// its life.
    pub fn with_refresh_ahead(mut self, ahead: Duration) -> Self {
        self.refresh_ahead = ahead;
        self
    }

    /// Trusts these certificates (PEM) beside the system's when it speaks to Entra: the root of a
    /// proxy that inspects TLS.
    pub fn with_root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots.push(pem.into());
        self
    }

    /// Speaks HTTP through this client, whose TLS, proxies and timeouts are then its own matter.
    /// Requests to the identity endpoint of the machine must not go through a proxy.
    pub fn with_http_client(mut self, client: Arc<dyn HttpClient>) -> Self {
        self.client = Some(client);
        self
    }

    /// Lets the token be sent to a PostgreSQL server whose name was not verified, or in cleartext.
    /// Whoever sits on the path can then take the token and use it. It changes nothing about how this
    /// crate speaks to Entra.
    pub fn dangerous_allow_unverified_tls(mut self) -> Self {
        self.unverified_tls = true;
        self
    }

    /// Checks the settings. Nothing is asked of Entra, and no variable or file is read.
    ///
    /// # Errors
    /// [`ENTRA_CONFIG`](codes::ENTRA_CONFIG) when a setting cannot be right.
    pub fn build(self) -> Result<EntraCredentials, Error> {
        let wrong = |what: &str| Err(error(&codes::ENTRA_CONFIG, what));
        if let Some(trouble) = self.cloud.trouble() {
            return wrong(&trouble);
        }
        if self
            .user
            .as_deref()
            .is_some_and(|user| user.is_empty() || user.contains('\0'))
        {
            return wrong("the user is empty or holds a zero byte");
        }
        if self.fetch_timeout.is_zero() {
            return wrong("the fetch timeout is zero");
        }
        let clients = self.clients()?;
        let source = source(&self.identity, &self.cloud, &clients)?;
        let mint = TokenMint {
            user: self.user.clone(),
            cloud: self.cloud.name(),
            unverified_tls: self.unverified_tls,
            endless: matches!(self.identity.0, Kind::Fixed(_)),
        };
        Ok(EntraCredentials {
            cache: Cache::new(
                source,
                Box::new(mint),
                Arc::new(SystemClock::new()),
                self.refresh_ahead.min(YEAR),
                self.fetch_timeout.min(YEAR),
            ),
            about: Arc::new(About {
                identity: self.identity,
                cloud: self.cloud,
                user: self.user,
            }),
        })
    }

    fn clients(&self) -> Result<Clients, Error> {
        let mut roots = Vec::new();
        for pem in &self.roots {
            let found = Certificate::from_pem_bundle(pem).unwrap_or_default();
            if found.is_empty() {
                return Err(error(
                    &codes::ENTRA_CONFIG,
                    "the root certificate is no certificate in PEM",
                ));
            }
            roots.extend(found);
        }
        match &self.client {
            Some(_) if !roots.is_empty() => Err(error(
                &codes::ENTRA_CONFIG,
                "a root certificate cannot be added to an HTTP client that was handed in",
            )),
            Some(client) => Ok(Clients::of(Arc::clone(client))),
            None => Clients::new(&self.identity, &roots).map_err(|cause| {
                error(
                    &codes::ENTRA_CONFIG,
                    format!("the HTTP client cannot be made: {cause}"),
                )
            }),
        }
    }
}

impl Debug for EntraCredentialsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntraCredentialsBuilder")
            .field("identity", &self.identity)
            .field("cloud", &self.cloud.name())
            .field("user", &self.user)
            .field("fetch_timeout", &self.fetch_timeout)
            .field("refresh_ahead", &self.refresh_ahead)
            .finish_non_exhaustive()
    }
}

fn source(
    identity: &EntraIdentity,
    cloud: &Cloud,
    clients: &Clients,
) -> Result<Box<dyn Source>, Error> {
    if let Kind::Chain(links) = &identity.0 {
        if links.is_empty() {
            return Err(error(&codes::ENTRA_CONFIG, "the chain has no identity"));
        }
        let links = links.iter().map(|link| source(link, cloud, clients));
        return Ok(Box::new(Chain::new(links.collect::<Result<_, _>>()?)));
    }
    let single = Single::new(identity.clone(), cloud.clone(), clients.clone());
    single.check()?;
    Ok(Box::new(Arc::new(single)))
}

/// Makes credentials of tokens.
pub(crate) struct TokenMint {
    pub(crate) user: Option<String>,
    pub(crate) cloud: &'static str,
    pub(crate) unverified_tls: bool,
    /// Whether a token without an end is good for ever.
    pub(crate) endless: bool,
}

impl Mint for TokenMint {
    fn mint(&self, fetched: Fetched, at: Moment) -> Held {
        let claims = claims::read(fetched.token.expose());
        let expires_at = end(fetched.expires_at, claims.expires_at)
            .or_else(|| (!self.endless).then(|| at.wall + UNKNOWN_LIFE));
        let mut credential = Credential::bearer_token(fetched.token.clone())
            .with_note("token of", fetched.of)
            .with_note("cloud", self.cloud);
        if let Some(tenant) = claims.tenant {
            credential = credential.with_note("tenant", tenant);
        }
        if let Some(at) = expires_at {
            credential = credential.with_expiry(at);
            // Far ends cannot be written as a date, and the attempt would panic.
            if at < SystemTime::UNIX_EPOCH + FAR {
                let shown = azure_core::time::to_rfc3339(&at.into());
                credential = credential.with_note("expires", shown);
            }
        }
        if self.unverified_tls {
            credential = credential.dangerous_allow_unverified_tls();
        }
        let nameless = match (&self.user, &claims.user) {
            (Some(user), _) | (None, User::Named(user)) => {
                credential = credential.with_user(user);
                None
            }
            (None, other) => Some(nameless(fetched.of, other)),
        };
        Held {
            token: fetched.token,
            times: Times {
                fetched: at,
                expires_at,
            },
            credential: Arc::new(credential),
            nameless,
        }
    }
}

/// When a token ends, of what the answer and the token itself say.
fn end(answer: Option<SystemTime>, claim: Option<SystemTime>) -> Option<SystemTime> {
    match (answer, claim) {
        (Some(answer), Some(claim)) => match answer.duration_since(claim) {
            Ok(later) if later <= ROUNDING => Some(claim),
            _ => Some(answer),
        },
        (answer, claim) => answer.or(claim),
    }
}

fn nameless(of: &str, user: &User) -> Error {
    match user {
        User::Opaque => error(
            &codes::ENTRA_TOKEN,
            format!("the token of the {of} is no JWT, so it does not say which user it is for"),
        )
        .with_hint("give the role's name with with_user"),
        User::SystemAssigned(resource) => error(
            &codes::ENTRA_USER,
            format!("the token of the {of} names no PostgreSQL user, only the resource {resource}"),
        )
        .with_hint(format!(
            "give the role's name with with_user: a system-assigned identity has its resource's name, so {resource:?} as a rule"
        )),
        User::Named(_) | User::Nobody => error(
            &codes::ENTRA_USER,
            format!("the token of the {of} names no PostgreSQL user"),
        ),
    }
}
