//! Client certificates of a document.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use pgreach_auth_cert::{FileCertificate, FixedCertificate};
use pgreach_core::{
    Credential, CredentialProvider, CredentialRequest, Error, PgConnectorBuilder, Secret,
};

use super::credentials::CredentialsSpec;
use super::fault::Fault;
use super::kept::{Kept, Recipe, Sources, base64, secret};
use super::secret::SecretSource;

/// Adds the client certificate that `credentials` describe; the user is set already. What is given as
/// text is read at once.
///
/// # Errors
/// Of kind Credential where the text is no certificate or key, with the path of the fields.
pub(super) fn with_certificate(
    builder: PgConnectorBuilder,
    credentials: &CredentialsSpec,
) -> Result<PgConnectorBuilder, Error> {
    let CredentialsSpec::Certificate {
        user,
        certificate,
        private_key,
        pkcs12,
        passphrase,
        password,
    } = credentials
    else {
        return Ok(builder);
    };
    let mut sources = Sources::default();
    let mut number =
        |field: &str, source: &SecretSource| sources.add(format!("credentials.{field}"), source);
    let form = match (pkcs12, certificate, private_key) {
        (Some(SecretSource::File(path)), _, _) => Form::Archive(path.into()),
        (Some(archive), _, _) => Form::ArchiveText(number("pkcs12", archive)),
        (None, Some(certificate), Some(key)) => match (&certificate.0, key) {
            (SecretSource::File(certificate), SecretSource::File(key)) => {
                Form::Files(certificate.into(), key.into())
            }
            (certificate, key) => Form::Texts(
                number("certificate", certificate),
                number("privateKey", key),
            ),
        },
        (None, None, _) => return Err(Fault::secret_missing("credentials.certificate").into()),
        (None, _, None) => return Err(Fault::secret_missing("credentials.privateKey").into()),
    };
    let passphrase = passphrase
        .as_ref()
        .map(|passphrase| number("passphrase", passphrase));
    let plan = Plan {
        form,
        passphrase,
        password: password.as_ref().map(SecretSource::provider),
        user_from_subject: user.is_none(),
    };
    if let Some(secrets) = sources.given() {
        let made = plan
            .make(&secrets)
            .map_err(|error| error.with_context("credentials"))?;
        return Ok(builder.with_credentials(made));
    }
    Ok(builder.with_credentials(Certificate(Kept::new(plan, sources))))
}

/// The certificate of what the references lead to.
#[derive(Debug)]
struct Certificate(Arc<Kept<Plan>>);

#[async_trait]
impl CredentialProvider for Certificate {
    async fn credential(&self, request: &CredentialRequest<'_>) -> Result<Arc<Credential>, Error> {
        self.0.get(request).await?.credential(request).await
    }

    fn invalidate(&self, rejected: &Credential) -> bool {
        self.0.last().is_some_and(|made| made.invalidate(rejected))
    }
}

#[derive(Debug)]
struct Plan {
    form: Form,
    passphrase: Option<usize>,
    password: Option<Arc<dyn CredentialProvider>>,
    user_from_subject: bool,
}

/// Where certificate and key are. Files are read by the certificate itself, which sees them change.
#[derive(Debug)]
enum Form {
    Files(PathBuf, PathBuf),
    Archive(PathBuf),
    Texts(usize, usize),
    ArchiveText(usize),
}

impl Recipe for Plan {
    type Made = Arc<dyn CredentialProvider>;

    fn make(&self, secrets: &[Secret]) -> Result<Self::Made, Error> {
        let passphrase = self
            .passphrase
            .map(|number| secret(secrets, number).cloned())
            .transpose()?;
        Ok(match &self.form {
            Form::Files(certificate, key) => {
                self.of_files(FileCertificate::new(certificate, key), passphrase)
            }
            Form::Archive(path) => self.of_files(FileCertificate::pkcs12(path), passphrase),
            Form::Texts(certificate, key) => {
                let certificate = secret(secrets, *certificate)?.expose();
                let key = secret(secrets, *key)?.expose();
                self.of_bytes(FixedCertificate::from_bytes(certificate, key, passphrase)?)
            }
            Form::ArchiveText(number) => {
                let archive = base64("credentials.pkcs12", secret(secrets, *number)?)?;
                self.of_bytes(FixedCertificate::from_pkcs12(&*archive, passphrase)?)
            }
        })
    }
}

impl Plan {
    fn of_files(
        &self,
        mut files: FileCertificate,
        passphrase: Option<Secret>,
    ) -> Arc<dyn CredentialProvider> {
        if let Some(passphrase) = passphrase {
            files = files.with_passphrase(passphrase);
        }
        if let Some(password) = &self.password {
            files = files.with_password_from(Arc::clone(password));
        }
        if self.user_from_subject {
            files = files.with_user_from_subject();
        }
        Arc::new(files)
    }

    fn of_bytes(&self, mut fixed: FixedCertificate) -> Arc<dyn CredentialProvider> {
        if let Some(password) = &self.password {
            fixed = fixed.with_password_from(Arc::clone(password));
        }
        if self.user_from_subject {
            fixed = fixed.with_user_from_subject();
        }
        Arc::new(fixed)
    }
}
