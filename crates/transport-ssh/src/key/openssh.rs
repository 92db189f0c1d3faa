//! OpenSSH's own format of private keys (`PROTOCOL.key`).

use pgreach_core::{Error, Secret};
use russh::keys::PrivateKey;
use russh::keys::ssh_key::{self, Cipher};
use ssh_cipher::Tag;
use zeroize::Zeroizing;

use super::problem::{invalid, name, passphrase_missing, passphrase_wrong, unsupported};
use super::scalar;

/// `ssh-keygen` writes 16 or 24 rounds, careful people a hundred; these are three seconds.
const MAX_ROUNDS: u32 = 500;

pub(super) const MAGIC: &[u8] = b"openssh-key-v1\0";

/// The key in `bytes`, decrypted.
pub(super) fn decode(bytes: &[u8], passphrase: Option<&Secret>) -> Result<PrivateKey, Error> {
    let head = Head::read(bytes).ok_or_else(damaged)??;
    if let Some(size) = scalar::size(head.key_type) {
        return ecdsa(bytes, &head, size, passphrase);
    }
    let key = PrivateKey::from_bytes(bytes).map_err(|_| damaged())?;
    if !key.is_encrypted() {
        return Ok(key);
    }
    let passphrase = passphrase.ok_or_else(passphrase_missing)?;
    key.decrypt(passphrase.expose()).map_err(undecrypted)
}

/// An ECDSA key. Its private number is brought to full length first: the parser refuses numbers of
/// less than 32 bytes, which is one key of 256 on P-256.
fn ecdsa(
    bytes: &[u8],
    head: &Head<'_>,
    size: usize,
    passphrase: Option<&Secret>,
) -> Result<PrivateKey, Error> {
    let private = if head.cipher.is_none() {
        if !head.is_plain || !head.rest.is_empty() {
            return Err(damaged());
        }
        Zeroizing::new(head.private.to_vec())
    } else {
        decrypted(bytes, head, passphrase)?
    };
    let whole = scalar::padded(head.public, &private, size).ok_or_else(damaged)?;
    PrivateKey::from_bytes(&whole).map_err(|_| damaged())
}

/// The private part of an encrypted key, if the passphrase is the right one.
fn decrypted(
    bytes: &[u8],
    head: &Head<'_>,
    passphrase: Option<&Secret>,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let key = PrivateKey::from_bytes(bytes).map_err(|_| damaged())?;
    let passphrase = passphrase.ok_or_else(passphrase_missing)?;
    let (secret, iv) = key
        .kdf()
        .derive_key_and_iv(head.cipher, passphrase.expose())
        .map_err(undecrypted)?;
    let tag: Option<[u8; 16]> = head.rest.try_into().ok();
    let mut private = Zeroizing::new(head.private.to_vec());
    head.cipher
        .decrypt(&secret, &iv, &mut private, tag.map(Tag::from))
        .map_err(|error| undecrypted(error.into()))?;
    match private.first_chunk::<8>() {
        Some([a, b, c, d, e, f, g, h]) if [a, b, c, d] == [e, f, g, h] => Ok(private),
        Some(_) => Err(passphrase_wrong()),
        None => Err(damaged()),
    }
}

fn undecrypted(error: ssh_key::Error) -> Error {
    match error {
        // Of a wrong passphrase's output the two check numbers differ, or the tag does not fit.
        ssh_key::Error::Crypto => passphrase_wrong(),
        _ => damaged(),
    }
}

fn damaged() -> Error {
    invalid("the private key is damaged: what is between BEGIN and END is no OpenSSH key")
}

/// The parts of the file.
struct Head<'a> {
    cipher: Cipher,
    /// Whether no function makes a key of a passphrase.
    is_plain: bool,
    public: &'a [u8],
    key_type: &'a [u8],
    private: &'a [u8],
    /// The tag, with some ciphers.
    rest: &'a [u8],
}

impl<'a> Head<'a> {
    /// Looks at what stands before the private part, in the clear, and refuses what must not be begun:
    /// rounds without end, and key types whose parser recurses (a certificate's does). `None` if it
    /// cannot be read.
    fn read(bytes: &'a [u8]) -> Option<Result<Self, Error>> {
        let mut rest = bytes.strip_prefix(MAGIC)?;
        let cipher_name = string(&mut rest)?;
        let kdf = string(&mut rest)?;
        let mut options = string(&mut rest)?;
        let keys = number(&mut rest)?;
        let public = string(&mut rest)?;
        let key_type = string(&mut { public })?;

        let Some(cipher) = name(cipher_name).and_then(|name| Cipher::new(name).ok()) else {
            return Some(Err(unsupported(format!(
                "the private key is encrypted with a cipher that is not supported ({})",
                name(cipher_name).unwrap_or("unnamed")
            ))));
        };
        match kdf {
            b"none" => {}
            b"bcrypt" => {
                string(&mut options)?;
                let rounds = number(&mut options)?;
                if rounds > MAX_ROUNDS {
                    return Some(Err(unsupported(format!(
                        "the private key is encrypted with {rounds} rounds of bcrypt, more than \
                         the {MAX_ROUNDS} that are accepted"
                    ))));
                }
            }
            other => {
                return Some(Err(unsupported(format!(
                    "the private key is encrypted by means of a function that is not supported \
                     ({})",
                    name(other).unwrap_or("unnamed")
                ))));
            }
        }
        if keys != 1 {
            return Some(Err(unsupported(format!(
                "the file holds {keys} private keys instead of one"
            ))));
        }
        if let Err(error) = super::check::key_type(key_type) {
            return Some(Err(error));
        }
        let private = string(&mut rest)?;
        Some(Ok(Self {
            cipher,
            is_plain: kdf == b"none",
            public,
            key_type,
            private,
            rest,
        }))
    }
}

pub(super) fn number(rest: &mut &[u8]) -> Option<u32> {
    let (number, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_be_bytes(*number))
}

pub(super) fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(rest)?).ok()?;
    let (string, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(string)
}
