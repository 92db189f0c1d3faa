//! The examples, as a script runs them: the built programs against a real server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::Read;
use std::net::TcpListener;
use std::process::Command;
use std::sync::LazyLock;

use common::{Run, program};
use pgreach_testkit::Postgres;
use serde_json::{Value, json};

/// Asks `app` for a password and trusts everybody else; without TLS.
static SERVER: LazyLock<Postgres> = LazyLock::new(|| {
    Postgres::builder()
        .with_hba([
            "host all app 127.0.0.1/32 scram-sha-256",
            "host all all 127.0.0.1/32 trust",
        ])
        .with_sql("create role app login password 'secret'")
        .with_sql("create table t (x int)")
        .start()
        .unwrap()
});

/// The server's address, without a user.
fn address() -> String {
    format!("host=127.0.0.1 port={} dbname=postgres", SERVER.port())
}

fn conninfo(rest: &str) -> String {
    format!("{} {rest}", address())
}

fn query(sql: &str) -> Run {
    Run::new(&["--json", "-c", sql, &conninfo("user=postgres")])
}

#[test]
fn rows_are_the_servers_text() {
    let cases: &[(&str, Value)] = &[
        ("select 1", json!([["1"]])),
        ("select null, '', 'NULL'", json!([[null, "", "NULL"]])),
        (
            "select true, 1.50::numeric, 'x'::bytea",
            json!([["t", "1.50", "\\x78"]]),
        ),
        (
            "select array[1,null], date '2026-02-28'",
            json!([["{1,NULL}", "2026-02-28"]]),
        ),
        (
            "select 'naïve €', E'a\\tb\\nc'",
            json!([["naïve €", "a\tb\nc"]]),
        ),
        (
            "select E'\\x1b[31m', chr(155), chr(8238)",
            json!([["\u{1b}[31m", "\u{9b}", "\u{202e}"]]),
        ),
        (
            "select x from generate_series(1, 3) x",
            json!([["1"], ["2"], ["3"]]),
        ),
        ("select x from t", json!([])),
        ("select", json!([[]])),
        ("select 1; select 2, 3", json!([["1"], ["2", "3"]])),
        ("begin; select 1; commit", json!([["1"]])),
        ("insert into t values (1); delete from t", json!([])),
        ("", json!([])),
        (" ; -- nothing", json!([])),
    ];
    for (sql, rows) in cases {
        let json = query(sql).json();
        assert_eq!(
            (&json["ok"], &json["rows"]),
            (&json!(true), rows),
            "{sql}: {json}"
        );
    }
    let json = query("select 1 as a, 2 as \"B\"").json();
    assert_eq!(json["columns"], json!(["a", "B"]));
    let long = "x".repeat(5_000_000);
    let json = query("select repeat('x', 5000000)").json();
    assert!(
        json["rows"][0][0] == json!(long),
        "a long value is cut or changed"
    );
}

#[test]
fn the_statement_and_the_connection_can_be_given_in_any_way() {
    let place = conninfo("user=postgres");
    let cases: &[&[&str]] = &[
        &["--json", &place],
        &[&place, "--json"],
        &["--command=select 1", "--json", &place],
        &["--json", "--command", "select 1", "--", &place],
        &["--json", "--check", &place],
    ];
    for args in cases {
        let json = Run::new(args).json();
        assert_eq!(json["ok"], json!(true), "{args:?}: {json}");
        assert!(
            args.contains(&"--check") || json["rows"] == json!([["1"]]),
            "{args:?}: {json}"
        );
        assert!(!json["connection"].is_null(), "{args:?}: {json}");
    }
    for args in [&["--json"][..], &["--json", ""]] {
        let run = Run::new(args)
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", SERVER.port())
            .env("PGUSER", "postgres");
        assert_eq!(run.json()["rows"], json!([["1"]]), "{args:?}");
    }
}

#[test]
fn paths_are_relative_to_the_working_directory() {
    let run = || Run::new(&["--json", &conninfo("user=app passfile=passwords")]);
    let json = run().file("passwords", "127.0.0.1:*:*:app:secret\n").json();
    assert_eq!(json["ok"], json!(true), "{json}");
    let error = run().error();
    assert_eq!(error["kind"], json!("Config"), "{error}");
    assert!(
        error["message"].as_str().unwrap().contains("passwords"),
        "{error}"
    );
}

