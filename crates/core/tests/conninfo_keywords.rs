//! Every keyword is honoured or refused, and documented.

use std::path::Path;

use pgreach_core::codes;
use pgreach_core::conninfo::{Conninfo, Environment, Keyword, Support};

/// For each keyword, texts that change the settings, texts that are accepted and mean the default,
/// and texts that are an error which names the keyword (or, where noted, the host or the value).
struct Samples {
    effective: &'static [&'static str],
    neutral: &'static [&'static str],
    bad: &'static [&'static str],
}

fn samples(keyword: Keyword) -> Samples {
    let s = |effective, neutral, bad| Samples {
        effective,
        neutral,
        bad,
    };
    match keyword {
        // Looked up by merge_service; without that, an error.
        Keyword::Service => s(&[], &[], &["x", ""]),
        Keyword::User => s(&["u"], &[""], &["a\0b"]),
        Keyword::Password => s(&["p"], &[""], &["a\0b"]),
        Keyword::Passfile => s(&["/p"], &[""], &["\0"]),
        Keyword::ChannelBinding => s(&["disable", "require"], &["prefer"], &["", "x"]),
        Keyword::ConnectTimeout => s(
            &["1", " 7 ", "+3"],
            &["0", "-1"],
            &["", "x", "1s", "1 2", "99999999999"],
        ),
        Keyword::Dbname => s(&["d"], &[""], &["\0"]),
        Keyword::Host => s(&["h", "/run", "@abstract", "a,b"], &[""], &["\0"]),
        Keyword::Hostaddr => s(
            &["127.0.0.1", "::1", "127.0.0.1,::1"],
            &[""],
            &["localhost", "1.2.3"],
        ),
        Keyword::Port => s(
            &["1", "65535", " 2 "],
            &["", "5432"],
            &["0", "65536", "-1", "x", "1,2", " "],
        ),
        Keyword::ClientEncoding => s(
            &[],
            &["", "UTF8", "utf-8", "Unicode", "auto"],
            &["LATIN1", "SQL_ASCII"],
        ),
        Keyword::Options => s(&["-c geqo=off"], &[""], &["\0"]),
        Keyword::ApplicationName | Keyword::FallbackApplicationName => s(&["a"], &[], &["\0"]),
        Keyword::Keepalives => s(&["0"], &["1", "2"], &["", "x"]),
        Keyword::KeepalivesIdle
        | Keyword::KeepalivesInterval
        | Keyword::KeepalivesCount
        | Keyword::TcpUserTimeout => s(&["5"], &["0", "-5"], &["", "x"]),
        Keyword::SslMode => s(
            &["disable", "allow", "require"],
            &["prefer"],
            &["", "verify", "REQUIRE"],
        ),
        // Direct TLS contradicts the default sslmode; the settings' own test has the good case.
        Keyword::SslNegotiation => s(&[], &["postgres"], &["", "x", "direct"]),
        Keyword::SslCompression | Keyword::GssDelegation => s(&[], &["0", ""], &["1", "x"]),
        Keyword::SslCert => s(&["/c.pem"], &[""], &["\0"]),
        Keyword::SslKey => s(
            &["/k.pem"],
            &[""],
            &["\0", "pkcs11:id", "e:/k", "-----BEGIN"],
        ),
        Keyword::SslPassword => s(&["p"], &[""], &["a\0b"]),
        Keyword::KrbSrvName
        | Keyword::GssLib
        | Keyword::ScramClientKey
        | Keyword::ScramServerKey
        | Keyword::OauthIssuer
        | Keyword::OauthClientId
        | Keyword::OauthClientSecret
        | Keyword::OauthScope
        | Keyword::SslKeyLogFile => s(&[], &[""], &["x"]),
        Keyword::SslCertMode => s(&["disable"], &["allow"], &["", "require", "x"]),
        Keyword::SslRootCert => s(&["system", "/ca.pem"], &[""], &["\0"]),
        Keyword::SslCrl | Keyword::SslCrlDir => s(&["/crl"], &[""], &["\0"]),
        Keyword::SslSni => s(&["0", ""], &["1"], &["x", "2"]),
        Keyword::RequirePeer => s(&["postgres"], &[""], &["\0"]),
        Keyword::RequireAuth => s(&["md5", "!password"], &[""], &["x", "md5,!password"]),
        Keyword::MinProtocolVersion => s(&[], &["3.0"], &["", "3.2", "latest", "2.0"]),
        Keyword::MaxProtocolVersion => s(&[], &["3.0", "3.2", "latest"], &["", "3.1", "x"]),
        Keyword::SslMinProtocolVersion => s(&["TLSv1", "tlsv1.3"], &["", "TLSv1.2"], &["SSLv3"]),
        Keyword::SslMaxProtocolVersion => s(&["TLSv1.2", "TLSv1.3"], &[""], &["TLSv1.1", "x"]),
        Keyword::GssEncMode => s(&[], &["disable", "prefer"], &["", "require", "x"]),
        Keyword::Replication => s(
            &[],
            &["", "false", "off", "OFF", "no", "0"],
            &["true", "database", "x"],
        ),
        Keyword::TargetSessionAttrs => s(&["primary", "prefer-standby"], &["any"], &["", "x"]),
        Keyword::LoadBalanceHosts => s(&["random"], &["disable"], &["", "x"]),
        _ => unreachable!("no samples for {keyword}"),
    }
}

