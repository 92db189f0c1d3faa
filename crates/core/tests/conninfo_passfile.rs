//! The passfile.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use pgreach_core::Endpoint;
use pgreach_core::codes;
use pgreach_core::conninfo::Passfile;

#[test]
fn the_first_line_that_matches_decides() {
    let passfile = Passfile::parse(
        "# comment:1:2:3:4\r\n\
         \n\
         a:5432:d:u:first\n\
         a:5432:d:u:second\n\
         a:*:d:*:any port\r\n\
         b\\:c:1:d\\\\e:u\\*:es\\:ca\\\\ped\\x:rest\n\
         /sock:*:*:*:socket\n\
         localhost:*:*:local:local\n\
         /tmp:*:*:*:tmp\n\
         empty:*:*:*:\n\
         *:*:*:v:star\n\
         **:*:*:*:not a wildcard\n\
         2001\\:db8\\:\\:1:*:*:*:six",
    )
    .unwrap();
    for (host, port, dbname, user, expected) in [
        ("a", 5432, "d", "u", Some("first")),
        ("a", 5433, "d", "u", Some("any port")),
        ("a", 5432, "d", "x", Some("any port")),
        ("A", 5432, "d", "u", None),
        ("b:c", 1, "d\\e", "u*", Some("es:ca\\pedx")),
        ("b:c", 1, "d\\e", "ux", None),
        ("/sock", 1, "d", "u", Some("socket")),
        ("", 1, "d", "local", Some("local")),
        ("localhost", 1, "d", "local", Some("local")),
        ("/var/run/postgresql", 1, "d", "local", Some("local")),
        ("/tmp", 1, "d", "local", Some("local")),
        ("/tmp", 1, "d", "u", Some("tmp")),
        ("/elsewhere", 1, "d", "local", None),
        ("empty", 1, "d", "v", None),
        ("z", 1, "d", "v", Some("star")),
        ("**", 1, "d", "u", Some("not a wildcard")),
        ("2001:db8::1", 1, "d", "u", Some("six")),
        ("z", 1, "", "v", None),
        ("z", 1, "d", "", None),
    ] {
        let found = passfile.lookup(host, port, dbname, user);
        assert_eq!(
            found.as_ref().map(|secret| secret.expose()),
            expected,
            "{host}:{port}:{dbname}:{user}"
        );
    }
    let six = Endpoint::tcp("", 1).with_hostaddr([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]);
    let found = passfile.lookup_endpoint(&six, "d", "u").unwrap();
    assert_eq!(found.expose(), "six");
    let named = Endpoint::tcp("a", 5432).with_hostaddr([10, 0, 0, 1]);
    assert!(passfile.lookup_endpoint(&named, "d", "u").is_some());
    let socket = Endpoint::unix("/sock", 5432);
    assert!(passfile.lookup_endpoint(&socket, "d", "u").is_some());
    assert!(!format!("{passfile:?}").contains("first"));
}

#[test]
fn a_line_that_is_none_is_an_error() {
    for text in [
        "secret",
        "a:b:c:secret",
        "a:b:c:d\\:secret",
        "\n#\na:secret",
    ] {
        let error = Passfile::parse(text).unwrap_err();
        let line = text.split('\n').count();
        assert_eq!(
            error.to_string(),
            format!("line {line} has fewer than five fields")
        );
        assert!(!format!("{error:?}").contains("secret"));
    }
    Passfile::parse(" \t\n\r\n").unwrap();
}

#[test]
fn a_missing_file_matters_when_it_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x/.pgpass");
    assert!(Passfile::read(&path, false).unwrap().is_none());
    let error = Passfile::read(&path, true).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with(&format!("passfile \"{}\" cannot be read: ", path.display())),
        "{error}"
    );
    assert_eq!(error.code().name(), codes::CONFIG_FILE.name());
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(".pgpass");
    std::fs::write(&path, "*:*:*:*:secret\n").unwrap();
    for (mode, safe) in [
        (0o600, true),
        (0o400, true),
        (0o700, true),
        (0o640, false),
        (0o604, false),
        (0o620, false),
        (0o601, false),
    ] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        for named in [false, true] {
            let read = Passfile::read(&path, named);
            if safe {
                let found = read.unwrap().unwrap().lookup("h", 1, "d", "u").unwrap();
                assert_eq!(found.expose(), "secret");
            } else {
                let error = read.unwrap_err();
                assert_eq!(
                    error.to_string(),
                    format!("passfile \"{}\" has group or world access", path.display())
                );
                assert!(error.hint().starts_with("chmod 600 "));
            }
        }
    }

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    for (text, message) in [
        (&b"*:*:*:secret"[..], ": line 1 has fewer than five fields"),
        (b"*:*:*:*:\xff", " is not UTF-8"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = Passfile::read(&path, false).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("passfile \"{}\"{message}", path.display())
        );
    }
    let error = Passfile::read(directory.path(), true).unwrap_err();
    assert!(
        error.to_string().ends_with("is not a plain file"),
        "{error}"
    );
    let empty = Passfile::read(Path::new("/dev/null"), true)
        .unwrap()
        .unwrap();
    assert!(empty.lookup("h", 1, "d", "u").is_none());
}
