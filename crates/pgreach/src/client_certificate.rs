//! The client certificate of a connection string: `sslcert`, `sslkey`, `sslpassword`, `sslcertmode`.

use std::sync::Arc;

use pgreach_core::conninfo::{FileSetting, Settings};
use pgreach_core::{
    CredentialProvider, Endpoint, Error, NoCredential, SslCertMode, SslMode, Stage, codes,
};

/// `password` together with the client certificate, if there is one.
pub(crate) fn with(
    settings: &Settings,
    password: Option<Arc<dyn CredentialProvider>>,
) -> Result<Arc<dyn CredentialProvider>, Error> {
    let Some((certificate, key)) = files(settings)? else {
        return Ok(password.unwrap_or_else(|| Arc::new(NoCredential::new())));
    };
    source(settings, certificate, key, password)
}

/// The files of the certificate and of its key. Without TLS nobody asks for a certificate, so neither
/// is it read.
fn files(settings: &Settings) -> Result<Option<(&FileSetting, &FileSetting)>, Error> {
    let tls = settings.sslmode != SslMode::Disable && !settings.hosts.iter().all(Endpoint::is_unix);
    if !tls || settings.sslcertmode == SslCertMode::Disable {
        return Ok(None);
    }
    let Some(certificate) = &settings.sslcert else {
        return match settings.sslkey.as_ref().filter(|key| key.named) {
            None => Ok(None),
            Some(key) => Err(Error::new(
                &codes::CONFIG_MISSING,
                Stage::CONFIG,
                format!(
                    "sslkey names \"{}\", but there is no certificate for this key",
                    key.path.display()
                ),
            )
            .with_hint("set sslcert to the file of the certificate, or remove sslkey")),
        };
    };
    let Some(key) = &settings.sslkey else {
        return Err(Error::new(
            &codes::CONFIG_MISSING,
            Stage::CONFIG,
            "sslcert is given without sslkey, and the home directory with the default file is not known",
        )
        .with_hint("set sslkey to the file of the certificate's key"));
    };
    // A wrong name shows at once.
    let file = |what: &str, keyword: &str, file: &FileSetting| {
        let error = match std::fs::metadata(&file.path) {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        let message = format!(
            "{what} file \"{}\" cannot be read: {error}",
            file.path.display()
        );
        Err(Error::new(&codes::CONFIG_FILE, Stage::CONFIG, message)
            .with_hint(format!(
                "correct {keyword}, or set sslcertmode=disable to send no certificate"
            ))
            .with_source(error))
    };
    file("client certificate", "sslcert", certificate)?;
    file("private key", "sslkey", key)?;
    Ok(Some((certificate, key)))
}

#[cfg(feature = "cert")]
fn source(
    settings: &Settings,
    certificate: &FileSetting,
    key: &FileSetting,
    password: Option<Arc<dyn CredentialProvider>>,
) -> Result<Arc<dyn CredentialProvider>, Error> {
    let mut source = pgreach_auth_cert::FileCertificate::new(&certificate.path, &key.path);
    if let Some(passphrase) = &settings.sslpassword {
        source = source.with_passphrase(passphrase.clone());
    }
    if let Some(password) = password {
        source = source.with_password_from(password);
    }
    Ok(Arc::new(source))
}

/// A certificate that nobody named is then not used.
#[cfg(not(feature = "cert"))]
fn source(
    _: &Settings,
    certificate: &FileSetting,
    _: &FileSetting,
    password: Option<Arc<dyn CredentialProvider>>,
) -> Result<Arc<dyn CredentialProvider>, Error> {
    if certificate.named {
        return Err(Error::new(
            &codes::CONFIG_UNSUPPORTED,
            Stage::CONFIG,
            "sslcert is not supported: pgreach was built without its feature \"cert\"",
        )
        .with_hint("build pgreach with the feature cert, or remove sslcert"));
    }
    Ok(password.unwrap_or_else(|| Arc::new(NoCredential::new())))
}
