//! Stand-ins for the programs `az` and `azd`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;
use time::OffsetDateTime;

use super::fake::FakeEntra;
use super::issuer::replace;
use super::keys;
use super::{OSS_RDBMS, Principal};
use crate::Error;
use crate::command::run;
use crate::files::read_lossy;

/// Both programs: `NAME.out` is printed where there is one, else `NAME.err`, and the program fails.
///
/// Arguments are separated by a character that none of them holds.
const SCRIPT: &str = r#"#!/bin/sh
folder=${0%/*}
name=${0##*/}
line=$(printf '%s\037' "$name" "$@")
printf '%s\n' "$line" >>"$folder/calls"
case "$name $1 $2" in
    "az account get-access-token" | "azd auth token") ;;
    *)
        echo "ERROR: '$1' is misspelled or not recognized by the system." >&2
        exit 2
        ;;
esac
if [ -e "$folder/$name.out" ]; then
    cat "$folder/$name.out"
else
    cat "$folder/$name.err" >&2
    exit 1
fi
"#;

/// What `az` says to somebody who is not logged in.
const AZ_LOGGED_OUT: &str = "ERROR: Please run 'az login' to setup account.\n";

/// What `azd` says, as its message of that kind.
const AZD_LOGGED_OUT: &str = "\nERROR: not logged in, run `azd auth login` to login\n";

/// A folder with programs `az` and `azd` that answer as the real ones, to be put first on the `PATH`
/// of a child process. The folder is removed when the value is dropped.
///
/// They answer `az account get-access-token` and `azd auth token` with JSON, whatever the other
/// arguments are. Nobody is logged in at first.
#[derive(Debug)]
pub struct StubAz {
    folder: TempDir,
}

impl StubAz {
    /// Makes the folder.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn new() -> Result<Self, Error> {
        let folder = tempfile::Builder::new()
            .prefix("pgk-")
            .tempdir()
            .map_err(Error::file("create a folder in", std::env::temp_dir()))?;
        let stub = Self { folder };
        let script = stub.file("script");
        fs::write(&script, SCRIPT).map_err(Error::file("write", &script))?;
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&script, mode).map_err(Error::file("set the mode of", &script))?;
        for name in ["az", "azd"] {
            // Not written by this process: what another thread starts meanwhile would hold the file
            // open for writing, and the system starts no such file.
            run(Command::new("cp").arg(&script).arg(stub.file(name)))?;
        }
        stub.log_out()?;
        Ok(stub)
    }

    /// The folder of the programs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The `PATH` of this process with the folder before it.
    pub fn path(&self) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        format!("{}:{path}", self.folder().display())
    }

    /// Lets both programs answer with a token for PostgreSQL of a user. It is made now, and lives as
    /// long as [`FakeEntra::set_lifetime`] says.
    ///
    /// # Errors
    /// The token cannot be signed or the answers not be written.
    pub fn log_in(&self, entra: &FakeEntra, user: &Principal) -> Result<(), Error> {
        let claims = entra.shared().claims(user, OSS_RDBMS);
        let token = entra.shared().key.sign(&claims)?;
        let expires = keys::seconds(&claims, "exp").unwrap_or_default();
        self.answer(entra.tenant(), &token, expires)
    }

    /// Lets both programs answer with this token of this tenant, and that it expires at this time in
    /// seconds since 1970.
    ///
    /// # Errors
    /// The time is beyond what can be written as a date, or the answers cannot be written.
    pub fn answer(&self, tenant: &str, token: &str, expires: i64) -> Result<(), Error> {
        let at = OffsetDateTime::from_unix_timestamp(expires)
            .map_err(|error| Error::Token(error.to_string()))?;
        let (date, hour, minute, second) = (at.date(), at.hour(), at.minute(), at.second());
        let az = json!({
            "accessToken": token,
            // In the real one's local time, which is why nobody should read it.
            "expiresOn": format!("{date} {hour:02}:{minute:02}:{second:02}.000000"),
            "expires_on": expires,
            "subscription": keys::identifier(),
            "tenant": tenant,
            "tokenType": "Bearer",
        });
        let azd = json!({
            "token": token,
            "expiresOn": format!("{date}T{hour:02}:{minute:02}:{second:02}Z"),
        });
        replace(&self.file("az.out"), &format!("{az:#}\n"))?;
        replace(&self.file("azd.out"), &format!("{azd}\n"))
    }

    /// Lets both programs print this and succeed, whatever it is.
    ///
    /// # Errors
    /// The answers cannot be written.
    pub fn print(&self, text: &str) -> Result<(), Error> {
        replace(&self.file("az.out"), text)?;
        replace(&self.file("azd.out"), text)
    }

    /// Lets both programs fail as the real ones do when nobody is logged in.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn log_out(&self) -> Result<(), Error> {
        let azd = json!({
            "type": "consoleMessage",
            "timestamp": "2025-01-01T00:00:00Z",
            "data": {"message": AZD_LOGGED_OUT},
        });
        self.fail_each(AZ_LOGGED_OUT, &format!("{azd}\n"))
    }

    /// Lets both programs write this to their standard error and end with status 1.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn fail(&self, text: &str) -> Result<(), Error> {
        self.fail_each(text, text)
    }

    fn fail_each(&self, az: &str, azd: &str) -> Result<(), Error> {
        for (name, text) in [("az", az), ("azd", azd)] {
            replace(&self.file(&format!("{name}.err")), text)?;
            let out = self.file(&format!("{name}.out"));
            if let Err(error) = fs::remove_file(&out)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                return Err(Error::file("remove", &out)(error));
            }
        }
        Ok(())
    }

    /// How the programs were called so far: name and arguments of each call.
    pub fn calls(&self) -> Vec<Vec<String>> {
        read_lossy(&self.file("calls"))
            .lines()
            .map(|line| {
                let parts = line.trim_end_matches('\u{1f}').split('\u{1f}');
                parts.map(str::to_owned).collect()
            })
            .collect()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }
}
