//! What the keywords mean.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use pgreach_core::conninfo::{Conninfo, Environment, RootCert, Settings};
use pgreach_core::{
    ChannelBinding, Error, ErrorKind, LoadBalanceHosts, SslCertMode, SslMode, SslNegotiation,
    TargetSessionAttrs, TlsVersion, codes,
};

fn settings(text: &str) -> Result<Settings, Error> {
    Conninfo::parse(text)?.settings_in(&Environment::empty().with_user("me"))
}

#[test]
fn libpqs_defaults() {
    let settings = settings("host=h").unwrap();
    assert_eq!(settings.hosts[0].to_string(), "h:5432");
    assert_eq!(settings.user, None);
    assert_eq!(settings.user_name(), Some("me"));
    assert_eq!(settings.database_name(), Some("me"));
    assert!(settings.password.is_none());
    assert_eq!(settings.passfile, None);
    assert_eq!(settings.connect_timeout, None);
    assert_eq!(settings.sslmode, SslMode::Prefer);
    assert_eq!(settings.sslnegotiation, SslNegotiation::Postgres);
    assert_eq!(settings.sslrootcert, RootCert::None);
    assert_eq!((settings.sslcert, settings.sslkey), (None, None));
    assert!(settings.sslpassword.is_none());
    assert_eq!(settings.sslcertmode, SslCertMode::Allow);
    assert!(settings.sslsni && settings.keepalives);
    assert_eq!(settings.ssl_min_protocol_version, TlsVersion::V1_2);
    assert_eq!(settings.ssl_max_protocol_version, None);
    assert_eq!(settings.channel_binding, ChannelBinding::Prefer);
    assert_eq!(settings.target_session_attrs, TargetSessionAttrs::Any);
    assert_eq!(settings.load_balance_hosts, LoadBalanceHosts::Disable);
}

#[test]
fn hosts_addresses_and_ports() {
    for (text, expected) in [
        ("host=a", vec!["a:5432"]),
        ("host=a,b port=7", vec!["a:7", "b:7"]),
        ("host=a,b port=7,", vec!["a:7", "b:5432"]),
        ("host=a port=' 7 '", vec!["a:7"]),
        ("hostaddr=10.0.0.1", vec!["10.0.0.1:5432"]),
        ("host=a hostaddr=10.0.0.1", vec!["a:5432 (10.0.0.1)"]),
        (
            "host=a,b hostaddr=10.0.0.1,",
            vec!["a:5432 (10.0.0.1)", "b:5432"],
        ),
        ("host=,b hostaddr=::1,", vec!["[::1]:5432", "b:5432"]),
        ("host=/run/pg port=7", vec!["/run/pg/.s.PGSQL.7"]),
        ("host=@pg", vec!["@pg/.s.PGSQL.5432"]),
        // No server listens on port 1 in a default directory.
        ("port=1", vec!["localhost:1"]),
        ("host=a, port=1", vec!["a:1", "localhost:1"]),
        ("host='' port=1", vec!["localhost:1"]),
        (
            "postgresql://a,[::1]:2,%2Frun/",
            vec!["a:5432", "[::1]:2", "/run/.s.PGSQL.5432"],
        ),
    ] {
        let hosts: Vec<_> = settings(text)
            .unwrap()
            .hosts
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(hosts, expected, "{text}");
    }
    for (text, message) in [
        (
            "host=a,b hostaddr=::1",
            "could not match 2 host names to 1 hostaddr values",
        ),
        (
            "host=a hostaddr=::1,::1",
            "could not match 1 host names to 2 hostaddr values",
        ),
        (
            "host=a port=1,2",
            "could not match 2 port numbers to 1 hosts",
        ),
        (
            "host=a,b,c port=1,2",
            "could not match 2 port numbers to 3 hosts",
        ),
        ("host=a port=0", "invalid port number: \"0\" for host \"a\""),
        (
            "host=a,b port=1,65536",
            "invalid port number: \"65536\" for host \"b\"",
        ),
        ("port=x", "invalid port number: \"x\""),
        ("postgresql://a:65536", "invalid port number for host \"a\""),
        (
            "hostaddr=db",
            "could not parse network address \"db\" in hostaddr",
        ),
    ] {
        let error = settings(text).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(error.kind(), ErrorKind::Config);
    }
}

