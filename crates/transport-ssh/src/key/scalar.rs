//! The private number of ECDSA keys, at full length.

use zeroize::Zeroizing;

use super::openssh::{MAGIC, string};

/// The block of a file without encryption.
const BLOCK: usize = 8;
/// The largest block of any cipher.
const MAX_PADDING: usize = 16;

/// How long the private number of a key of this type is in full; `None` for other types.
pub(super) fn size(key_type: &[u8]) -> Option<usize> {
    match key_type {
        b"ecdsa-sha2-nistp256" => Some(32),
        b"ecdsa-sha2-nistp384" => Some(48),
        b"ecdsa-sha2-nistp521" => Some(66),
        _ => None,
    }
}

/// The key as an OpenSSH file without encryption, its number with zeros before it until it has `size`
/// bytes. `private` is the private part, decrypted. `None` if that cannot be read.
pub(super) fn padded(public: &[u8], private: &[u8], size: usize) -> Option<Zeroizing<Vec<u8>>> {
    let (check_numbers, mut rest) = private.split_first_chunk::<8>()?;
    let key_type = string(&mut rest)?;
    let curve = string(&mut rest)?;
    let point = string(&mut rest)?;
    let number = string(&mut rest)?;
    let comment = string(&mut rest)?;
    let is_padding = rest.len() <= MAX_PADDING
        && rest.iter().zip(1..).all(|(byte, n)| *byte == n)
        && private.len().is_multiple_of(BLOCK);
    if !is_padding {
        return None;
    }
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let number = number.get(zeros..)?;
    let mut full = Zeroizing::new(vec![0; size]);
    full.get_mut(size.checked_sub(number.len())?..)?
        .copy_from_slice(number);

    // Of full size from the start: a vector that grows leaves copies of the key behind.
    let room = private.len() + size + BLOCK;
    let mut section = Zeroizing::new(Vec::with_capacity(room));
    section.extend_from_slice(check_numbers);
    for part in [key_type, curve, point, &full, comment] {
        put(&mut section, part)?;
    }
    let padding = (BLOCK - section.len() % BLOCK) % BLOCK;
    section.extend((1_u8..).take(padding));

    let room = MAGIC.len() + public.len() + section.len() + 64;
    let mut whole = Zeroizing::new(Vec::with_capacity(room));
    whole.extend_from_slice(MAGIC);
    for part in [&b"none"[..], b"none", b""] {
        put(&mut whole, part)?;
    }
    whole.extend_from_slice(&1_u32.to_be_bytes());
    put(&mut whole, public)?;
    put(&mut whole, &section)?;
    Some(whole)
}

fn put(out: &mut Vec<u8>, part: &[u8]) -> Option<()> {
    out.extend_from_slice(&u32::try_from(part.len()).ok()?.to_be_bytes());
    out.extend_from_slice(part);
    Some(())
}
