//! Text from elsewhere, made safe to show.

use std::fmt::Write as _;

/// Escapes control characters, line separators and bidirectional overrides.
///
/// Text from a server, a file name or a connection string can carry terminal escape sequences or
/// pretend to be another log line; everything that this crate shows goes through here first.
///
/// ```
/// assert_eq!(pgreach_core::text::escape_control("a\u{1b}[31mb\n"), "a\\u{1b}[31mb\\n");
/// ```
#[must_use]
pub fn escape_control(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_unsafe(c) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
