//! The servers of a `ProxyJump` line.

/// `[user@]host[:port]`, or the same as `ssh://` address.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Jump {
    pub(super) user: Option<String>,
    pub(super) host: String,
    pub(super) port: Option<u16>,
}

impl Jump {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("ssh://").unwrap_or(text);
        let text = text.strip_suffix('/').unwrap_or(text);
        let (user, rest) = match text.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, text),
        };
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':')?)),
            // More than one colon: an IPv6 address without brackets, and no port.
            None if rest.matches(':').count() > 1 => (rest, None),
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let port = match port {
            None => None,
            Some(port) => Some(port.parse().ok().filter(|port| *port != 0)?),
        };
        let fit = |text: &str| {
            !text.is_empty() && !text.starts_with('-') && !text.contains(char::is_whitespace)
        };
        (fit(host) && user.is_none_or(fit)).then(|| Self {
            user: user.map(ToOwned::to_owned),
            host: host.to_owned(),
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps() {
        for (text, user, host, port) in [
            ("a", None, "a", None),
            ("u@a", Some("u"), "a", None),
            ("u@x@a:22", Some("u@x"), "a", Some(22)),
            ("ssh://u@a:2222/", Some("u"), "a", Some(2222)),
            ("[::1]:22", None, "::1", Some(22)),
            ("u@[::1]", Some("u"), "::1", None),
            ("::1", None, "::1", None),
        ] {
            let jump = Jump::parse(text).unwrap();
            assert_eq!(
                (jump.user.as_deref(), jump.host.as_str(), jump.port),
                (user, host, port)
            );
        }
        for text in [
            "",
            "@a",
            "a:",
            "a:0",
            "a:x",
            "-oProxyCommand=x",
            "a b",
            "[::1]22",
            "u@",
        ] {
            assert_eq!(Jump::parse(text), None, "{text}");
        }
    }
}
