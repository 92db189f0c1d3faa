//! The string, the service and the environment, one over the other.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use pgreach_core::ErrorKind;
use pgreach_core::conninfo::{Conninfo, Environment, Keyword};
use tempfile::TempDir;

struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Self {
        Self {
            directory: TempDir::new().unwrap(),
        }
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }
}

fn merged(text: &str, environment: &Environment) -> Result<Conninfo, pgreach_core::Error> {
    let mut conninfo = Conninfo::parse(text)?;
    conninfo.merge_service(environment)?;
    conninfo.merge_environment(environment)?;
    Ok(conninfo)
}

#[test]
fn every_variable_supplies_its_keyword() {
    for keyword in Keyword::ALL {
        let Some(variable) = keyword.env() else {
            continue;
        };
        let environment = Environment::empty().with_var(variable, "value");
        let mut conninfo = Conninfo::new();
        conninfo.merge_environment(&environment).unwrap();
        assert_eq!(conninfo.get(*keyword), Some("value"), "{variable}");
        assert_eq!(conninfo.iter().count(), 1, "{variable}");
    }
}

#[test]
fn the_string_precedes_the_environment() {
    let environment = Environment::empty()
        .with_var("PGHOST", "env")
        .with_var("PGUSER", "env")
        .with_var("PGAPPNAME", "")
        .with_var("PGREQUIRESSL", "1")
        .with_var("PGTZ", "UTC")
        .with_var("PGGEQO", "off")
        .with_var("PGDATESTYLE", "Default");
    let conninfo = merged("host=h user=''", &environment).unwrap();
    assert_eq!(conninfo.get(Keyword::Host), Some("h"));
    // Given, though empty.
    assert_eq!(conninfo.get(Keyword::User), Some(""));
    assert_eq!(conninfo.get(Keyword::ApplicationName), Some(""));
    assert_eq!(conninfo.get(Keyword::SslMode), Some("require"));
    let settings = conninfo.settings_in(&environment).unwrap();
    assert_eq!(
        settings.session_parameters,
        [
            ("timezone".to_owned(), "UTC".to_owned()),
            ("geqo".to_owned(), "off".to_owned())
        ]
    );

    let environment = environment.with_var("PGSSLMODE", "disable");
    let conninfo = merged("", &environment).unwrap();
    assert_eq!(conninfo.get(Keyword::SslMode), Some("disable"));
    let environment = Environment::empty().with_var("PGREQUIRESSL", "0");
    assert_eq!(
        merged("", &environment).unwrap().get(Keyword::SslMode),
        None
    );
}

#[test]
fn a_service_stands_between() {
    let files = Files::new();
    files.write(
        ".pg_service.conf",
        "# comment\n[other]\nhost=other\nnonsense\n\n  [prod] trailing \n  host=first\t\r\nhost=second\n\
         port= 5\npassword= a=b #c\n# dbname=x\ndbname=svc\n[prod]\nuser=late\n",
    );
    let environment = Environment::empty()
        .with_home(files.directory.path())
        .with_var("PGHOST", "env")
        .with_var("PGUSER", "env");
    let conninfo = merged("service=prod dbname=d", &environment).unwrap();
    for (keyword, expected) in [
        (Keyword::Service, "prod"),
        (Keyword::Host, "first"),
        (Keyword::Port, " 5"),
        (Keyword::Password, " a=b #c"),
        (Keyword::Dbname, "d"),
        (Keyword::User, "env"),
    ] {
        assert_eq!(conninfo.get(keyword), Some(expected), "{keyword}");
    }
    conninfo.settings_in(&environment).unwrap();

    // The order of the two steps does not matter.
    let mut conninfo = Conninfo::new();
    let by_variable = environment.clone().with_var("PGSERVICE", "prod");
    conninfo.merge_environment(&by_variable).unwrap();
    conninfo.merge_service(&by_variable).unwrap();
    assert_eq!(conninfo.get(Keyword::Host), Some("first"));
    conninfo.settings_in(&by_variable).unwrap();

    // A service that nobody looked up is not forgotten.
    let mut conninfo = Conninfo::new();
    conninfo.merge_environment(&by_variable).unwrap();
    assert_eq!(
        conninfo.settings_in(&by_variable).unwrap_err().to_string(),
        "environment variable PGSERVICE: service \"prod\" was not looked up"
    );
    let mut conninfo = merged("service=prod", &environment).unwrap();
    conninfo.set(Keyword::Service, "other");
    conninfo.settings_in(&environment).unwrap_err();

    // Errors in a service's texts name the line.
    let error = merged("service=other", &environment).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "service file \"{}\", line 4: missing \"=\"; write keyword=value",
            files.path(".pg_service.conf")
        )
    );
}

