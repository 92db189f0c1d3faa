//! A password in a file that others rotate.

mod read;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use pgreach_core::file::{Permissions, Reads, Stamp};
use pgreach_core::{Credential, CredentialProvider, CredentialRequest, Error, Stage};

use crate::codes;

/// How long a file must have been left alone before its time stamps are proof that it is unchanged.
///
/// Time stamps are coarse: two writes within the same tick (milliseconds on local file systems, one
/// or two seconds on NFS and FAT) cannot be told apart. Git has the same problem with its index, and
/// the same answer.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// The password in a file, read again when the file changes.
///
/// The file holds the password alone, as UTF-8 text of at most 64 KiB; one newline at the end is not
/// part of it. Every call looks at the file's identity, size and time stamps, and reads the content
/// only when one of them is new, so a rotation is noticed by the next connection: written in place,
/// renamed over the old file, or reached by a symbolic link that was switched, as Kubernetes does.
/// A server that refuses the password makes the next call read in any case.
///
/// Rotate by writing a new file and renaming it: a file that is caught half-written is an error, or
/// a password that the server refuses.
///
/// A file on a mount that hangs holds one thread of tokio's pool for blocking calls until the mount
/// answers, and no more than one: a source and its clones read one at a time. The connections that
/// wait meanwhile end at their deadlines.
///
/// # Permissions
///
/// As libpq does with private keys, a file that others can read is refused: allowed are mode 0600
/// and less, and 0640 and less for a file of root. That fits files of systemd's `LoadCredential=`,
/// and Kubernetes secrets mounted with `defaultMode: 0400` (with an `fsGroup`, 0440). For secrets
/// that an orchestrator mounts with 0444 or 0644 there is
/// [`dangerous_allow_any_permissions`](Self::dangerous_allow_any_permissions).
///
/// ```no_run
/// use pgreach_auth_password::FilePassword;
///
/// let password = FilePassword::new("/run/credentials/app.service/db-password").with_user("app");
/// ```
#[derive(Debug, Clone)]
pub struct FilePassword {
    path: PathBuf,
    permissions: Permissions,
    user: Option<String>,
    cached: Arc<Mutex<Option<Cached>>>,
    reads: Reads,
}

#[derive(Debug)]
struct Cached {
    stamp: Stamp,
    credential: Arc<Credential>,
}

impl FilePassword {
    /// The password is the content of the file at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            permissions: Permissions::LikePrivateKey,
            user: None,
            cached: Arc::default(),
            reads: Reads::new(),
        }
    }

    /// The user that the password belongs to. A user given to the connector itself comes first.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        // What is cached names the user before, and may be shared with clones.
        self.cached = Arc::default();
        self
    }

    /// Reads the file whoever else can read it: every local user who may can then take the password.
    #[must_use]
    pub fn dangerous_allow_any_permissions(mut self) -> Self {
        self.permissions = Permissions::Any;
        self.cached = Arc::default();
        self
    }

    /// Blocks on the file system.
    fn load(&self) -> Result<Arc<Credential>, Error> {
        let now = SystemTime::now();
        let stamp = read::stamp(&self.path)?;
        if let Some(credential) = self.fresh(&stamp) {
            return Ok(credential);
        }
        let (stamp, secret) = read::read(&self.path, self.permissions)?;
        let credential = crate::password(secret, self.user.as_deref());
        *self.lock() = stamp.settled(now, SETTLED_AFTER).then(|| Cached {
            stamp,
            credential: Arc::clone(&credential),
        });
        Ok(credential)
    }

    fn fresh(&self, stamp: &Stamp) -> Option<Arc<Credential>> {
        self.lock()
            .as_ref()
            .filter(|cached| cached.stamp == *stamp)
            .map(|cached| Arc::clone(&cached.credential))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Cached>> {
        // The cache is replaced as a whole, so a panic elsewhere cannot leave it half-written.
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl CredentialProvider for FilePassword {
    async fn credential(&self, _: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        let source = self.clone();
        // Secrets are often on network or FUSE mounts, which can block for long.
        self.reads
            .run(move || source.load())
            .await
            .unwrap_or_else(|cause| {
                Err(Error::new(
                    &codes::PASSWORD_FILE,
                    Stage::CREDENTIAL,
                    format!(
                        "the read of password file {} was cut off",
                        self.path.display()
                    ),
                )
                .with_source(cause))
            })
    }

    /// Always true: the next call reads the file again. The connector does not try twice with the
    /// same password.
    fn invalidate(&self, _rejected: &Credential) -> bool {
        *self.lock() = None;
        true
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use pgreach_core::Endpoint;

    use super::*;
    use crate::blocking::with_the_only_thread_taken;

    #[test]
    fn one_read_at_a_time_is_under_way() {
        let source = FilePassword::new("/nonexistent/password");
        let endpoint = Endpoint::tcp("db", 5432);
        let request = CredentialRequest::new(&endpoint, Some("app"), None);
        with_the_only_thread_taken(|| {
            for _ in 0..10 {
                // Dropped at once, as by a deadline.
                assert!(source.credential(&request).now_or_never().is_none());
            }
            assert_eq!(Arc::strong_count(&source.cached), 2, "ours and one read's");
        });
    }
}