#[test]
fn failures_have_a_kind_and_a_stage() {
    // Nobody listens there, and no test is given it by chance.
    let closed = "host=127.0.0.1 port=1 user=app";
    // The system accepts, and nobody ever answers.
    let stalled = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = stalled.local_addr().unwrap().port();
    let stalls = format!("host=127.0.0.1 port={port} user=app connect_timeout=1");
    let superuser = conninfo("user=postgres");
    let cases: &[(&[&str], &str, &str, Value)] = &[
        (&["--bogus"], "Config", "config", json!(null)),
        (&["-c"], "Config", "config", json!(null)),
        (
            &["-c", "select 1", "-c", "select 2"],
            "Config",
            "config",
            json!(null),
        ),
        (&["--check", "--parse"], "Config", "config", json!(null)),
        (&["host=a", "host=b"], "Config", "config", json!(null)),
        (&["orders"], "Config", "config", json!(null)),
        (&["bogus=1"], "Config", "config", json!(null)),
        (&["gssencmode=require"], "Config", "config", json!(null)),
        (&["port=none"], "Config", "config", json!(null)),
        (
            &["host=nonexistent.invalid user=app"],
            "Resolve",
            "resolve",
            json!(null),
        ),
        (&[closed], "Transport", "tcp", json!(null)),
        (&[&stalls], "Timeout", "tls", json!(null)),
        (
            &[&conninfo("user=app")],
            "Authentication",
            "authentication",
            json!(null),
        ),
        (
            &[&conninfo("user=app password=wrong")],
            "Authentication",
            "authentication",
            json!("28P01"),
        ),
        (
            &[&conninfo("user=app sslmode=require")],
            "Tls",
            "tls",
            json!(null),
        ),
        (
            &[&conninfo("user=postgres dbname=gone")],
            "Database",
            "authentication",
            json!("3D000"),
        ),
        (
            &["-c", "selec 1", &superuser],
            "Database",
            "query",
            json!("42601"),
        ),
        (
            &["-c", "select 1/0 from t union select 1/0", &superuser],
            "Database",
            "query",
            json!("22012"),
        ),
        (
            &[
                "-c",
                "select pg_terminate_backend(pg_backend_pid())",
                &superuser,
            ],
            "Closed",
            "query",
            json!("57P01"),
        ),
    ];
    for (args, kind, stage, sqlstate) in cases {
        let error = Run::new(&[&["--json"], *args].concat()).error();
        assert_eq!(
            (&error["kind"], &error["stage"], &error["sqlstate"]),
            (&json!(kind), &json!(stage), sqlstate),
            "{args:?}: {error}"
        );
        // For a person: nothing on standard output, and the same kind and message.
        let (succeeded, stdout, stderr) = Run::new(args).output();
        assert!(!succeeded, "{args:?}: {stdout}");
        assert!(
            args.contains(&"--parse") || stdout.is_empty(),
            "{args:?}: {stdout}"
        );
        let said = if stdout.is_empty() { stderr } else { stdout };
        assert!(said.contains(kind), "{args:?}: {said}");
        assert!(
            said.contains(error["stage"].as_str().unwrap()),
            "{args:?}: {said}"
        );
    }
}

#[test]
fn a_failed_check_is_a_report_with_the_error() {
    let args = ["--check", &conninfo("user=app password=wrong")];
    let json = Run::new(&[&args[..], &["--json"]].concat());
    let error = json.error();
    assert_eq!(
        (&error["kind"], &error["sqlstate"]),
        (&json!("Authentication"), &json!("28P01"))
    );
    let (succeeded, stdout, stderr) = Run::new(&args).output();
    assert!(!succeeded && stderr.is_empty(), "{stderr}");
    assert!(
        stdout.contains("FAIL authentication") && stdout.contains("what to change"),
        "{stdout}"
    );
    // Before there is a way to walk.
    let error = Run::new(&["--check", "--json", "orders"]).error();
    assert_eq!(error["kind"], json!("Config"));
}

/// Answers that this program does not ask for, and must survive.
#[test]
fn unusual_answers_are_errors() {
    for sql in [
        "copy t to stdout",
        "copy t from stdin",
        "set client_encoding = 'latin1'; select chr(233)",
        "do $$ begin raise exception using message = ''; end $$",
    ] {
        let error = query(sql).error();
        assert_eq!(
            (&error["kind"], &error["stage"]),
            (&json!("Database"), &json!("query")),
            "{sql}"
        );
    }
    let error = query("do $$ begin raise exception E'a\\x1b[31mb\\nc'; end $$").error();
    assert_eq!(error["message"], json!("a\\u{1b}[31mb\\nc"));
}

#[test]
fn a_person_sees_a_table_and_a_report() {
    let sql = "select 1 as a, null as b, E'\\x1b[31m' as c; select repeat('x', 100000) as long";
    let (succeeded, stdout, stderr) = Run::new(&["-c", sql, &conninfo("user=postgres")]).output();
    assert!(succeeded && stderr.is_empty(), "{stderr}");
    let expected = "a | b    | c\n--+------+-----------\n1 | NULL | \\u{1b}[31m\n(1 row)\n\nlong\n";
    assert!(stdout.starts_with(expected), "{stdout}");
    assert!(stdout.contains("x…\n(1 row)\n"), "{stdout}");
    assert!(stdout.contains("\n  ok   authentication"), "{stdout}");
    assert!(stdout.lines().all(|line| line.len() < 200), "{stdout}");
    assert!(stdout.ends_with("the connection works\n"), "{stdout}");
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    for args in [&["--json"][..], &[]] {
        let sql = "select repeat('x', 1000) from generate_series(1, 10000)";
        let mut run = Run::new(&[args, &["-c", sql, &conninfo("user=postgres")]].concat());
        let mut child = run.command.spawn().unwrap();
        drop(child.stdout.take());
        let status = child.wait().unwrap();
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(said, "");
        assert!(matches!(status.code(), Some(0 | 1)), "{status}");
    }
}

