//! The keyword/value grammar, and the keywords of a connection string as such.

use pgreach_core::codes;
use pgreach_core::conninfo::{Conninfo, Keyword};

#[test]
fn keyword_value_grammar() {
    for (text, expected) in [
        ("", vec![]),
        (" \t\r\n\x0b\x0c", vec![]),
        ("host=h", vec![("host", "h")]),
        (" host = h  port\t=\n5 ", vec![("host", "h"), ("port", "5")]),
        ("host='h i'", vec![("host", "h i")]),
        ("host='h'port=5", vec![("host", "h"), ("port", "5")]),
        ("host=''", vec![("host", "")]),
        ("host=", vec![("host", "")]),
        // As in libpq, the value may stand after white space: this is user "port=5".
        ("user= port=5", vec![("user", "port=5")]),
        (r"user=a\ b", vec![("user", "a b")]),
        (r"user=a\'b\\c\d", vec![("user", r"a'b\cd")]),
        (r"user='a\'b\\c\d'", vec![("user", r"a'b\cd")]),
        (r"user=a\", vec![("user", "a")]),
        ("user=a'b'c", vec![("user", "a'b'c")]),
        ("user=a=b", vec![("user", "a=b")]),
        ("user=a user=b", vec![("user", "b")]),
        ("user=a host=h user=b", vec![("user", "b"), ("host", "h")]),
        ("host=a,b port=1,2", vec![("host", "a,b"), ("port", "1,2")]),
        ("requiressl=1", vec![("sslmode", "require")]),
        ("requiressl=0", vec![("sslmode", "prefer")]),
        (
            "user=\u{e9} dbname='\u{1f418} \u{e9}'",
            vec![("user", "\u{e9}"), ("dbname", "\u{1f418} \u{e9}")],
        ),
        (
            "dbname=postgresql://h/d",
            vec![("dbname", "postgresql://h/d")],
        ),
    ] {
        let conninfo: Conninfo = text.parse().unwrap();
        let pairs: Vec<_> = conninfo.iter().map(|(k, v)| (k.as_str(), v)).collect();
        assert_eq!(pairs, expected, "{text:?}");
        assert_eq!(conninfo.is_empty(), expected.is_empty());
    }
}

#[test]
fn keyword_value_errors() {
    for (text, message) in [
        (
            "mydb",
            "missing \"=\" after the word at position 1 in connection string",
        ),
        (
            "host",
            "missing \"=\" after \"host\" at position 1 in connection string",
        ),
        (
            "user=a host h",
            "missing \"=\" after \"host\" at position 8 in connection string",
        ),
        (
            "password=my secret",
            "missing \"=\" after the word at position 13 in connection string",
        ),
        (
            "user='a",
            "unterminated quoted value of \"user\" at position 6 in connection string",
        ),
        (
            r"user='a\'",
            "unterminated quoted value of \"user\" at position 6 in connection string",
        ),
        ("hots=h", "unknown keyword \"hots\""),
        ("HOST=h", "unknown keyword \"HOST\""),
        ("ssl=true", "unknown keyword \"ssl\""),
        (
            "password=a def=b",
            "unknown keyword at position 12 in connection string",
        ),
        ("=x", "unknown keyword at position 1 in connection string"),
        (
            "a/b=x",
            "unknown keyword at position 1 in connection string",
        ),
        (
            "h\u{e9}=x",
            "unknown keyword at position 1 in connection string",
        ),
        (
            "mysql://u:p@h/d?x=y",
            "unknown keyword at position 1 in connection string",
        ),
        (
            "host=\0",
            "NUL character at position 6 in connection string",
        ),
    ] {
        let error = Conninfo::parse(text).unwrap_err();
        assert_eq!(error.to_string(), message, "{text:?}");
    }
    for (text, hint) in [
        ("hots=h", "did you mean host?"),
        ("HOST=h", "did you mean host?"),
        ("ssl_mode=require", "did you mean sslmode?"),
        ("password=a hots=b", "did you mean host?"),
        (
            "password=a def=b",
            "put single quotes around a value that has spaces in it",
        ),
        (
            "postgre://u:p@h",
            "begin a URI with postgresql:// or postgres://",
        ),
        (
            "mysql://u:p@h/d?x=y",
            "begin a URI with postgresql:// or postgres://",
        ),
    ] {
        let error = Conninfo::parse(text).unwrap_err();
        assert_eq!(error.hint(), hint, "{text:?}");
    }
}

#[test]
fn sets_replaces_and_forgets() {
    let mut conninfo = Conninfo::new();
    conninfo.set(Keyword::Host, "a").set(Keyword::Port, "1");
    conninfo.set(Keyword::Host, "b".to_owned());
    assert_eq!(conninfo.get(Keyword::Host), Some("b"));
    assert!(conninfo.remove(Keyword::Port));
    assert!(!conninfo.remove(Keyword::Port));
    assert_eq!(conninfo.iter().collect::<Vec<_>>(), [(Keyword::Host, "b")]);
}

#[test]
fn serializes_as_a_map_without_secrets() {
    let conninfo = Conninfo::parse("postgresql://u:p@a:1,b:2/d?ssl=true&sslpassword=q").unwrap();
    assert_eq!(
        serde_json::to_value(&conninfo).unwrap(),
        serde_json::json!({
            "user": "u", "password": "***", "host": "a,b", "port": "1,2", "dbname": "d",
            "sslmode": "require", "sslpassword": "***",
        })
    );
    let empty = Conninfo::parse("").unwrap();
    assert_eq!(serde_json::to_string(&empty).unwrap(), "{}");
}

#[test]
fn names_the_keyword_that_is_not_allowed() {
    let conninfo = Conninfo::parse("host=h sslrootcert=/etc/shadow").unwrap();
    let error = conninfo.allow_only(&[Keyword::Host]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "keyword \"sslrootcert\" is not allowed here"
    );
    assert_eq!(error.code().name(), codes::CONFIG_UNSUPPORTED.name());
    conninfo
        .allow_only(&[Keyword::SslRootCert, Keyword::Host])
        .unwrap();
}

/// Strings come from strangers: neither their length nor their shape may cost much.
#[test]
fn a_string_has_64_kib_at_most() {
    let unit = "port=1 ";
    let fits = unit.repeat(64 * 1024 / unit.len());
    Conninfo::parse(&fits).unwrap();
    let error = Conninfo::parse(&format!("{fits}{unit}{unit}")).unwrap_err();
    assert!(error.to_string().contains("65536"), "{error}");
}
