//! Why a handshake failed, read from what the TLS library says.
//!
//! native-tls hides the library's error behind `Display` and `Debug`. OpenSSL's text ends with the
//! result of the verification and, for an alert, its number; Apple's and Windows' have a code in
//! their `Debug` form. The tables are compiled everywhere so that they can be tested everywhere.

use std::error::Error as _;
use std::io;

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    WrongName,
    UnknownCa,
    SelfSigned,
    Expired,
    NotYetValid,
    Revoked,
    /// Another rule that the certificate breaks, in the library's words.
    Certificate(String),
    ProtocolVersion,
    Alpn,
    /// The server refuses our certificate, or demands one: its alert.
    CertificateRefused(String),
    /// Another alert of the server.
    Alert(String),
    /// The answer is not TLS.
    NotTls,
    /// The server closed the connection.
    Closed,
    /// The connection broke.
    Broken,
    /// Anything else: see the library's text.
    Other,
}

/// The error of the stream below, where it was that.
pub(crate) fn io(error: &native_tls::Error) -> Option<&io::Error> {
    error.source()?.downcast_ref()
}

pub(crate) fn of(error: &native_tls::Error) -> Cause {
    if cfg!(any(target_os = "windows", target_vendor = "apple")) {
        return from_code(&format!("{error:?}"));
    }
    match io(error) {
        Some(io) if io.kind() == io::ErrorKind::UnexpectedEof => Cause::Closed,
        Some(_) => Cause::Broken,
        None => from_openssl(&error.to_string()),
    }
}

/// What a session that was begun failed with: known are OpenSSL's texts.
pub(crate) fn of_text(text: &str) -> Cause {
    from_openssl(text)
}

/// OpenSSL's texts changed case and hyphens between versions, so they are compared loosely.
fn from_openssl(text: &str) -> Cause {
    let text = text
        .to_ascii_lowercase()
        .replace("self signed", "self-signed");
    // The result of the verification is there too when it was not asked for (it is then not why the
    // handshake failed), so the reason comes first.
    if let Some((_, rest)) = text.split_once("certificate verify failed") {
        return from_verification(rest);
    }
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if let Some(number) = alert_number(&text) {
        from_alert(number)
    } else if has(&["unexpected eof"]) {
        Cause::Closed
    } else if has(&[
        "wrong version number",
        "packet length too long",
        "http request",
    ]) {
        Cause::NotTls
    } else if has(&[
        "unsupported protocol",
        "no protocols available",
        "version too low",
        "inappropriate fallback",
    ]) {
        Cause::ProtocolVersion
    } else {
        Cause::Other
    }
}

fn from_verification(text: &str) -> Cause {
    // The first that fits: some are part of others.
    const TABLE: &[(&str, Cause)] = &[
        ("hostname mismatch", Cause::WrongName),
        ("ip address mismatch", Cause::WrongName),
        (
            "self-signed certificate in certificate chain",
            Cause::UnknownCa,
        ),
        ("self-signed certificate", Cause::SelfSigned),
        ("issuer certificate", Cause::UnknownCa),
        ("unable to verify the first certificate", Cause::UnknownCa),
        ("issuer mismatch", Cause::UnknownCa),
        ("certificate signature failure", Cause::UnknownCa),
        ("certificate not trusted", Cause::UnknownCa),
        ("certificate has expired", Cause::Expired),
        ("certificate is not yet valid", Cause::NotYetValid),
        ("certificate revoked", Cause::Revoked),
    ];
    TABLE
        .iter()
        .find(|(words, _)| text.contains(words))
        .map_or_else(
            || Cause::Certificate(result_of(text).to_owned()),
            |(_, cause)| cause.clone(),
        )
}

/// The text in the last parentheses.
fn result_of(text: &str) -> &str {
    text.rsplit_once('(')
        .map_or("it does not verify", |(_, result)| {
            result.trim_end_matches(')')
        })
}

