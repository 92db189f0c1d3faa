//! Names to addresses.

use std::fmt::Debug;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use pgreach_core::{Error, Retry, Stage};

use crate::codes;

/// Translates host names to addresses.
///
/// The transport asks once per connection, checks every address of the answer and dials those very
/// addresses. It does not ask for hosts that are IP addresses already.
///
/// ```
/// use std::net::SocketAddr;
/// use async_trait::async_trait;
/// use pgreach_core::Error;
/// use pgreach_transport_tcp::{Resolver, TcpTransport};
///
/// /// Every name is one address.
/// #[derive(Debug)]
/// struct Fixed(std::net::IpAddr);
///
/// #[async_trait]
/// impl Resolver for Fixed {
///     async fn resolve(&self, _host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
///         Ok(vec![SocketAddr::new(self.0, port)])
///     }
/// }
///
/// let transport = TcpTransport::builder()
///     .with_resolver(Fixed([10, 0, 0, 7].into()))
///     .build()?;
/// # Ok::<(), Error>(())
/// ```
#[async_trait]
pub trait Resolver: Debug + Send + Sync + 'static {
    /// The addresses of `host` in the order of preference, each with the port to dial, usually
    /// `port`. `host` is not empty, holds no NUL and is at most 254 bytes long.
    ///
    /// The future is dropped when the connection's deadline passes.
    ///
    /// # Errors
    /// Kind Resolve, best with [`codes::RESOLVE_FAILED`] and with [`Retry::Backoff`] if trying again
    /// may help. An empty answer is made such an error by the transport.
    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error>;
}

#[async_trait]
impl<T: Resolver + ?Sized> Resolver for Arc<T> {
    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        (**self).resolve(host, port).await
    }
}

/// The operating system's resolver, `getaddrinfo`: `/etc/hosts`, DNS and whatever else the system is
/// set up to use, in the order of RFC 6724.
///
/// It runs in tokio's pool for blocking calls and cannot be interrupted: a lookup that is dropped
/// occupies a thread there until the system gives up, typically after 5 to 30 seconds.
///
/// It understands the historical spellings of IPv4 addresses (`127.1`, `0x7f000001`, `017700000001`).
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
        match tokio::net::lookup_host((host, port)).await {
            Ok(addresses) => Ok(addresses.collect()),
            Err(error) => Err(failed(host, error)),
        }
    }
}

fn failed(host: &str, error: io::Error) -> Error {
    // Rust prefixes the system's text with its own.
    let text = error.to_string();
    let reason = text
        .strip_prefix("failed to lookup address information: ")
        .unwrap_or(&text);
    let new = Error::new(
        &codes::RESOLVE_FAILED,
        Stage::RESOLVE,
        format!("could not translate host name \"{host}\" to address: {reason}"),
    );
    let error = if is_temporary(&error, reason) {
        new.with_retry(Retry::Backoff).with_hint(
            "check that this machine reaches its DNS servers, and try again: the failure is temporary",
        )
    } else {
        new
    };
    error.with_source(text)
}

/// Whether `getaddrinfo` said `EAI_AGAIN`, or the lookup did not come so far. The standard library
/// keeps only the text of the code: glibc and macOS say "Temporary failure in name resolution", musl
/// "Try again"; Windows keeps the number (`WSATRY_AGAIN`).
fn is_temporary(error: &io::Error, reason: &str) -> bool {
    const WSATRY_AGAIN: i32 = 11_002;
    let reason = reason.to_ascii_lowercase();
    reason.contains("temporary failure")
        || reason.contains("try again")
        || (cfg!(windows) && error.raw_os_error() == Some(WSATRY_AGAIN))
        // No file descriptor or thread was left for the lookup.
        || (cfg!(unix) && error.raw_os_error().is_some())
}

/// The answer of a resolver without addresses.
pub(crate) fn nothing_found(host: &str) -> Error {
    Error::new(
        &codes::RESOLVE_FAILED,
        Stage::RESOLVE,
        format!("could not translate host name \"{host}\" to address: it has none"),
    )
}

/// The longest name in DNS (RFC 1035, 2.3.4: 255 octets on the wire) with its final dot.
const MAX_NAME: usize = 254;

/// Refuses what cannot be a host name before a resolver sees it: a resolver may search domains for
/// it, or send it to a DNS server that has no business knowing it.
pub(crate) fn check_name(host: &str) -> Result<(), Error> {
    let invalid = |message: String, hint: &str| {
        Err(Error::new(&codes::HOST_INVALID, Stage::RESOLVE, message).with_hint(hint))
    };
    if host.is_empty() {
        return invalid(
            "the host is empty".to_owned(),
            "give a host name or an address",
        );
    }
    if host.len() > MAX_NAME {
        return invalid(
            format!("the host has {} bytes, a name has at most 253", host.len()),
            "give the host name alone",
        );
    }
    if host.contains("://") {
        return invalid(
            format!("host \"{host}\" is a URL"),
            "give the host name alone, without a scheme, a port or a path",
        );
    }
    if let Some(c) = host
        .chars()
        .find(|c| c.is_control() || c.is_whitespace() || "[]/\\@?#,\"'<>".contains(*c))
    {
        return invalid(
            format!("host \"{host}\" is not a host name: it contains {c:?}"),
            "give the host name or the address alone, without brackets, white space or a path",
        );
    }
    if host.contains(':') {
        // Only an IPv6 address has a colon; a scope (RFC 4007, 11) may follow it.
        let address = host.split_once('%').map_or(host, |(address, _)| address);
        if address.parse::<Ipv6Addr>().is_err() {
            return invalid(
                format!("host \"{host}\" is neither a host name nor an IPv6 address"),
                "give the port separately from the host",
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_failure_may_be_tried_again_and_an_unknown_name_may_not() {
        let cases = [
            ("Temporary failure in name resolution", Retry::Backoff),
            ("Try again", Retry::Backoff),
            ("Name or service not known", Retry::Never),
            ("No address associated with hostname", Retry::Never),
        ];
        for (text, retry) in cases {
            let full = format!("failed to lookup address information: {text}");
            let error = failed("db.example.com", io::Error::other(full));
            assert_eq!(error.retry(), retry, "{text}");
            assert_eq!(error.code(), &codes::RESOLVE_FAILED);
            assert_eq!(
                error.to_string(),
                format!("could not translate host name \"db.example.com\" to address: {text}")
            );
        }
        #[cfg(unix)]
        {
            // EMFILE: nothing is known of the name yet.
            let error = failed("db.example.com", io::Error::from_raw_os_error(24));
            assert_eq!(error.retry(), Retry::Backoff);
        }
    }

    #[test]
    fn names_and_scoped_addresses_pass() {
        let longest = "a".repeat(MAX_NAME);
        for host in [
            "localhost",
            "db.example.com.",
            "_service.db-1.internal",
            "b\u{fc}cher.example",
            "127.1",
            "::1",
            "fe80::1%eth0",
            &longest,
        ] {
            assert!(check_name(host).is_ok(), "{host}");
        }
    }
}
