//! Recording the key of a new host.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use pgreach_core::Error;

use super::base64;
use super::checker::{HostKeyChecker, Shown};
use super::line::records;
use super::refusal::Refusal;
use super::source::{self, Source};
use crate::{HOST_KEY, codes};

/// Who holds the lock writes one line: this is more than long enough.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

impl HostKeyChecker {
    /// Records the key, unless another program has recorded one meanwhile; says why it is trusted
    /// then.
    pub(super) async fn record(&self, shown: &Shown<'_>) -> Result<String, Error> {
        let Some(path) = self.policy.record_in.clone() else {
            return Err(self.refused(shown, &Refusal::Unknown));
        };
        let mut checker = self.clone();
        let blob = shown.blob.clone();
        let line = format!(
            "{} {} {}\n",
            self.names.recorded,
            shown.kind(),
            base64::encode(&shown.raw)
        );
        let judged =
            self.policy
                .turns
                .run(move || {
                    if !checker.names.can_be_recorded() {
                        return Err(unwritable(&path, "has no room for such a host name"));
                    }
                    let mut file = open(&path)?;
                    let text = source::contents(&path, &mut file)?;
                    let index =
                        checker.policy.sources.iter().position(
                            |source| matches!(source, Source::File(file) if *file == path),
                        );
                    if let Some(index) = index {
                        checker.records.retain(|record| record.source != index);
                        let now = records(&text, &checker.names, index);
                        checker.records.extend(now);
                    }
                    match checker.judge_key(&blob) {
                        Err(Refusal::Unknown) if checker.is_new() => {}
                        judged => return Ok((checker, judged)),
                    }
                    let needs_newline = text.last().is_some_and(|byte| *byte != b'\n');
                    let line = if needs_newline {
                        format!("\n{line}")
                    } else {
                        line
                    };
                    append(&mut file, line.as_bytes()).map_err(|cause| failed(&path, cause))?;
                    let how = format!("accepted as new and recorded in {}", path.display());
                    Ok((checker, Ok(how)))
                })
                .await?;
        let (checker, judged) = judged;
        judged.map_err(|refusal| checker.refused(shown, &refusal))
    }
}

/// Opens the file, creating it and its directory for this user only, and locks it against others that
/// record: two that meet the host for the first time must not record a key each.
fn open(path: &Path) -> Result<File, Error> {
    let failed = |cause| failed(path, cause);
    create_directory(path).map_err(failed)?;
    match fs::metadata(path) {
        Ok(meta) if !meta.is_file() => {
            return Err(unwritable(path, "is not a plain file"));
        }
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = source::open(path, &mut options).map_err(failed)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_TIMEOUT => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => {
                return Err(unwritable(path, "is locked by another program"));
            }
            // Some file systems have no locks.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                return Ok(file);
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

fn create_directory(file: &Path) -> io::Result<()> {
    let Some(directory) = file.parent().filter(|path| !path.as_os_str().is_empty()) else {
        return Ok(());
    };
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(directory) {
        Err(error) if !directory.is_dir() => Err(error),
        _ => Ok(()),
    }
}

/// One write, so that a line of another program never stands in the middle of it.
fn append(file: &mut File, line: &[u8]) -> io::Result<()> {
    let written = file.write(line)?;
    if written < line.len() {
        return Err(io::Error::new(
            ErrorKind::WriteZero,
            "it was written in part only",
        ));
    }
    file.flush()
}

fn failed(path: &Path, cause: io::Error) -> Error {
    unwritable(path, &format!("cannot be written: {cause}")).with_source(cause)
}

fn unwritable(path: &Path, what: &str) -> Error {
    Error::new(
        &codes::KNOWN_HOSTS_UNWRITABLE,
        HOST_KEY,
        format!("known_hosts file \"{}\" {what}", path.display()),
    )
}
