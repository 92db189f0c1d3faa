//! Signing with a key of ours.

use std::sync::Arc;

use pgreach_core::Error;
use russh::keys::agent::AgentIdentity;
use russh::keys::{HashAlg, PrivateKey};

use crate::{SSH_AUTH, codes};

/// Signs with a key of ours; for certificates, whose RSA signatures russh would make with SHA-1.
pub(super) struct Local(pub(super) Arc<PrivateKey>);

pub(super) enum Unsigned {
    Lost,
    Key(russh::keys::Error),
}

impl From<russh::SendError> for Unsigned {
    fn from(_: russh::SendError) -> Self {
        Self::Lost
    }
}

impl russh::Signer for Local {
    type Error = Unsigned;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        mut to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, Unsigned> {
        let signature = sign(&self.0, hash, &to_sign).map_err(Unsigned::Key)?;
        to_sign.extend_from_slice(&signature);
        Ok(to_sign)
    }
}

/// A signature as the protocol wants it: a string that holds the algorithm and the signature.
fn sign(
    key: &PrivateKey,
    hash: Option<HashAlg>,
    data: &[u8],
) -> Result<Vec<u8>, russh::keys::Error> {
    use russh::keys::signature::Signer;
    use russh::keys::ssh_encoding::Encode;
    use russh::keys::ssh_key::Signature;
    use russh::keys::ssh_key::private::KeypairData;

    let signed: Result<Signature, _> = match key.key_data() {
        KeypairData::Rsa(rsa) => (rsa, hash).try_sign(data),
        other => other.try_sign(data),
    };
    let mut out = Vec::new();
    signed
        .map_err(russh::keys::ssh_key::Error::from)?
        .encode_prefixed(&mut out)?;
    Ok(out)
}

pub(super) fn unsigned(error: &russh::keys::Error) -> Error {
    let message = format!("the key could not sign: {error}");
    Error::new(&codes::SSH_KEY_UNSUPPORTED, SSH_AUTH, message)
}
