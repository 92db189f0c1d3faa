//! The TLS library's connectors, built once each.

use std::sync::{Arc, Mutex, PoisonError};

use native_tls::{Certificate, Identity, Protocol};
use pgreach_core::{ClientIdentity, Error, Stage, TlsVersion, Verification};
use tokio::sync::OnceCell;
use tokio_native_tls::TlsConnector;

use crate::codes;

/// PostgreSQL's protocol name in ALPN.
/// Source: <https://www.postgresql.org/docs/18/protocol-flow.html#PROTOCOL-FLOW-SSL>.
pub(crate) const ALPN: &str = "postgresql";

/// A renewed client certificate is a new identity, so old ones must go; a program rarely has more
/// than a few at a time.
const IDENTITIES: usize = 8;

pub(crate) struct Settings {
    pub(crate) system_roots: bool,
    pub(crate) roots: Vec<Certificate>,
    pub(crate) min: TlsVersion,
    pub(crate) max: Option<TlsVersion>,
}

/// Connectors by what they verify, whether they send SNI, and whose certificate they present.
///
/// Building one takes milliseconds to tens of them: OpenSSL's reads the system's roots from disk,
/// twice, even where they are not used. So each is built on first use, on a thread that may block,
/// and shared by all handshakes.
pub(crate) struct Connectors {
    settings: Arc<Settings>,
    /// The least recently used first.
    slots: Mutex<Vec<Slot>>,
}

struct Slot {
    verification: Verification,
    sni: bool,
    identity: Option<ClientIdentity>,
    connector: Arc<OnceCell<TlsConnector>>,
}

impl Connectors {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings: Arc::new(settings),
            slots: Mutex::new(Vec::new()),
        }
    }

    pub(crate) async fn get(
        &self,
        verification: Verification,
        sni: bool,
        identity: Option<&ClientIdentity>,
    ) -> Result<TlsConnector, Error> {
        let cell = self.slot(verification, sni, identity);
        let connector = cell
            .get_or_try_init(|| async {
                let settings = Arc::clone(&self.settings);
                let identity = identity.cloned();
                blocking(move || build(&settings, verification, sni, identity.as_ref())).await?
            })
            .await?;
        Ok(connector.clone())
    }

    fn slot(
        &self,
        verification: Verification,
        sni: bool,
        identity: Option<&ClientIdentity>,
    ) -> Arc<OnceCell<TlsConnector>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let found = slots.iter().position(|slot| {
            slot.verification == verification
                && slot.sni == sni
                && same(slot.identity.as_ref(), identity)
        });
        let slot = match found {
            Some(index) => slots.remove(index),
            None => {
                let mut identities = slots
                    .iter()
                    .enumerate()
                    .filter(|(_, s)| s.identity.is_some());
                let oldest = identities.next().map(|(index, _)| index);
                if let Some(oldest) = oldest
                    && identities.count() + 1 >= IDENTITIES
                {
                    slots.remove(oldest);
                }
                Slot {
                    verification,
                    sni,
                    identity: identity.cloned(),
                    connector: Arc::default(),
                }
            }
        };
        let cell = Arc::clone(&slot.connector);
        slots.push(slot);
        cell
    }
}

fn same(a: Option<&ClientIdentity>, b: Option<&ClientIdentity>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => {
            a.chain_pem() == b.chain_pem() && a.expose_key_pem() == b.expose_key_pem()
        }
        (None, None) => true,
        _ => false,
    }
}

/// Runs what reads files away from the threads that drive connections.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Error::new(
            &codes::TLS_SETUP,
            Stage::TLS,
            "the TLS library could not be set up: the runtime is shutting down",
        )
        .with_source(error)
    })
}

fn build(
    settings: &Settings,
    verification: Verification,
    sni: bool,
    identity: Option<&ClientIdentity>,
) -> Result<TlsConnector, Error> {
    let mut builder = native_tls::TlsConnector::builder();
    builder
        .min_protocol_version(Some(protocol(settings.min)))
        .max_protocol_version(settings.max.map(protocol))
        .disable_built_in_roots(!settings.system_roots)
        .use_sni(sni)
        .danger_accept_invalid_hostnames(verification < Verification::Full)
        .danger_accept_invalid_certs(verification < Verification::Ca)
        .request_alpns(&[ALPN]);
    for root in &settings.roots {
        builder.add_root_certificate(root.clone());
    }
    if let Some(identity) = identity {
        builder.identity(parse_identity(identity)?);
    }
    let connector = builder.build().map_err(|error| {
        if identity.is_some() {
            refused_identity(&error.to_string()).with_source(error)
        } else {
            Error::new(
                &codes::TLS_SETUP,
                Stage::TLS,
                format!("the TLS library cannot be set up: {error}"),
            )
            .with_source(error)
        }
    })?;
    Ok(connector.into())
}

fn parse_identity(identity: &ClientIdentity) -> Result<Identity, Error> {
    // native-tls panics there.
    if cfg!(all(target_vendor = "apple", not(target_os = "macos"))) {
        return Err(identity_refusal(
            "client certificates are not supported with this platform's TLS library",
        ));
    }
    let key = identity.expose_key_pem();
    // The header of an old encrypted format: OpenSSL would ask for the password on the terminal.
    if key.windows(9).any(|word| word == b"ENCRYPTED") {
        return Err(identity_refusal("the client's private key is encrypted"));
    }
    Identity::from_pkcs8(identity.chain_pem(), key).map_err(|error| {
        identity_refusal("the client certificate or its private key cannot be parsed")
            .with_source(error)
    })
}

/// Says why the library does not take an identity that could be parsed. Only OpenSSL's words for a
/// mismatch are known: `X509_R_KEY_VALUES_MISMATCH` and `X509_R_KEY_TYPE_MISMATCH`, from its
/// `x509_err.c`.
fn refused_identity(error: &str) -> Error {
    let mismatches = ["key values mismatch", "key type mismatch"];
    if mismatches.iter().any(|words| error.contains(words)) {
        identity_refusal("the client certificate and its key do not fit together")
    } else {
        identity_refusal(format!(
            "the client certificate and its key cannot be used: {error}"
        ))
    }
}

fn identity_refusal(message: impl AsRef<str>) -> Error {
    Error::new(&codes::TLS_CLIENT_IDENTITY, Stage::TLS, message)
}

fn protocol(version: TlsVersion) -> Protocol {
    match version {
        TlsVersion::V1_0 => Protocol::Tlsv10,
        TlsVersion::V1_1 => Protocol::Tlsv11,
        TlsVersion::V1_2 => Protocol::Tlsv12,
        TlsVersion::V1_3 => Protocol::Tlsv13,
    }
}
