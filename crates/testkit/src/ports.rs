//! Ports for servers that do not choose one themselves.

use std::net::{Ipv4Addr, TcpListener};

use crate::Error;

/// A port that was free a moment ago. Another process may take it before the server does.
pub(crate) fn free_port() -> Result<u16, Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::network("bind"))?;
    Ok(listener
        .local_addr()
        .map_err(Error::network("bind"))?
        .port())
}
