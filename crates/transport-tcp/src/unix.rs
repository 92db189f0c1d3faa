//! Unix-domain sockets.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Uid, User};
use pgreach_core::{ActiveStage, BoxStream, DialContext, Endpoint, Error, Stage};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use crate::{codes, failure};

/// Connects to the endpoint's socket, and holds its server against `requirepeer`.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    requirepeer: Option<&str>,
    cx: &DialContext,
    stage: &ActiveStage,
) -> Result<BoxStream, Error> {
    let path = endpoint.socket_path().unwrap_or_default();
    stage.note("socket", path.display());
    // Before the socket is touched: a server must not see a client that cannot check it.
    let wanted = match requirepeer {
        Some(name) => Some((name, user(name).await?)),
        None => None,
    };
    let stream = open(&address(&path)?, cx.deadline())
        .await
        .map_err(|error| failure::unix(endpoint, error))?;
    if let Some((name, uid)) = wanted {
        check_peer(&stream, endpoint, name, uid, stage).await?;
    }
    Ok(Box::new(stream))
}

/// The path as the system takes it: an abstract name begins with a NUL byte instead of an `@`.
fn address(path: &Path) -> Result<PathBuf, Error> {
    use std::os::unix::ffi::OsStrExt;

    let Some(name) = path.as_os_str().as_bytes().strip_prefix(b"@") else {
        return Ok(path.to_owned());
    };
    if cfg!(any(target_os = "linux", target_os = "android")) {
        let mut bytes = vec![0];
        bytes.extend_from_slice(name);
        Ok(PathBuf::from(std::ffi::OsStr::from_bytes(&bytes)))
    } else {
        Err(Error::new(
            &pgreach_core::codes::CONFIG_UNSUPPORTED,
            Stage::TCP,
            format!(
                "the abstract socket {} is not supported on this system",
                path.display()
            ),
        )
        .with_hint("give the directory of an ordinary Unix socket; abstract ones are Linux' own"))
    }
}

/// Linux answers `EAGAIN` at once when the server's backlog is full, where a blocking `connect`
/// would wait; there is nothing to poll for, so it is asked again until `deadline`.
async fn open(address: &Path, deadline: Instant) -> io::Result<UnixStream> {
    const PAUSE: Duration = Duration::from_millis(10);
    loop {
        match UnixStream::connect(address).await {
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock
                    && Instant::now() + PAUSE < deadline =>
            {
                sleep(PAUSE).await;
            }
            result => return result,
        }
    }
}

/// The id of the operating-system user `name`. The lookup can block (LDAP, for example), so it runs
/// in the pool for blocking calls; dropped at the deadline, it ends there by itself.
async fn user(name: &str) -> Result<Uid, Error> {
    let owned = name.to_owned();
    let found = tokio::task::spawn_blocking(move || User::from_name(&owned)).await;
    let reason = match found {
        Ok(Ok(Some(user))) => return Ok(user.uid),
        Ok(Ok(None)) => "there is no such user".to_owned(),
        Ok(Err(errno)) => errno.desc().to_lowercase(),
        Err(_ended) => "the lookup was interrupted".to_owned(),
    };
    Err(Error::new(
        &codes::REQUIREPEER_USER,
        Stage::TCP,
        format!("could not look up the user \"{name}\" that requirepeer names: {reason}"),
    ))
}

async fn check_peer(
    stream: &UnixStream,
    endpoint: &Endpoint,
    name: &str,
    wanted: Uid,
    stage: &ActiveStage,
) -> Result<(), Error> {
    let actual = match stream.peer_cred() {
        Ok(credentials) => Uid::from_raw(credentials.uid()),
        Err(error) => {
            return Err(Error::new(
                &codes::REQUIREPEER_UNSUPPORTED,
                Stage::TCP,
                format!(
                    "could not find out who serves {endpoint}: {}",
                    failure::reason(&error)
                ),
            )
            .with_source(error));
        }
    };
    stage.note("peer uid", actual);
    if actual == wanted {
        return Ok(());
    }
    // The name is for people only; the ids have decided.
    let found = tokio::task::spawn_blocking(move || User::from_uid(actual)).await;
    let actual_name = match found {
        Ok(Ok(Some(user))) => format!("\"{}\" (uid {actual})", user.name),
        _ => format!("uid {actual}"),
    };
    Err(Error::new(
        &codes::PEER_MISMATCH,
        Stage::TCP,
        format!(
            "requirepeer names \"{name}\" (uid {wanted}), but the server at {endpoint} runs as {actual_name}"
        ),
    ))
}
