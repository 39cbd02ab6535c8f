//! Closing, dropping and asking at the wrong moment.

use std::sync::Arc;
use std::time::Duration;

use action_store::{
    ActionStore, ActionStoreExt, Json, NewAction, Query, SqliteOptions, SqliteStore, StoreErrorKind,
};

use super::{creating, ends, place, raw, reopened_and_checked, run};

#[tokio::test]
async fn a_close_that_was_given_up_is_finished_by_the_next_one() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    let mut other = raw(&place.path).await;
    run(&mut other, "BEGIN IMMEDIATE").await;
    let new = NewAction::task("a");
    let uid = new.uid;
    // Taken by the writer, who now waits for the lock.
    let given_up = Duration::from_millis(200);
    assert!(
        tokio::time::timeout(given_up, store.write(creating(new)))
            .await
            .is_err()
    );
    assert!(
        tokio::time::timeout(given_up, store.close()).await.is_err(),
        "closing waits for the writer"
    );
    let (closed, ()) = tokio::join!(ends(store.close()), async {
        tokio::time::sleep(given_up).await;
        run(&mut other, "ROLLBACK").await;
    });
    closed.unwrap();
    // Closed means given back: it can be opened at once, and what was taken is there.
    let (store, _) = reopened_and_checked(&place.path).await;
    assert!(store.action(uid).await.unwrap().is_some());
    store.close().await.unwrap();
}

#[test]
fn a_waiter_for_a_change_returns_when_the_runtime_ends() {
    let place = place();
    let first = tokio::runtime::Runtime::new().unwrap();
    let store = Arc::new(first.block_on(SqliteStore::open(&place.path)).unwrap());
    let second = tokio::runtime::Runtime::new().unwrap();
    let at = second.block_on(store.changed(None)).unwrap().revision;
    let waiting = second.spawn({
        let store = store.clone();
        async move { store.changed(Some(at)).await }
    });
    drop(first);
    second.block_on(async {
        let let_go = ends(waiting).await.unwrap().unwrap_err();
        assert_eq!(let_go.kind(), StoreErrorKind::Closed);
        for after in [None, Some(at)] {
            let error = ends(store.changed(after)).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Closed, "{after:?}");
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn where_a_page_stands_is_never_beyond_the_store() {
    let place = place();
    let store = Arc::new(SqliteStore::open(&place.path).await.unwrap());
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            for _ in 0..1500 {
                store.create(NewAction::task("a")).await.unwrap();
            }
        }
    });
    let query = Query::new().with_limit(1);
    let mut looks = 0;
    while !writer.is_finished() && looks < 100_000 {
        let at = store.list(&query).await.unwrap().at.revision;
        // Waiting from there on is what a page's position is for.
        let mut wait = Box::pin(store.changed(Some(at)));
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(wait.as_mut().poll(cx)));
        if let std::task::Poll::Ready(Err(error)) = polled.await {
            panic!("look {looks}, at {at}: {error}");
        }
        looks += 1;
    }
    writer.await.unwrap();
    assert!(looks > 10, "{looks} looks");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_write_that_waits_for_room_is_told_when_the_store_closes() {
    let place = place();
    let options = SqliteOptions::new().with_queue_bytes(0);
    let store = Arc::new(options.open(&place.path).await.unwrap());
    let mut other = raw(&place.path).await;
    run(&mut other, "BEGIN IMMEDIATE").await;
    // About 7 MB each: the second finds no room while the first waits for the lock.
    let large = || {
        let mut batch = creating(NewAction::task("a"));
        for _ in 0..999 {
            let long = NewAction::task("a").with_description("x".repeat(4096));
            let long = long.with_attributes(
                Json::of(&std::collections::BTreeMap::from([("x", "y".repeat(2500))])).unwrap(),
            );
            batch.commands.push(super::create(long));
        }
        batch
    };
    let write = |batch| {
        let store = store.clone();
        tokio::spawn(async move { store.write(batch).await })
    };
    let (first, second, third) = (write(large()), write(large()), write(large()));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let closing = tokio::spawn({
        let store = store.clone();
        async move { store.close().await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    run(&mut other, "ROLLBACK").await;
    ends(closing).await.unwrap().unwrap();
    let mut written = 0;
    for write in [first, second, third] {
        match ends(write).await.unwrap() {
            Ok(answers) => written += answers.len(),
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Closed, "{error}"),
        }
    }
    let (store, checked) = reopened_and_checked(&place.path).await;
    assert_eq!(checked.actions, written);
    store.close().await.unwrap();
}
