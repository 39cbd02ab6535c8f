//! Writes in the host's own transaction, and the errors they may meet.

use std::time::{Duration, Instant};

use action_store::command::BatchMode;
use action_store::{
    ActionStore, ActionStoreExt, Batch, Finish, NewAction, Outcome, SqliteOptions, SqliteStore,
    StoreError, StoreErrorKind,
};
use sqlx::Connection;
use sqlx::sqlite::SqlitePool;

use super::{Place, create, creating, ends, patient_pool, place, pool, raw, run, shared};

/// SQLite's own code below a store's error.
fn code(error: &StoreError) -> String {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(sqlx::Error::Database(error)) = error.downcast_ref() {
            return error.code().unwrap().into_owned();
        }
        // The error of the store's own that it is the source of.
        source = error.source();
    }
    panic!("not one of SQLite's: {error:?}");
}

async fn on_pool(place: &Place, connections: u32) -> (SqlitePool, SqliteStore) {
    let pool = patient_pool(&place.path, connections, Duration::from_millis(150)).await;
    let options = SqliteOptions::new().with_timeout(Duration::from_millis(500));
    let store = options.on_pool(pool.clone()).await.unwrap();
    sqlx::query("CREATE TABLE host (name TEXT)")
        .execute(&pool)
        .await
        .unwrap();
    (pool, store)
}

async fn hosts_rows(pool: &SqlitePool) -> i64 {
    let count = sqlx::query_scalar("SELECT count(*) FROM host").fetch_one(pool);
    count.await.unwrap()
}

const INSERT: &str = "INSERT INTO host (name) VALUES ('a')";