fn alert_number(text: &str) -> Option<u8> {
    let (_, rest) = text.split_once("ssl alert number ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Source: RFC 8446, section 6; RFC 5246, section 7.2.
fn from_alert(number: u8) -> Cause {
    let name = match number {
        40 => "handshake failure",
        42 => "bad certificate",
        43 => "unsupported certificate",
        44 => "certificate revoked",
        45 => "certificate expired",
        46 => "certificate unknown",
        47 => "illegal parameter",
        48 => "unknown authority",
        49 => "access denied",
        50 => "decode error",
        51 => "decrypt error",
        71 => "insufficient security",
        80 => "internal error",
        112 => "unrecognized name",
        116 => "certificate required",
        70 => return Cause::ProtocolVersion,
        120 => return Cause::Alpn,
        _ => return Cause::Alert(format!("alert {number}")),
    };
    match number {
        42..=46 | 48 | 49 | 116 => Cause::CertificateRefused(name.to_owned()),
        _ => Cause::Alert(name.to_owned()),
    }
}

/// Apple's `errSSL…` and Windows' `SEC_E_…`, `CERT_E_…`, `TRUST_E_…` and socket errors.
/// Sources: `SecureTransport.h`, `winerror.h`.
fn from_code(debug: &str) -> Cause {
    let code = debug
        .split_once("code: ")
        .and_then(|(_, rest)| {
            let end = rest.find(|c: char| c != '-' && !c.is_ascii_digit());
            rest.get(..end.unwrap_or(rest.len()))?.parse::<i32>().ok()
        })
        .unwrap_or(0);
    #[allow(
        clippy::cast_possible_wrap,
        reason = "HRESULTs are negative numbers, written unsigned"
    )]
    const fn hresult(code: u32) -> i32 {
        code as i32
    }
    const PAIRS: &[(i32, Cause)] = &[
        (-9843, Cause::WrongName),
        (-9807, Cause::UnknownCa),
        (-9812, Cause::UnknownCa),
        (-9813, Cause::UnknownCa),
        (-9814, Cause::Expired),
        (-9815, Cause::NotYetValid),
        (-9836, Cause::ProtocolVersion),
        (-9800, Cause::NotTls),
        (-9805, Cause::Closed),
        (-9806, Cause::Closed),
        (-9816, Cause::Closed),
        (hresult(0x800B_010F), Cause::WrongName),
        (hresult(0x8009_0322), Cause::WrongName),
        (hresult(0x800B_0109), Cause::UnknownCa),
        (hresult(0x800B_010A), Cause::UnknownCa),
        (hresult(0x8009_0325), Cause::UnknownCa),
        (hresult(0x800B_0101), Cause::Expired),
        (hresult(0x8009_0328), Cause::Expired),
        (hresult(0x800B_010C), Cause::Revoked),
        (hresult(0x8009_0331), Cause::ProtocolVersion),
        (hresult(0x8009_0308), Cause::NotTls),
        (hresult(0x8009_0367), Cause::Alpn),
        (10053, Cause::Broken),
        (10054, Cause::Broken),
    ];
    match code {
        -9829..=-9825 | -9832 | -9831 => Cause::CertificateRefused(format!("code {code}")),
        _ if debug.contains("UnexpectedEof") => Cause::Closed,
        _ => PAIRS
            .iter()
            .find(|(known, _)| *known == code)
            .map_or(Cause::Other, |(_, cause)| cause.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openssl_texts() {
        let failed = |result: &str| {
            format!(
                "error:0A000086:SSL routines:tls_post_process_server_certificate:certificate verify \
                 failed:../ssl/statem/statem_clnt.c:1889: ({result})"
            )
        };
        let alert = |number: u8| {
            format!(
                "error:0A000000:SSL routines:ssl3_read_bytes:some text:../ssl/record/\
                 rec_layer_s3.c:1584:SSL alert number {number}"
            )
        };
        for (text, expected) in [
            (failed("hostname mismatch"), Cause::WrongName),
            (failed("Hostname mismatch"), Cause::WrongName),
            (failed("IP address mismatch"), Cause::WrongName),
            (failed("self signed certificate"), Cause::SelfSigned),
            (failed("self-signed certificate"), Cause::SelfSigned),
            (
                failed("self signed certificate in certificate chain"),
                Cause::UnknownCa,
            ),
            (
                failed("unable to get local issuer certificate"),
                Cause::UnknownCa,
            ),
            (
                failed("unable to verify the first certificate"),
                Cause::UnknownCa,
            ),
            (failed("certificate has expired"), Cause::Expired),
            (failed("certificate is not yet valid"), Cause::NotYetValid),
            (
                failed("EE certificate key too weak"),
                Cause::Certificate("ee certificate key too weak".to_owned()),
            ),
            (alert(70), Cause::ProtocolVersion),
            (alert(120), Cause::Alpn),
            (
                alert(116),
                Cause::CertificateRefused("certificate required".to_owned()),
            ),
            (alert(40), Cause::Alert("handshake failure".to_owned())),
            (alert(200), Cause::Alert("alert 200".to_owned())),
            // Not verified, so the result is not the reason.
            (
                format!("{} (self-signed certificate)", alert(40)),
                Cause::Alert("handshake failure".to_owned()),
            ),
            ("unexpected EOF".to_owned(), Cause::Closed),
            (
                "error:0A000126:SSL routines::unexpected eof while reading:x.c:1:".to_owned(),
                Cause::Closed,
            ),
            (
                "error:0A00010B:SSL routines::wrong version number:x.c:1:".to_owned(),
                Cause::NotTls,
            ),
            (
                "error:0A000102:SSL routines::unsupported protocol:x.c:1:".to_owned(),
                Cause::ProtocolVersion,
            ),
            ("something new".to_owned(), Cause::Other),
            (String::new(), Cause::Other),
        ] {
            assert_eq!(from_openssl(&text), expected, "{text}");
        }
    }

    #[test]
    fn codes_of_other_libraries() {
        for (debug, expected) in [
            (
                "Error { code: -9843, message: \"host name\" }",
                Cause::WrongName,
            ),
            ("Error { code: -9814 }", Cause::Expired),
            (
                "Error { code: -9825 }",
                Cause::CertificateRefused("code -9825".to_owned()),
            ),
            ("Error { code: -1 }", Cause::Other),
            (
                "Os { code: -2146762487, kind: Uncategorized, message: \"…\" }",
                Cause::UnknownCa,
            ),
            (
                "Os { code: -2146762481, kind: Uncategorized, message: \"…\" }",
                Cause::WrongName,
            ),
            (
                "Os { code: 10054, kind: ConnectionReset, message: \"…\" }",
                Cause::Broken,
            ),
            ("Kind(UnexpectedEof)", Cause::Closed),
            ("Os { code: 99999999999999, kind: Other }", Cause::Other),
            ("", Cause::Other),
        ] {
            assert_eq!(from_code(debug), expected, "{debug}");
        }
    }
}
