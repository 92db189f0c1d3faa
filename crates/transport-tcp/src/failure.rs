//! Errors of connections, in words.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use pgreach_core::{Code, Endpoint, Error, Stage};

use crate::codes;
use crate::options::SocketError;

/// How many items of a list are shown. Lists of addresses can be as long as a stranger wants.
const SHOWN: usize = 8;

/// The first of `items`, and how many more there are.
pub(crate) fn list<T: ToString>(
    items: impl ExactSizeIterator<Item = T>,
    separator: &str,
) -> String {
    let more = items.len().saturating_sub(SHOWN);
    let mut shown: Vec<_> = items.take(SHOWN).map(|item| item.to_string()).collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join(separator)
}

/// The operating system's reason in one lower-case phrase.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::TimedOut => "timed out".to_owned(),
        ErrorKind::HostUnreachable => "no route to host".to_owned(),
        ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        ErrorKind::NetworkDown => "network is down".to_owned(),
        ErrorKind::ConnectionReset => "connection reset".to_owned(),
        ErrorKind::AddrNotAvailable => "no local address can reach it".to_owned(),
        ErrorKind::PermissionDenied => "not permitted by this system".to_owned(),
        ErrorKind::NotFound => "no such file or directory".to_owned(),
        ErrorKind::WouldBlock => "the server's queue of connections is full".to_owned(),
        _ => error.to_string(),
    }
}

fn describe(failure: &SocketError) -> String {
    match failure.option {
        Some(option) => format!("could not set {option}: {}", reason(&failure.error)),
        None => reason(&failure.error),
    }
}

fn code(failure: &SocketError) -> &'static Code {
    if failure.option.is_some() {
        return &codes::TCP_OPTION;
    }
    match failure.error.kind() {
        ErrorKind::ConnectionRefused => &codes::TCP_REFUSED,
        ErrorKind::TimedOut => &codes::TCP_TIMEOUT,
        ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable => &codes::TCP_UNREACHABLE,
        _ => &codes::TCP_FAILED,
    }
}

/// How much a failure tells, when several addresses failed differently: a host that refuses was at
/// least reached, whereas an unreachable network is usually just the family that this machine lacks.
fn rank(failure: &SocketError) -> u8 {
    let code = code(failure);
    [
        &codes::TCP_OPTION,
        &codes::TCP_REFUSED,
        &codes::TCP_FAILED,
        &codes::TCP_TIMEOUT,
    ]
    .iter()
    .zip(0..)
    .find(|(known, _)| **known == code)
    .map_or(u8::MAX, |(_, rank)| rank)
}

/// The error of a TCP connection that could not be opened to any of its addresses.
pub(crate) fn tcp(endpoint: &Endpoint, mut failures: Vec<(SocketAddr, SocketError)>) -> Error {
    if failures.len() > SHOWN {
        // The sort is stable: within a rank they stay in the order in which they happened.
        failures.sort_by_key(|(_, failure)| rank(failure));
    }
    let failed = match failures.as_slice() {
        [(address, failure)] if names(endpoint, *address) => describe(failure),
        several => list(
            several
                .iter()
                .map(|(address, failure)| format!("{address} ({})", describe(failure))),
            ", ",
        ),
    };
    let message = format!("could not connect to {}: {failed}", place(endpoint));
    match failures.into_iter().min_by_key(|(_, f)| rank(f)) {
        Some((address, failure)) => {
            let error = Error::new(code(&failure), Stage::TCP, message);
            with_hint(error, address).with_source(failure.error)
        }
        None => Error::new(&codes::TCP_FAILED, Stage::TCP, message),
    }
}

fn with_hint(error: Error, address: SocketAddr) -> Error {
    let code = error.code();
    if code == &codes::TCP_REFUSED {
        error.with_hint(format!(
            "check that PostgreSQL listens on {address} (listen_addresses, port) and that the firewall admits this client"
        ))
    } else if code == &codes::TCP_TIMEOUT {
        error.with_hint(format!(
            "check the address, and that no firewall or security group drops this client's packets to {address}"
        ))
    } else if code == &codes::TCP_UNREACHABLE {
        error.with_hint(format!(
            "check the address, and this machine's routes and VPN to {}",
            address.ip()
        ))
    } else {
        error
    }
}

/// Host and port as configured; the address follows with each failure.
fn place(endpoint: &Endpoint) -> String {
    let host = endpoint.host();
    if host.is_empty() {
        endpoint.to_string()
    } else {
        Endpoint::tcp(host, endpoint.port()).to_string()
    }
}

fn names(endpoint: &Endpoint, address: SocketAddr) -> bool {
    place(endpoint) == address.to_string()
}

