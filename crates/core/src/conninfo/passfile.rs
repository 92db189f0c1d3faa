//! The passfile, `~/.pgpass`.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::path::Path;

use zeroize::Zeroizing;

use super::hosts::SOCKET_DIRECTORIES;
use crate::{Endpoint, Error, Secret, Stage, codes};

/// Far more than a passfile needs; it keeps a mistaken path from filling the memory.
const MAX_SIZE: u64 = 16 << 20;

/// The passwords in a passfile: lines of `host:port:database:user:password`.
///
/// In the first four fields, `*` matches everything, and a backslash takes the meaning from `:` and
/// `\`. The first line that matches decides.
///
/// ```
/// use pgreach_core::conninfo::Passfile;
///
/// let passfile = Passfile::parse("# comment\ndb:*:orders:app:secret\n")?;
/// let password = passfile.lookup("db", 5432, "orders", "app").unwrap();
/// assert_eq!(password.expose(), "secret");
/// assert!(passfile.lookup("db", 5432, "orders", "root").is_none());
/// # Ok::<(), pgreach_core::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Passfile {
    lines: Vec<Line>,
}

#[derive(Debug, Clone)]
struct Line {
    /// Host, port, database, user.
    fields: [Field; 4],
    password: Secret,
}

#[derive(Debug, Clone)]
enum Field {
    Any,
    Text(String),
}

impl Field {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Text(own) => own == text,
        }
    }
}

impl Passfile {
    /// Reads a passfile. It blocks.
    ///
    /// A `named` file must exist; a file at the default place need not, and is then `None`. The
    /// file must be a plain one that neither the group nor others may access (except on Windows);
    /// `/dev/null` counts as an empty file.
    ///
    /// # Errors
    /// [`codes::CONFIG_FILE`], naming the file, when it cannot be read, is not safe or has a line
    /// that is none.
    pub fn read(path: &Path, named: bool) -> Result<Option<Self>, Error> {
        let error = |what: &str| {
            Error::new(
                &codes::CONFIG_FILE,
                Stage::CONFIG,
                format!("passfile \"{}\" {what}", path.display()),
            )
        };
        if cfg!(unix) && path == Path::new("/dev/null") {
            return Ok(Some(Self::default()));
        }
        let unreadable =
            |cause: std::io::Error| error(&format!("cannot be read: {cause}")).with_source(cause);
        // Looked at before it is opened: opening a pipe would wait for a writer.
        let metadata = match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            // A home directory that this process may not enter has no file to use, as in libpq.
            Err(cause)
                if !named
                    && matches!(
                        cause.kind(),
                        ErrorKind::NotFound
                            | ErrorKind::NotADirectory
                            | ErrorKind::PermissionDenied
                    ) =>
            {
                return Ok(None);
            }
            Err(cause) => return Err(unreadable(cause)),
        };
        if !metadata.is_file() {
            return Err(error("is not a plain file"));
        }
        let mut file = File::open(path).map_err(unreadable)?;
        // And again on the open file, which nobody can exchange.
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(error("is not a plain file"));
        }
        if is_open_to_others(&metadata) {
            return Err(error("has group or world access").with_hint(format!(
                "chmod 600 \"{}\", and change the passwords in it if others may have read them",
                path.display()
            )));
        }
        if metadata.len() > MAX_SIZE {
            return Err(error("is too large"));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(
            usize::try_from(metadata.len()).unwrap_or(0) + 1,
        ));
        Read::by_ref(&mut file)
            .take(MAX_SIZE)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| error("is not UTF-8"))?;
        Self::parse(text)
            .map(Some)
            .map_err(|cause| cause.with_context(format!("passfile \"{}\"", path.display())))
    }

    /// Parses the text of a passfile.
    ///
    /// # Errors
    /// [`codes::CONFIG_FILE`], with the number of the line, when a line has fewer than five fields.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut lines = Vec::new();
        for (index, line) in text.split('\n').enumerate() {
            let line = line.trim_end_matches('\r');
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            lines.push(parse_line(line).ok_or_else(|| {
                Error::new(
                    &codes::CONFIG_FILE,
                    Stage::CONFIG,
                    format!("line {} has fewer than five fields", index + 1),
                )
                .with_hint("write host:port:database:user:password; begin a comment with #")
            })?);
        }
        Ok(Self { lines })
    }

    /// The password for a connection: of the first line that matches.
    ///
    /// `host` is the name, or the address when there is no name; an empty one, and each usual
    /// directory of Unix sockets, also matches `localhost`. An empty password is none.
    #[must_use]
    pub fn lookup(&self, host: &str, port: u16, dbname: &str, user: &str) -> Option<Secret> {
        if dbname.is_empty() || user.is_empty() {
            return None;
        }
        let is_local = host.is_empty() || SOCKET_DIRECTORIES.contains(&host);
        let port = port.to_string();
        self.lines
            .iter()
            .find(|line| {
                let [hosts, ports, dbnames, users] = &line.fields;
                (hosts.matches(host) || is_local && hosts.matches("localhost"))
                    && ports.matches(&port)
                    && dbnames.matches(dbname)
                    && users.matches(user)
            })
            .map(|line| line.password.clone())
            .filter(|password| !password.expose().is_empty())
    }

    /// The password for a connection to `endpoint`: [`lookup`](Self::lookup) with its host, or its
    /// address when it has no host.
    #[must_use]
    pub fn lookup_endpoint(&self, endpoint: &Endpoint, dbname: &str, user: &str) -> Option<Secret> {
        match endpoint.hostaddr() {
            Some(address) if endpoint.host().is_empty() => {
                self.lookup(&address.to_string(), endpoint.port(), dbname, user)
            }
            _ => self.lookup(endpoint.host(), endpoint.port(), dbname, user),
        }
    }
}

#[cfg(unix)]
fn is_open_to_others(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;

    metadata.mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Metadata) -> bool {
    false
}

fn parse_line(line: &str) -> Option<Line> {
    let mut rest = line;
    let mut field = || {
        let (raw, after) = split_field(rest);
        let field = if raw == "*" {
            Field::Any
        } else {
            Field::Text(unescape(raw).to_string())
        };
        rest = after?;
        Some(field)
    };
    let fields = [field()?, field()?, field()?, field()?];
    // libpq takes nothing after a further colon.
    let (password, _) = split_field(rest);
    Some(Line {
        fields,
        password: Secret::new(unescape(password).as_str()),
    })
}

/// The text up to the next colon that is not escaped, and what follows that colon.
fn split_field(text: &str) -> (&str, Option<&str>) {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ':' => return (&text[..at], Some(&text[at + 1..])),
            _ => {}
        }
    }
    (text, None)
}

fn unescape(raw: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(raw.len()));
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        // A backslash at the very end stands for itself, as in libpq.
        text.push(if c == '\\' {
            chars.next().unwrap_or(c)
        } else {
            c
        });
    }
    text
}
