//! PKCS#12's own key derivation.
//!
//! Source: RFC 7292, appendix B.

use openssl::error::ErrorStack;
use openssl::hash::{Hasher, MessageDigest};
use zeroize::Zeroizing;

/// What the key is for.
#[derive(Debug, Clone, Copy)]
pub(in crate::library) enum Purpose {
    Key = 1,
    Iv = 2,
    Mac = 3,
}

/// A passphrase as PKCS#12 takes it: big-endian UTF-16 with a zero at its end.
pub(in crate::library) fn wide(passphrase: &str) -> Zeroizing<Vec<u8>> {
    let units = passphrase.encode_utf16().chain([0]);
    // Of full size from the start: a vector that grows leaves copies of the secret behind.
    let mut wide = Zeroizing::new(Vec::with_capacity(2 * (passphrase.len() + 1)));
    for unit in units {
        wide.extend_from_slice(&unit.to_be_bytes());
    }
    wide
}

/// `length` bytes for `purpose`.
pub(in crate::library) fn derive(
    digest: MessageDigest,
    passphrase: &[u8],
    salt: &[u8],
    purpose: Purpose,
    iterations: usize,
    length: usize,
) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
    let block = digest.block_size();
    let diversifier = vec![purpose as u8; block];
    let filled = |bytes: &[u8]| bytes.len().div_ceil(block) * block;
    let mut input = Zeroizing::new(Vec::with_capacity(filled(salt) + filled(passphrase)));
    for bytes in [salt, passphrase] {
        input.extend(bytes.iter().cycle().take(filled(bytes)));
    }
    let mut hasher = Hasher::new(digest)?;
    let mut out = Zeroizing::new(Vec::with_capacity(length + digest.size()));
    loop {
        hasher.update(&diversifier)?;
        hasher.update(&input)?;
        let mut hash = hasher.finish()?;
        for _ in 1..iterations {
            hasher.update(&hash)?;
            hash = hasher.finish()?;
        }
        out.extend_from_slice(&hash);
        if out.len() >= length {
            out.truncate(length);
            return Ok(out);
        }
        for part in input.chunks_mut(block) {
            add_with_one(part, &hash);
        }
    }
}

/// Adds `addend`, repeated to the length of `number`, and one, to a big-endian number.
fn add_with_one(number: &mut [u8], addend: &[u8]) {
    let length = number.len();
    let repeated: Vec<u8> = addend.iter().copied().cycle().take(length).collect();
    let mut carry = 1;
    for (digit, plus) in number.iter_mut().zip(&repeated).rev() {
        let sum = u16::from(*digit) + u16::from(*plus) + carry;
        let [high, low] = sum.to_be_bytes();
        *digit = low;
        carry = u16::from(high);
    }
}
