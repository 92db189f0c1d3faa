//! The few messages of the protocol that a script needs.

/// The code that stands in place of a version to ask for TLS.
const SSL_REQUEST: u32 = 80_877_103;

/// The code that stands in place of a version to ask for a cancellation.
const CANCEL_REQUEST: u32 = 80_877_102;

/// What a client sends first, or after TLS was agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Startup {
    /// A request for TLS.
    SslRequest,
    /// A request to cancel the statement of another connection.
    CancelRequest {
        /// The process of that connection.
        pid: u32,
        /// Its secret, of four bytes unless the protocol is 3.2 or newer.
        key: Vec<u8>,
    },
    /// The parameters of a new session, in the client's order.
    Startup(Vec<(String, String)>),
    /// Anything else: the whole packet, or its first eight bytes when those are no packet's.
    Other(Vec<u8>),
}

impl Startup {
    /// Reads a whole packet, length included.
    pub(crate) fn parse(packet: &[u8]) -> Self {
        let body = packet.get(8..).unwrap_or_default();
        match be32(packet.get(4..).unwrap_or_default()) {
            Some(SSL_REQUEST) if body.is_empty() => Self::SslRequest,
            Some(CANCEL_REQUEST) if body.len() >= 4 => Self::CancelRequest {
                pid: be32(body).unwrap_or_default(),
                key: body[4..].to_vec(),
            },
            Some(version) if version >> 16 == 3 => match parameters(body) {
                Some(parameters) => Self::Startup(parameters),
                None => Self::Other(packet.to_vec()),
            },
            _ => Self::Other(packet.to_vec()),
        }
    }
}

/// Reads the number at the start of the bytes.
pub(crate) fn be32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// Reads pairs of zero-terminated strings, with a zero after the last.
fn parameters(body: &[u8]) -> Option<Vec<(String, String)>> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut parameters = Vec::new();
    let mut rest = body;
    loop {
        let (name, after) = zero_terminated(rest)?;
        if name.is_empty() {
            return after.is_empty().then_some(parameters);
        }
        let (value, after) = zero_terminated(after)?;
        parameters.push((text(name), text(value)));
        rest = after;
    }
}

fn zero_terminated(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let zero = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..zero], &bytes[zero + 1..]))
}

/// A message of a kind, with its length.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    // A body beyond the protocol's reach is a mistake of the script, which the client will see.
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    let mut message = Vec::with_capacity(body.len() + 5);
    message.push(kind);
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(body);
    message
}

/// The strings, a zero after each.
pub(super) fn strings<'a>(strings: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut body = Vec::new();
    for string in strings {
        body.extend_from_slice(string.as_bytes());
        body.push(0);
    }
    body
}

/// The body of an ErrorResponse.
pub(crate) fn error(sqlstate: &str, text: &str) -> Vec<u8> {
    let fields = [("S", "FATAL"), ("V", "FATAL"), ("C", sqlstate), ("M", text)];
    let mut body = Vec::new();
    for (field, value) in fields {
        body.extend_from_slice(field.as_bytes());
        body.extend(strings([value]));
    }
    body.push(0);
    body
}
