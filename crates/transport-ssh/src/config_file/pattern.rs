//! Patterns as in `Host` lines: `*`, `?`, and lists with `!`.

/// Whether `text` fits `pattern`. The time grows with the product of the lengths, no faster.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to go on when what follows the last star does not fit.
    let mut retry: Option<(usize, usize)> = None;
    while let Some(c) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(q) if *q == '?' || q == c => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((after_star, from)) => {
                    p = after_star;
                    t = from + 1;
                    retry = Some((after_star, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

/// Whether one of the patterns fits and none that begins with `!`.
pub(super) fn any<'a>(patterns: impl IntoIterator<Item = &'a str>, text: &str) -> bool {
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(pattern) if matches(pattern, text) => return false,
            Some(_) => {}
            None => found |= matches(pattern, text),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("*", "a.b", true),
            ("?", "", false),
            ("?", "a", true),
            ("a*c", "abbc", true),
            ("a*c", "abbcd", false),
            ("*.example.*", "db.example.org", true),
            ("*.example.?", "db.example.org", false),
            ("**a*", "bab", true),
            ("a", "A", false),
            ("10.0.?.*", "10.0.3.44", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        assert!(any(["a", "b*"], "bc"));
        assert!(!any(["b*", "!bc"], "bc"));
        assert!(!any(["!bc"], "a"));
        assert!(!matches(
            &"*a".repeat(2000),
            &"a".repeat(1000).replace('a', "ab")
        ));
    }
}
