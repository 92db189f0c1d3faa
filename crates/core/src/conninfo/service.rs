//! Service files.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::keyword_value::is_space;
use super::string::{Conninfo, Origin, looks_like_keyword};
use super::{Environment, Keyword};
use crate::{Error, Stage, codes};

/// Far more than a service file needs; it keeps a device file from filling the memory.
const MAX_SIZE: u64 = 4 << 20;

impl Conninfo {
    /// Adds what the service that `service` or `PGSERVICE` names supplies for keywords that are not
    /// given. What came from the environment is replaced: a service precedes it.
    ///
    /// The service is looked for in the file that `PGSERVICEFILE` names, or else in
    /// `~/.pg_service.conf` (`%APPDATA%\postgresql\.pg_service.conf` on Windows), and then in
    /// `pg_service.conf` in the directory that `PGSYSCONFDIR` names. It reads files, and so blocks.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) when the service is in none of them, or when
    /// a file cannot be read or understood; the message names the file and the line.
    pub fn merge_service(&mut self, environment: &Environment) -> Result<(), Error> {
        let service = match self.entry(Keyword::Service) {
            Some(entry) => entry.value.to_string(),
            None => match environment.var("PGSERVICE")? {
                Some(value) => {
                    let service = value.to_string();
                    self.put(Keyword::Service, value, Origin::Environment("PGSERVICE"));
                    service
                }
                None => return Ok(()),
            },
        };
        let files = candidates(environment)?;
        for file in &files {
            let text = read(file)?;
            if self.merge_section(&text, file, &service)? {
                self.service_merged = true;
                return Ok(());
            }
        }
        let files: Vec<_> = files
            .iter()
            .map(|file| format!("\"{}\"", file.display()))
            .collect();
        let place = if files.is_empty() {
            "there is no service file".to_owned()
        } else {
            format!("it is not in {}", files.join(" or "))
        };
        Err(Error::new(
            &codes::CONFIG_MISSING,
            Stage::CONFIG,
            format!("definition of service \"{service}\" not found: {place}"),
        )
        .with_hint("add the service to ~/.pg_service.conf, or name its file in PGSERVICEFILE"))
    }

    /// Adds the keywords of the section `service`. Returns whether there is one.
    fn merge_section(&mut self, text: &str, file: &Path, service: &str) -> Result<bool, Error> {
        let mut found = false;
        for (index, line) in text.split('\n').enumerate() {
            let line = line.trim_matches(is_space);
            let place = Place {
                file,
                line: index + 1,
            };
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(header) = line.strip_prefix('[') {
                if found {
                    break;
                }
                if !header.contains(']') {
                    return Err(
                        place.error(&codes::CONFIG_FILE, "missing \"]\" in a section header")
                    );
                }
                // As in libpq, what follows the bracket does not matter.
                found = header
                    .strip_prefix(service)
                    .is_some_and(|after| after.starts_with(']'));
            } else if found {
                self.merge_line(line, &place)?;
            }
        }
        Ok(found)
    }

    fn merge_line(&mut self, line: &str, place: &Place<'_>) -> Result<(), Error> {
        if line.starts_with("ldap:") || line.starts_with("ldaps:") {
            return Err(place.error(
                &codes::CONFIG_UNSUPPORTED,
                "ldap lookup of a service is not supported",
            ));
        }
        let (name, value) = line.split_once('=').ok_or_else(|| {
            place.error(&codes::CONFIG_FILE, "missing \"=\"; write keyword=value")
        })?;
        let Some(keyword) = Keyword::find(name) else {
            let trimmed = name.trim_matches(is_space);
            return Err(if Keyword::find(trimmed).is_some() {
                place
                    .error(&codes::CONFIG_FILE, format!("space after \"{trimmed}\""))
                    .with_hint("write keyword=value without spaces around the equals sign")
            } else if looks_like_keyword(name) {
                place.explain(super::keyword::unknown(name))
            } else {
                place.error(&codes::CONFIG_UNKNOWN, "unknown keyword")
            });
        };
        if keyword == Keyword::Service {
            return Err(place.error(
                &codes::CONFIG_UNSUPPORTED,
                "nested service specifications are not supported",
            ));
        }
        // What is given precedes the service, and the first line of a section the later ones.
        let free = self
            .entry(keyword)
            .is_none_or(|entry| matches!(entry.origin, Origin::Environment(_)));
        if free {
            self.put(keyword, Zeroizing::new(value.to_owned()), place.origin());
        }
        Ok(())
    }
}

/// The files to look into. The one that is named must exist, the others need not.
fn candidates(environment: &Environment) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    match environment.var("PGSERVICEFILE")? {
        Some(file) => files.push(PathBuf::from(file.as_str())),
        None => files.extend(
            environment
                .default_file(".pg_service.conf", ".pg_service.conf")
                .filter(|file| file.exists()),
        ),
    }
    if let Some(directory) = environment.var("PGSYSCONFDIR")? {
        let file = Path::new(directory.as_str()).join("pg_service.conf");
        files.extend(Some(file).filter(|file| file.exists()));
    }
    Ok(files)
}

fn read(file: &Path) -> Result<Zeroizing<String>, Error> {
    let error = |what: &str| {
        Error::new(
            &codes::CONFIG_FILE,
            Stage::CONFIG,
            format!("service file \"{}\" {what}", file.display()),
        )
    };
    let read = || {
        let mut bytes = Zeroizing::new(Vec::new());
        // Looked at before it is opened: opening a pipe would wait for a writer.
        if !std::fs::metadata(file)?.is_file() {
            return Err(std::io::Error::other("not a plain file"));
        }
        let opened = File::open(file)?;
        let size = opened.metadata()?.len().min(MAX_SIZE);
        bytes.reserve_exact(usize::try_from(size).unwrap_or(0) + 1);
        opened.take(MAX_SIZE + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|cause: std::io::Error| {
        error(&format!("cannot be read: {cause}")).with_source(cause)
    })?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(error("is too large"));
    }
    std::str::from_utf8(&bytes)
        .map(|text| Zeroizing::new(text.to_owned()))
        .map_err(|_| error("is not UTF-8"))
}

struct Place<'a> {
    file: &'a Path,
    line: usize,
}

impl Place<'_> {
    fn origin(&self) -> Origin {
        Origin::Service {
            file: self.file.to_owned(),
            line: self.line,
        }
    }

    fn explain(&self, error: Error) -> Error {
        self.origin().explain(error)
    }

    fn error(&self, code: &'static crate::Code, message: impl AsRef<str>) -> Error {
        self.explain(Error::new(code, Stage::CONFIG, message))
    }
}
