//! What the rest of the crate, and the application, sees of host key policies.

mod certificates;
mod judging;
mod recording;
mod robustness;
mod settings;

use pgreach_core::{Code, Error};
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{PrivateKey, PublicKey, PublicKeyOrCertificate};

use super::{HostKeyPolicy, Trusted};

/// An Ed25519 key; another number is another key.
fn private(number: u8) -> PrivateKey {
    let pair = Ed25519Keypair::from_seed(&[number; 32]);
    PrivateKey::new(KeypairData::Ed25519(pair), "").unwrap()
}

fn public(number: u8) -> PublicKey {
    private(number).public_key().clone()
}

/// `ssh-ed25519 AAAA…`.
fn line(number: u8) -> String {
    public(number).to_openssh().unwrap().trim_end().to_owned()
}

fn fingerprint(number: u8) -> String {
    public(number).fingerprint(Default::default()).to_string()
}

fn ecdsa() -> PublicKey {
    ECDSA.parse().unwrap()
}

const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc=";

const SK: &str = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAICFo/k5LU8863u66YC9eUO2170QduohPURkQnbLa/dczAAAABHNzaDo=";

async fn check(
    policy: &HostKeyPolicy,
    host: &str,
    port: u16,
    key: impl Into<PublicKeyOrCertificate>,
) -> Result<Trusted, Error> {
    policy.load(host, port).await?.check(&key.into()).await
}

#[track_caller]
fn expect<T: std::fmt::Debug>(result: Result<T, Error>, code: &'static Code) -> Error {
    let error = result.unwrap_err();
    assert_eq!(error.code().name(), code.name(), "{error}");
    error
}
