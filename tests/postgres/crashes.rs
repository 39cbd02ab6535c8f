//! Servers that stop, and sessions that are killed, while two stores write.

use std::sync::Arc;
use std::time::{Duration, Instant};

use action_store::{ActionStore, PostgresOptions, PostgresStore};

use super::load::{Load, verify};
use super::{Server, asked_for, close_whole, new_schema, open, sql};

/// Two stores, as two processes would have them.
async fn two(server: &Server, schema: &str) -> Vec<Arc<PostgresStore>> {
    vec![
        Arc::new(open(server, schema).await),
        Arc::new(open(server, schema).await),
    ]
}

async fn close_both(stores: Vec<Arc<PostgresStore>>) {
    for store in stores {
        close_whole(Arc::into_inner(store).unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_loses_nothing_acknowledged() {
    if Server::shared("a_server_that_is_killed_loses_nothing_acknowledged").is_none() {
        return;
    }
    let server = Server::start(&[]);
    let schema = new_schema();
    let stores = two(&server, &schema).await;
    let load = Load::start(&stores, 4);
    let mut slowest = Duration::ZERO;
    for _ in 0..asked_for("POSTGRES_KILLS", 3) {
        load.go_on(200).await;
        server.tell("quit");
        server.tell("start");
        let started = Instant::now();
        load.go_on(1).await;
        slowest = slowest.max(started.elapsed());
    }
    load.go_on(100).await;
    let ledger = load.stop().await;
    println!("writing again after {slowest:?}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    verify(&stores[1], &ledger).await;
    close_both(stores).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_sessions_lose_nothing_acknowledged() {
    let Some(server) = Server::shared("killed_sessions_lose_nothing_acknowledged") else {
        return;
    };
    let schema = new_schema();
    let url = format!("{}?application_name={schema}", server.url());
    let mut stores = Vec::new();
    for _ in 0..2 {
        let options = PostgresOptions::new().with_schema(&schema);
        stores.push(Arc::new(options.connect(&url).await.unwrap()));
    }
    let load = Load::start(&stores, 4);
    let kill = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE application_name = '{schema}'"
    );
    for _ in 0..40 {
        load.go_on(20).await;
        sql(&server.url(), kill.clone()).await.unwrap();
    }
    load.go_on(20).await;
    let ledger = load.stop().await;
    verify(&stores[1], &ledger).await;
    close_both(stores).await;
}

/// Another process was stopped in the middle of a transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_stands_still_with_the_lock_loses_it() {
    let Some(server) = Server::shared("a_writer_that_stands_still_with_the_lock_loses_it") else {
        return;
    };
    use sqlx::{AssertSqlSafe, Connection, Executor};
    let schema = new_schema();
    let store = open(server, &schema).await;
    let mut other = sqlx::postgres::PgConnection::connect(&server.url())
        .await
        .unwrap();
    // As the store begins its transactions.
    let begin = format!(
        "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '3s'; \
         SELECT id FROM {schema}.actions_store WHERE id = 1 FOR UPDATE"
    );
    other
        .execute(sqlx::raw_sql(AssertSqlSafe(begin)))
        .await
        .unwrap();
    let begun = Instant::now();
    use action_store::{ActionStoreExt, NewAction};
    store.create(NewAction::task("waits")).await.unwrap();
    assert!(begun.elapsed() > Duration::from_secs(2));
    assert!(begun.elapsed() < Duration::from_secs(5));
    let gone = other.execute("SELECT 1").await;
    assert!(gone.is_err());
    let _gone = other.close_hard().await;

    // A program that keeps the lock longer than a write waits.
    let mut other = sqlx::postgres::PgConnection::connect(&server.url())
        .await
        .unwrap();
    let begin = format!("BEGIN; SELECT id FROM {schema}.actions_store WHERE id = 1 FOR UPDATE");
    other
        .execute(sqlx::raw_sql(AssertSqlSafe(begin)))
        .await
        .unwrap();
    let refused = store.create(NewAction::task("too late")).await.unwrap_err();
    assert_eq!(
        refused.kind(),
        action_store::ErrorKind::Unavailable,
        "{refused}"
    );
    other.execute("ROLLBACK").await.unwrap();
    store.create(NewAction::task("goes on")).await.unwrap();
    let page = store.list(&action_store::Query::new()).await.unwrap();
    let names: Vec<&str> = page.items.iter().map(|action| &*action.name).collect();
    assert_eq!(names, ["goes on", "waits"]);
    close_whole(store).await;
}
