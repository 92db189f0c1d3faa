//! The lines of a configuration file, and those of the files that it includes.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{Error as IoError, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pgreach_core::{Error, Stage};

use crate::codes;
use crate::known_hosts::open_file;

/// As many as `ssh` follows.
const MAX_DEPTH: usize = 16;
const MAX_FILE: u64 = 1 << 20;
/// All files together: includes can multiply.
const MAX_LINES: usize = 100_000;

/// One keyword with its arguments.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) place: Place,
    /// In lower case.
    pub(super) keyword: String,
    pub(super) args: Vec<String>,
    /// Of an `Include` that can be followed: the lines of each file.
    pub(super) included: Vec<Vec<Line>>,
}

/// Where a line stands.
#[derive(Debug, Clone)]
pub(super) struct Place {
    file: Arc<str>,
    number: usize,
}

impl Place {
    /// An error about this line.
    pub(super) fn error(&self, what: impl AsRef<str>) -> Error {
        let what = what.as_ref();
        let Self { file, number } = self;
        error(format!("{file}, line {number}: {what}"))
    }
}

pub(super) fn error(what: impl AsRef<str>) -> Error {
    Error::new(&codes::SSH_CONFIG_INVALID, Stage::CONFIG, what)
}

/// Reads what `Include` names.
pub(super) struct Reader {
    pub(super) home: Option<PathBuf>,
    lines: usize,
}

impl Reader {
    pub(super) fn new(home: Option<PathBuf>) -> Self {
        Self { home, lines: 0 }
    }

    pub(super) fn file(&mut self, path: &Path, depth: usize) -> Result<Vec<Line>, Error> {
        let name = format!("SSH configuration \"{}\"", path.display());
        let text = read(path).map_err(|cause| {
            let message = format!("{name} cannot be read: {cause}");
            Error::new(&pgreach_core::codes::CONFIG_FILE, Stage::CONFIG, message).with_source(cause)
        })?;
        self.text(&text, &name, depth)
    }

    pub(super) fn text(
        &mut self,
        text: &str,
        name: &str,
        depth: usize,
    ) -> Result<Vec<Line>, Error> {
        let file: Arc<str> = name.into();
        let mut lines = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let place = Place {
                file: Arc::clone(&file),
                number: index + 1,
            };
            let Some((keyword, args)) = split(line).map_err(|what| place.error(what))? else {
                continue;
            };
            self.lines += 1;
            if self.lines > MAX_LINES {
                return Err(place.error("with what is included there are too many lines"));
            }
            let included = if keyword == "include" {
                self.included(&place, &args, depth)?
            } else {
                Vec::new()
            };
            lines.push(Line {
                place,
                keyword,
                args,
                included,
            });
        }
        Ok(lines)
    }

    fn included(
        &mut self,
        place: &Place,
        patterns: &[String],
        depth: usize,
    ) -> Result<Vec<Vec<Line>>, Error> {
        if depth >= MAX_DEPTH {
            return Err(place.error("too many files include each other"));
        }
        // An error only where the line applies.
        if unfollowed(patterns).is_some() {
            return Ok(Vec::new());
        }
        let mut files = Vec::new();
        for pattern in patterns {
            let path = self.include_path(place, pattern)?;
            let found = glob::glob(&path)
                .map_err(|_| place.error(format!("\"{pattern}\" is no pattern of files")))?;
            let mut found: Vec<_> = found
                .flatten()
                .filter(|found| !is_hidden(found, &path))
                .collect();
            // The first value counts, so the order does: that of the bytes, as of glob(3), and not
            // that of the path's parts.
            found.sort_by(|a, b| {
                let bytes = |path: &PathBuf| path.as_os_str().as_encoded_bytes().to_vec();
                bytes(a).cmp(&bytes(b))
            });
            for path in found {
                // Missing, behind a link, or a directory: ssh reads nothing either. All else that
                // cannot be read is an error.
                let is_nothing = match fs::metadata(&path) {
                    Ok(meta) => meta.is_dir(),
                    Err(error) => error.kind() == ErrorKind::NotFound,
                };
                if !is_nothing {
                    files.push(self.file(&path, depth + 1)?);
                }
            }
        }
        Ok(files)
    }

    fn include_path(&self, place: &Place, pattern: &str) -> Result<String, Error> {
        if Path::new(pattern).is_absolute() {
            return Ok(pattern.to_owned());
        }
        let home = self
            .home
            .as_deref()
            .and_then(Path::to_str)
            .ok_or_else(|| place.error("there is no home directory to include files from"))?;
        let home = glob::Pattern::escape(home);
        match pattern.strip_prefix('~') {
            Some(rest) if rest.starts_with('/') => Ok(format!("{home}{rest}")),
            Some(_) => Err(place.error(format!(
                "\"{pattern}\": the home directories of other users are not looked up"
            ))),
            None => Ok(format!("{home}/.ssh/{pattern}")),
        }
    }
}

