//! Revocation lists, checked by OpenSSL after the handshake and before anything is sent.
//!
//! native-tls knows neither revocation lists nor a way to its OpenSSL context, so the server's
//! certificate is verified once more, against a store with the same roots and the lists. The chain
//! that the server sent is not shown by native-tls either: the store's certificates must suffice.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io};

use openssl::ssl::SslFiletype;
use openssl::stack::Stack;
use openssl::x509::store::{X509Lookup, X509Store, X509StoreBuilder};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509Crl, X509StoreContext};
use pgreach_core::{Error, Stage};

use crate::roots::LoadedRoots;
use crate::{certificate, codes, pem};

pub(crate) struct Crl {
    files: Vec<PathBuf>,
    dirs: Vec<PathBuf>,
    system_roots: bool,
    roots: Vec<X509>,
    loaded: Mutex<Loaded>,
}

struct Loaded {
    /// What the files looked like before they were read.
    stamps: Vec<Stamp>,
    store: Arc<X509Store>,
}

impl Crl {
    /// Reads the lists for the first time.
    pub(crate) fn load(
        files: Vec<PathBuf>,
        dirs: Vec<PathBuf>,
        roots: &LoadedRoots,
    ) -> Result<Self, Error> {
        let certificates = roots
            .certificates
            .iter()
            .map(|root| X509::from_der(&root.to_der().map_err(library)?).map_err(library))
            .collect::<Result<Vec<_>, Error>>()?;
        let loaded = read(&files, &dirs, roots.system, &certificates)?;
        Ok(Self {
            files,
            dirs,
            system_roots: roots.system,
            roots: certificates,
            loaded: Mutex::new(loaded),
        })
    }

    /// Verifies a server's certificate, in DER, with the lists as they are now. It blocks for as
    /// long as the files take to look at, and to read if they have changed.
    ///
    /// `name` is what to call the certificate.
    pub(crate) fn check(&self, der: &[u8], name: &str) -> Result<(), Error> {
        let store = self.current()?;
        let leaf = X509::from_der(der).map_err(library)?;
        // Nothing but the store: see above.
        let untrusted = Stack::new().map_err(library)?;
        let mut context = X509StoreContext::new().map_err(library)?;
        let outcome = context
            .init(&store, &leaf, &untrusted, |context| {
                if context.verify_cert()? {
                    return Ok(None);
                }
                let failed = context.current_cert().and_then(|found| found.to_der().ok());
                Ok(Some((context.error(), failed)))
            })
            .map_err(library)?;
        match outcome {
            None => Ok(()),
            Some((result, failed)) => Err(refusal(
                result.as_raw(),
                result.error_string(),
                failed.as_deref(),
                name,
            )),
        }
    }

    fn current(&self) -> Result<Arc<X509Store>, Error> {
        let stamps = stamps(&self.files, &self.dirs)?;
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.stamps != stamps {
            *loaded = read(&self.files, &self.dirs, self.system_roots, &self.roots)?;
        }
        Ok(Arc::clone(&loaded.store))
    }
}

/// `X509_V_ERR_…`, from OpenSSL's `x509_vfy.h`.
mod result {
    pub(super) const UNABLE_TO_GET_ISSUER_CERT: i32 = 2;
    pub(super) const UNABLE_TO_GET_CRL: i32 = 3;
    pub(super) const CRL_NOT_YET_VALID: i32 = 11;
    pub(super) const CRL_HAS_EXPIRED: i32 = 12;
    pub(super) const UNABLE_TO_GET_ISSUER_CERT_LOCALLY: i32 = 20;
    pub(super) const UNABLE_TO_VERIFY_LEAF_SIGNATURE: i32 = 21;
    pub(super) const CERT_REVOKED: i32 = 23;
}

