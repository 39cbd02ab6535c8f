//! Notifications wake waiting calls before the next poll.

use std::sync::Arc;
use std::time::{Duration, Instant};

use action_store::conformance::check_store;
use action_store::{
    ActionStore, ActionStoreExt, Batch, Command, NewAction, PostgresOptions, PostgresStore,
};
use sqlx::postgres::{PgConnection, PgPoolOptions};
use sqlx::{Connection, Row};

use super::{Server, close_whole, new_schema, sql};

/// The poll comes too late for any of these tests.
const SLOW: Duration = Duration::from_secs(10);

fn options(schema: &str) -> PostgresOptions {
    let options = PostgresOptions::new().with_schema(schema);
    options.with_poll_interval(SLOW)
}

/// The sessions that listen to a store.
fn listeners(schema: &str) -> String {
    format!("FROM pg_stat_activity WHERE query = 'LISTEN \"actions.{schema}\"'")
}

async fn count_listeners(server: &Server, schema: &str) -> i64 {
    let count = format!("SELECT count(*) {}", listeners(schema));
    sql(&server.url(), count).await.unwrap()[0].get(0)
}

async fn until_listeners(server: &Server, schema: &str, count: i64) {
    let begun = Instant::now();
    while count_listeners(server, schema).await != count {
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Returns the time after which a waiting call sees what `write` commits.
async fn wake(store: &PostgresStore, write: impl Future<Output = ()>) -> Duration {
    let at = store.changed(None).await.unwrap().revision;
    let ((), took) = tokio::join!(
        async {
            // The waiting call has polled, and pauses.
            tokio::time::sleep(Duration::from_millis(300)).await;
            write.await;
        },
        async {
            store.changed(Some(at)).await.unwrap();
            Instant::now()
        }
    );
    took.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_wakes_a_waiting_call_before_the_next_poll() {
    let name = "a_notification_wakes_a_waiting_call_before_the_next_poll";
    let Some(server) = Server::shared(name) else {
        return;
    };
    let schema = new_schema();
    let notifying = || options(&schema).with_notify();
    let store = notifying().connect(&server.url()).await.unwrap();
    // On a pool of one, which keeps its connection.
    let pool = PgPoolOptions::new().max_connections(1);
    let pool = pool.connect(&server.url()).await.unwrap();
    let other = notifying().on_pool(pool).await.unwrap();
    until_listeners(server, &schema, 2).await;
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    for round in 0..3 {
        let begun = Instant::now();
        let create = async {
            store.create(NewAction::task("a")).await.unwrap();
        };
        wake(&other, create).await;
        let in_transaction = async {
            let mut transaction = connection.begin().await.unwrap();
            let batch = Batch::each(vec![Command::create(NewAction::task("b"))]);
            store.write_in(&mut transaction, batch).await.unwrap();
            transaction.commit().await.unwrap();
        };
        wake(&other, in_transaction).await;
        assert!(begun.elapsed() < SLOW / 2, "{round}: {:?}", begun.elapsed());
        // The next round is after a lost connection.
        let end = format!("SELECT pg_terminate_backend(pid) {}", listeners(&schema));
        sql(&server.url(), end).await.unwrap();
        until_listeners(server, &schema, 2).await;
    }
    other.close().await.unwrap();
    close_whole(store).await;
    until_listeners(server, &schema, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_listens_only_if_it_is_asked_to() {
    let Some(server) = Server::shared("a_store_listens_only_if_it_is_asked_to") else {
        return;
    };
    let schema = new_schema();
    let store = options(&schema).connect(&server.url()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(count_listeners(server, &schema).await, 0);
    close_whole(store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_does_not_poll_for_its_own_commits() {
    let Some(server) = Server::shared("a_store_does_not_poll_for_its_own_commits") else {
        return;
    };
    let schema = new_schema();
    let (url, options) = (server.url(), options(&schema).with_notify());
    let store = Arc::new(options.clone().connect(&url).await.unwrap());
    until_listeners(server, &schema, 1).await;
    let waiting = tokio::spawn({
        let store = store.clone();
        async move {
            let mut at = None;
            while let Ok(position) = store.changed(at).await {
                at = Some(position.revision);
            }
        }
    });
    let pause = || tokio::time::sleep(Duration::from_millis(500));
    pause().await;
    // The sessions of this store that read; only polls do that here.
    let last_poll = async || -> i64 {
        let begun = format!(
            "SELECT (extract(epoch FROM max(query_start)) * 1000000)::bigint FROM pg_stat_activity \
             WHERE query LIKE 'BEGIN%READ ONLY%\"{schema}\"%'"
        );
        sql(&url, begun).await.unwrap()[0].get(0)
    };
    let before = last_poll().await;
    store.create(NewAction::task("own")).await.unwrap();
    pause().await;
    assert_eq!(last_poll().await, before);
    // It does not see the commits of its host.
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let batch = Batch::each(vec![Command::create(NewAction::task("host's"))]);
    store.write_in(&mut transaction, batch).await.unwrap();
    transaction.commit().await.unwrap();
    pause().await;
    let after_host = last_poll().await;
    assert!(after_host > before);
    // The notifications of other stores count.
    let other = options.connect(&url).await.unwrap();
    other.create(NewAction::task("another")).await.unwrap();
    pause().await;
    assert!(last_poll().await > after_host);
    other.close().await.unwrap();
    check_store(&*store).await.unwrap();
    store.close().await.unwrap();
    waiting.await.unwrap();
}
