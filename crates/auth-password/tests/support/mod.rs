//! What the tests of this crate share.

#![allow(dead_code, reason = "each test program uses a part")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pgreach_core::{Credential, CredentialProvider, CredentialRequest, Endpoint, Error};

/// A secret that must not turn up anywhere.
pub(crate) const MARKER: &str = "m4rker-s3cret";

pub(crate) async fn ask(source: &dyn CredentialProvider) -> Result<Arc<Credential>, Error> {
    let endpoint = Endpoint::tcp("db.example", 5432);
    source
        .credential(&CredentialRequest::new(&endpoint, Some("app"), None))
        .await
}

pub(crate) fn text(credential: &Credential) -> &str {
    credential.secret().map_or("", |secret| secret.expose())
}

/// Writes a file that only this user can read.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).unwrap();
    file.write_all(content.as_ref()).unwrap();
}

/// Asks until `done` is true; fails after ten seconds.
pub(crate) async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !done().await {
        assert!(began.elapsed() < Duration::from_secs(10), "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
