//! What a server is to be like, and the files that make it so.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::Postgres;
use super::template::{ROLE, template, within_reach};
use crate::Error;
use crate::account::{Account, set_mode};
use crate::files::copy_tree;
use crate::servers;

/// `pg_hba.conf` where a test says nothing: everybody on this machine is trusted.
const TRUSTING: &[&str] = &[
    "local all all trust",
    "host all all 127.0.0.1/32 trust",
    "host all all ::1/128 trust",
];

/// Settings of every server: fast rather than durable, and small.
const USUAL: &[(&str, &str)] = &[
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("shared_buffers", "16MB"),
    ("max_connections", "100"),
    ("wal_level", "replica"),
    // A standby must find what it has not read yet.
    ("wal_keep_size", "256MB"),
    ("listen_addresses", "127.0.0.1"),
    ("logging_collector", "off"),
    ("log_line_prefix", "%m [%p] %q%u@%d "),
];

/// Describes a server before it is started.
#[derive(Debug, Default, Clone)]
#[must_use]
pub struct PostgresBuilder {
    major: Option<u16>,
    hba: Option<Vec<String>>,
    settings: Vec<(String, String)>,
    tls: Option<Tls>,
    client_ca: Option<String>,
    client_crl: Option<String>,
    init_sql: Vec<String>,
}

#[derive(Clone)]
struct Tls {
    chain_pem: String,
    key_pem: String,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(***)")
    }
}

impl PostgresBuilder {
    /// The major version; fetched where it is not installed. Default: the newest there is.
    pub fn with_version(mut self, major: u16) -> Self {
        self.major = Some(major);
        self
    }

    /// The lines of `pg_hba.conf`. Default: every local client is trusted; see [`Postgres`] for
    /// what that means on a machine with other users.
    pub fn with_hba<S: Into<String>>(mut self, lines: impl IntoIterator<Item = S>) -> Self {
        self.hba = Some(lines.into_iter().map(Into::into).collect());
        self
    }

    /// A line of `postgresql.conf`. Later ones win, also over the kit's own.
    pub fn with_setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Turns TLS on, with this certificate chain and private key (PEM).
    pub fn with_tls(mut self, chain_pem: impl Into<String>, key_pem: impl Into<String>) -> Self {
        self.tls = Some(Tls {
            chain_pem: chain_pem.into(),
            key_pem: key_pem.into(),
        });
        self
    }

    /// The authorities that client certificates must come from (PEM).
    pub fn with_client_ca(mut self, pem: impl Into<String>) -> Self {
        self.client_ca = Some(pem.into());
        self
    }

    /// The revocation list for client certificates (PEM).
    pub fn with_client_crl(mut self, pem: impl Into<String>) -> Self {
        self.client_crl = Some(pem.into());
        self
    }

    /// SQL to run, as a superuser, once the server is ready.
    pub fn with_sql(mut self, sql: impl Into<String>) -> Self {
        self.init_sql.push(sql.into());
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// There is no such server and none can be fetched, or it does not start, or the SQL fails.
    pub fn start(self) -> Result<Postgres, Error> {
        let account = Account::current()?;
        let server = within_reach(servers::select(self.major)?, &account)?;
        let template = template(&server, &account)?;
        let owner = account.clone();
        let init_sql = self.init_sql.clone();
        let started = Postgres::launch(server, account, |folder| {
            let data = folder.join("data");
            copy_tree(&template, &data, &|_| true)?;
            self.write_files(&data, &owner)
        })?;
        for sql in &init_sql {
            started.execute(sql)?;
        }
        Ok(started)
    }

    fn write_files(self, data: &Path, account: &Account) -> Result<Vec<(String, String)>, Error> {
        let hba = self
            .hba
            .unwrap_or_else(|| TRUSTING.iter().map(|l| (*l).to_owned()).collect());
        let hba: Vec<&str> = hba.iter().map(String::as_str).collect();
        write_hba(data, account, &hba)?;
        let mut settings: Vec<(String, String)> = USUAL
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut set = |name: &str, value: &str| settings.push((name.to_owned(), value.to_owned()));
        if let Some(tls) = &self.tls {
            write_owned(&data.join("server.crt"), &tls.chain_pem, 0o644, account)?;
            write_owned(&data.join("server.key"), &tls.key_pem, 0o600, account)?;
            set("ssl", "on");
            set("ssl_cert_file", "server.crt");
            set("ssl_key_file", "server.key");
        }
        if let Some(ca) = &self.client_ca {
            write_owned(&data.join("client-ca.crt"), ca, 0o644, account)?;
            set("ssl_ca_file", "client-ca.crt");
        }
        if let Some(crl) = &self.client_crl {
            write_owned(&data.join("client.crl"), crl, 0o644, account)?;
            set("ssl_crl_file", "client.crl");
        }
        settings.extend(self.settings);
        Ok(settings)
    }
}

/// Writes `pg_hba.conf`: first a line for the kit's own role, then what the test wants.
pub(super) fn write_hba(data: &Path, account: &Account, lines: &[&str]) -> Result<(), Error> {
    let mut text = format!("local all {ROLE} trust\nlocal replication {ROLE} trust\n");
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    write_owned(&data.join("pg_hba.conf"), &text, 0o600, account)
}

/// Appends the settings to `postgresql.conf`; the file's last word counts.
pub(super) fn write_settings(
    data: &Path,
    socket_dir: &Path,
    port: u16,
    settings: &[(String, String)],
) -> Result<(), Error> {
    let file = data.join("pgreach-testkit.conf");
    let mut text = String::new();
    for (name, value) in settings {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name} = {}", quoted(value));
    }
    let _ = writeln!(text, "port = {port}");
    let socket_dir = quoted(&socket_dir.display().to_string());
    let _ = writeln!(text, "unix_socket_directories = {socket_dir}");
    fs::write(&file, text).map_err(Error::file("write", &file))?;
    set_mode(&file, 0o644)?;
    let main = data.join("postgresql.conf");
    let mut conf = fs::read_to_string(&main).map_err(Error::file("read", &main))?;
    let include = "include = 'pgreach-testkit.conf'";
    if !conf.contains(include) {
        conf.push('\n');
        conf.push_str(include);
        conf.push('\n');
        fs::write(&main, conf).map_err(Error::file("write", &main))?;
    }
    Ok(())
}

/// A value as `postgresql.conf` has it: backslashes begin escapes there, as in C.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\\', r"\\").replace('\'', "''"))
}

fn write_owned(path: &Path, text: &str, mode: u32, account: &Account) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::file("write", path))?;
    set_mode(path, mode)?;
    account.own(path)
}
