//! The environment: variables, the home directory and the user's name.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Keyword;
use super::string::{Conninfo, Origin};
use crate::{Error, Stage, codes};

/// Where variables, the home directory and the user's name are looked up.
///
/// A server that serves several people gives its own instead of the process':
///
/// ```
/// use pgreach_core::conninfo::{Conninfo, Environment, Keyword};
///
/// let environment = Environment::empty().with_var("PGHOST", "db");
/// let mut conninfo = Conninfo::new();
/// conninfo.merge_environment(&environment)?;
/// assert_eq!(conninfo.get(Keyword::Host), Some("db"));
/// # Ok::<(), pgreach_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Environment {
    process: bool,
    vars: BTreeMap<String, Zeroizing<String>>,
    home: Option<PathBuf>,
    user: Option<String>,
}

/// Variables without a keyword, and the server setting of each, as in libpq.
const SESSION: [(&str, &str); 3] = [
    ("PGDATESTYLE", "datestyle"),
    ("PGTZ", "timezone"),
    ("PGGEQO", "geqo"),
];

impl Environment {
    /// The environment of this process.
    #[must_use]
    pub fn process() -> Self {
        let user = whoami::username().ok();
        Self {
            process: true,
            vars: BTreeMap::new(),
            home: std::env::home_dir()
                .filter(|home| !home.as_os_str().is_empty())
                .or_else(|| home_of(user.as_deref()?)),
            // Of the account, not of variables: those can be left over from before an su.
            user,
        }
    }

    /// No variables, no home directory, no user.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            process: false,
            vars: BTreeMap::new(),
            home: None,
            user: None,
        }
    }

    /// Sets a variable, in place of the process' one.
    #[must_use]
    pub fn with_var(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.vars.insert(name.into(), Zeroizing::new(value.into()));
        self
    }

    /// Sets the home directory, where the default files are.
    #[must_use]
    pub fn with_home(mut self, home: impl Into<PathBuf>) -> Self {
        self.home = Some(home.into());
        self
    }

    /// Sets the operating system's user name, the default for `user`.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The home directory.
    #[must_use]
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The operating system's user name.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The file at libpq's default place: `name` in the home directory, and on Windows
    /// `windows_name` in `%APPDATA%\postgresql`.
    pub(super) fn default_file(&self, name: &str, windows_name: &str) -> Option<PathBuf> {
        if cfg!(windows) {
            let folder = match self.vars.get("APPDATA") {
                Some(folder) => PathBuf::from(folder.as_str()),
                None if self.process => PathBuf::from(non_empty("APPDATA")?),
                None => return None,
            };
            Some(folder.join("postgresql").join(windows_name))
        } else {
            Some(self.home.as_ref()?.join(name))
        }
    }

    pub(super) fn var(&self, name: &str) -> Result<Option<Zeroizing<String>>, Error> {
        if let Some(value) = self.vars.get(name) {
            return Ok(Some(value.clone()));
        }
        if !self.process {
            return Ok(None);
        }
        match std::env::var_os(name).map(OsString::into_string) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(Zeroizing::new(value))),
            Some(Err(_)) => Err(Error::new(
                &codes::CONFIG_INVALID,
                Stage::CONFIG,
                format!("environment variable {name} is not UTF-8"),
            )),
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("process", &self.process)
            .field("vars", &self.vars.keys().collect::<Vec<_>>())
            .field("home", &self.home)
            .field("user", &self.user)
            .finish()
    }
}

impl Conninfo {
    /// Adds what the environment supplies for keywords that are not given (`PGHOST` for `host`).
    ///
    /// A variable that is set to an empty text counts, as in libpq.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) when a variable is not UTF-8.
    pub fn merge_environment(&mut self, environment: &Environment) -> Result<(), Error> {
        for keyword in Keyword::ALL {
            let Some(variable) = keyword.env() else {
                continue;
            };
            if self.entry(*keyword).is_some() {
                continue;
            }
            if let Some(value) = environment.var(variable)? {
                // A service that was looked up by its variable is not looked up again.
                let merged = self.service_merged;
                self.put(*keyword, value, Origin::Environment(variable));
                if *keyword == Keyword::Service {
                    self.service_merged = merged;
                }
            }
        }
        // Obsolete; libpq reads it after PGSSLMODE, and takes only what begins with 1.
        if self.entry(Keyword::SslMode).is_none()
            && environment
                .var("PGREQUIRESSL")?
                .is_some_and(|value| value.starts_with('1'))
        {
            let mode = Zeroizing::new("require".to_owned());
            self.put(Keyword::SslMode, mode, Origin::Environment("PGREQUIRESSL"));
        }
        for (variable, parameter) in SESSION {
            if let Some(value) = environment.var(variable)?
                && !value.eq_ignore_ascii_case("default")
            {
                self.session_parameters
                    .retain(|(name, _)| name != parameter);
                self.session_parameters
                    .push((parameter.to_owned(), value.to_string()));
            }
        }
        Ok(())
    }
}

fn non_empty(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The home directory of the account, for when `HOME` is set and empty: libpq then asks the system,
/// and without one its root certificates would silently not be used.
fn home_of(user: &str) -> Option<PathBuf> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut lines = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let fields = lines.find(|fields| fields.first() == Some(&user))?;
    fields
        .get(5)
        .map(PathBuf::from)
        .filter(|home| home.is_absolute())
}