fn settings(keyword: Keyword, value: &str) -> Result<String, pgreach_core::Error> {
    let mut conninfo = Conninfo::new();
    conninfo.set(keyword, value);
    // Passwords are not shown; that they are taken is told by the option around them.
    conninfo
        .settings_in(&Environment::empty())
        .map(|settings| format!("{settings:?}"))
}

#[test]
fn no_keyword_is_silently_ignored() {
    let default = format!(
        "{:?}",
        Conninfo::new().settings_in(&Environment::empty()).unwrap()
    );
    for keyword in Keyword::ALL.iter().copied() {
        let samples = samples(keyword);
        for value in samples.effective {
            let debug =
                settings(keyword, value).unwrap_or_else(|e| panic!("{keyword}={value}: {e}"));
            assert_ne!(debug, default, "{keyword}={value} is ignored");
        }
        for value in samples.neutral {
            let debug =
                settings(keyword, value).unwrap_or_else(|e| panic!("{keyword}={value}: {e}"));
            assert_eq!(debug, default, "{keyword}={value}");
        }
        for value in samples.bad {
            let error = settings(keyword, value).expect_err(&format!("{keyword}={value}"));
            let text = format!("{error} {}", error.hint());
            let spoken = keyword.as_str();
            assert!(
                text.contains(spoken),
                "{keyword}={value}: {error} does not name it"
            );
        }
        assert!(
            !samples.effective.is_empty() || !samples.bad.is_empty(),
            "{keyword} has no effect at all"
        );
        match keyword.support() {
            Support::Refused(reason) => {
                let error = settings(keyword, "x").unwrap_err();
                assert_eq!(
                    error.to_string(),
                    format!("{keyword} is not supported: {reason}")
                );
                assert_eq!(error.code().name(), codes::CONFIG_UNSUPPORTED.name());
            }
            Support::Limited(_) => assert!(!samples.bad.is_empty(), "{keyword} is not limited"),
            _ => {}
        }
    }
}

#[test]
fn a_refused_variable_is_named() {
    for keyword in Keyword::ALL.iter().copied() {
        let (Some(variable), Some(bad)) = (keyword.env(), samples(keyword).bad.first()) else {
            continue;
        };
        if keyword == Keyword::Service || bad.contains('\0') {
            continue;
        }
        let environment = Environment::empty().with_var(variable, *bad);
        let error = Conninfo::new().resolve(&environment).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("environment variable {variable}: ")),
            "{error}"
        );
    }
}

#[test]
fn names_round_trip() {
    assert_eq!(Keyword::ALL.len(), 50);
    for keyword in Keyword::ALL.iter().copied() {
        assert_eq!(keyword.as_str().parse::<Keyword>().unwrap(), keyword);
        assert_eq!(keyword.to_string(), keyword.as_str());
    }
    let secrets: Vec<_> = Keyword::ALL
        .iter()
        .filter(|keyword| keyword.is_secret())
        .map(|keyword| keyword.as_str())
        .collect();
    assert_eq!(
        secrets,
        [
            "password",
            "sslpassword",
            "scram_client_key",
            "scram_server_key",
            "oauth_client_secret"
        ]
    );
    assert_eq!(
        "Host".parse::<Keyword>().unwrap_err().hint(),
        "did you mean host?"
    );
}

#[test]
fn the_documentation_lists_every_keyword() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/connection-strings.md");
    let doc = std::fs::read_to_string(path).unwrap();
    let rows: Vec<_> = doc.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<_> = Keyword::ALL
        .iter()
        .map(|keyword| {
            let variable = keyword
                .env()
                .map_or(String::new(), |variable| format!("`{variable}`"));
            format!(
                "| `{keyword}` | {variable} | {} | {} |",
                keyword.support(),
                keyword.doc()
            )
        })
        .collect();
    assert_eq!(
        rows,
        expected,
        "the table should be:\n{}",
        expected.join("\n")
    );
}
