//! The criteria of `Match` lines.

use pgreach_core::Error;

use super::lines::Line;

/// Those with patterns that `ssh` knows and that are judged here.
const JUDGED: &[&str] = &["host", "originalhost", "user", "localuser"];

/// Those with an argument that `ssh` knows, of whichever version.
const NOT_JUDGED: &[&str] = &[
    "command",
    "exec",
    "localnetwork",
    "sessiontype",
    "tagged",
    "version",
];

/// One criterion.
pub(super) struct Criterion<'a> {
    /// In lower case.
    pub(super) name: String,
    pub(super) negated: bool,
    /// Empty for those that take none.
    pub(super) value: &'a str,
}

/// The criteria of a `Match` line, each as `name value` or `name=value`.
pub(super) fn parse(line: &Line) -> Result<Vec<Criterion<'_>>, Error> {
    let mut criteria = Vec::new();
    let mut words = line.args.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let (name, mut value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let lower = name.to_ascii_lowercase();
        let (name, negated) = match lower.strip_prefix('!') {
            Some(name) => (name, true),
            None => (lower.as_str(), false),
        };
        let wrong = |what: &str| Err(line.place.error(format!("\"Match {name}\": {what}")));
        if matches!(name, "all" | "canonical" | "final") {
            if value.is_some() {
                return wrong("this criterion has no value");
            }
            if name == "all" && words.len() > 0 {
                return wrong("nothing can follow it");
            }
        } else {
            if !JUDGED.contains(&name) && !NOT_JUDGED.contains(&name) {
                return wrong("this criterion is not known");
            }
            value = value.or_else(|| words.next());
            // With blanks around it, the equals sign means different things to different versions.
            if value.is_none_or(|value| value.is_empty() || value.starts_with('=')) {
                return wrong("there is nothing after it");
            }
        }
        criteria.push(Criterion {
            name: name.to_owned(),
            negated,
            value: value.unwrap_or_default(),
        });
    }
    Ok(criteria)
}

/// Looks at all `Match` lines, also of files that are included for other hosts, as `ssh` does: one that
/// it would not understand is an error, and so is `final`, negated or not. For that `ssh` reads the
/// files once more, with `Host` lines that are then about the name in `HostName`; here they are read
/// once.
pub(super) fn check(lines: &[Line]) -> Result<(), Error> {
    for line in lines {
        if line.keyword == "match" && parse(line)?.iter().any(|each| each.name == "final") {
            return Err(line
                .place
                .error("\"Match final\" cannot be judged here, and has the files read twice"));
        }
        line.included.iter().try_for_each(|file| check(file))?;
    }
    Ok(())
}