/// The first pattern that means something else to some version of `ssh` than here, and why.
pub(super) fn unfollowed(patterns: &[String]) -> Option<(&str, &'static str)> {
    patterns.iter().find_map(|pattern| {
        let what = if pattern.contains('%') || pattern.contains("${") {
            "nothing is replaced here"
        } else if pattern.contains("**") {
            "two stars are not followed here"
        } else if ["[^", "[:", "[.", "[="]
            .iter()
            .any(|part| pattern.contains(part))
            || cfg!(unix) && pattern.contains('\\')
        {
            "such patterns are not followed here"
        } else {
            return None;
        };
        Some((pattern.as_str(), what))
    })
}

/// Whether a wildcard of `pattern` stands for the dot with which a part of `path` begins, which it does
/// not for `ssh`. (The library's own option for that hides what `.*` names, and panics at names that are
/// not UTF-8.)
fn is_hidden(path: &Path, pattern: &str) -> bool {
    let is_separator = |byte: &u8| *byte == b'/' || cfg!(windows) && *byte == b'\\';
    let parts = |text| <[u8]>::split(text, is_separator).filter(|part| !part.is_empty());
    let path = path.as_os_str().as_encoded_bytes();
    parts(path)
        .zip(parts(pattern.as_bytes()))
        .any(|(part, pattern)| part.starts_with(b".") && !pattern.starts_with(b"."))
}

fn refused(what: &str) -> IoError {
    IoError::new(ErrorKind::InvalidInput, what.to_owned())
}

fn read(path: &Path) -> std::io::Result<String> {
    // Looked at before it is opened: opening a device can have effects of its own.
    check_plain(&fs::metadata(path)?)?;
    let file = open_file(path, OpenOptions::new().read(true))?;
    // And the open file: the path may lead elsewhere by now.
    let meta = file.metadata()?;
    check_plain(&meta)?;
    check_owner(&meta)?;
    let mut text = String::new();
    let read = file.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_FILE {
        return Err(refused("it is too large"));
    }
    Ok(text)
}

fn check_plain(meta: &Metadata) -> std::io::Result<()> {
    if meta.is_file() {
        return Ok(());
    }
    Err(refused("it is not a regular file"))
}

/// Whoever can write to the file can choose which server is trusted and reached.
#[cfg(unix)]
fn check_owner(meta: &Metadata) -> std::io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    if meta.mode() & 0o022 != 0 {
        return Err(refused("others than its owner may write to it"));
    }
    if meta.uid() != 0 && meta.uid() != own_uid()? {
        return Err(refused("it belongs to another user"));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_owner(_: &Metadata) -> std::io::Result<()> {
    Ok(())
}

/// The user that this process runs as: a pipe belongs to whoever makes it.
#[cfg(unix)]
fn own_uid() -> std::io::Result<u32> {
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::MetadataExt as _;
    let (reader, _writer) = std::io::pipe()?;
    Ok(fs::File::from(OwnedFd::from(reader)).metadata()?.uid())
}

/// Keyword and arguments, or nothing. The two are separated by blanks and at most one `=`.
fn split(line: &str) -> Result<Option<(String, Vec<String>)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = line
        .find(|c: char| c.is_whitespace() || c == '=' || c == '"')
        .unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    let args = words(rest)?;
    if keyword.is_empty() || args.is_empty() {
        return Err("there is no keyword, or nothing after it");
    }
    Ok(Some((keyword.to_ascii_lowercase(), args)))
}

/// Words in the manner of a shell: quotes of both kinds, backslashes before quotes, backslashes and
/// blanks, and comments.
fn words(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if matches!(chars.peek(), None | Some('#')) {
            return Ok(words);
        }
        let mut word = String::new();
        let mut quote = None;
        while let Some(c) = chars.next_if(|c| quote.is_some() || !c.is_whitespace()) {
            match c {
                '\\' => {
                    let escaped = chars.next_if(|next| {
                        matches!(next, '\'' | '"' | '\\') || (quote.is_none() && *next == ' ')
                    });
                    word.push(escaped.unwrap_or('\\'));
                }
                '"' | '\'' if quote.is_none() => quote = Some(c),
                _ if quote == Some(c) => quote = None,
                _ => word.push(c),
            }
        }
        if quote.is_some() {
            return Err("a quote is not closed");
        }
        words.push(word);
    }
}
