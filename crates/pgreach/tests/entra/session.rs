//! What goes on in a session that a token opened.

use std::time::Duration;

use pgreach::prelude::*;

use crate::within;
use crate::world::World;

#[tokio::test]
async fn a_statement_is_cancelled() {
    let (world, identity) = World::with_orders().await;
    let connector = world.orders(identity);
    let (working, watching) = (
        within(connector.connect()).await.unwrap(),
        within(connector.connect()).await.unwrap(),
    );
    let handle = working.cancel_handle();
    let pid = working.info().backend_pid().unwrap();
    let sleeping = working.simple_query("select pg_sleep(600)");
    let cancelled = async {
        let running = "select count(*) from pg_stat_activity where pid = $1 and state = 'active'";
        while watching
            .query_one(running, &[&pid])
            .await
            .unwrap()
            .get::<_, i64>(0)
            == 0
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        handle.cancel().await.unwrap();
    };
    let (ended, ()) = within(async { tokio::join!(sleeping, cancelled) }).await;
    let error = Error::from(ended.unwrap_err());
    assert_eq!(error.sqlstate(), Some("57014"), "{error:?}");
    assert_eq!(world.gateway.cancellations(), 1);
    // The session goes on, and the cancellation needed no token.
    working.simple_query("select 1").await.unwrap();
    assert_eq!(world.gateway.logins().len(), 2);
}