/// `failed` is the certificate that the verification stopped at, in DER.
fn refusal(result: i32, text: &str, failed: Option<&[u8]>, name: &str) -> Error {
    let (subject, issuer) = failed.and_then(certificate::describe).map_or_else(
        || ("unknown".to_owned(), "unknown".to_owned()),
        |found| (found.subject, found.issuer),
    );
    let unavailable =
        |message: String| Error::new(&codes::TLS_CRL_UNAVAILABLE, Stage::TLS, message);
    match result {
        result::CERT_REVOKED => Error::new(
            &codes::TLS_REVOKED,
            Stage::TLS,
            format!("{name} is not acceptable: \"{issuer}\" has revoked \"{subject}\""),
        ),
        result::UNABLE_TO_GET_CRL => unavailable(format!(
            "{name} cannot be checked: there is no revocation list of \"{issuer}\""
        ))
        .with_hint(format!(
            "add the current revocation list of \"{issuer}\" to sslcrl"
        )),
        result::CRL_HAS_EXPIRED => unavailable(format!(
            "{name} cannot be checked: the revocation list of \"{issuer}\" has expired"
        ))
        .with_hint("get the authority's current revocation list"),
        result::CRL_NOT_YET_VALID => unavailable(format!(
            "{name} cannot be checked: the revocation list of \"{issuer}\" is not valid yet"
        ))
        .with_hint("check this machine's clock"),
        result::UNABLE_TO_GET_ISSUER_CERT
        | result::UNABLE_TO_GET_ISSUER_CERT_LOCALLY
        | result::UNABLE_TO_VERIFY_LEAF_SIGNATURE => unavailable(format!(
            "{name} cannot be checked for revocation: its authority \"{issuer}\" is not among the \
             root certificates"
        ))
        .with_hint(format!(
            "add the certificate of \"{issuer}\" to sslrootcert; with sslcrl, intermediate \
             certificates must be there although the server sends them"
        )),
        _ => unavailable(format!("{name} cannot be checked for revocation: {text}")),
    }
}

/// Tells whether a file may have changed.
#[derive(PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    /// Device, inode, length, and when the inode changed last: a new content changes at least one,
    /// even where a tool restores the modification time.
    seen: (u64, u64, u64, i64, i64),
    in_dir: bool,
}

fn stamps(files: &[PathBuf], dirs: &[PathBuf]) -> Result<Vec<Stamp>, Error> {
    let stamp = |path: PathBuf, found: &fs::Metadata, in_dir| Stamp {
        path,
        seen: (
            found.dev(),
            found.ino(),
            found.len(),
            found.ctime(),
            found.ctime_nsec(),
        ),
        in_dir,
    };
    let mut all = Vec::new();
    for path in files {
        let found = fs::metadata(path).map_err(|error| unreadable(path, error))?;
        if !found.is_file() {
            return Err(unreadable(path, io::Error::other("it is not a plain file")));
        }
        all.push(stamp(path.clone(), &found, false));
    }
    for dir in dirs {
        let mut paths = fs::read_dir(dir)
            .and_then(|entries| {
                entries
                    .map(|entry| entry.map(|entry| entry.path()))
                    .collect::<io::Result<Vec<_>>>()
            })
            .map_err(|error| unreadable(dir, error))?;
        paths.sort();
        for path in paths {
            if let Some(found) = look(&path)?
                && found.is_file()
            {
                all.push(stamp(path, &found, true));
            }
        }
    }
    Ok(all)
}

/// Looks at an entry of a directory; `None` when it is gone: whoever renews the lists may remove
/// one at any time. A link that leads nowhere is not gone, and an error.
fn look(path: &Path) -> Result<Option<fs::Metadata>, Error> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(_) if vanished(path) => Ok(None),
        Err(error) => Err(unreadable(path, error)),
    }
}