#[test]
fn service_files_in_order() {
    let files = Files::new();
    files.write("home/.pg_service.conf", "[a]\nhost=home\n");
    let named = files.write("named.conf", "[b]\nhost=named\n");
    files.write("etc/pg_service.conf", "[a]\nhost=etc\n[c]\nhost=etc");
    let environment = Environment::empty()
        .with_home(files.path("home"))
        .with_var("PGSYSCONFDIR", files.path("etc"));
    let host = |service: &str, environment: &Environment| {
        merged(&format!("service={service}"), environment)
            .map(|conninfo| conninfo.get(Keyword::Host).unwrap().to_owned())
            .map_err(|error| error.to_string())
    };
    assert_eq!(host("a", &environment).unwrap(), "home");
    assert_eq!(host("c", &environment).unwrap(), "etc");
    assert_eq!(
        host("b", &environment).unwrap_err(),
        format!(
            "definition of service \"b\" not found: it is not in \"{}\" or \"{}\"",
            files.path("home/.pg_service.conf"),
            files.path("etc/pg_service.conf")
        )
    );
    // The file that is named takes the place of the one in the home directory.
    let environment = environment.with_var("PGSERVICEFILE", named.display().to_string());
    assert_eq!(host("a", &environment).unwrap(), "etc");
    assert_eq!(host("b", &environment).unwrap(), "named");
    // And must exist, though the service is in another.
    let environment = environment.with_var("PGSERVICEFILE", files.path("missing.conf"));
    let error = host("c", &environment).unwrap_err();
    assert!(
        error.starts_with(&format!(
            "service file \"{}\" cannot be read: ",
            files.path("missing.conf")
        )),
        "{error}"
    );
    assert_eq!(
        host("a", &Environment::empty()).unwrap_err(),
        "definition of service \"a\" not found: there is no service file"
    );
    assert_eq!(
        host("''", &Environment::empty()).unwrap_err(),
        "definition of service \"\" not found: there is no service file"
    );
    merged("", &Environment::empty()).unwrap();
}

#[test]
fn a_bad_service_file_is_named() {
    let files = Files::new();
    for (text, message) in [
        ("[s]\nhots=h", ", line 2: unknown keyword \"hots\""),
        ("[s]\nhost = h", ", line 2: space after \"host\""),
        ("[s]\nmy password = h", ", line 2: unknown keyword"),
        (
            "[s]\nservice=t",
            ", line 2: nested service specifications are not supported",
        ),
        (
            "[s]\nldap://h/x",
            ", line 2: ldap lookup of a service is not supported",
        ),
        ("[s]\nhost", ", line 2: missing \"=\"; write keyword=value"),
        ("[s\nhost=h", ", line 1: missing \"]\" in a section header"),
        ("[s]\nuser=\u{fffd}", " is not UTF-8"),
        ("[s]\nport=x", ", line 2: invalid port number: \"x\""),
        (
            "[s]\nsslkey=pkcs11:x",
            ", line 2: sslkey value \"pkcs11:x\" is not supported",
        ),
        (
            "[s]\nkrbsrvname=x",
            ", line 2: krbsrvname is not supported: GSSAPI is not supported",
        ),
    ] {
        let bytes = match text.strip_suffix('\u{fffd}') {
            Some(text) => [text.as_bytes(), b"\xff"].concat(),
            None => text.as_bytes().to_vec(),
        };
        let path = files.write("s.conf", bytes);
        let environment =
            Environment::empty().with_var("PGSERVICEFILE", path.display().to_string());
        let error = Conninfo::parse("service=s")
            .unwrap()
            .resolve(&environment)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("service file \"{}\"{message}", path.display()),
        );
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}

#[test]
fn the_process_has_an_account() {
    let environment = Environment::process();
    assert!(environment.user().is_some());
    assert!(environment.home().is_some());
}