#[test]
#[cfg(unix)]
fn ctrl_c_cancels_the_statement_on_the_server() {
    let place = conninfo("user=postgres application_name=sleeper");
    let mut run = Run::new(&["--json", "-c", "select pg_sleep(600)", &place]);
    let child = run.command.spawn().unwrap();
    let sleeping = "select 1 from pg_stat_activity where application_name = 'sleeper' and wait_event = 'PgSleep'";
    while SERVER.execute(sleeping).unwrap().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&json["ok"], &json["error"]["sqlstate"]),
        (&json!(false), &json!("57014")),
        "{json}"
    );
}

#[test]
fn parse_prints_what_was_given() {
    let cases: &[(&str, Value)] = &[
        ("", json!({})),
        ("host=db user=app", json!({"host": "db", "user": "app"})),
        ("host=a host=b", json!({"host": "b"})),
        (
            "dbname='a b' port = 1",
            json!({"dbname": "a b", "port": "1"}),
        ),
        (
            r"user=o\'neil options='\\'",
            json!({"user": "o'neil", "options": "\\"}),
        ),
        ("requiressl=1", json!({"sslmode": "require"})),
        ("service=prod", json!({"service": "prod"})),
        ("password=", json!({"password": "***"})),
        (
            "password=s3cret sslpassword=s3cret oauth_client_secret=s3cret scram_client_key=s3cret scram_server_key=s3cret passfile=p",
            json!({
                "password": "***", "sslpassword": "***", "oauth_client_secret": "***",
                "scram_client_key": "***", "scram_server_key": "***", "passfile": "p",
            }),
        ),
        (
            "postgresql://app:s3cret@a,b/orders?ssl=true&application_name=x%20y",
            json!({
                "user": "app", "password": "***", "host": "a,b", "port": ",", "dbname": "orders",
                "sslmode": "require", "application_name": "x y",
            }),
        ),
        (
            "postgres://%2Frun%2Fpostgresql",
            json!({"host": "/run/postgresql"}),
        ),
        (
            "postgresql://[::1]:5433/",
            json!({"host": "::1", "port": "5433"}),
        ),
    ];
    for (text, parameters) in cases {
        for args in [&["--parse", text][..], &["--json", "--parse", text]] {
            let run = Run::new(args)
                .env("PGHOST", "elsewhere")
                .env("PGPASSWORD", "s3cret");
            let json = run.json();
            assert_eq!(&json, parameters, "{text}");
            assert!(!json.to_string().contains("s3cret"), "{json}");
        }
    }
}

#[test]
fn nothing_repeats_a_secret() {
    for args in [
        &["--parse", "host=db password=hun s3cret"][..],
        &["--parse", "host=db password=hun s3cret=x"],
        &["--parse", "host=db password='s3cret"],
        &["--parse", "s3cret"],
        &["--parse", "postgresql://app:hun/s3cret@db/orders"],
        &["--parse", "postgresql://app:hun@s3cret@db/orders"],
        &["--parse", "postgresql://db/orders?password=hun&s3cret=1"],
        &["--parse", "postgresql://db/orders?password=s3cret%"],
        &["--json", "host=db", "password=s3cret"],
        &["--json", "--password=s3cret"],
        &["--json", "host=127.0.0.1 port=1 user=app password=s3cret"],
        &["--json", "host=db port=x password=s3cret"],
    ] {
        let (succeeded, stdout, stderr) = Run::new(args).output();
        assert!(!succeeded, "{args:?}: {stdout}");
        assert!(
            stdout.starts_with('{') && stdout.contains("\"ok\":false"),
            "{args:?}: {stdout}"
        );
        assert!(
            !stdout.contains("s3cret") && !stderr.contains("s3cret"),
            "{stdout}{stderr}"
        );
    }
}

#[test]
fn help_is_a_success() {
    let (succeeded, stdout, _) = Run::new(&["--help"]).output();
    assert!(succeeded && stdout.contains("--command"), "{stdout}");
    assert_eq!(Run::new(&["--help", "--json"]).json()["ok"], json!(true));
}

#[test]
fn quickstart_connects_over_every_route() {
    // With the environment as it is: that says where servers are.
    let output = Command::new(program("quickstart")).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let last = said.lines().last().unwrap_or_default();
    let count = last
        .strip_suffix(" routes connected")
        .and_then(|count| count.parse::<u32>().ok());
    assert!(count.is_some_and(|count| count >= 8), "{said}");
    assert!(said.contains("SQLSTATE 57014"), "{said}");
}

#[test]
fn ssh_tunnel_comes_to_the_first_row() {
    let output = Command::new(program("ssh_tunnel")).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    for text in [
        "restrict,port-forwarding,command=\"/bin/false\",permitopen=\"127.0.0.1:",
        ",permitlisten=",
        "trusted pinned fingerprint",
        "the connection works",
        "the first row: PostgreSQL ",
    ] {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert!(
        !said.contains("PRIVATE") && !said.contains("sesame"),
        "{said}"
    );
}
