//! The encryption of OpenSSL's old PEM files, which their `DEK-Info` line names.

use data_encoding::HEXUPPER_PERMISSIVE;
use pgreach_core::{Error, Secret};
use ssh_cipher::Cipher;
use zeroize::Zeroizing;

use super::problem::{invalid, name, passphrase_missing, passphrase_wrong, unsupported};

/// What `bytes` are, decrypted. A wrong passphrase is usually, but not always, told here: its
/// output must be a key, too.
pub(super) fn decrypt(
    bytes: &[u8],
    dek_info: &str,
    passphrase: Option<&Secret>,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (algorithm, iv) = dek_info.split_once(',').unwrap_or((dek_info, ""));
    let cipher = match algorithm {
        "AES-128-CBC" => Cipher::Aes128Cbc,
        "AES-192-CBC" => Cipher::Aes192Cbc,
        "AES-256-CBC" => Cipher::Aes256Cbc,
        "DES-EDE3-CBC" => Cipher::TdesCbc,
        other => {
            return Err(unsupported(format!(
                "the private key is encrypted with a cipher that is not supported ({})",
                name(other.as_bytes()).unwrap_or("unnamed")
            )));
        }
    };
    let damaged =
        || invalid("the private key is damaged: its DEK-Info line or its length is wrong");
    let (key_length, iv_length) = cipher.key_and_iv_size().ok_or_else(damaged)?;
    let iv = HEXUPPER_PERMISSIVE
        .decode(iv.as_bytes())
        .ok()
        .filter(|iv| iv.len() == iv_length)
        .ok_or_else(damaged)?;
    let block = cipher.block_size();
    if bytes.is_empty() || !bytes.len().is_multiple_of(block) {
        return Err(damaged());
    }
    let passphrase = passphrase.ok_or_else(passphrase_missing)?;
    let salt = iv.get(..8).ok_or_else(damaged)?;
    let key = derive(passphrase.expose().as_bytes(), salt, key_length);
    let mut out = Zeroizing::new(bytes.to_vec());
    cipher
        .decrypt(&key, &iv, &mut out, None)
        .map_err(|_| damaged())?;
    let length = unpadded(&out, block).ok_or_else(passphrase_wrong)?;
    out.truncate(length);
    Ok(out)
}

/// `EVP_BytesToKey` with MD5 and one round: weak, and what these files use.
fn derive(passphrase: &[u8], salt: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(length + 16));
    let mut last: Zeroizing<Option<[u8; 16]>> = Zeroizing::new(None);
    while key.len() < length {
        let mut md5 = md5::Context::new();
        if let Some(last) = last.as_ref() {
            md5.consume(last);
        }
        md5.consume(passphrase);
        md5.consume(salt);
        let digest = md5.finalize().0;
        key.extend_from_slice(&digest);
        *last = Some(digest);
    }
    key.truncate(length);
    key
}

/// The length without the padding: n bytes of the value n.
fn unpadded(bytes: &[u8], block: usize) -> Option<usize> {
    let padding = usize::from(*bytes.last()?);
    let (data, tail) = bytes.split_at_checked(bytes.len().checked_sub(padding)?)?;
    let fits = (1..=block).contains(&padding) && tail.iter().all(|b| usize::from(*b) == padding);
    fits.then_some(data.len())
}
