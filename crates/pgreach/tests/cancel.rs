//! A running statement is cancelled over every route, and a dropped connection goes away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use pgreach::prelude::*;
use pgreach::{CancelHandle, Stage};
use pgreach_testkit::{Pki, Postgres, servers};

/// Starts `pg_sleep`, cancels it once the server says that it runs, and returns the error.
async fn cancel_a_sleep(server: &Postgres, connector: &PgConnector) -> Error {
    let connection = connector.connect().await.unwrap();
    let handle: CancelHandle = connection.cancel_handle();
    let pid = connection.info().backend_pid().unwrap();
    let sleeping = connection.simple_query("select pg_sleep(600)");
    tokio::pin!(sleeping);
    let running = format!(
        "select count(*) from pg_stat_activity where pid = {pid} and state = 'active' and query like '%pg_sleep%'"
    );
    loop {
        tokio::select! {
            done = &mut sleeping => panic!("it ended by itself: {done:?}"),
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
        if server.execute(&running).unwrap()[0][0].as_deref() == Some("1") {
            break;
        }
    }
    handle.cancel().await.unwrap();
    let error = Error::from(sleeping.await.unwrap_err());
    // The session goes on.
    connection.simple_query("select 1").await.unwrap();
    error
}

#[tokio::test]
async fn over_tcp_tls_direct_tls_and_unix_sockets() {
    let pki = Pki::generate().unwrap();
    let certificate = pki.server("db.internal").issue().unwrap();
    for binaries in servers::for_tests().unwrap() {
        let server = Postgres::builder()
            .with_version(binaries.major())
            .with_tls(certificate.chain_pem(), certificate.key_pem())
            .start()
            .unwrap();
        let tcp = || Endpoint::tcp("db.internal", server.port()).with_hostaddr([127, 0, 0, 1]);
        let builder = || {
            PgConnector::builder()
                .with_transport(TcpTransport::new())
                .with_user("postgres")
        };
        let tls = NativeTls::builder()
            .with_roots(Roots::from_pem(pki.root_pem()))
            .build()
            .unwrap();
        let mut routes = vec![
            (
                "plain",
                builder()
                    .with_endpoint(tcp())
                    .with_tls_policy(TlsPolicy::dangerous_plaintext()),
            ),
            (
                "verify-full",
                builder().with_endpoint(tcp()).with_tls(tls.clone()),
            ),
            (
                "unix",
                builder().with_endpoint(Endpoint::unix(server.socket_dir(), server.port())),
            ),
        ];
        if binaries.major() >= 17 {
            let direct = TlsPolicy::verify_full().with_negotiation(pgreach::SslNegotiation::Direct);
            routes.push((
                "direct",
                builder()
                    .with_endpoint(tcp())
                    .with_tls(tls)
                    .with_tls_policy(direct),
            ));
        }
        for (name, route) in routes {
            let error = cancel_a_sleep(&server, &route.build().unwrap()).await;
            let case = format!("{name} on {}", server.version());
            assert_eq!(error.sqlstate(), Some("57014"), "{case}: {error}");
            assert_eq!(
                (error.kind(), error.stage()),
                (ErrorKind::Database, Stage::QUERY),
                "{case}"
            );
        }
    }
}

#[tokio::test]
async fn a_server_that_is_gone_is_an_error() {
    let server = Postgres::start().unwrap();
    let connector = PgConnector::builder()
        .with_transport(TcpTransport::new())
        .with_endpoint(Endpoint::tcp("127.0.0.1", server.port()))
        .with_tls_policy(TlsPolicy::dangerous_plaintext())
        .with_user("postgres")
        .build()
        .unwrap();
    let connection = connector.connect().await.unwrap();
    let handle = connection.cancel_handle();
    server.stop().unwrap();
    let error = handle.cancel().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transport, "{error}");
    let error = Error::from(connection.simple_query("select 1").await.unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
}

#[tokio::test]
async fn a_dropped_connection_leaves_no_session_behind() {
    let server = Postgres::start().unwrap();
    let connector = PgConnector::builder()
        .with_transport(TcpTransport::new())
        .with_endpoint(Endpoint::unix(server.socket_dir(), server.port()))
        .with_user("postgres")
        .with_application_name("dropped")
        .build()
        .unwrap();
    let sessions = || {
        let rows = server
            .execute("select count(*) from pg_stat_activity where application_name = 'dropped'")
            .unwrap();
        rows[0][0].clone().unwrap()
    };
    let (first, second) = (
        connector.connect().await.unwrap(),
        connector.connect().await.unwrap(),
    );
    assert_eq!(sessions(), "2");
    drop(first);
    let (client, driver, _) = second.into_parts();
    drop(client);
    driver.close().await.unwrap();
    let gone = async {
        while sessions() != "0" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone)
        .await
        .expect("a session is left");
}

/// A statement that runs on does not keep a dropped connection alive: it gets five seconds.
#[tokio::test]
async fn a_running_statement_does_not_keep_a_dropped_connection() {
    let server = Postgres::builder()
        .with_version(18)
        // The server looks whether anybody still listens.
        .with_setting("client_connection_check_interval", "50ms")
        .start()
        .unwrap();
    let connector = PgConnector::builder()
        .with_transport(TcpTransport::new())
        .with_endpoint(Endpoint::unix(server.socket_dir(), server.port()))
        .with_user("postgres")
        .build()
        .unwrap();
    let connection = connector.connect().await.unwrap();
    let pid = connection.info().backend_pid().unwrap();
    let alive = || {
        let sql = format!(
            "select count(*) from pg_stat_activity where pid = {pid} and query like '%pg_sleep%'"
        );
        server.execute(&sql).unwrap()[0][0].as_deref() == Some("1")
    };
    {
        let sleeping = connection.simple_query("select pg_sleep(600)");
        tokio::pin!(sleeping);
        while !alive() {
            tokio::select! {
                done = &mut sleeping => panic!("it ended by itself: {done:?}"),
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        }
    }
    let (client, driver, _) = connection.into_parts();
    drop(client);
    let error = driver.close().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    let gone = async {
        while alive() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone)
        .await
        .expect("the backend is left");
}
