//! The encryption of OpenSSL's old PEM files, which their `DEK-Info` line names.

use openssl::hash::MessageDigest;
use openssl::pkcs5;
use openssl::symm::{self, Cipher};
use pgreach_core::Error;
use zeroize::Zeroizing;

use crate::problem::{key_invalid, key_unsupported, passphrase_missing, passphrase_wrong};

const SALT: usize = 8;

/// What `bytes` are, decrypted. A wrong passphrase is usually, but not always, told here: its
/// output must be a key, too.
pub(super) fn decrypt(
    bytes: &[u8],
    dek_info: &str,
    passphrase: Option<&str>,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (algorithm, iv) = dek_info.split_once(',').unwrap_or((dek_info, ""));
    let cipher = match algorithm {
        "AES-128-CBC" => Cipher::aes_128_cbc(),
        "AES-192-CBC" => Cipher::aes_192_cbc(),
        "AES-256-CBC" => Cipher::aes_256_cbc(),
        "DES-EDE3-CBC" => Cipher::des_ede3_cbc(),
        _ => {
            return Err(key_unsupported(
                "the private key is encrypted with a cipher that is not supported (its DEK-Info line names it)",
                "convert it: openssl pkey -in old.key -aes256 -out new.key -provider legacy -provider default",
            ));
        }
    };
    let damaged =
        || key_invalid("the private key is damaged: its DEK-Info line or its length is wrong");
    let iv = hex(iv)
        .filter(|iv| Some(iv.len()) == cipher.iv_len())
        .ok_or_else(damaged)?;
    if bytes.is_empty() || !bytes.len().is_multiple_of(cipher.block_size()) {
        return Err(damaged());
    }
    let passphrase = passphrase.ok_or_else(passphrase_missing)?;
    let salt = iv.get(..SALT).ok_or_else(damaged)?;
    // `EVP_BytesToKey` with MD5 and one round: weak, and what these files use.
    let derived = pkcs5::bytes_to_key(
        cipher,
        MessageDigest::md5(),
        passphrase.as_bytes(),
        Some(salt),
        1,
    )
    .map_err(|_| {
        key_unsupported(
            "the private key is encrypted in a way that needs MD5, which the TLS library does not allow",
            "convert it on another machine: openssl pkcs8 -topk8 -in old.key -out new.key",
        )
    })?;
    let key = Zeroizing::new(derived.key);
    symm::decrypt(cipher, &key, Some(&iv), bytes)
        .map(Zeroizing::new)
        .map_err(|_| passphrase_wrong())
}

fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
