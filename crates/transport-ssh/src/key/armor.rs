//! The text around a key: BEGIN and END lines, headers and base64, also as pasted into a form.

use data_encoding::BASE64;
use pgreach_core::Error;
use zeroize::Zeroizing;

use super::problem::{invalid, unsupported};
use super::recognise;

/// Longer than any key: RSA with 16384 bits has 13,000 bytes.
pub(super) const MAX_TEXT: usize = 1 << 20;

const BEGIN: &str = "-----BEGIN";
const END: &str = "-----END";
const DASHES: &str = "-----";

/// What the BEGIN line promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    OpenSsh,
    Pkcs8,
    EncryptedPkcs8,
    Rsa,
    Ec,
}

/// A key without its text form.
pub(super) struct Armor {
    pub(super) label: Label,
    /// The value of the DEK-Info header: cipher and initialisation vector.
    pub(super) dek_info: Option<String>,
    pub(super) bytes: Zeroizing<Vec<u8>>,
}

/// Takes the first private key out of `text`.
pub(super) fn read(text: &str) -> Result<Armor, Error> {
    if text.len() > MAX_TEXT {
        return Err(invalid("the text of the private key is too long"));
    }
    let text = unescaped(text);
    let Some((label, body)) = block(&text)? else {
        return Err(recognise::not_a_private_key(&text));
    };
    let label = match label.as_str() {
        "OPENSSH PRIVATE KEY" => Label::OpenSsh,
        "PRIVATE KEY" => Label::Pkcs8,
        "ENCRYPTED PRIVATE KEY" => Label::EncryptedPkcs8,
        "RSA PRIVATE KEY" => Label::Rsa,
        "EC PRIVATE KEY" => Label::Ec,
        "DSA PRIVATE KEY" => {
            return Err(unsupported("the private key is a DSA key (ssh-dss)"));
        }
        other => {
            return Err(unsupported(format!(
                "a private key of the form \"{other}\" is not supported"
            )));
        }
    };
    let (dek_info, base64) = fields(body)?;
    let bytes = decode(&base64)?;
    Ok(Armor {
        label,
        dek_info,
        bytes,
    })
}

/// With line ends for the two characters `\n` that environment variables, JSON and forms often hold
/// instead. No key has a backslash of its own.
fn unescaped(text: &str) -> Zeroizing<String> {
    // Never longer than the original: a string that grows leaves copies behind.
    let mut out = Zeroizing::new(String::with_capacity(text.len()));
    let mut chars = text.chars().peekable();
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
    out
}

/// The first block with a private key: its label and what is between BEGIN and END.
fn block(text: &str) -> Result<Option<(String, &str)>, Error> {
    let mut rest = text;
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
        if !label.ends_with("PRIVATE KEY") {
            continue;
        }
        let Some((body, _)) = body.split_once(END) else {
            return Err(invalid(
                "the private key is not whole: its END line is missing",
            ));
        };
        return Ok(Some((label, body)));
    }
    Ok(None)
}

/// The headers that matter, and the base64 without white space. Headers are told by their names and
/// not by their lines, which may have been lost.
fn fields(body: &str) -> Result<(Option<String>, Zeroizing<String>), Error> {
    let mut dek_info = None;
    let mut base64 = Zeroizing::new(String::with_capacity(body.len()));
    let mut words = body.split_whitespace();
    while let Some(word) = words.next() {
        match word {
            "Proc-Type:" => {
                words.next();
            }
            "DEK-Info:" => dek_info = words.next().map(ToOwned::to_owned),
            _ if word.ends_with(':') => {
                return Err(invalid("the private key has a header that is not known"));
            }
            _ => base64.push_str(word),
        }
    }
    Ok((dek_info, base64))
}

fn decode(base64: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let damaged =
        || invalid("the private key is damaged or not whole: between BEGIN and END is not base64");
    let length = BASE64.decode_len(base64.len()).map_err(|_| damaged())?;
    let mut bytes = Zeroizing::new(vec![0; length]);
    let length = BASE64
        .decode_mut(base64.as_bytes(), &mut bytes)
        .map_err(|_| damaged())?;
    bytes.truncate(length);
    if bytes.is_empty() {
        return Err(invalid("there is nothing between BEGIN and END"));
    }
    Ok(bytes)
}
