//! Servers start, obey, and go.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::sync::mpsc;

use pgreach_testkit::{Postgres, servers};

fn one(server: &Postgres, sql: &str) -> String {
    server.execute(sql).unwrap()[0][0].clone().unwrap()
}

#[test]
fn every_version_starts_and_is_the_one_asked_for() {
    for binaries in servers::for_tests().unwrap() {
        let server = Postgres::builder()
            .with_version(binaries.major())
            .start()
            .unwrap();
        let version = one(&server, "show server_version_num");
        assert_eq!(
            version.parse::<u32>().unwrap() / 10_000,
            u32::from(binaries.major())
        );
    }
}

#[test]
fn settings_hba_and_sql_are_obeyed() {
    let server = Postgres::builder()
        .with_setting("work_mem", "7MB")
        .with_hba(["local all nobody_in_particular reject"])
        .with_sql("create role app login")
        .start()
        .unwrap();
    assert_eq!(one(&server, "show work_mem"), "7MB");
    assert_eq!(
        one(
            &server,
            "select count(*) from pg_roles where rolname = 'app'"
        ),
        "1"
    );
    let lines = "select string_agg(database[1] || ' ' || user_name[1] || ' ' || auth_method, ',' order by line_number) from pg_hba_file_rules";
    assert!(one(&server, lines).ends_with("all nobody_in_particular reject"));
    server.set_hba(&["local all app trust"]).unwrap();
    assert!(one(&server, lines).ends_with("all app trust"));
}

#[test]
fn other_users_cannot_reach_the_socket() {
    let server = Postgres::start().unwrap();
    let folder = fs::metadata(server.socket_dir()).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    // The owner of the data is who the server runs under.
    assert_eq!(folder.uid(), fs::metadata(server.data_dir()).unwrap().uid());
}

#[test]
fn quotes_and_backslashes_are_kept_also_by_a_standby() {
    let awkward = r"'a\b' it's 'q'";
    let primary = Postgres::builder()
        .with_setting("cluster_name", awkward)
        .start()
        .unwrap();
    assert_eq!(one(&primary, "show cluster_name"), awkward);
    let standby = primary.standby().unwrap();
    assert_eq!(one(&standby, "show cluster_name"), awkward);
}

#[test]
fn a_start_waits_for_its_port_to_be_free() {
    let server = Postgres::start().unwrap();
    server.stop().unwrap();
    let squatter = TcpListener::bind(server.addr()).unwrap();
    std::thread::scope(|scope| {
        let start = scope.spawn(|| server.start_again());
        while !server.log().contains("Address already in use") && !start.is_finished() {
            std::thread::yield_now();
        }
        drop(squatter);
        start.join().unwrap().unwrap();
    });
    assert_eq!(one(&server, "select 1"), "1");
}

#[test]
fn a_restart_keeps_port_and_data() {
    let server = Postgres::builder()
        .with_sql("create table t (x int)")
        .start()
        .unwrap();
    let started = one(&server, "select pg_postmaster_start_time()::text");
    server.restart().unwrap();
    assert_ne!(
        one(&server, "select pg_postmaster_start_time()::text"),
        started
    );
    assert_eq!(one(&server, "select count(*) from t"), "0");
}

#[test]
fn a_standby_streams_and_can_be_promoted() {
    for binaries in servers::for_tests().unwrap() {
        let primary = Postgres::builder()
            .with_version(binaries.major())
            .start()
            .unwrap();
        let standby = primary.standby().unwrap();
        assert_eq!(one(&standby, "select pg_is_in_recovery()"), "t");
        primary.execute("create table streamed (x int)").unwrap();
        standby.catch_up(&primary).unwrap();
        assert_eq!(one(&standby, "select count(*) from streamed"), "0");
        standby.promote().unwrap();
        assert_eq!(one(&standby, "select pg_is_in_recovery()"), "f");
    }
}

#[test]
fn a_server_with_tablespaces_gets_no_standby() {
    let server = Postgres::start().unwrap();
    let space = server.socket_dir().join("space");
    fs::create_dir(&space).unwrap();
    let owner = fs::metadata(server.data_dir()).unwrap();
    chown(&space, Some(owner.uid()), Some(owner.gid())).unwrap();
    server
        .execute(&format!(
            "create tablespace elsewhere location '{}'",
            space.display()
        ))
        .unwrap();
    let error = server.standby().unwrap_err();
    assert!(error.to_string().contains("tablespace"), "{error}");
}

#[test]
fn what_cannot_be_is_an_error() {
    let server = Postgres::start().unwrap();
    let error = server.set_hba(&["local all all nonsense"]).unwrap_err();
    assert!(error.to_string().contains("nonsense"), "{error}");
    assert!(
        server.start_again().is_err(),
        "a running server was started again"
    );
    let error = Postgres::builder()
        .with_setting("no_such_setting", "1")
        .start()
        .unwrap_err();
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

fn pid_of(server: &Postgres) -> String {
    let file = fs::read_to_string(server.data_dir().join("postmaster.pid")).unwrap();
    file.lines().next().unwrap().to_owned()
}

#[test]
fn nothing_is_left_after_a_drop_or_a_panic() {
    let (sender, receiver) = mpsc::channel::<(PathBuf, String)>();
    let panicked = std::thread::spawn(move || {
        let server = Postgres::start().unwrap();
        sender
            .send((server.socket_dir().to_owned(), pid_of(&server)))
            .unwrap();
        panic!("as a failed test would");
    });
    let left = receiver.recv().unwrap();
    assert!(panicked.join().is_err());

    let server = Postgres::start().unwrap();
    let dropped = (server.socket_dir().to_owned(), pid_of(&server));
    drop(server);

    for (folder, pid) in [left, dropped] {
        assert!(!folder.exists(), "{} is left", folder.display());
        assert!(
            !PathBuf::from(format!("/proc/{pid}")).exists(),
            "process {pid} is left"
        );
    }
}