#[tokio::test]
async fn a_deferred_transaction_is_refused_once_somebody_else_has_written_or_writes() {
    let place = place();
    let (pool, store) = on_pool(&place, 4).await;
    let other = shared(&place.path).await;

    // It works as long as no other connection writes.
    let mut deferred = pool.begin().await.unwrap();
    let new = NewAction::task("deferred");
    let uid = new.uid;
    let answers = store.write_in(&mut deferred, creating(new)).await.unwrap();
    assert!(answers[0].is_ok());
    deferred.commit().await.unwrap();
    assert!(store.action(uid).await.unwrap().is_some());

    // The transaction has read, then another connection has written: SQLite reports that at once.
    let mut deferred = pool.begin().await.unwrap();
    let read = sqlx::query("SELECT count(*) FROM host").execute(&mut *deferred);
    read.await.unwrap();
    other.create(NewAction::task("other")).await.unwrap();
    let new = NewAction::task("late");
    let uid = new.uid;
    let error = store
        .write_in(&mut deferred, creating(new))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), &*code(&error)),
        (StoreErrorKind::Unavailable, "517")
    );
    assert!(error.to_string().contains("BEGIN IMMEDIATE"), "{error}");
    deferred.rollback().await.unwrap();
    assert!(store.action(uid).await.unwrap().is_none());

    // Another connection is writing now.
    let mut writing = raw(&place.path).await;
    run(&mut writing, "BEGIN IMMEDIATE").await;
    let mut deferred = pool.begin().await.unwrap();
    let batch = creating(NewAction::task("busy"));
    let error = store.write_in(&mut deferred, batch).await.unwrap_err();
    assert_eq!(
        (error.kind(), &*code(&error)),
        (StoreErrorKind::Unavailable, "5")
    );
    assert!(error.to_string().contains("BEGIN IMMEDIATE"), "{error}");
    deferred.rollback().await.unwrap();
    run(&mut writing, "ROLLBACK").await;
    writing.close().await.unwrap();
    store.create(NewAction::task("after")).await.unwrap();
    store.close().await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_write_inside_ones_own_transaction_is_unavailable_and_never_applied() {
    for connections in [1, 4] {
        let place = place();
        let (pool, store) = on_pool(&place, connections).await;
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        run(&mut transaction, INSERT).await;
        let new = NewAction::task("inside");
        let uid = new.uid;
        let error = ends(store.write(creating(new))).await.unwrap_err();
        assert_eq!(
            error.kind(),
            StoreErrorKind::Unavailable,
            "{connections}: {error}"
        );
        transaction.commit().await.unwrap();
        // Not later either: what was withdrawn stays so.
        store.create(NewAction::task("after")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(store.action(uid).await.unwrap().is_none(), "{connections}");
        assert_eq!(hosts_rows(&pool).await, 1);
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_in_a_host_transaction_is_visible_after_commit_and_wakes_waiters() {
    for connections in [1, 4] {
        let place = place();
        let (pool, store) = on_pool(&place, connections).await;
        let other = shared(&place.path).await;
        for commits in [false, true] {
            let at = store.changed(None).await.unwrap().revision;
            assert_eq!(other.changed(None).await.unwrap().revision, at);
            let new = NewAction::task("inside");
            let uid = new.uid;
            let begun = Instant::now();
            let host = async {
                let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
                run(&mut transaction, INSERT).await;
                let answers = store.write_in(&mut transaction, creating(new)).await;
                assert!(answers.unwrap()[0].is_ok());
                tokio::time::sleep(Duration::from_millis(100)).await;
                assert!(
                    other.action(uid).await.unwrap().is_none(),
                    "not committed yet"
                );
                match commits {
                    true => transaction.commit().await.unwrap(),
                    false => transaction.rollback().await.unwrap(),
                }
            };
            let wait = async |store: &SqliteStore| {
                let limit = if commits { 20_000 } else { 400 };
                let limit = Duration::from_millis(limit);
                loop {
                    let news = tokio::time::timeout(limit, store.changed(Some(at))).await;
                    match news {
                        // With a pool of one, no other read is possible while the host's
                        // transaction is open.
                        Ok(Err(error)) => {
                            assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
                            assert!(begun.elapsed() < Duration::from_secs(20));
                        }
                        Ok(Ok(at)) => return Some(at.revision),
                        Err(_) => return None,
                    }
                }
            };
            let ((), here, there) = tokio::join!(host, wait(&store), wait(&other));
            let found = store.action(uid).await.unwrap().is_some();
            assert_eq!(found, commits);
            assert_eq!(other.action(uid).await.unwrap().is_some(), commits);
            assert_eq!(hosts_rows(&pool).await, i64::from(commits));
            assert_eq!((here.is_some(), there.is_some()), (commits, commits));
        }
        other.close().await.unwrap();
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn write_in_is_refused_where_it_cannot_be_a_part_of_the_hosts_transaction() {
    let place = place();
    let (pool, store) = on_pool(&place, 2).await;
    let batch = || creating(NewAction::task("refused"));

    let mut bare = pool.acquire().await.unwrap();
    let error = store.write_in(&mut bare, batch()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Invalid);
    assert!(error.to_string().contains("begin_with"), "{error}");
    // Begun behind sqlx's back.
    run(&mut bare, "BEGIN IMMEDIATE").await;
    let error = store.write_in(&mut bare, batch()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
    run(&mut bare, "ROLLBACK").await;
    drop(bare);

    let elsewhere = super::place();
    let (other_pool, other) = on_pool(&elsewhere, 1).await;
    let empty = super::place();
    let empty = pool_of(&empty).await;
    for pool in [&other_pool, &empty] {
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let error = store.write_in(&mut transaction, batch()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains("not to this store"), "{error}");
        // The transaction is the host's still.
        run(&mut transaction, "CREATE TABLE mine (name TEXT)").await;
        transaction.commit().await.unwrap();
    }
    other.close().await.unwrap();

    let alone = super::place();
    let exclusive = SqliteStore::open(&alone.path).await.unwrap();
    let mut host = raw(&alone.path).await;
    let mut transaction = host.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let error = exclusive
        .write_in(&mut transaction, batch())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{error}");
    transaction.rollback().await.unwrap();
    host.close().await.unwrap();
    exclusive.close().await.unwrap();

    // Nothing of all that is there.
    let page = store.list(&action_store::Query::new()).await.unwrap();
    assert_eq!(page.items, []);
    store.close().await.unwrap();
}

async fn pool_of(place: &Place) -> SqlitePool {
    pool(&place.path, 1).await
}

#[tokio::test]
async fn one_refused_command_leaves_the_others_or_takes_them_along_but_never_the_hosts() {
    for mode in [BatchMode::Each, BatchMode::All] {
        let place = place();
        let (pool, store) = on_pool(&place, 2).await;
        let done = store.create(NewAction::task("done")).await.unwrap();
        let end = Finish::new(Outcome::Cancelled);
        store.finish(done.uid, end, None).await.unwrap();
        let (a, b) = (NewAction::task("a"), NewAction::task("b"));
        let uids = [a.uid, b.uid];
        let again = action_store::Command::apply(
            done.uid,
            action_store::Change::Finish(Finish::succeeded()),
        );
        let commands = vec![create(a), again, create(b)];
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        run(&mut transaction, INSERT).await;
        let answers = store
            .write_in(&mut transaction, Batch::new(commands, mode))
            .await;
        let accepted: Vec<bool> = answers.unwrap().iter().map(Result::is_ok).collect();
        run(&mut transaction, INSERT).await;
        transaction.commit().await.unwrap();
        let found = store.get(&uids).await.unwrap();
        let found: Vec<bool> = found.iter().map(Option::is_some).collect();
        match mode {
            BatchMode::Each => {
                assert_eq!(accepted, [true, false, true]);
                assert_eq!(found, [true, true]);
            }
            BatchMode::All => {
                assert_eq!(accepted, [false, false, false]);
                assert_eq!(found, [false, false]);
            }
        }
        assert_eq!(hosts_rows(&pool).await, 2, "{mode:?}");
        store.close().await.unwrap();
    }
}
