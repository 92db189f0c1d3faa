//! Foreign text, made fit to be shown.

use pgreach_core::Secret;
use zeroize::Zeroizing;

/// What is shown of one line.
const MAX_LEN: usize = 400;

/// Tokens and assertions are longer; ids, host names and words are not.
const LONG_RUN: usize = 64;

/// Base64 has a slash in 64 characters on average; in paths they are closer.
const DENSE: usize = 24;

const GONE: &str = "***";

/// Takes secrets out of text that others wrote: those it knows of, whatever holds the beginning of a JWT,
/// and whatever is as long and dense as a token.
#[derive(Debug, Clone, Default)]
pub(crate) struct Redactor {
    known: Vec<Secret>,
}

impl Redactor {
    pub(crate) fn knowing(known: impl IntoIterator<Item = Secret>) -> Self {
        // Shorter ones would blank out words, and tell nothing.
        let known = known.into_iter().filter(|known| known.expose().len() >= 4);
        Self {
            known: known.collect(),
        }
    }

    /// The first line of the text that has something to say, without secrets and of bounded length.
    pub(crate) fn line(&self, text: &str) -> String {
        let line = text.lines().map(str::trim).find(|line| !line.is_empty());
        let mut line = line.unwrap_or_default().to_owned();
        for known in &self.known {
            line = line.replace(known.expose(), GONE);
            line = line.replace(form_encoded(known.expose()).as_str(), GONE);
        }
        let mut shown = String::with_capacity(line.len());
        let mut run = String::new();
        for c in line.chars() {
            if c.is_ascii_alphanumeric() || "-_+=./".contains(c) {
                run.push(c);
                continue;
            }
            flush(&mut run, &mut shown);
            shown.push(c);
        }
        flush(&mut run, &mut shown);
        if let Some((end, _)) = shown.char_indices().nth(MAX_LEN) {
            shown.truncate(end);
            shown.push('…');
        }
        shown.trim_end_matches(['.', ' ']).to_owned()
    }
}

fn flush(run: &mut String, shown: &mut String) {
    let pieces = run.split('/').count();
    if run.len() >= LONG_RUN && run.len() >= pieces * DENSE {
        shown.push_str(GONE);
    } else {
        for (place, piece) in run.split('/').enumerate() {
            if place > 0 {
                shown.push('/');
            }
            // What follows may be of it, where it is cut off or of another alphabet.
            if piece.contains("eyJ") {
                shown.push_str(GONE);
                break;
            }
            shown.push_str(if piece.len() >= LONG_RUN { GONE } else { piece });
        }
    }
    run.clear();
}

/// As it is in the body of a request, which a proxy's error page may repeat.
fn form_encoded(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len() * 3));
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_words_stay() {
        let redactor = Redactor::knowing([Secret::new("p~ss w&rd"), Secret::new("abc")]);
        let long = "A".repeat(64);
        let guid = "11111111-2222-3333-4444-555555555555";
        let table = [
            ("sent p~ss w&rd twice", "sent *** twice".to_owned()),
            (
                "client_secret=p%7Ess+w%26rd&x=1",
                "client_secret=***&x=1".to_owned(),
            ),
            ("got eyJhbGciOi.eyJzdWIi.c2ln!", "got ***!".to_owned()),
            ("access_token=eyJhbGciOi.eyJz", "***".to_owned()),
            // Base64 as it was before JWTs, and what only looks like it.
            (
                &format!("key {0}/{0}+{0}== end", "Ab9".repeat(9)),
                "key *** end".to_owned(),
            ),
            (
                &format!("https://login.microsoftonline.com/{guid}/oauth2/v2.0/token"),
                format!("https://login.microsoftonline.com/{guid}/oauth2/v2.0/token"),
            ),
            (
                "/var/run/secrets/azure/tokens/workload-identity/azure-identity-token/x",
                "/var/run/secrets/azure/tokens/workload-identity/azure-identity-token/x".to_owned(),
            ),
            (&format!("0.{long} is"), "*** is".to_owned()),
            (&format!("app {guid}."), format!("app {guid}")),
            ("abc stays", "abc stays".to_owned()),
            ("\r\n  first \r\nsecond", "first".to_owned()),
            ("", String::new()),
        ];
        for (text, expected) in table {
            assert_eq!(redactor.line(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_bounded() {
        let shown = Redactor::default().line(&"wörd ".repeat(1000));
        assert_eq!(shown.chars().count(), MAX_LEN + 1);
    }
}