#[test]
fn numbers_and_names() {
    let s = settings(
        "host=h connect_timeout=5 keepalives=0 keepalives_idle=6 keepalives_interval=7 \
         keepalives_count=8 tcp_user_timeout=9 application_name='' fallback_application_name=f \
         user=u dbname=d sslsni=0 sslmode=verify-full sslrootcert=/ca sslnegotiation=direct \
         ssl_min_protocol_version=tlsv1.3 ssl_max_protocol_version=TLSv1.3",
    )
    .unwrap();
    assert_eq!(s.connect_timeout, Some(Duration::from_secs(5)));
    assert!(!s.keepalives && !s.sslsni);
    assert_eq!(s.keepalives_idle, Some(Duration::from_secs(6)));
    assert_eq!(s.keepalives_interval, Some(Duration::from_secs(7)));
    assert_eq!(s.keepalives_count, Some(8));
    assert_eq!(s.tcp_user_timeout, Some(Duration::from_millis(9)));
    assert_eq!(s.application_name.as_deref(), Some(""));
    assert_eq!(s.fallback_application_name.as_deref(), Some("f"));
    assert_eq!((s.user_name(), s.database_name()), (Some("u"), Some("d")));
    assert_eq!(s.sslnegotiation, SslNegotiation::Direct);
    assert_eq!(
        (s.ssl_min_protocol_version, s.ssl_max_protocol_version),
        (TlsVersion::V1_3, Some(TlsVersion::V1_3))
    );
    assert_eq!(
        s.sslrootcert,
        RootCert::File {
            path: "/ca".into(),
            named: true
        }
    );
}

#[test]
fn contradictions() {
    for (text, message) in [
        (
            "sslnegotiation=direct",
            "weak sslmode \"prefer\" may not be used with sslnegotiation=direct (use \"require\", \"verify-ca\", or \"verify-full\")",
        ),
        (
            "sslrootcert=system sslmode=require",
            "weak sslmode \"require\" may not be used with sslrootcert=system (use \"verify-full\")",
        ),
        (
            "ssl_max_protocol_version=TLSv1.1",
            "invalid SSL protocol version range: ssl_min_protocol_version TLSv1.2 is above ssl_max_protocol_version TLSv1.1",
        ),
    ] {
        let error = settings(text).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(error.code().name(), codes::CONFIG_CONFLICT.name());
    }
    let system = settings("host=h sslrootcert=system").unwrap();
    assert_eq!(system.sslmode, SslMode::VerifyFull);
}

#[cfg(unix)]
#[test]
fn files_at_default_places() {
    let home = tempfile::tempdir().unwrap();
    let environment = Environment::empty().with_home(home.path());
    let settings = |text: &str| Conninfo::parse(text).unwrap().settings_in(&environment);
    let default = |name: &str| home.path().join(name);

    let s = settings("host=h").unwrap();
    let passfile = s.passfile.unwrap();
    assert_eq!(passfile.path, default(".pgpass"));
    assert!(!passfile.named);
    assert_eq!((s.sslrootcert, s.sslcrl), (RootCert::None, None));
    // The key is looked for once there is a certificate.
    assert_eq!(s.sslcert, None);
    let key = s.sslkey.unwrap();
    assert_eq!(
        (key.path, key.named),
        (default(".postgresql/postgresql.key"), false)
    );
    for mode in ["verify-ca", "verify-full"] {
        let error = settings(&format!("host=h sslmode={mode}")).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "root certificate file \"{}\" does not exist, and sslmode={mode} needs one",
                default(".postgresql/root.crt").display()
            )
        );
        assert_eq!(error.code().name(), codes::CONFIG_FILE.name());
        settings(&format!("host=h,/run sslmode={mode}")).unwrap_err();
        settings(&format!("host=/run,@abstract sslmode={mode}")).unwrap();
    }

    fs::create_dir(default(".postgresql")).unwrap();
    fs::write(default(".postgresql/root.crt"), "").unwrap();
    fs::write(default(".postgresql/root.crl"), "").unwrap();
    let s = settings("host=h sslmode=verify-full").unwrap();
    assert_eq!(
        s.sslrootcert,
        RootCert::File {
            path: default(".postgresql/root.crt"),
            named: false
        }
    );
    let crl = s.sslcrl.unwrap();
    assert_eq!(
        (crl.path, crl.named),
        (default(".postgresql/root.crl"), false)
    );

    fs::write(default(".postgresql/postgresql.crt"), "").unwrap();
    let s = settings("host=h sslkey=/k sslpassword=p sslcertmode=disable").unwrap();
    let (cert, key) = (s.sslcert.unwrap(), s.sslkey.unwrap());
    assert_eq!(
        (cert.path, cert.named),
        (default(".postgresql/postgresql.crt"), false)
    );
    assert_eq!((key.path.as_path(), key.named), (Path::new("/k"), true));
    assert_eq!(s.sslpassword.unwrap().expose(), "p");
    assert_eq!(s.sslcertmode, SslCertMode::Disable);

    let s = settings("host=h sslcrldir=/crls passfile=/p").unwrap();
    assert_eq!(s.sslcrl, None);
    assert_eq!(s.sslcrldir.as_deref(), Some(Path::new("/crls")));
    assert!(s.passfile.unwrap().named);
}
