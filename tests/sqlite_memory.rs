//! A store in a database in memory, for tests of a host's own transactions.
#![cfg(all(
    feature = "sqlite-unbundled",
    feature = "tracker",
    feature = "conformance"
))]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use action_store::conformance::check_store;
use action_store::{
    ActionStore, ActionStoreExt, Durability, NewAction, Outcome, SqliteStore, Status,
    StoreErrorKind, Tracker,
};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

/// A pool that keeps its one connection.
fn pool_options() -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
}

async fn in_memory(options: SqlitePoolOptions) -> SqlitePool {
    let memory = SqliteConnectOptions::new().in_memory(true);
    options.connect_with(memory).await.unwrap()
}

#[tokio::test]
async fn a_hosts_transaction_is_tested_without_a_file() {
    let pool = in_memory(pool_options()).await;
    let table = "CREATE TABLE bdb (name TEXT PRIMARY KEY) STRICT";
    sqlx::query(table).execute(&pool).await.unwrap();
    let store = Arc::new(SqliteStore::on_pool(pool.clone()).await.unwrap());
    assert_eq!(store.capabilities().durability, Durability::Volatile);
    let tracker = Tracker::start(store.clone(), "plane").await.unwrap();

    for commit in [true, false] {
        let prepared = tracker.prepare(NewAction::task("create_bdb")).unwrap();
        let parts = (0..3).map(|_| NewAction::task("part"));
        let prepared = prepared.with_children(parts).unwrap();
        let children: Vec<_> = prepared.children().collect();
        let uid = prepared.uid();
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let insert = sqlx::query("INSERT INTO bdb (name) VALUES ($1)").bind(uid.to_string());
        insert.execute(&mut *transaction).await.unwrap();
        let answers = store.write_in(&mut transaction, prepared.batch()).await;
        assert!(answers.unwrap().iter().all(Result::is_ok));
        match commit {
            true => transaction.commit().await.unwrap(),
            false => transaction.rollback().await.unwrap(),
        }
        let recorded = store.children(uid).collect().await.unwrap();
        let recorded: Vec<_> = recorded.iter().map(|part| part.uid).collect();
        if !commit {
            assert!(recorded.is_empty());
            assert_eq!(store.action(uid).await.unwrap(), None);
            continue;
        }
        assert_eq!(recorded, children);
        let work = tracker.spawn(prepared, async |_| Ok(())).await.unwrap();
        work.join().await.unwrap();
        let ended = store.action(uid).await.unwrap().unwrap();
        assert_eq!(ended.outcome, Some(Outcome::Succeeded));
        let part = tracker.start_queued(children[0]).await.unwrap();
        assert_eq!(part.action().status, Status::Executing);
        part.succeed().await.unwrap();
    }
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM bdb")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(rows, 1);
    check_store(&*store).await.unwrap();
    tracker.shutdown().await.unwrap();
    store.close().await.unwrap();
    assert!(!std::path::Path::new(":memory:").exists());
}

#[tokio::test]
async fn a_pool_that_may_lose_its_connection_is_refused() {
    let minute = std::time::Duration::from_secs(60);
    for options in [
        pool_options().max_connections(2),
        pool_options().idle_timeout(minute),
        pool_options().max_lifetime(minute),
    ] {
        let refused = SqliteStore::on_pool(in_memory(options).await).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Invalid);
        assert!(
            refused.to_string().contains("max_connections 1"),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_prepared_action_with_a_key_takes_no_children() {
    let tracker = Tracker::start(action_store::MemoryStore::new(), "plane")
        .await
        .unwrap();
    let new = NewAction::task("create_bdb").with_idempotency_key("request-7");
    let prepared = tracker.prepare(new).unwrap();
    let refused = prepared
        .with_children([NewAction::task("part")])
        .unwrap_err();
    assert!(refused.to_string().contains("idempotency_key"), "{refused}");
    let bad = tracker.prepare(NewAction::task("create_bdb")).unwrap();
    assert!(bad.with_children([NewAction::task("")]).is_err());
}