/// The error of a Unix socket that could not be connected to.
pub(crate) fn unix(endpoint: &Endpoint, error: io::Error) -> Error {
    let (code, hint) = match error.kind() {
        ErrorKind::NotFound => (
            &codes::SOCKET_MISSING,
            "is the server running locally and accepting connections on that socket?",
        ),
        ErrorKind::ConnectionRefused => (
            &codes::SOCKET_REFUSED,
            "is the server running locally and accepting connections on that socket?",
        ),
        ErrorKind::PermissionDenied => {
            (&codes::SOCKET_PERMISSION, codes::SOCKET_PERMISSION.remedy())
        }
        // The address has room for 107 bytes on Linux and 103 on the BSDs.
        ErrorKind::InvalidInput => (
            &pgreach_core::codes::CONFIG_INVALID,
            "use a shorter path without NUL bytes for the socket's directory",
        ),
        _ => (&codes::SOCKET_FAILED, codes::SOCKET_FAILED.remedy()),
    };
    Error::new(
        code,
        Stage::TCP,
        format!("could not connect to {endpoint}: {}", reason(&error)),
    )
    .with_hint(hint)
    .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgreach_core::{ErrorKind as Kind, Retry};

    fn failed(address: &str, kind: ErrorKind) -> (SocketAddr, SocketError) {
        (address.parse().unwrap(), io::Error::from(kind).into())
    }

    #[test]
    fn one_address_that_was_given_is_named_once() {
        let endpoint = Endpoint::tcp("10.0.0.1", 5432);
        let error = tcp(
            &endpoint,
            vec![failed("10.0.0.1:5432", ErrorKind::ConnectionRefused)],
        );
        assert_eq!(
            error.to_string(),
            "could not connect to 10.0.0.1:5432: connection refused"
        );
        assert_eq!(
            error.hint(),
            "check that PostgreSQL listens on 10.0.0.1:5432 (listen_addresses, port) and that the firewall admits this client"
        );
        assert_eq!(error.retry(), Retry::Backoff);
    }

    #[test]
    fn the_most_telling_failure_decides_and_all_are_listed() {
        let endpoint = Endpoint::tcp("db", 5432);
        let error = tcp(
            &endpoint,
            vec![
                failed("[2a00::1]:5432", ErrorKind::NetworkUnreachable),
                failed("10.0.0.1:5432", ErrorKind::ConnectionRefused),
                failed("10.0.0.2:5432", ErrorKind::TimedOut),
            ],
        );
        assert_eq!(error.code(), &codes::TCP_REFUSED);
        assert_eq!(
            error.to_string(),
            "could not connect to db:5432: [2a00::1]:5432 (network is unreachable), \
             10.0.0.1:5432 (connection refused), 10.0.0.2:5432 (timed out)"
        );
        assert!(error.hint().contains("10.0.0.1:5432"));
    }

    #[test]
    fn of_many_failures_the_most_telling_are_listed() {
        let mut failures: Vec<_> = (1..=20)
            .map(|n| failed(&format!("[2a00::{n}]:1"), ErrorKind::NetworkUnreachable))
            .collect();
        failures.push(failed("10.0.0.1:1", ErrorKind::ConnectionRefused));
        let error = tcp(&Endpoint::tcp("db", 1), failures);
        assert_eq!(error.code(), &codes::TCP_REFUSED);
        let begin = "could not connect to db:1: 10.0.0.1:1 (connection refused), [2a00::1]:1 (";
        assert!(error.message().starts_with(begin), "{error}");
        assert!(error.message().ends_with(", and 13 more"), "{error}");
    }

    #[test]
    fn every_reason_has_its_code() {
        let cases = [
            (ErrorKind::ConnectionRefused, "tcp-refused"),
            (ErrorKind::TimedOut, "tcp-timeout"),
            (ErrorKind::HostUnreachable, "tcp-unreachable"),
            (ErrorKind::NetworkUnreachable, "tcp-unreachable"),
            (ErrorKind::PermissionDenied, "tcp-failed"),
        ];
        for (kind, code) in cases {
            let error = tcp(
                &Endpoint::tcp("", 1).with_hostaddr([10, 0, 0, 1]),
                vec![failed("10.0.0.1:1", kind)],
            );
            assert_eq!(error.code().name(), code);
            assert_eq!(error.kind(), Kind::Transport);
            assert!(
                error
                    .to_string()
                    .starts_with("could not connect to 10.0.0.1:1")
            );
        }
        let option = SocketError {
            option: Some("keepalive times"),
            error: ErrorKind::InvalidInput.into(),
        };
        let error = tcp(
            &Endpoint::tcp("db", 1),
            vec![("10.0.0.1:1".parse().unwrap(), option)],
        );
        assert_eq!(error.code(), &codes::TCP_OPTION);
        assert!(
            error.message().contains("could not set keepalive times"),
            "{error}"
        );
    }
}
