//! The URI grammar: every case of PostgreSQL's own regression test, and our own.

use pgreach_core::codes;
use pgreach_core::conninfo::{Conninfo, Environment, Keyword};
use pgreach_core::{Code, SslMode};

/// PostgreSQL 18's `src/interfaces/libpq/t/001_uri.pl`: the URI, the keywords that it gives, and
/// whether the server is reached by a Unix socket (`local`) or TCP (`inet`).
const GOOD: &[(&str, &str, &str)] = &[
    (
        "postgresql://uri-user:secret@host:12345/db",
        "user=uri-user password=secret dbname=db host=host port=12345",
        "inet",
    ),
    (
        "postgresql://uri-user@host:12345/db",
        "user=uri-user dbname=db host=host port=12345",
        "inet",
    ),
    (
        "postgresql://uri-user@host/db",
        "user=uri-user dbname=db host=host",
        "inet",
    ),
    (
        "postgresql://host:12345/db",
        "dbname=db host=host port=12345",
        "inet",
    ),
    ("postgresql://host/db", "dbname=db host=host", "inet"),
    (
        "postgresql://uri-user@host:12345/",
        "user=uri-user host=host port=12345",
        "inet",
    ),
    (
        "postgresql://uri-user@host/",
        "user=uri-user host=host",
        "inet",
    ),
    ("postgresql://uri-user@", "user=uri-user", "local"),
    ("postgresql://host:12345/", "host=host port=12345", "inet"),
    ("postgresql://host:12345", "host=host port=12345", "inet"),
    ("postgresql://host/db", "dbname=db host=host", "inet"),
    ("postgresql://host/", "host=host", "inet"),
    ("postgresql://host", "host=host", "inet"),
    ("postgresql://", "", "local"),
    (
        "postgresql://?hostaddr=127.0.0.1",
        "hostaddr=127.0.0.1",
        "inet",
    ),
    (
        "postgresql://example.com?hostaddr=63.1.2.4",
        "host=example.com hostaddr=63.1.2.4",
        "inet",
    ),
    ("postgresql://%68ost/", "host=host", "inet"),
    (
        "postgresql://host/db?user=uri-user",
        "user=uri-user dbname=db host=host",
        "inet",
    ),
    (
        "postgresql://host/db?user=uri-user&port=12345",
        "user=uri-user dbname=db host=host port=12345",
        "inet",
    ),
    (
        "postgresql://host/db?u%73er=someotheruser&port=12345",
        "user=someotheruser dbname=db host=host port=12345",
        "inet",
    ),
    (
        "postgresql://host:12345?user=uri-user",
        "user=uri-user host=host port=12345",
        "inet",
    ),
    (
        "postgresql://host?user=uri-user",
        "user=uri-user host=host",
        "inet",
    ),
    (
        "postgresql://host?  user = uri-user & port  = 12345 ",
        "user=uri-user host=host port=12345",
        "inet",
    ),
    ("postgresql://host?", "host=host", "inet"),
    (
        "postgresql://[::1]:12345/db",
        "dbname=db host=::1 port=12345",
        "inet",
    ),
    ("postgresql://[::1]/db", "dbname=db host=::1", "inet"),
    (
        "postgresql://[2001:db8::1234]/",
        "host=2001:db8::1234",
        "inet",
    ),
    (
        "postgresql://[200z:db8::1234]/",
        "host=200z:db8::1234",
        "inet",
    ),
    ("postgresql://[::1]", "host=::1", "inet"),
    ("postgres://", "", "local"),
    ("postgres:///", "", "local"),
    ("postgres:///db", "dbname=db", "local"),
    (
        "postgres://uri-user@/db",
        "user=uri-user dbname=db",
        "local",
    ),
    (
        "postgres://?host=/path/to/socket/dir",
        "host=/path/to/socket/dir",
        "local",
    ),
    ("postgres://@host", "host=host", "inet"),
    ("postgres://host:/", "host=host", "inet"),
    ("postgres://:12345/", "port=12345", "local"),
    (
        "postgres://otheruser@?host=/no/such/directory",
        "user=otheruser host=/no/such/directory",
        "local",
    ),
    (
        "postgres://otheruser@/?host=/no/such/directory",
        "user=otheruser host=/no/such/directory",
        "local",
    ),
    (
        "postgres://otheruser@:12345?host=/no/such/socket/path",
        "user=otheruser host=/no/such/socket/path port=12345",
        "local",
    ),
    (
        "postgres://otheruser@:12345/db?host=/path/to/socket",
        "user=otheruser dbname=db host=/path/to/socket port=12345",
        "local",
    ),
    (
        "postgres://:12345/db?host=/path/to/socket",
        "dbname=db host=/path/to/socket port=12345",
        "local",
    ),
    (
        "postgres://:12345?host=/path/to/socket",
        "host=/path/to/socket port=12345",
        "local",
    ),
    (
        "postgres://%2Fvar%2Flib%2Fpostgresql/dbname",
        "dbname=dbname host=/var/lib/postgresql",
        "local",
    ),
    (
        "postgresql://host?sslmode=disable",
        "host=host sslmode=disable",
        "inet",
    ),
    (
        "postgresql://host?sslmode=prefer",
        "host=host sslmode=prefer",
        "inet",
    ),
    (
        "postgresql://host?sslmode=verify-full",
        "host=host sslmode=verify-full",
        "inet",
    ),
];

