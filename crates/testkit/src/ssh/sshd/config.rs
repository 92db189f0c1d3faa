//! The text of `sshd_config`.

/// Raw lines: those for everybody, and those from the first `Match` on, which only count at the end.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    global: String,
    matched: String,
}

impl Lines {
    pub(super) fn add(&mut self, text: &str) {
        let mut within = false;
        for line in text.lines() {
            let word = line.split([' ', '\t', '=']).find(|word| !word.is_empty());
            within |= word.is_some_and(|word| word.eq_ignore_ascii_case("match"));
            let lines = match within {
                true => &mut self.matched,
                false => &mut self.global,
            };
            lines.push_str(line);
            lines.push('\n');
        }
    }

    /// The whole file. Of several lines for one setting, sshd takes the first.
    pub(super) fn around(&self, defaults: &str) -> String {
        format!("{}{defaults}{}", self.global, self.matched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn match_blocks_come_last_and_the_rest_first() {
        let mut lines = Lines::default();
        lines.add("MaxStartups 1\n\tmatch User a\nPermitTTY no");
        lines.add("MaxSessions 2");
        assert_eq!(
            lines.around("UseDNS no\n"),
            "MaxStartups 1\nMaxSessions 2\nUseDNS no\n\tmatch User a\nPermitTTY no\n"
        );
    }
}
