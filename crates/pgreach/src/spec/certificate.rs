//! Client certificates of a document.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use pgreach_auth_cert::{FileCertificate, FixedCertificate, codes};
use pgreach_core::{
    Credential, CredentialProvider, CredentialRequest, Error, PgConnectorBuilder, Secret, Stage,
};

use super::credentials::CredentialsSpec;
use super::fault::Fault;
use super::kept::{Kept, Recipe, Sources, secret};
use super::lookup::{Found, Purpose, archive};
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
    let mut number = |field: &str, source: &SecretSource, purpose| {
        sources.add(format!("credentials.{field}"), source, purpose)
    };
    let form = match (pkcs12, certificate, private_key) {
        (Some(SecretSource::File(path)), _, _) => Form::Archive(path.into()),
        (Some(archive), _, _) => Form::ArchiveText(number("pkcs12", archive, Purpose::Archive)),
        (None, Some(certificate), Some(key)) => match (&certificate.0, key) {
            (SecretSource::File(certificate), SecretSource::File(key)) => {
                Form::Files(certificate.into(), key.into())
            }
            (certificate, key) => Form::Texts(
                number("certificate", certificate, Purpose::Public),
                number("privateKey", key, Purpose::PrivateKey),
            ),
        },
        (None, None, _) => return Err(Fault::secret_missing("credentials.certificate").into()),
        (None, _, None) => return Err(Fault::secret_missing("credentials.privateKey").into()),
    };
    let passphrase = passphrase
        .as_ref()
        .map(|passphrase| number("passphrase", passphrase, Purpose::Password));
    let plan = Plan {
        form,
        passphrase,
        password: password.as_ref().map(SecretSource::provider),
        user_from_subject: user.is_none(),
    };
    if let Some(secrets) = sources.given() {
        return Ok(builder.with_credentials(plan.make(&secrets)?));
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

    /// True where something is looked up, which may have been renewed: the next call does so anyway. A
    /// program that is running meanwhile is not waited for, but run again.
    fn invalidate(&self, rejected: &Credential) -> bool {
        let of_made = self.0.last().is_some_and(|made| made.invalidate(rejected));
        self.0.invalidate() || of_made
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

    fn make(&self, secrets: &[Found]) -> Result<Self::Made, Error> {
        let passphrase = self
            .passphrase
            .map(|number| secret(secrets, number)?.secret())
            .transpose()?;
        Ok(match &self.form {
            Form::Files(certificate, key) => {
                self.of_files(FileCertificate::new(certificate, key), passphrase)
            }
            Form::Archive(path) => self.of_files(FileCertificate::pkcs12(path), passphrase),
            Form::Texts(certificate, key) => {
                let certificate = secret(secrets, *certificate)?.bytes();
                let key = secret(secrets, *key)?.bytes();
                let fixed = FixedCertificate::from_bytes(certificate, key, passphrase);
                self.of_bytes(fixed.map_err(in_document)?)
            }
            Form::ArchiveText(number) => {
                let archive = archive("credentials.pkcs12", secret(secrets, *number)?)?;
                let fixed = FixedCertificate::from_pkcs12(&*archive, passphrase);
                self.of_bytes(fixed.map_err(in_document)?)
            }
        })
    }

    /// Dates are another matter tomorrow.
    fn is_for_good(&self, error: &Error) -> bool {
        ![&codes::CERT_EXPIRED, &codes::CERT_NOT_YET_VALID].contains(&error.code())
    }
}

fn in_document(error: Error) -> Error {
    error.with_stage(Stage::CONFIG).with_context("credentials")
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