/// The failing cases of the same test. libpq repeats the URI in most messages; here, nothing is
/// repeated that could be a secret.
const BAD: &[(&str, &Code, &str)] = &[
    (
        "postgresql://host/db?u%7aer=someotheruser&port=12345",
        &codes::CONFIG_UNKNOWN,
        "invalid URI query parameter: unknown keyword \"uzer\"",
    ),
    (
        "postgresql://host?  user user  =  uri  & port = 12345 12 ",
        &codes::CONFIG_INVALID,
        "unexpected spaces (write %20) in the name of the URI query parameter at position 19",
    ),
    (
        "postgresql://host?  user  =  uri-user  & port = 12345 12 ",
        &codes::CONFIG_INVALID,
        "unexpected spaces (write %20) in the value of URI query parameter \"port\"",
    ),
    (
        "postgresql://host?uzer=",
        &codes::CONFIG_UNKNOWN,
        "invalid URI query parameter: unknown keyword \"uzer\"",
    ),
    (
        "postgre://",
        &codes::CONFIG_INVALID,
        "missing \"=\" after the word at position 1 in connection string",
    ),
    (
        "postgres://[::1",
        &codes::CONFIG_INVALID,
        "end of string reached when looking for the \"]\" of the IPv6 host address at position 12 in URI",
    ),
    (
        "postgres://[]",
        &codes::CONFIG_INVALID,
        "IPv6 host address may not be empty at position 12 in URI",
    ),
    (
        "postgres://[::1]z",
        &codes::CONFIG_INVALID,
        "unexpected character at position 17 in URI (expected \":\" or \"/\")",
    ),
    (
        "postgresql://host?zzz",
        &codes::CONFIG_INVALID,
        "missing key/value separator \"=\" in URI query parameter at position 19",
    ),
    (
        "postgresql://host?value1&value2",
        &codes::CONFIG_INVALID,
        "missing key/value separator \"=\" in URI query parameter at position 19",
    ),
    (
        "postgresql://host?key=key=value",
        &codes::CONFIG_INVALID,
        "extra key/value separator \"=\" in URI query parameter \"key\"",
    ),
    (
        "postgres://host?dbname=%XXfoo",
        &codes::CONFIG_INVALID,
        "invalid percent-encoded token in the value of URI query parameter \"dbname\"",
    ),
    (
        "postgresql://a%00b",
        &codes::CONFIG_INVALID,
        "forbidden value %00 in host at position 14 in URI",
    ),
    (
        "postgresql://%zz",
        &codes::CONFIG_INVALID,
        "invalid percent-encoded token in host at position 14 in URI",
    ),
    (
        "postgresql://%1",
        &codes::CONFIG_INVALID,
        "invalid percent-encoded token in host at position 14 in URI",
    ),
    (
        "postgresql://%",
        &codes::CONFIG_INVALID,
        "invalid percent-encoded token in host at position 14 in URI",
    ),
];

