//! Client certificates of a document.

use pgreach_core::{Error, PgConnectorBuilder};

use super::credentials::CredentialsSpec;
use super::fault::Fault;

/// Adds the client certificate that `credentials` describe; the user is set already.
///
/// # Errors
/// This version has none yet.
pub(super) fn with_certificate(
    _builder: PgConnectorBuilder,
    _credentials: &CredentialsSpec,
) -> Result<PgConnectorBuilder, Error> {
    let fault = Fault::unsupported(
        "credentials.type",
        "certificate is understood and not yet usable in this version",
    );
    Err(fault.into())
}
