//! RSA keys, and the tokens they sign.

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde_json::{Map, Value};

use crate::Error;
use crate::ssh::{KeyFormat, SshKeyType, SshKeypair};

/// What a token says: the names of its claims and their values.
pub type Claims = Map<String, Value>;

/// A key with what is published of it.
pub(super) struct SigningKey {
    pem: String,
    encoding: EncodingKey,
    verifying: DecodingKey,
    jwk: Jwk,
    id: String,
}

impl SigningKey {
    /// Makes a key of 2048 bits, with `ssh-keygen`: the library behind [`crate::pki`] makes no RSA
    /// keys.
    pub(super) fn generate() -> Result<Self, Error> {
        let pair = SshKeypair::builder(SshKeyType::Rsa)
            .with_format(KeyFormat::Pkcs8)
            .generate()?;
        let pem = pair.private_pem()?;
        let encoding = EncodingKey::from_rsa_pem(pem.as_bytes()).map_err(failed)?;
        let mut jwk = Jwk::from_encoding_key(&encoding, Algorithm::RS256).map_err(failed)?;
        let verifying = DecodingKey::from_jwk(&jwk).map_err(failed)?;
        let id = identifier().replace('-', "");
        jwk.common.key_id = Some(id.clone());
        Ok(Self {
            pem,
            encoding,
            verifying,
            jwk,
            id,
        })
    }

    /// The private key as PKCS#8.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// What verifies the key's signatures.
    pub(super) fn verifying(&self) -> &DecodingKey {
        &self.verifying
    }

    /// The public key as a JSON Web Key.
    pub(super) fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// Signs with RS256 and names the key in the header.
    pub(super) fn sign(&self, claims: &Claims) -> Result<String, Error> {
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(self.id.clone());
        // Azure's tokens of version 1 name the key under both names.
        header.x5t = Some(self.id.clone());
        self.sign_under(&header, claims)
    }

    /// Signs under a header that the caller made.
    pub(super) fn sign_under(&self, header: &Header, claims: &Claims) -> Result<String, Error> {
        encode(header, claims, &self.encoding).map_err(failed)
    }
}

/// The claims of a token whose signature this key made; nothing else of it is verified.
pub(super) fn verified(token: &str, key: &DecodingKey, algorithms: &[Algorithm]) -> Option<Claims> {
    let mut validation = Validation::new(Algorithm::RS256);
    validation.algorithms = algorithms.to_vec();
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    decode(token, key, &validation)
        .ok()
        .map(|token| token.claims)
}

/// The claims of anything that has the form of a token, whoever signed it.
pub(super) fn unverified(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let claims = BASE64URL_NOPAD.decode(claims.as_bytes()).ok()?;
    serde_json::from_slice(&claims).ok()
}

/// A claim that is a text; empty where there is none.
pub(super) fn text<'a>(claims: &'a Claims, name: &str) -> &'a str {
    claims.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A claim that is a time in seconds since 1970.
pub(super) fn seconds(claims: &Claims, name: &str) -> Option<i64> {
    claims.get(name).and_then(Value::as_i64)
}

/// Now, in seconds since 1970.
pub(super) fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

/// A random identifier in the form that Azure gives to everything. Not meant to be hard to guess.
pub(super) fn identifier() -> String {
    let number = random();
    // Version 4, variant 1.
    let number = number & !(0xf << 76) | (4 << 76);
    let number = number & !(0b11 << 62) | (0b10 << 62);
    let hex = format!("{number:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
    [
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32),
    ]
    .join("-")
}

/// The standard library's only source of randomness is the keys of its hash maps.
fn random() -> u128 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let half = || u128::from(RandomState::new().build_hasher().finish());
    half() << 64 | half()
}

fn failed(error: jsonwebtoken::errors::Error) -> Error {
    Error::Token(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_of_version_4_and_differ() {
        let (one, other) = (identifier(), identifier());
        assert_ne!(one, other);
        let lengths: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{one}");
        assert_eq!(one.as_bytes()[14], b'4', "{one}");
        assert!(b"89ab".contains(&one.as_bytes()[19]), "{one}");
    }

    #[test]
    fn a_token_is_verified_by_its_own_key_only() {
        let (key, other) = (
            SigningKey::generate().unwrap(),
            SigningKey::generate().unwrap(),
        );
        let mut claims = Claims::new();
        claims.insert("sub".into(), "me".into());
        let token = key.sign(&claims).unwrap();
        let by = |key: &SigningKey| verified(&token, key.verifying(), &[Algorithm::RS256]);
        assert_eq!(by(&key), Some(claims.clone()));
        assert_eq!(by(&other), None);
        assert_eq!(unverified(&token), Some(claims));
        assert_eq!(unverified("no token"), None);
        assert_eq!(unverified(&format!("{token}.x")), None);
    }
}
