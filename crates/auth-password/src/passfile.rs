//! Passwords in libpq's passfile.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use pgreach_core::conninfo::{Conninfo, FileSetting, Passfile};
use pgreach_core::file::Reads;
use pgreach_core::{Credential, CredentialProvider, CredentialRequest, Endpoint, Error, Stage};

use crate::codes;

/// The password of the first line in a passfile (`~/.pgpass`) that matches the connection.
///
/// The file is read for every connection, and matched against the host's name (or its address, where
/// it has no name), the port, the database (the user's name, where none was given) and the user. A
/// connection that no line matches goes on without a password, as in libpq. Unlike libpq, which warns
/// and goes on, an unsafe or malformed file is an error.
///
/// A file on a mount that hangs holds one thread of tokio's pool for blocking calls until the mount
/// answers, and no more than one: a source and its clones read one at a time. The connections that
/// wait meanwhile end at their deadlines.
///
/// A server that refuses the password is not asked a second time: the file was read a moment before.
///
/// ```no_run
/// use pgreach_auth_password::PassfilePassword;
///
/// let standard = PassfilePassword::default();
/// let own = PassfilePassword::named("/etc/reporting/pgpass");
/// ```
#[derive(Debug, Clone)]
pub struct PassfilePassword {
    place: Option<Place>,
    user: Option<String>,
    reads: Reads,
}

#[derive(Debug, Clone)]
struct Place {
    path: PathBuf,
    named: bool,
}

impl PassfilePassword {
    /// The file at `path`, which must exist.
    #[must_use]
    pub fn named(path: impl Into<PathBuf>) -> Self {
        Self::at(Some(Place {
            path: path.into(),
            named: true,
        }))
    }

    /// The user to look for where the connector was given none, instead of the operating system's;
    /// the credential then names it.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    fn at(place: Option<Place>) -> Self {
        Self {
            place,
            user: None,
            reads: Reads::new(),
        }
    }

    /// Blocks on the file system.
    fn look_up(
        &self,
        endpoint: &Endpoint,
        database: Option<&str>,
        user: Option<String>,
        default_user: Option<String>,
    ) -> Result<Credential, Error> {
        let Some(place) = &self.place else {
            return Ok(Credential::none());
        };
        let Some(file) = Passfile::read(&place.path, place.named).map_err(as_credential_error)?
        else {
            return Ok(Credential::none());
        };
        let user = user
            .or_else(|| self.user.clone())
            .or(default_user)
            .unwrap_or_default();
        // As the session does it, whose user is the same one.
        let database = database.unwrap_or(&user);
        Ok(match file.lookup_endpoint(endpoint, database, &user) {
            Some(secret) => Credential::password(secret),
            None => Credential::none(),
        })
    }
}

/// The file that `PGPASSFILE` names, else the one at libpq's default place (`~/.pgpass`), which need
/// not exist.
impl Default for PassfilePassword {
    fn default() -> Self {
        let named = std::env::var_os("PGPASSFILE").filter(|path| !path.is_empty());
        if let Some(path) = named {
            return Self::named(path);
        }
        // Settings of nothing at all are always valid; without a home directory there is no place.
        let setting = Conninfo::new().settings().ok();
        Self::at(
            setting
                .and_then(|settings| settings.passfile)
                .map(Place::from),
        )
    }
}

/// The file of a connection string.
impl From<FileSetting> for PassfilePassword {
    fn from(setting: FileSetting) -> Self {
        Self::at(Some(Place::from(setting)))
    }
}

impl From<FileSetting> for Place {
    fn from(setting: FileSetting) -> Self {
        Self {
            path: setting.path,
            named: setting.named,
        }
    }
}

/// A file that is read while a connection is made belongs to the credential, not to the settings.
fn as_credential_error(error: Error) -> Error {
    Error::new(&codes::PASSFILE, Stage::CREDENTIAL, error.message()).with_hint(error.hint())
}

#[async_trait]
impl CredentialProvider for PassfilePassword {
    async fn credential(&self, request: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        let source = self.clone();
        let endpoint = request.endpoint.clone();
        let database = request.database.map(str::to_owned);
        let user = request.user.map(str::to_owned);
        let default_user = request.default_user.map(str::to_owned);
        // Home directories are often on network mounts, which can block for long.
        let credential = self
            .reads
            .run(move || source.look_up(&endpoint, database.as_deref(), user, default_user))
            .await
            .unwrap_or_else(|cause| {
                Err(Error::new(
                    &codes::PASSFILE,
                    Stage::CREDENTIAL,
                    "the read of the passfile was cut off",
                )
                .with_source(cause))
            })?;
        Ok(Arc::new(match &self.user {
            Some(user) => credential.with_user(user),
            None => credential,
        }))
    }

    fn invalidate(&self, _rejected: &Credential) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::blocking::with_the_only_thread_taken;

    #[test]
    fn one_read_at_a_time_is_under_way() {
        let source = PassfilePassword::named("/nonexistent/pgpass");
        let endpoint = Endpoint::tcp("db", 5432);
        let request = CredentialRequest::new(&endpoint, None, None);
        with_the_only_thread_taken(|| {
            for _ in 0..10 {
                // Dropped at once, as by a deadline.
                assert!(source.credential(&request).now_or_never().is_none());
            }
            assert_eq!(source.reads.holders(), 3, "ours, one read's, its permit's");
        });
    }
}
