//! Failures leave no files behind, and their answers are true.

use std::time::Duration;

use action_store::{ActionStore, ActionStoreExt, NewAction, Query, SqliteStore, StoreErrorKind};

use super::{ends, place, raw, run, shared};

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_backup_leaves_no_file() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    store.create(NewAction::task("a")).await.unwrap();
    // The copy cannot be given this index: its collation is unknown.
    let mut host = raw(&place.path).await;
    for statement in [
        "CREATE TABLE theirs (value)",
        "INSERT INTO theirs VALUES ('a'), ('b')",
        "CREATE INDEX theirs_value ON theirs (value COLLATE nocase)",
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = replace(sql, 'nocase', 'mine') WHERE name = 'theirs_value'",
    ] {
        run(&mut host, statement).await;
    }
    sqlx::Connection::close(host).await.unwrap();
    let copy = place.dir.path().join("copy.db");
    let refused = store.backup_to(&copy).await.unwrap_err();
    assert_eq!(refused.operation(), "backup", "{refused}");
    let left = place.files();
    let new = left.iter().filter(|file| file.ends_with(".new")).count();
    assert_eq!(new, 0, "{left:?}");
    store.close().await.unwrap();
}

#[test]
fn a_write_that_was_never_sent_is_not_of_unknown_outcome() {
    let outside = tokio::runtime::Runtime::new().unwrap();
    let place = place();
    for round in 1..=5 {
        let inside = tokio::runtime::Runtime::new().unwrap();
        let store = inside.block_on(shared(&place.path));
        // Another writer holds the lock: the store has taken the write and cannot begin it.
        let mut other = outside.block_on(raw(&place.path));
        outside.block_on(run(&mut other, "BEGIN IMMEDIATE"));
        let error = outside.block_on(async {
            let batch = super::attack::creating(NewAction::task("a"));
            let mut writing = Box::pin(store.write(batch));
            let pause = Duration::from_millis(50 * round);
            assert!(tokio::time::timeout(pause, &mut writing).await.is_err());
            inside.shutdown_background();
            ends(writing).await.unwrap_err()
        });
        assert_eq!(error.kind(), StoreErrorKind::Closed, "{error}");
        outside.block_on(async {
            run(&mut other, "ROLLBACK").await;
            let count = "SELECT count(*) FROM actions_action";
            let count: i64 = sqlx::query_scalar(count)
                .fetch_one(&mut other)
                .await
                .unwrap();
            assert_eq!(count, 0);
            sqlx::Connection::close(other).await.unwrap();
        });
    }
    outside.block_on(async {
        let store = SqliteStore::open(&place.path).await.unwrap();
        assert!(store.list(&Query::new()).await.unwrap().items.is_empty());
        store.close().await.unwrap();
    });
}
