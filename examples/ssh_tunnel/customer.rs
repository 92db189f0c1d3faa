//! The customer: a PostgreSQL server with TLS, and an SSH bastion in this process.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use pgreach_testkit::{Bastion, Error, Pki, Postgres};

pub(crate) struct Customer {
    pki: Pki,
    database: Postgres,
    bastion: Option<Bastion>,
}

impl Customer {
    /// Has a database with a user for the platform, and a certificate for `db.internal`.
    pub(crate) fn with_database() -> Result<Self, Error> {
        let pki = Pki::generate()?;
        let certificate = pki.server("db.internal").issue()?;
        let database = Postgres::builder()
            .with_tls(certificate.chain_pem(), certificate.key_pem())
            .with_hba(["hostssl all app 127.0.0.1/32 scram-sha-256"])
            .with_sql("create role app login password 'open sesame'")
            .start()?;
        Ok(Self {
            pki,
            database,
            bastion: None,
        })
    }

    /// Name, address and port of the database in the customer's network.
    pub(crate) fn database(&self) -> (&'static str, IpAddr, u16) {
        let address = Ipv4Addr::LOCALHOST.into();
        ("db.internal", address, self.database.port())
    }

    /// The certificate of the customer's own authority.
    pub(crate) fn root_file(&self) -> PathBuf {
        self.pki.root_file().into()
    }

    /// Lets the key of this line in, and tells host, port, user, and the fingerprint of the host key.
    pub(crate) async fn add_to_bastion(
        &mut self,
        line: &str,
    ) -> Result<(&'static str, u16, String, String), Error> {
        // This bastion does nothing but forward; OpenSSH's obeys the options before the key.
        let (_options, key) = line.split_once(' ').unwrap_or_default();
        let bastion = Bastion::builder().with_authorized_key(key).start().await?;
        let (port, user) = (bastion.port(), bastion.user().to_owned());
        let fingerprint = bastion.host_key_fingerprint();
        self.bastion = Some(bastion);
        Ok(("127.0.0.1", port, user, fingerprint))
    }
}