fn vanished(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn read(
    files: &[PathBuf],
    dirs: &[PathBuf],
    system_roots: bool,
    roots: &[X509],
) -> Result<Loaded, Error> {
    let stamps = stamps(files, dirs)?;
    let mut store = X509StoreBuilder::new().map_err(library)?;
    if system_roots {
        store.set_default_paths().map_err(library)?;
    }
    for root in roots {
        store.add_cert(root.clone()).map_err(library)?;
    }
    let mut count = 0;
    for stamp in &stamps {
        count += match add_lists(&mut store, stamp) {
            Err(_) if stamp.in_dir && vanished(&stamp.path) => 0,
            result => result?,
        };
    }
    if count == 0 {
        return Err(Error::new(
            &codes::TLS_CRL,
            Stage::CONFIG,
            format!("no file of {} has a revocation list in PEM", quoted(dirs)),
        ));
    }
    store
        .set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL)
        .map_err(library)?;
    Ok(Loaded {
        stamps,
        store: Arc::new(store.build()),
    })
}

/// Returns how many lists the file has.
fn add_lists(store: &mut X509StoreBuilder, stamp: &Stamp) -> Result<usize, Error> {
    let found = count_lists(&stamp.path)?;
    if found == 0 && !stamp.in_dir {
        return Err(broken(&stamp.path, "has no revocation list in PEM"));
    }
    if found > 0 {
        add(store, &stamp.path, found)?;
    }
    Ok(found)
}

/// How many lists a file has; one that cannot be parsed is an error. OpenSSL's own reader would
/// stop at a list without an end and keep those before it.
fn count_lists(path: &Path) -> Result<usize, Error> {
    let bytes = fs::read(path).map_err(|error| unreadable(path, error))?;
    let mut count = 0;
    for block in pem::blocks(&bytes) {
        if block.label != "X509 CRL" {
            continue;
        }
        let parsed = block.text.map(X509Crl::from_pem);
        match parsed {
            Some(Ok(_)) => count += 1,
            Some(Err(error)) => {
                let what = format!("has a broken revocation list on line {}", block.line);
                return Err(broken(path, &what).with_source(error));
            }
            None => {
                let what = format!(
                    "has a revocation list without an end on line {}",
                    block.line
                );
                return Err(broken(path, &what));
            }
        }
    }
    Ok(count)
}

fn add(store: &mut X509StoreBuilder, path: &Path, expected: usize) -> Result<(), Error> {
    // The bindings take a path of UTF-8 without zero bytes, and end the process for any other. One
    // with a zero byte could not have been read.
    if path.to_str().is_none() {
        return Err(broken(path, "has a path that is not UTF-8"));
    }
    let lookup = store.add_lookup(X509Lookup::file()).map_err(library)?;
    let added = lookup
        .load_crl_file(path, SslFiletype::PEM)
        .map_err(|error| broken(path, "cannot be read by OpenSSL").with_source(error))?;
    if usize::try_from(added) == Ok(expected) {
        Ok(())
    } else {
        Err(broken(path, "changed while it was read"))
    }
}

fn quoted(paths: &[PathBuf]) -> String {
    let quoted: Vec<_> = paths
        .iter()
        .map(|path| format!("\"{}\"", path.display()))
        .collect();
    quoted.join(", ")
}

fn broken(path: &Path, what: &str) -> Error {
    Error::new(
        &codes::TLS_CRL,
        Stage::CONFIG,
        format!("revocation list file \"{}\" {what}", path.display()),
    )
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::new(
        &codes::TLS_CRL,
        Stage::CONFIG,
        format!(
            "revocation list \"{}\" cannot be read: {error}",
            path.display()
        ),
    )
    .with_source(error)
}

fn library(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(
        &codes::TLS_CRL,
        Stage::TLS,
        "the TLS library could not check for revocation",
    )
    .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_passed_over_and_a_dangling_link_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list.pem");
        assert!(look(&path).unwrap().is_none());
        std::os::unix::fs::symlink(dir.path().join("nowhere"), &path).unwrap();
        assert!(look(&path).is_err());
        assert!(stamps(&[], &[dir.path().to_owned()]).is_err());
        fs::remove_file(&path).unwrap();
        assert!(stamps(&[path], &[]).is_err(), "a file was asked for");
    }
}