fn sorted(conninfo: &Conninfo) -> Vec<(&str, &str)> {
    let mut all: Vec<_> = conninfo.iter().map(|(k, v)| (k.as_str(), v)).collect();
    all.sort_unstable();
    all
}

/// As PostgreSQL's test program tells: by address or name, or else by a socket.
fn route(conninfo: &Conninfo) -> &'static str {
    match (conninfo.get(Keyword::Hostaddr), conninfo.get(Keyword::Host)) {
        (Some(_), _) => "inet",
        (None, Some(host)) if !host.starts_with('/') => "inet",
        _ => "local",
    }
}

#[test]
fn agrees_with_postgresqls_own_test() {
    assert_eq!(GOOD.len() + BAD.len(), 63);
    for (uri, expected, expected_route) in GOOD {
        let conninfo = Conninfo::parse(uri).unwrap();
        let expected = Conninfo::parse(expected).unwrap();
        assert_eq!(sorted(&conninfo), sorted(&expected), "{uri}");
        assert_eq!(route(&conninfo), *expected_route, "{uri}");
    }
    for (uri, code, message) in BAD {
        let error = Conninfo::parse(uri).unwrap_err();
        assert_eq!(error.to_string(), *message, "{uri}");
        assert_eq!(error.code().name(), code.name(), "{uri}");
    }
}

/// The last cases of PostgreSQL's test run with `PGSSLROOTCERT=system`: the mode that is given
/// stays, and the default becomes verify-full.
#[test]
fn a_given_sslmode_stays_with_system_roots() {
    let environment = Environment::empty().with_var("PGSSLROOTCERT", "system");
    for (uri, expected) in [
        ("postgresql://host", None),
        ("postgresql://host?sslmode=disable", Some("disable")),
        ("postgresql://host?sslmode=prefer", Some("prefer")),
        ("postgresql://host?sslmode=verify-full", Some("verify-full")),
    ] {
        let mut conninfo = Conninfo::parse(uri).unwrap();
        conninfo.merge_environment(&environment).unwrap();
        assert_eq!(conninfo.get(Keyword::SslMode), expected);
        match conninfo.settings_in(&environment) {
            Ok(settings) => assert_eq!(settings.sslmode, SslMode::VerifyFull, "{uri}"),
            Err(error) => assert_eq!(
                error.to_string(),
                format!(
                    "environment variable PGSSLROOTCERT: weak sslmode \"{}\" may not be used with sslrootcert=system (use \"verify-full\")",
                    expected.unwrap()
                )
            ),
        }
    }
}

