//! Streaming standbys.

use std::fs;
use std::path::Path;

use super::template::ROLE;
use super::{Postgres, sql};
use crate::Error;
use crate::account::set_mode;
use crate::files::copy_tree;

impl Postgres {
    /// Starts a hot standby that streams from this server, with the same settings. It must be
    /// dropped before this server, or it merely loses its source.
    ///
    /// # Errors
    /// This server has tablespaces, the backup fails, or the standby does not start.
    pub fn standby(&self) -> Result<Self, Error> {
        // A copy would have links to the same folders, and both servers would write there.
        let spaces = self.data_dir().join("pg_tblspc");
        let mut spaces = fs::read_dir(&spaces).map_err(Error::file("read", &spaces))?;
        if spaces.next().is_some() {
            return Err(Error::State(
                "a server with tablespaces cannot have a standby: both would use the same folders"
                    .to_owned(),
            ));
        }
        let source = format!(
            "host={} port={} user={ROLE} application_name=standby",
            self.socket_dir().display(),
            self.port()
        );
        let old = self.major() < 15;
        Self::launch(self.server.clone(), self.account.clone(), |folder| {
            let data = folder.join("data");
            // The packages with servers to fetch have no pg_basebackup; this is what it does.
            let label = sql::with_session(self.socket_dir(), self.port(), "postgres", |session| {
                session.run(if old {
                    "select pg_start_backup('standby', true, false)"
                } else {
                    "select pg_backup_start('standby', true)"
                })?;
                copy_tree(&self.data_dir(), &data, &wanted)?;
                let rows = session.run(if old {
                    "select labelfile from pg_stop_backup(false, false)"
                } else {
                    "select labelfile from pg_backup_stop(false)"
                })?;
                rows.into_iter()
                    .flatten()
                    .next()
                    .flatten()
                    .ok_or_else(|| Error::State("the backup ended without a label".to_owned()))
            })?;
            for (name, text) in [("backup_label", label.as_str()), ("standby.signal", "")] {
                let path = data.join(name);
                fs::write(&path, text).map_err(Error::file("write", &path))?;
                set_mode(&path, 0o600)?;
                self.account.own(&path)?;
            }
            let mut settings = self.settings.clone();
            settings.push(("primary_conninfo".to_owned(), source));
            settings.push(("hot_standby".to_owned(), "on".to_owned()));
            Ok(settings)
        })
    }

    /// Makes a standby a primary, and waits until it is.
    ///
    /// # Errors
    /// It is no standby, or takes too long.
    pub fn promote(&self) -> Result<(), Error> {
        let rows = self.execute("select pg_promote(true, 60)")?;
        match rows.first().and_then(|row| row.first()) {
            Some(Some(yes)) if yes == "t" => Ok(()),
            _ => Err(Error::State(
                "the standby was not promoted in time".to_owned(),
            )),
        }
    }

    /// Waits until this standby has replayed everything that `primary` has written by now.
    ///
    /// # Errors
    /// It takes longer than a minute.
    pub fn catch_up(&self, primary: &Self) -> Result<(), Error> {
        let rows = primary.execute("select pg_current_wal_flush_lsn()::text")?;
        let target = rows
            .into_iter()
            .flatten()
            .next()
            .flatten()
            .unwrap_or_default();
        let deadline = std::time::Instant::now() + super::PATIENCE;
        let sql = format!("select pg_last_wal_replay_lsn() >= '{target}'::pg_lsn");
        while self.execute(&sql)? != [[Some("t".to_owned())]] {
            if std::time::Instant::now() > deadline {
                return Err(Error::State(format!("the standby did not reach {target}")));
            }
            std::thread::sleep(super::process::TICK);
        }
        Ok(())
    }
}

/// What a base backup leaves out (PostgreSQL manual, "Backing Up the Data Directory"): what belongs
/// to the running primary, and its replication slots.
fn wanted(path: &Path) -> bool {
    let own = ["postmaster.pid", "postmaster.opts", "pgreach-testkit.conf"].map(Path::new);
    !own.contains(&path) && path.parent() != Some(Path::new("pg_replslot"))
}
