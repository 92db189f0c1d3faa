//! What a program writes: all of its standard output up to a limit, and the end of its standard
//! error.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use zeroize::{Zeroize as _, Zeroizing};

/// How much of standard error is looked at.
const TAIL_LEN: usize = 4 * 1024;

/// The longest line of standard error that is shown.
const SHOWN_LEN: usize = 200;

/// Reads to the end, or to one byte more than `limit`.
pub(super) async fn head(
    from: &mut (impl AsyncRead + Unpin),
    limit: usize,
) -> io::Result<Zeroizing<Vec<u8>>> {
    // Of full size from the start: a vector that grows leaves copies of the secret behind.
    let mut bytes = Zeroizing::new(vec![0; limit + 1]);
    let mut len = 0;
    while let Some(rest) = bytes.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match from.read(rest).await? {
            0 => break,
            n => len += n,
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// The last bytes of a stream. Programs do print secrets to standard error, so they are wiped.
pub(super) struct Tail {
    bytes: Zeroizing<Vec<u8>>,
    cut: bool,
}

impl Tail {
    pub(super) fn new() -> Self {
        Self {
            bytes: Zeroizing::new(Vec::with_capacity(2 * TAIL_LEN)),
            cut: false,
        }
    }

    /// Reads to the end and keeps the tail. Cancel-safe: what was read stays.
    pub(super) async fn drain(&mut self, from: &mut (impl AsyncRead + Unpin)) {
        let mut chunk = Zeroizing::new([0; TAIL_LEN]);
        // A stream that breaks is over: it is only there to explain a failure.
        while let Ok(n @ 1..) = from.read(chunk.as_mut_slice()).await {
            self.push(chunk.get(..n).unwrap_or_default());
        }
    }

    fn push(&mut self, chunk: &[u8]) {
        let excess = (self.bytes.len() + chunk.len()).saturating_sub(2 * TAIL_LEN);
        if excess > 0 {
            self.cut = true;
            let excess = excess.min(self.bytes.len());
            let kept = self.bytes.len() - excess;
            self.bytes.copy_within(excess.., 0);
            if let Some(rest) = self.bytes.get_mut(kept..) {
                rest.zeroize();
            }
            self.bytes.truncate(kept);
        }
        self.bytes.extend_from_slice(chunk);
    }

    /// The last line that is not blank, unless it could give away what was printed to standard
    /// output.
    pub(super) fn last_line(&self, stdout: &[u8]) -> Option<String> {
        let text = self.bytes.trim_ascii_end();
        let start = text
            .iter()
            .rposition(|byte| matches!(byte, b'\n' | b'\r'))
            .map(|newline| newline + 1);
        let line = match start {
            Some(start) => text.get(start..)?,
            // Its beginning is lost, so a part of the secret could be left that is not recognised.
            None if self.cut => return None,
            None => text,
        };
        let line = line.trim_ascii();
        let repeats = stdout
            .split(|byte| matches!(byte, b'\n' | b'\r'))
            .map(<[u8]>::trim_ascii)
            .filter(|word| !word.is_empty())
            .any(|word| line.windows(word.len()).any(|window| window == word));
        if line.is_empty() || repeats {
            return None;
        }
        let line = String::from_utf8_lossy(line);
        let end = line.char_indices().nth(SHOWN_LEN).map(|(end, _)| end);
        Some(match end.and_then(|end| line.get(..end)) {
            Some(beginning) => format!("{beginning}..."),
            None => line.into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(text: &[u8]) -> Tail {
        let mut tail = Tail::new();
        for chunk in text.chunks(TAIL_LEN) {
            tail.push(chunk);
        }
        tail
    }

    #[test]
    fn the_last_line_is_shown_unless_it_repeats_the_output() {
        let long = [vec![b'a'; 3 * TAIL_LEN], b"\nno such entry\n".to_vec()].concat();
        let unbroken = [b"s3cret".to_vec(), vec![b'a'; 3 * TAIL_LEN]].concat();
        let cases: &[(&[u8], &[u8], Option<&str>)] = &[
            (b"", b"", None),
            (b"\n\n", b"", None),
            (b"no such entry\n", b"", Some("no such entry")),
            (
                b"warning\nno such entry\n\n",
                b"s3cret\n",
                Some("no such entry"),
            ),
            (b"no entry: s3cret\n", b"s3cret\n", None),
            (b"no entry: s3cret\n", b"line\n  s3cret  \n", None),
            (b"s3cret\nno such entry\n", b"s3cret", Some("no such entry")),
            (b"progress\rno such entry", b"", Some("no such entry")),
            (&long, b"", Some("no such entry")),
            (&unbroken, b"s3cret", None),
            (b"\xff\n", b"", Some("\u{fffd}")),
        ];
        for (stderr, stdout, expected) in cases {
            let shown = tail(stderr).last_line(stdout);
            assert_eq!(
                shown.as_deref(),
                *expected,
                "{}",
                String::from_utf8_lossy(stdout)
            );
        }
        let shown = tail(&[b'x'; 1000]).last_line(b"").unwrap();
        assert_eq!(shown.len(), SHOWN_LEN + 3);
    }

    #[test]
    fn the_tail_does_not_grow() {
        let mut tail = tail(&vec![b'x'; 100 * TAIL_LEN]);
        let capacity = tail.bytes.capacity();
        tail.push(&[b'y'; TAIL_LEN]);
        assert_eq!(tail.bytes.capacity(), capacity);
        assert!(tail.bytes.len() <= 2 * TAIL_LEN);
    }

    #[tokio::test]
    async fn the_head_stops_one_byte_after_the_limit() {
        for (len, expected) in [(0, 0), (4, 4), (5, 5), (6, 5), (100, 5)] {
            let mut bytes = &vec![b'x'; len][..];
            assert_eq!(head(&mut bytes, 4).await.unwrap().len(), expected);
        }
    }
}