#[test]
fn our_own_cases() {
    for (uri, expected) in [
        ("postgresql://a,b/db", "host=a,b dbname=db port=,"),
        (
            "postgresql://a:1,b:2,c/db",
            "host=a,b,c port=1,2, dbname=db",
        ),
        ("postgresql://a:1,[::1]:2,:3", "host=a,::1, port=1,2,3"),
        ("postgresql://,", "host=, port=,"),
        ("postgresql://u:@h", "user=u host=h"),
        ("postgresql://:p@h", "password=p host=h"),
        ("postgresql://u:p:q@h", "user=u password=p:q host=h"),
        ("postgresql://u:p?q@h", "user=u password=p?q host=h"),
        ("postgresql://u:p%40%2f%3A@h", "user=u password=p@/: host=h"),
        ("postgresql://u%20v@h/d%2Fe", "user='u v' host=h dbname=d/e"),
        ("postgresql://%2Frun%2Fpg/db", "host=/run/pg dbname=db"),
        (
            "postgresql://%2Frun%2Fpg:5433/db",
            "host=/run/pg port=5433 dbname=db",
        ),
        ("postgresql://%40abstract/db", "host=@abstract dbname=db"),
        ("postgresql://h/a/b", "host=h dbname=a/b"),
        ("postgresql://h/a@b", "host=h dbname=a@b"),
        ("postgresql://h/d#f", "host=h dbname=d#f"),
        (
            "postgresql://h?application_name=a+b",
            "host=h application_name=a+b",
        ),
        (
            "postgresql://h?application_name=a%2Bb",
            "host=h application_name=a+b",
        ),
        (
            "postgresql://h?options=-c%20geqo%3Doff",
            "host=h options='-c geqo=off'",
        ),
        ("postgresql://h?user=a&user=b", "host=h user=b"),
        ("postgresql://u@h?user=b&", "user=b host=h"),
        ("postgresql://h?user=", "host=h user=''"),
        ("postgresql://h?ssl=true", "host=h sslmode=require"),
        (
            "postgresql://h?ssl=true&sslmode=disable",
            "host=h sslmode=disable",
        ),
        ("postgresql://h?requiressl=1", "host=h sslmode=require"),
        ("postgresql://h?requiressl=x", "host=h sslmode=prefer"),
        (
            "postgresql://h/d?host=x,y&port=1,2",
            "host=x,y dbname=d port=1,2",
        ),
        ("postgresql://h/?dbname=a?b", "host=h dbname=a?b"),
        (
            "postgresql:// u : p @ h : 5 / d ",
            "user=u password=p host=h port=5 dbname=d",
        ),
        ("postgresql://h/%20d%20", "host=h dbname=' d '"),
        ("postgresql://h:%35432", "host=h port=5432"),
        ("postgresql://\u{e9}t\u{e9}/", "host=\u{e9}t\u{e9}"),
        ("postgresql://h/%C3%A9", "host=h dbname=\u{e9}"),
    ] {
        let conninfo = Conninfo::parse(uri).unwrap();
        let expected = Conninfo::parse(expected).unwrap();
        assert_eq!(sorted(&conninfo), sorted(&expected), "{uri}");
    }
    for (uri, message) in [
        ("postgresql://h?ssl=false", "ssl in a URI can only be true"),
        (
            "postgresql://h?user&port=1",
            "missing key/value separator \"=\" in URI query parameter \"user\"",
        ),
        (
            "postgresql://h?&user=a",
            "missing key/value separator \"=\" in URI query parameter at position 16",
        ),
        (
            "postgresql://h?User=a",
            "invalid URI query parameter: unknown keyword \"User\"",
        ),
        (
            "postgresql://h/%ff",
            "percent-encoded bytes that are not UTF-8 in dbname at position 16 in URI",
        ),
        (
            "postgresql://h:1x/",
            "port is not a number at position 16 in URI",
        ),
        (
            "postgresql://h:1#x",
            "port is not a number at position 16 in URI",
        ),
        (
            "postgresql://u:%zz@h",
            "invalid percent-encoded token in password at position 16 in URI",
        ),
        (
            "postgresql://%zz:p@h",
            "invalid percent-encoded token in user at position 14 in URI",
        ),
        (
            "postgresql://u:a b@h",
            "unexpected spaces (write %20) in password at position 16 in URI",
        ),
        (
            "postgresql://u:p@ss@h",
            "more than one \"@\" before the host at position 18 in URI",
        ),
        (
            "postgresql://u:p/ss@h",
            "port is not a number at position 16 in URI",
        ),
        (
            "postgresql://u/v:p@h",
            "the database name in the URI looks like a part of user and password",
        ),
        (
            "postgresql://u:12/3@h",
            "the database name in the URI looks like a part of user and password",
        ),
        (
            "postgresql://h\0/",
            "NUL character at position 15 in connection string",
        ),
    ] {
        let error = Conninfo::parse(uri).unwrap_err();
        assert_eq!(error.to_string(), message, "{uri}");
    }
}
