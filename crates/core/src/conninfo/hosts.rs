//! Hosts, addresses and ports, put together as libpq does.

use std::net::IpAddr;
use std::path::Path;

use super::Keyword;
use super::string::{Conninfo, Entry, Origin};
use super::value::integer;
use crate::{DEFAULT_PORT, Endpoint, Error, Stage, codes};

/// Where servers of the usual builds and packages put their sockets.
pub(super) const SOCKET_DIRECTORIES: [&str; 3] = ["/var/run/postgresql", "/run/postgresql", "/tmp"];

/// The servers to try, in the order given.
pub(super) fn endpoints(conninfo: &Conninfo) -> Result<Vec<Endpoint>, Error> {
    let hosts = list(conninfo, Keyword::Host);
    let addresses = list(conninfo, Keyword::Hostaddr);
    let ports = list(conninfo, Keyword::Port);
    let count = addresses
        .as_ref()
        .or(hosts.as_ref())
        .map_or(1, |list| list.items.len());

    if let Some(hosts) = &hosts
        && hosts.items.len() != count
    {
        return Err(hosts.entry.origin.explain(conflict(
            format!(
                "could not match {} host names to {count} hostaddr values",
                hosts.items.len()
            ),
            "give as many hosts as hostaddrs",
        )));
    }
    if let Some(ports) = &ports
        && ports.items.len() != 1
        && ports.items.len() != count
    {
        return Err(ports.entry.origin.explain(conflict(
            format!(
                "could not match {} port numbers to {count} hosts",
                ports.items.len()
            ),
            "give one port for all hosts, or as many ports as hosts",
        )));
    }

    (0..count)
        .map(|i| {
            let host = hosts.as_ref().map_or("", |hosts| hosts.items[i]);
            let port = match &ports {
                Some(ports) => port(ports, i, host)?,
                None => DEFAULT_PORT,
            };
            match &addresses {
                Some(addresses) if !addresses.items[i].is_empty() => {
                    let address = address(addresses, i)?;
                    Ok(Endpoint::tcp(host, port).with_hostaddr(address))
                }
                _ if host.is_empty() => Ok(default_endpoint(port)),
                _ if is_socket_directory(host) => Ok(Endpoint::unix(host, port)),
                _ => Ok(Endpoint::tcp(host, port)),
            }
        })
        .collect()
}

struct List<'a> {
    entry: &'a Entry,
    items: Vec<&'a str>,
}

fn list(conninfo: &Conninfo, keyword: Keyword) -> Option<List<'_>> {
    let entry = conninfo.entry(keyword)?;
    (!entry.value.is_empty()).then(|| List {
        entry,
        items: entry.value.split(',').collect(),
    })
}

fn port(ports: &List<'_>, i: usize, host: &str) -> Result<u16, Error> {
    let text = match ports.items.as_slice() {
        [one] => one,
        many => many[i],
    };
    if text.is_empty() {
        return Ok(DEFAULT_PORT);
    }
    integer(text)
        .and_then(|port| u16::try_from(port).ok())
        .filter(|port| *port != 0)
        .ok_or_else(|| {
            let of = if host.is_empty() {
                String::new()
            } else {
                format!(" for host \"{host}\"")
            };
            let message = if ports.entry.origin == Origin::Uri {
                format!("invalid port number{of}")
            } else {
                format!("invalid port number: \"{text}\"{of}")
            };
            ports.entry.origin.explain(
                Error::new(&codes::CONFIG_INVALID, Stage::CONFIG, message)
                    .with_hint("give a port between 1 and 65535"),
            )
        })
}

fn address(addresses: &List<'_>, i: usize) -> Result<IpAddr, Error> {
    let text = addresses.items[i];
    text.parse().map_err(|_| {
        addresses.entry.origin.explain(
            Error::new(
                &codes::CONFIG_INVALID,
                Stage::CONFIG,
                format!("could not parse network address \"{text}\" in hostaddr"),
            )
            .with_hint("give hostaddr an IP address such as 192.0.2.1, and names to host"),
        )
    })
}

fn conflict(message: String, hint: &str) -> Error {
    Error::new(&codes::CONFIG_CONFLICT, Stage::CONFIG, message).with_hint(hint)
}

/// Whether `host` is the directory of a Unix socket: a path, or a name in Linux' abstract
/// namespace.
fn is_socket_directory(host: &str) -> bool {
    host.starts_with(['/', '@']) || cfg!(windows) && Path::new(host).is_absolute()
}

/// The server when no host is given. libpq has one directory compiled in; which one it would be
/// here, the socket itself tells.
fn default_endpoint(port: u16) -> Endpoint {
    if cfg!(unix) {
        for directory in SOCKET_DIRECTORIES {
            let endpoint = Endpoint::unix(directory, port);
            if endpoint.socket_path().is_some_and(|path| path.exists()) {
                return endpoint;
            }
        }
    }
    Endpoint::tcp("localhost", port)
}
