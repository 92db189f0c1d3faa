//! `%` tokens and `~`.

use std::path::{Path, PathBuf};

use pgreach_core::Error;

use super::lines::Place;

/// `text` with each `%x` replaced by what `values` have for `x`, and `%%` by `%`.
pub(super) fn tokens(place: &Place, text: &str, values: &[(char, &str)]) -> Result<String, Error> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let token = chars.next();
        if token == Some('%') {
            out.push('%');
            continue;
        }
        let value = values.iter().find(|(name, _)| Some(*name) == token);
        let Some((_, value)) = value else {
            let token: String = token.into_iter().collect();
            return Err(place.error(format!("\"{text}\": %{token} is not replaced here")));
        };
        out.push_str(value);
    }
    Ok(out)
}

/// A path with `~` and tokens replaced.
pub(super) fn path(
    place: &Place,
    text: &str,
    home: Option<&Path>,
    values: &[(char, &str)],
) -> Result<PathBuf, Error> {
    if text.contains("${") {
        return Err(place.error(format!("\"{text}\": variables are not replaced here")));
    }
    let no_home = || place.error(format!("\"{text}\": there is no home directory"));
    if home.is_none() && text.contains("%d") {
        return Err(no_home());
    }
    let Some(rest) = text.strip_prefix('~') else {
        return Ok(tokens(place, text, values)?.into());
    };
    let rest = tokens(place, rest, values)?;
    if !rest.is_empty() && !rest.starts_with('/') {
        return Err(place.error(format!(
            "\"{text}\": the home directories of other users are not looked up"
        )));
    }
    let home = home.ok_or_else(no_home)?;
    Ok(home.join(rest.trim_start_matches('/')))
}
