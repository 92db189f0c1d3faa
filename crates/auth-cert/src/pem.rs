//! PEM: BEGIN and END lines, headers and base64, also as pasted into a form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN";
const END: &str = "-----END";
const DASHES: &str = "-----";
/// What OpenSSL writes in a line.
const LINE: usize = 64;

/// One `-----BEGIN …-----` to `-----END …-----`.
pub(crate) struct Block {
    pub(crate) label: String,
    /// The value of the DEK-Info header: cipher and initialisation vector.
    pub(crate) dek_info: Option<String>,
    pub(crate) content: Result<Zeroizing<Vec<u8>>, Damage>,
}

/// Why there is no content, as the end of a sentence about what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    NoEnd,
    Header,
    Base64,
    Empty,
}

impl Damage {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::NoEnd => "is not whole: its END line is missing",
            Self::Header => "has a header that is not known",
            Self::Base64 => "is damaged or not whole: between BEGIN and END is not base64",
            Self::Empty => "is empty: there is nothing between BEGIN and END",
        }
    }
}

/// All blocks, in order. What is between them is commentary.
pub(crate) fn blocks(text: &[u8]) -> Vec<Block> {
    let text = unescaped(text);
    // What is not UTF-8 can only be commentary, or no base64.
    let mut rest: &str = &text;
    let mut found = Vec::new();
    while let Some((_, after)) = rest.split_once(BEGIN) {
        rest = after;
        let Some((label, body)) = after.split_once(DASHES) else {
            break;
        };
        let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c.is_whitespace();
        if label.len() > 64 || !label.chars().all(plain) {
            continue;
        }
        let label = label.split_whitespace().collect::<Vec<_>>().join(" ");
        // Never into the next block, nor further than that: each byte is looked at once.
        let own = body.split_once(BEGIN).map_or(body, |(own, _)| own);
        let (own, ended) = match own.split_once(END) {
            Some((own, _)) => (own, true),
            None => (own, false),
        };
        rest = body.get(own.len()..).unwrap_or_default();
        found.push(if ended {
            block(label, own)
        } else {
            Block {
                label,
                dek_info: None,
                content: Err(Damage::NoEnd),
            }
        });
    }
    found
}

/// With line ends for the two characters `\n` that environment variables, JSON and forms often hold
/// instead, and without what is not UTF-8. No PEM file has a backslash of its own.
fn unescaped(text: &[u8]) -> Zeroizing<String> {
    // Never longer than the original, once what is not UTF-8 is one character: a string that grows
    // leaves copies behind.
    let mut out = Zeroizing::new(String::with_capacity(text.len()));
    for chunk in text.utf8_chunks() {
        let mut chars = chunk.valid().chars().peekable();
        while let Some(c) = chars.next() {
            if c != '\\' {
                out.push(c);
                continue;
            }
            while chars.next_if_eq(&'\\').is_some() {}
            if chars
                .next_if(|next| matches!(next, 'n' | 'r' | 't'))
                .is_some()
            {
                out.push('\n');
            }
        }
        if !chunk.invalid().is_empty() {
            out.push('?');
        }
    }
    out
}

fn block(label: String, body: &str) -> Block {
    let mut dek_info = None;
    let mut base64 = Zeroizing::new(String::with_capacity(body.len()));
    let mut words = body.split_whitespace();
    let mut known = true;
    // Headers are told by their names and not by their lines, which may have been lost.
    while let Some(word) = words.next() {
        match word {
            "Proc-Type:" => {
                words.next();
            }
            "DEK-Info:" => dek_info = words.next().map(ToOwned::to_owned),
            _ if word.ends_with(':') => known = false,
            _ => base64.push_str(word),
        }
    }
    let content = if known {
        decode(&base64)
    } else {
        Err(Damage::Header)
    };
    Block {
        label,
        dek_info,
        content,
    }
}

fn decode(base64: &str) -> Result<Zeroizing<Vec<u8>>, Damage> {
    let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(base64.len())]);
    let length = STANDARD
        .decode_slice(base64, &mut bytes)
        .map_err(|_| Damage::Base64)?;
    bytes.truncate(length);
    if bytes.is_empty() {
        return Err(Damage::Empty);
    }
    Ok(bytes)
}

/// One block with `content`.
pub(crate) fn encode(label: &str, content: &[u8]) -> Zeroizing<Vec<u8>> {
    let size = base64::encoded_len(content.len(), true).unwrap_or_default();
    let mut base64 = Zeroizing::new(vec![0; size]);
    let length = STANDARD
        .encode_slice(content, &mut base64)
        .unwrap_or_default();
    base64.truncate(length);
    let markers = 2 * (BEGIN.len() + label.len() + DASHES.len() + 2);
    let mut out = Zeroizing::new(Vec::with_capacity(size + size.div_ceil(LINE) + markers));
    out.extend_from_slice(format!("{BEGIN} {label}{DASHES}\n").as_bytes());
    for line in base64.chunks(LINE) {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.extend_from_slice(format!("{END} {label}{DASHES}\n").as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_all_sorts() {
        let text = b"\xef\xbb\xbfBag Attributes\r\n-----BEGIN A-----\r\nAQID\r\n-----END A-----\r\n\
            \xff\xfe -----BEGIN B C-----\\nAQ\\\\nID\\r\\n-----END B C-----\
            -----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00FF\n\nAQID\n\
            -----END RSA PRIVATE KEY-----\n-----BEGIN D-----\nAQID\n-----BEGIN E-----\n-----END E-----\n\
            -----BEGIN F-----\nAQ=D\n-----END F-----\n-----BEGIN G-----\nX: y\nAQID\n-----END G-----\n\
            -----BEGIN H-----\nAQID";
        let found: Vec<_> = blocks(text)
            .into_iter()
            .map(|b| (b.label, b.dek_info, b.content.map(|bytes| bytes.to_vec())))
            .collect();
        let bytes = || Ok(vec![1, 2, 3]);
        let name = str::to_owned;
        assert_eq!(
            found,
            [
                (name("A"), None, bytes()),
                (name("B C"), None, bytes()),
                (
                    name("RSA PRIVATE KEY"),
                    Some(name("AES-128-CBC,00FF")),
                    bytes()
                ),
                (name("D"), None, Err(Damage::NoEnd)),
                (name("E"), None, Err(Damage::Empty)),
                (name("F"), None, Err(Damage::Base64)),
                (name("G"), None, Err(Damage::Header)),
                (name("H"), None, Err(Damage::NoEnd)),
            ]
        );
        assert!(blocks(b"").is_empty() && blocks(b"-----BEGIN").is_empty());
    }

    #[test]
    fn what_is_encoded_can_be_decoded() {
        for length in [1, 47, 48, 49, 200] {
            let content = vec![7; length];
            let text = encode("X", &content);
            assert!(text.starts_with(b"-----BEGIN X-----\n"), "{length}");
            assert!(text.split(|b| *b == b'\n').all(|line| line.len() <= LINE));
            assert_eq!(*blocks(&text)[0].content.clone().unwrap(), content);
        }
    }
}
