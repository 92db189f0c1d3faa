//! Why a certificate was refused, in words that say what to change.

use crate::{Code, Endpoint, Error, PeerCertificate, codes};

/// By name: a TLS provider may have the same code with a remedy of its own.
fn is(error: &Error, code: &Code) -> bool {
    error.code().name() == code.name()
}

/// Whether a look at the certificate can say more about `error`.
pub(super) fn can_explain(error: &Error) -> bool {
    [
        &codes::TLS_WRONG_NAME,
        &codes::TLS_UNKNOWN_CA,
        &codes::TLS_SELF_SIGNED,
        &codes::TLS_EXPIRED,
        &codes::TLS_NOT_YET_VALID,
    ]
    .into_iter()
    .any(|code| is(error, code))
}

/// Adds to `error` what the server's certificate says.
pub(super) fn with_certificate(
    error: Error,
    certificate: &PeerCertificate,
    endpoint: &Endpoint,
) -> Error {
    let PeerCertificate {
        subject,
        issuer,
        names,
        not_before,
        not_after,
        ..
    } = certificate;
    let host = endpoint.host();
    let hint = if is(&error, &codes::TLS_WRONG_NAME) {
        let list = names.join(", ");
        match (names.first(), endpoint.hostaddr()) {
            (None, _) => {
                format!("the server's certificate names no host; issue one for \"{host}\"")
            }
            (Some(_), Some(address)) if names.len() == 1 => format!(
                "the server's certificate is for {list}; set host to that name and hostaddr to {address}"
            ),
            (Some(_), Some(address)) => format!(
                "the server's certificate is for {list}; set host to one of these names and hostaddr to {address}"
            ),
            (Some(_), None) => format!(
                "the server's certificate is for {list}; set host to such a name, or issue a certificate for \"{host}\""
            ),
        }
    } else if is(&error, &codes::TLS_EXPIRED) {
        format!("renew the server's certificate ({subject}): it expired on {not_after}")
    } else if is(&error, &codes::TLS_NOT_YET_VALID) {
        format!(
            "check the clocks: the server's certificate ({subject}) is valid only from {not_before}"
        )
    } else if is(&error, &codes::TLS_SELF_SIGNED) {
        format!(
            "the server's certificate ({subject}) is not signed by a trusted authority but by itself or \"{issuer}\"; give that certificate as sslrootcert if you trust it"
        )
    } else if is(&error, &codes::TLS_UNKNOWN_CA) {
        format!(
            "the server's certificate ({subject}) was issued by \"{issuer}\"; give the certificate of that authority as sslrootcert"
        )
    } else {
        return error;
    };
    error.with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stage;

    #[test]
    fn names_what_to_change() {
        let certificate = PeerCertificate {
            subject: "CN=db.internal".into(),
            issuer: "CN=Corp CA".into(),
            names: vec!["db.internal".into()],
            not_after: "2020-01-01T00:00:00Z".into(),
            ..PeerCertificate::default()
        };
        let endpoint = Endpoint::tcp("localhost", 5432).with_hostaddr([10, 1, 2, 3]);
        let cases = [
            (
                &codes::TLS_WRONG_NAME,
                "the server's certificate is for db.internal; set host to that name and hostaddr to 10.1.2.3",
            ),
            (
                &codes::TLS_EXPIRED,
                "renew the server's certificate (CN=db.internal): it expired on 2020-01-01T00:00:00Z",
            ),
            (
                &codes::TLS_UNKNOWN_CA,
                "the server's certificate (CN=db.internal) was issued by \"CN=Corp CA\"; give the certificate of that authority as sslrootcert",
            ),
        ];
        for (code, hint) in cases {
            let error = Error::new(code, Stage::TLS, "refused");
            assert_eq!(
                with_certificate(error, &certificate, &endpoint).hint(),
                hint
            );
        }
    }
}
