//! What the lines say about one host.

use std::collections::BTreeMap;

use pgreach_core::Error;

use super::criteria;
use super::keywords::{self, Rule};
use super::lines::{Line, Place, unfollowed};
use super::pattern;

/// A value and where it stands.
pub(super) type Said = (Place, Vec<String>);

/// What was said about a host. Of each keyword the first value counts, but identity files add up.
pub(super) struct Found<'a> {
    alias: &'a str,
    local_user: &'a str,
    pub(super) first: BTreeMap<String, Said>,
    pub(super) identity_files: Vec<(Place, String)>,
    /// The first of `ProxyJump` and `ProxyCommand`.
    pub(super) route: Option<(Place, Route)>,
    ignored: Vec<String>,
}

pub(super) enum Route {
    Jump(String),
    Command,
    Direct,
}

impl<'a> Found<'a> {
    /// Nothing is known yet.
    pub(super) fn new(alias: &'a str, local_user: &'a str) -> Self {
        Self {
            alias,
            local_user,
            first: BTreeMap::new(),
            identity_files: Vec::new(),
            route: None,
            ignored: Vec::new(),
        }
    }

    /// The only argument of `keyword`, if it was given.
    pub(super) fn one(&self, keyword: &str) -> Option<(&Place, &str)> {
        let (place, args) = self.first.get(keyword)?;
        args.first().map(|arg| (place, arg.as_str()))
    }

    /// Reads on. `user` is the user that was chosen before the file was read.
    pub(super) fn walk(&mut self, lines: &[Line], user: Option<&str>) -> Result<(), Error> {
        // An included file begins where it is included, in lines that apply, and what it selects
        // ends with it.
        let mut active = true;
        for line in lines {
            match line.keyword.as_str() {
                "host" => {
                    active = pattern::any(line.args.iter().map(String::as_str), self.alias);
                }
                "match" => active = self.matches(line, user)?,
                _ if !active => {}
                "include" => {
                    if let Some((pattern, what)) = unfollowed(&line.args) {
                        return Err(line.place.error(format!("\"{pattern}\": {what}")));
                    }
                    for file in &line.included {
                        self.walk(file, user)?;
                    }
                }
                _ => self.take(line)?,
            }
        }
        Ok(())
    }

    fn take(&mut self, line: &Line) -> Result<(), Error> {
        let Line {
            place,
            keyword,
            args,
            ..
        } = line;
        match keyword.as_str() {
            "ignoreunknown" => {
                if self.ignored.is_empty() {
                    let patterns = args.iter().flat_map(|arg| arg.split(','));
                    self.ignored = patterns.map(str::to_ascii_lowercase).collect();
                }
            }
            "identityfile" => {
                let file = single(line)?;
                if !self.identity_files.iter().any(|(_, known)| known == file) {
                    self.identity_files.push((place.clone(), file.to_owned()));
                }
            }
            "proxyjump" | "proxycommand" if self.route.is_none() => {
                let route = match (keyword.as_str(), args.as_slice()) {
                    (_, [none]) if none.eq_ignore_ascii_case("none") => Route::Direct,
                    ("proxyjump", _) => Route::Jump(single(line)?.to_owned()),
                    _ => Route::Command,
                };
                self.route = Some((place.clone(), route));
            }
            "proxyjump" | "proxycommand" => {}
            "hostname" | "user" | "port" | "identityagent" | "identitiesonly" => {
                single(line)?;
                self.first(line);
            }
            "userknownhostsfile" => {
                if args.len() > 1 && args.iter().any(|arg| arg.eq_ignore_ascii_case("none")) {
                    return Err(place.error("\"none\" stands beside known_hosts files"));
                }
                self.first(line);
            }
            _ => match keywords::rule(keyword) {
                Rule::Ignored => {}
                Rule::Unless(_) => self.first(line),
                Rule::Unknown => {
                    let ignored = self.ignored.iter().map(String::as_str);
                    if !pattern::any(ignored, keyword) {
                        return Err(place.error(format!("the keyword {keyword} is not known")));
                    }
                }
            },
        }
        Ok(())
    }

    fn first(&mut self, line: &Line) {
        self.first
            .entry(line.keyword.clone())
            .or_insert_with(|| (line.place.clone(), line.args.clone()));
    }

    /// Whether all criteria of a `Match` line hold. One that cannot be judged is an error only if
    /// the others hold.
    fn matches(&self, line: &Line, user: Option<&str>) -> Result<bool, Error> {
        let mut holds = true;
        let mut unknown = None;
        for criterion in criteria::parse(line)? {
            let value = match criterion.name.as_str() {
                "all" => Some(true),
                // Of the second reading of the files, which there is not.
                "canonical" => Some(false),
                name => self.criterion(name, criterion.value, user)?,
            };
            match value {
                Some(value) => holds &= value != criterion.negated,
                None => unknown = Some(criterion.name),
            }
        }
        match unknown {
            Some(criterion) if holds => Err(line.place.error(format!(
                "\"Match {criterion}\" cannot be judged here, and would apply to {}",
                self.alias
            ))),
            _ => Ok(holds),
        }
    }

    /// Whether it holds; `None` if that cannot be judged.
    fn criterion(
        &self,
        criterion: &str,
        patterns: &str,
        user: Option<&str>,
    ) -> Result<Option<bool>, Error> {
        // Names regardless of case, which Host lines do not do.
        let lower;
        let mut patterns = patterns;
        if matches!(criterion, "originalhost" | "host") {
            lower = patterns.to_ascii_lowercase();
            patterns = &lower;
        }
        let text = match criterion {
            "originalhost" => self.alias.to_ascii_lowercase(),
            "host" => self.host_name()?.to_ascii_lowercase(),
            "localuser" => self.local_user.to_owned(),
            "user" => {
                let said = self.one("user").map(|(_, user)| user);
                user.or(said).unwrap_or(self.local_user).to_owned()
            }
            _ => return Ok(None),
        };
        Ok(Some(pattern::any(patterns.split(','), &text)))
    }

    /// The name of the server, as far as it is known.
    pub(super) fn host_name(&self) -> Result<String, Error> {
        match self.one("hostname") {
            None => Ok(self.alias.to_owned()),
            Some((place, name)) => super::expand::tokens(place, name, &[('h', self.alias)]),
        }
    }

    /// Refuses what would be followed by `ssh` and is not followed here.
    pub(super) fn check(&self) -> Result<(), Error> {
        if let Some((place, Route::Command)) = &self.route {
            return Err(refused(place, "ProxyCommand", self.alias));
        }
        for (keyword, (place, args)) in &self.first {
            if let Rule::Unless(allowed) = keywords::rule(keyword) {
                let harmless = |arg: &String| allowed.contains(&arg.to_ascii_lowercase().as_str());
                if args.len() != 1 || !args.iter().all(harmless) {
                    return Err(refused(place, keyword, self.alias));
                }
            }
        }
        Ok(())
    }
}

fn refused(place: &Place, keyword: &str, alias: &str) -> Error {
    place
        .error(format!(
            "{keyword} applies to {alias}, and pgreach would not follow it"
        ))
        .with_hint(
            "Remove the line for this host, and set what it is meant for on the connector where \
             that is possible.",
        )
}

fn single(line: &Line) -> Result<&str, Error> {
    match line.args.as_slice() {
        [one] if !one.is_empty() => Ok(one),
        _ => Err(line
            .place
            .error(format!("{} takes one argument", line.keyword))),
    }
}
