//! The files that keywords name, and those at libpq's default places.

use super::{Conninfo, Environment, FileSetting, Keyword, RootCert};
use crate::{Error, SslMode, Stage, codes};

impl Conninfo {
    /// The file that `keyword` names, else the one at the default place, if there is such a place.
    pub(super) fn file(
        &self,
        keyword: Keyword,
        environment: &Environment,
        name: &str,
        windows_name: &str,
    ) -> Option<FileSetting> {
        match self.text(keyword) {
            Some(path) => Some(FileSetting {
                path: path.into(),
                named: true,
            }),
            None => Some(FileSetting {
                path: environment.default_file(name, windows_name)?,
                named: false,
            }),
        }
    }

    pub(super) fn root_cert(&self, environment: &Environment) -> RootCert {
        match self.text(Keyword::SslRootCert) {
            Some("system") => RootCert::System,
            Some(path) => RootCert::File {
                path: path.into(),
                named: true,
            },
            None => match environment.default_file(".postgresql/root.crt", "root.crt") {
                Some(path) if path.exists() => RootCert::File { path, named: false },
                _ => RootCert::None,
            },
        }
    }

    pub(super) fn sslcrl(
        &self,
        environment: &Environment,
        has_directory: bool,
    ) -> Option<FileSetting> {
        let file = self.file(
            Keyword::SslCrl,
            environment,
            ".postgresql/root.crl",
            "root.crl",
        );
        file.filter(|file| file.named || !has_directory && file.path.exists())
    }
}

/// Verification needs authorities.
pub(super) fn check_root_cert(
    mode: SslMode,
    roots: &RootCert,
    environment: &Environment,
) -> Result<(), Error> {
    if *roots != RootCert::None || !matches!(mode, SslMode::VerifyCa | SslMode::VerifyFull) {
        return Ok(());
    }
    let message = match environment.default_file(".postgresql/root.crt", "root.crt") {
        Some(path) => format!(
            "root certificate file \"{}\" does not exist",
            path.display()
        ),
        None => "there is no root certificate file: the home directory is not known".to_owned(),
    };
    let mode = mode.as_str();
    Err(Error::new(
        &codes::CONFIG_FILE,
        Stage::CONFIG,
        format!("{message}, and sslmode={mode} needs one"),
    )
    .with_hint(
        "set sslrootcert to the file of the authority that signed the server's certificate, or to system for the operating system's authorities",
    ))
}
