//! The blocks of a PEM file, with their positions.

/// One `-----BEGIN …-----` to `-----END …-----`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block<'a> {
    pub(crate) label: &'a str,
    /// The line of the file that it begins on, from 1.
    pub(crate) line: usize,
    /// The whole block with both markers; `None` when its end is missing.
    pub(crate) text: Option<&'a [u8]>,
}

/// All blocks of `bytes`, in order. What is between them is commentary.
pub(crate) fn blocks(bytes: &[u8]) -> Vec<Block<'_>> {
    let mut found: Vec<Block<'_>> = Vec::new();
    let mut open: Option<(usize, Block<'_>)> = None;
    let mut at = 0;
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let text = line.trim_ascii();
        if let Some(label) = marker(text, b"-----BEGIN ") {
            found.extend(open.take().map(|(_, unfinished)| unfinished));
            let block = Block {
                label,
                line: index + 1,
                text: None,
            };
            open = Some((at, block));
        } else if let Some(label) = marker(text, b"-----END ")
            && let Some((start, mut block)) = open.take()
        {
            if block.label == label {
                block.text = bytes.get(start..at + line.len());
            }
            found.push(block);
        }
        at += line.len();
    }
    found.extend(open.map(|(_, unfinished)| unfinished));
    found
}

fn marker<'a>(line: &'a [u8], prefix: &[u8]) -> Option<&'a str> {
    let label = line.strip_prefix(prefix)?.strip_suffix(b"-----")?;
    std::str::from_utf8(label).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_blocks_and_their_lines() {
        let text =
            b"# my CA\r\n-----BEGIN CERTIFICATE-----\r\nAA==\r\n-----END CERTIFICATE-----\r\n\
            -----BEGIN X509 CRL-----\nAA==\n-----END X509 CRL-----";
        let found = blocks(text);
        let seen: Vec<_> = found.iter().map(|b| (b.label, b.line)).collect();
        assert_eq!(seen, [("CERTIFICATE", 2), ("X509 CRL", 5)]);
        assert!(found.iter().all(|block| block.text.is_some()));
        assert!(
            found[0]
                .text
                .unwrap()
                .ends_with(b"-----END CERTIFICATE-----\r\n")
        );
    }

    #[test]
    fn an_unfinished_block_is_not_lost() {
        for text in [
            "-----BEGIN CERTIFICATE-----\nAA==\n",
            "-----BEGIN CERTIFICATE-----\nAA==\n-----END OTHER-----\n",
            "-----BEGIN CERTIFICATE-----\n-----BEGIN OTHER-----\n-----END OTHER-----\n",
        ] {
            let found = blocks(text.as_bytes());
            assert_eq!(found[0].label, "CERTIFICATE", "{text}");
            assert_eq!(found[0].text, None, "{text}");
        }
        assert!(blocks(b"").is_empty());
        assert!(blocks(b"-----END X-----").is_empty());
    }
}
