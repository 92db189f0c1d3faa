//! Base64 as OpenSSH reads and writes it.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What C's `isspace` says: OpenSSH skips it anywhere, and so reads files with CR LF.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

fn value(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

/// Decodes padded base64. White space counts for nothing; the bits that the padding leaves over must
/// be zero.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let mut padding = 0;
    let (mut bits, mut digits) = (0_u32, 0);
    for &byte in text.iter().filter(|byte| !is_space(**byte)) {
        if byte == b'=' {
            padding += 1;
            continue;
        }
        if padding > 0 {
            return None;
        }
        bits = bits << 6 | value(byte)?;
        digits += 1;
        if digits == 4 {
            bytes.extend_from_slice(bits.to_be_bytes().get(1..)?);
            (bits, digits) = (0, 0);
        }
    }
    match (digits, padding) {
        (0, 0) => {}
        (2, 2) if bits & 0xf == 0 => bytes.push(u8::try_from(bits >> 4).ok()?),
        (3, 1) if bits & 3 == 0 => bytes.extend_from_slice((bits >> 2).to_be_bytes().get(2..)?),
        _ => return None,
    }
    Some(bytes)
}

/// Encodes, with padding.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .chain(&[0, 0])
            .take(3)
            .fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        for digit in 0..4 {
            text.push(if digit <= chunk.len() {
                char::from(ALPHABET[bits >> (18 - 6 * digit) & 0x3f])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut bytes = Vec::new();
        for n in 0..200_u8 {
            let text = encode(&bytes);
            assert_eq!(text.len() % 4, 0);
            assert_eq!(decode(text.as_bytes()).as_ref(), Some(&bytes), "{text}");
            bytes.push(n.wrapping_mul(167));
        }
        assert_eq!(encode(b"any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw==");
    }

    #[test]
    fn what_openssh_reads() {
        let cases: &[(&[u8], Option<&[u8]>)] = &[
            (b"", Some(b"")),
            (b"YWJj", Some(b"abc")),
            (b"Y WJ\tj\r", Some(b"abc")),
            (b"YWI=", Some(b"ab")),
            (b"YWI =\r", Some(b"ab")),
            (b"YQ==", Some(b"a")),
            (b"YQ= =", Some(b"a")),
            // Bits left over, padding missing, too much or not at the end, other characters.
            (b"YWJ=", None),
            (b"YR==", None),
            (b"YWI", None),
            (b"YQ", None),
            (b"YQ=", None),
            (b"Y", None),
            (b"Y===", None),
            (b"YWI==", None),
            (b"YWJj=", None),
            (b"=", None),
            (b"YQ==YQ==", None),
            (b"YW-j", None),
            (b"YWJ\xff", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(decode(text).as_deref(), *bytes, "{text:?}");
        }
    }
}
