//! What several tests need; each of them uses a part.
#![allow(dead_code)]

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use async_trait::async_trait;
use pgreach::conninfo::{Conninfo, Environment, Settings};
use pgreach::prelude::*;
use pgreach::{BoxStream, DialContext, Dialed, PgConnectorBuilder, Transport, assembly};
use pgreach_testkit::{Pki, Postgres, PostgresBuilder};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a connection string means on its own, whatever this process' environment and home hold.
pub(crate) fn settings(conninfo: &str) -> Result<Settings, Error> {
    Conninfo::parse(conninfo)?.resolve(&Environment::empty())
}

pub(crate) fn builder(conninfo: &str) -> Result<PgConnectorBuilder, Error> {
    assembly::assemble(&settings(conninfo)?)
}

pub(crate) fn connector(conninfo: &str) -> Result<PgConnector, Error> {
    builder(conninfo)?.build()
}

pub(crate) async fn connect(conninfo: &str) -> Result<Connection, Error> {
    connector(conninfo)?.connect().await
}

/// The error of a connection that must not succeed.
pub(crate) async fn refused(conninfo: &str) -> Error {
    match connect(conninfo).await {
        Ok(_) => panic!("it connects: {conninfo}"),
        Err(error) => error,
    }
}

/// The first column of the only row, as text.
pub(crate) async fn text(connection: &Connection, sql: &str) -> String {
    let messages = connection.simple_query(sql).await.unwrap();
    let rows: Vec<_> = messages
        .iter()
        .filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .collect();
    assert_eq!(rows.len(), 1, "{sql}");
    rows[0].to_owned()
}

/// A server for `db.internal`, and how a test writes the way to it.
pub(crate) struct Fixture {
    pub(crate) server: Postgres,
    pub(crate) root: PathBuf,
}

impl Fixture {
    /// Starts a server with a certificate of `pki`. It may live in a static: the kit removes the
    /// server's folder, and with it the root certificate, when this process ends.
    pub(crate) fn start(pki: &Pki, builder: PostgresBuilder) -> Self {
        let certificate = pki.server("db.internal").issue().unwrap();
        let server = builder
            .with_tls(certificate.chain_pem(), certificate.key_pem())
            // Not yet the default of PostgreSQL 13.
            .with_setting("password_encryption", "scram-sha-256")
            .start()
            .unwrap();
        let root = server.socket_dir().join("root.crt");
        std::fs::write(&root, pki.root_pem()).unwrap();
        Self { server, root }
    }

    pub(crate) fn plain(&self, rest: &str) -> String {
        let port = self.server.port();
        format!("host=127.0.0.1 port={port} sslmode=disable dbname=postgres {rest}")
    }

    /// Verified in full.
    pub(crate) fn tls(&self, rest: &str) -> String {
        self.with_sslmode("verify-full", rest)
    }

    pub(crate) fn with_sslmode(&self, sslmode: &str, rest: &str) -> String {
        format!(
            "host=db.internal hostaddr=127.0.0.1 port={} sslmode={sslmode} sslrootcert={} dbname=postgres {rest}",
            self.server.port(),
            self.root.display(),
        )
    }

    pub(crate) fn socket(&self, rest: &str) -> String {
        let (directory, port) = (self.server.socket_dir().display(), self.server.port());
        format!("host={directory} port={port} dbname=postgres {rest}")
    }
}

/// A route of a third party: TCP and Unix sockets, with every byte that leaves written down.
#[derive(Clone, Default)]
pub(crate) struct Tap(Arc<Mutex<Vec<Vec<u8>>>>);

impl Tap {
    /// How many streams were opened.
    pub(crate) fn dials(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// What was sent on each.
    pub(crate) fn sent(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().clone()
    }
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tap")
    }
}

#[async_trait]
impl Transport for Tap {
    async fn dial(&self, endpoint: &Endpoint, cx: &DialContext) -> Result<Dialed, Error> {
        let dialed = TcpTransport::new().dial(endpoint, cx).await?;
        let mut streams = self.0.lock().unwrap();
        streams.push(Vec::new());
        let stream = Tapped {
            inner: dialed.stream,
            tap: self.clone(),
            index: streams.len() - 1,
        };
        let tapped = Dialed::new(stream);
        Ok(match dialed.address {
            Some(address) => tapped.with_address(address),
            None => tapped,
        })
    }

    fn describe(&self, endpoint: &Endpoint) -> String {
        format!("tapped to {endpoint}")
    }
}

struct Tapped {
    inner: BoxStream,
    tap: Tap,
    index: usize,
}

impl AsyncRead for Tapped {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.inner).poll_write(cx, data);
        if let Poll::Ready(Ok(n)) = written {
            this.tap.0.lock().unwrap()[this.index].extend_from_slice(&data[..n]);
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
