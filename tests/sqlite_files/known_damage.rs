//! What a check finds, and what the store answers after it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use action_store::sqlite::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Change, Command, Filter, LogQuery, NewAction,
    ObjectRef, Order, OwnerRef, Page, Query, RelatedObject, Report, SqliteOptions, SqliteStore,
    StoreErrorKind,
};

use super::attack::{raw, run};
use super::damage::{damaged, without_three};
use super::place;

const PAGE: u64 = 4096;

/// Writes actions with a label, a related object and keys, and damages the file by SQL.
async fn labelled(path: &Path, sql: &str) {
    let store = SqliteStore::open(path).await.unwrap();
    for number in 0..10 {
        let related = RelatedObject::new("node", ObjectRef::new("node", "1").unwrap());
        let new = NewAction::task("backup")
            .with_label("region", "eu")
            .with_related(related)
            .with_exclusive(format!("slot {number}"))
            .with_idempotency_key(format!("request {number}"));
        store.create(new).await.unwrap();
    }
    store.close().await.unwrap();
    let mut other = raw(path).await;
    run(&mut other, sql).await;
    sqlx::Connection::close(other).await.unwrap();
}

#[tokio::test]
async fn a_list_is_right_although_a_label_or_an_object_lacks_its_row() {
    let node = ObjectRef::new("node", "1").unwrap();
    for (sql, filter) in [
        (
            "DELETE FROM actions_label WHERE action = 3",
            Filter::label("region", "eu"),
        ),
        (
            "DELETE FROM actions_touch WHERE action = 3",
            Filter::Touches(node),
        ),
    ] {
        let place = place();
        labelled(&place.path, sql).await;
        let store = SqliteStore::open(&place.path).await.unwrap();
        let query = Query::new().with_filter(filter);
        let found = store.list(&query).await.unwrap().items.len();
        assert_eq!(found, 10, "{sql}");
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_check_finds_keys_that_another_action_could_take() {
    for kind in [0, 1] {
        let place = place();
        let sql = format!("DELETE FROM actions_key WHERE action = 3 AND kind = {kind}");
        labelled(&place.path, &sql).await;
        let store = SqliteStore::open(&place.path).await.unwrap();
        let check = store.check().await.unwrap();
        assert_eq!(
            check.findings,
            ["1 keys of actions that another action could take"]
        );
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn damage_is_noticed_at_opening_while_another_process_writes() {
    let place = place();
    damaged(&place.path, "DELETE FROM actions_feed WHERE action = 3").await;
    let open = || SqliteOptions::new().shared().open(&place.path);
    let writer = Arc::new(open().await.unwrap());
    let ends = Arc::new(AtomicBool::new(false));
    let writing = {
        let (writer, ends) = (writer.clone(), ends.clone());
        tokio::spawn(async move {
            while !ends.load(Ordering::Relaxed) {
                writer.create(NewAction::task("other")).await.unwrap();
            }
        })
    };
    let feed = Query::new().with_order(Order::Feed).with_limit(5);
    for _ in 0..10 {
        let store = open().await.unwrap();
        let refused = store.list(&feed).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Corrupt);
        store.close().await.unwrap();
    }
    ends.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    writer.close().await.unwrap();
}

/// The uids of a list, page by page.
async fn walk(store: &SqliteStore, query: &Query) -> Vec<ActionUid> {
    let mut query = query.clone();
    let mut uids = Vec::new();
    loop {
        let page: Page<Arc<Action>> = store.list(&query).await.unwrap();
        assert!(page.items.len() <= usize::from(query.limit));
        uids.extend(page.items.iter().map(|action| action.uid));
        query.after = page.next;
        if query.after.is_none() {
            return uids;
        }
    }
}
