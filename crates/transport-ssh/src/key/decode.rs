//! From text to key.

use pgreach_core::{Error, Secret};
use russh::keys::PrivateKey;
use zeroize::Zeroizing;

use super::armor::{self, Armor, Label};
use super::problem::passphrase_wrong;
use super::{check, der, legacy, openssh};
use crate::codes;

/// The key in `text`, decrypted and checked.
pub(super) fn decode(text: &str, passphrase: Option<&Secret>) -> Result<PrivateKey, Error> {
    // No key can be encrypted with an empty passphrase: a form that was left empty means none.
    let passphrase = passphrase.filter(|passphrase| !passphrase.expose().is_empty());
    let key = parse(armor::read(text)?, passphrase)?;
    check::key(&key)?;
    Ok(key)
}

fn parse(armor: Armor, passphrase: Option<&Secret>) -> Result<PrivateKey, Error> {
    let Armor {
        label,
        dek_info,
        bytes,
    } = armor;
    match label {
        Label::OpenSsh => openssh::decode(&bytes, passphrase),
        Label::Pkcs8 => der::pkcs8(&bytes),
        Label::EncryptedPkcs8 => der::encrypted_pkcs8(&bytes, passphrase),
        Label::Rsa => old(&bytes, dek_info, passphrase, der::rsa),
        Label::Ec => old(&bytes, dek_info, passphrase, der::ec),
    }
}

fn old(
    bytes: &Zeroizing<Vec<u8>>,
    dek_info: Option<String>,
    passphrase: Option<&Secret>,
    parse: fn(&[u8]) -> Result<PrivateKey, Error>,
) -> Result<PrivateKey, Error> {
    let Some(dek_info) = dek_info else {
        return parse(bytes);
    };
    let decrypted = legacy::decrypt(bytes, &dek_info, passphrase)?;
    parse(&decrypted).map_err(|error| {
        // One wrong passphrase of 256 leaves a valid padding, and then nonsense.
        if error.code().name() == codes::SSH_KEY_INVALID.name() {
            passphrase_wrong()
        } else {
            error
        }
    })
}
