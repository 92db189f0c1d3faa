//! From the bytes of a file or of a program's output to a secret.

use pgreach_core::Secret;

/// A password longer than this is a mistake in the path, not a password. PostgreSQL itself refuses
/// a password message above 64 KiB.
pub(crate) const MAX_LEN: usize = 64 * 1024;

/// A program's whole output, which may be a key with a chain.
pub(crate) const MAX_OUTPUT: usize = 1024 * 1024;

/// Why bytes are not a password. The bytes themselves are never part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("is empty")]
    Empty,
    #[error("is larger than {} KiB", .0 / 1024)]
    TooLarge(usize),
    #[error("is not UTF-8 text")]
    NotUtf8,
    // The protocol ends a password at the first zero byte: the rest would silently be cut off.
    #[error("contains a zero byte")]
    ZeroByte,
}

/// The whole text is the password, but for one newline at its end.
pub(crate) fn whole(bytes: &[u8]) -> Result<Secret, Unusable> {
    let bytes = bytes
        .strip_suffix(b"\r\n")
        .or_else(|| bytes.strip_suffix(b"\n"))
        .unwrap_or(bytes);
    secret(bytes, MAX_LEN)
}

/// All of it is the secret, as keys and certificates are.
pub(crate) fn output(bytes: &[u8]) -> Result<Secret, Unusable> {
    secret(bytes, MAX_OUTPUT)
}

/// The first line is the password.
pub(crate) fn first_line(bytes: &[u8]) -> Result<Secret, Unusable> {
    let line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    secret(line.strip_suffix(b"\r").unwrap_or(line), MAX_LEN)
}

fn secret(bytes: &[u8], limit: usize) -> Result<Secret, Unusable> {
    if bytes.is_empty() {
        return Err(Unusable::Empty);
    }
    if bytes.len() > limit {
        return Err(Unusable::TooLarge(limit));
    }
    if bytes.contains(&0) {
        return Err(Unusable::ZeroByte);
    }
    // Not `String::from_utf8(bytes.to_vec())`: its error would carry a copy that nobody wipes.
    let text = std::str::from_utf8(bytes).map_err(|_| Unusable::NotUtf8)?;
    Ok(Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(result: Result<Secret, Unusable>) -> Result<String, Unusable> {
        result.map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn one_newline_is_trimmed_and_nothing_else() {
        let whole_file: &[(&[u8], Result<&str, Unusable>)] = &[
            (b"pw", Ok("pw")),
            (b"pw\n", Ok("pw")),
            (b"pw\r\n", Ok("pw")),
            (b"pw\n\n", Ok("pw\n")),
            (b" pw \n", Ok(" pw ")),
            (b"pw\r", Ok("pw\r")),
            (b"", Err(Unusable::Empty)),
            (b"\n", Err(Unusable::Empty)),
            (b"\r\n", Err(Unusable::Empty)),
            (b"p\xffw", Err(Unusable::NotUtf8)),
            (b"p\0w", Err(Unusable::ZeroByte)),
        ];
        for (bytes, expected) in whole_file {
            assert_eq!(text(whole(bytes)), expected.map(str::to_owned), "{bytes:?}");
        }
        let output: &[(&[u8], Result<&str, Unusable>)] = &[
            (b"pw", Ok("pw")),
            (b"pw\n", Ok("pw")),
            (b"pw\r\nurl: x\n", Ok("pw")),
            (b"\npw", Err(Unusable::Empty)),
            (b"pw\nrest \xff", Ok("pw")),
        ];
        for (bytes, expected) in output {
            assert_eq!(
                text(first_line(bytes)),
                expected.map(str::to_owned),
                "{bytes:?}"
            );
        }
        assert_eq!(
            text(whole(&vec![b'x'; MAX_LEN + 1])),
            Err(Unusable::TooLarge(MAX_LEN))
        );
        assert_eq!(text(whole(&vec![b'x'; MAX_LEN])).unwrap().len(), MAX_LEN);
    }
}
