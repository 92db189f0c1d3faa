//! Archives of a document that are in files.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pgreach_core::file::{self, Permissions, Reads};
use pgreach_core::{
    Credential, CredentialProvider, CredentialRequest, Error, Secret, Stage, codes,
};
use zeroize::Zeroizing;

/// As large as an archive with a key and a chain can be, with room to spare.
const MAX_LEN: usize = 1 << 20;

/// A file of bytes as a secret: their base64. It is read for each new connection.
#[derive(Debug)]
pub(super) struct ArchiveFile {
    path: PathBuf,
    reads: Reads,
}

impl ArchiveFile {
    pub(super) fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            reads: Reads::new(),
        }
    }

    fn unreadable(&self, why: impl std::fmt::Display) -> Error {
        let message = format!("file \"{}\": {why}", self.path.display());
        Error::new(&codes::CONFIG_FILE, Stage::CREDENTIAL, message)
    }
}

#[async_trait]
impl CredentialProvider for ArchiveFile {
    async fn credential(&self, _: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        let path = self.path.clone();
        let read = move || file::read(&path, MAX_LEN, Permissions::LikePrivateKey);
        let (_, bytes) = self
            .reads
            .run(read)
            .await
            .map_err(|cut_off| self.unreadable(cut_off))?
            .map_err(|error| self.unreadable(error))?;
        let text = Zeroizing::new(STANDARD.encode(&bytes));
        Ok(Arc::new(Credential::password(Secret::new(text.as_str()))))
    }
}
