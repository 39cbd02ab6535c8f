//! Damage that a check finds, and the answers of the store after it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use action_store::{
    ActionStore, ActionStoreExt, Batch, Command, ErrorKind, Filter, NewAction, ObjectRef, Order,
    Query, RelatedObject, SqliteOptions, SqliteStore, StoreErrorKind,
};

use super::attack::{raw, run};
use super::damage::damaged;
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
async fn a_check_finds_labels_and_objects_that_an_action_does_not_have() {
    for (sql, filter, finding) in [
        (
            "INSERT INTO actions_label VALUES ('region=us', 3), ('zone', 4)",
            Filter::label("region", "us"),
            "2 labels that their actions do not have",
        ),
        (
            "INSERT INTO actions_touch VALUES ('node:2', 3)",
            Filter::Touches(ObjectRef::new("node", "2").unwrap()),
            "1 objects that their actions do not have",
        ),
    ] {
        let place = place();
        labelled(&place.path, sql).await;
        let store = SqliteStore::open(&place.path).await.unwrap();
        let query = Query::new().with_filter(filter);
        // The row contradicts its action.
        let refused = store.list(&query).await.unwrap_err();
        assert_eq!(refused.kind(), StoreErrorKind::Corrupt);
        let check = store.check().await.unwrap();
        assert_eq!(check.findings, [finding]);
        assert_eq!(store.list(&query).await.unwrap().items.len(), 0);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_check_reads_all_rows_of_labels() {
    let place = place();
    let store = SqliteStore::open(&place.path).await.unwrap();
    let new = |_| Command::create(NewAction::task("backup").with_label("region", "eu"));
    let batch = Batch::all((0..600).map(new).collect());
    assert!(store.write(batch).await.unwrap().iter().all(Result::is_ok));
    let mut other = raw(&place.path).await;
    run(
        &mut other,
        "INSERT INTO actions_label VALUES ('region=us', 3)",
    )
    .await;
    sqlx::Connection::close(other).await.unwrap();
    let check = store.check().await.unwrap();
    assert_eq!(check.findings, ["1 labels that their actions do not have"]);
    store.close().await.unwrap();
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
async fn keys_that_their_action_does_not_hold_are_found_and_refused() {
    let place = place();
    labelled(&place.path, "SELECT 1").await;
    let store = SqliteOptions::new().shared().open(&place.path).await;
    let store = store.unwrap();
    let mut other = raw(&place.path).await;
    for (kind, key) in [(0, "disk"), (1, "request of another")] {
        let sql = format!("INSERT INTO actions_key VALUES ('default', {kind}, '{key}', 3)");
        run(&mut other, &sql).await;
    }
    sqlx::Connection::close(other).await.unwrap();
    let check = store.check().await.unwrap();
    assert_eq!(check.findings, ["2 keys that their actions do not hold"]);
    // No list reads the keys, so all of them answer as before.
    assert_eq!(store.pages(Query::new()).collect().await.unwrap().len(), 10);
    for new in [
        NewAction::task("a").with_exclusive("disk"),
        NewAction::task("a").with_idempotency_key("request of another"),
    ] {
        let refused = store.create(new).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "{refused}");
        assert!(
            refused.to_string().contains("does not hold it"),
            "{refused}"
        );
    }
    store
        .create(NewAction::task("b").with_exclusive("other"))
        .await
        .unwrap();
    store.close().await.unwrap();
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

#[tokio::test]
async fn a_check_goes_on_where_sqlite_cannot_and_trusts_no_part() {
    let place = place();
    damaged(&place.path, "SELECT 1").await;
    let mut other = raw(&place.path).await;
    let root = "SELECT rootpage FROM sqlite_master WHERE name = 'actions_pin'";
    let root: i64 = sqlx::query_scalar(root)
        .fetch_one(&mut other)
        .await
        .unwrap();
    sqlx::Connection::close(other).await.unwrap();
    let mut bytes = std::fs::read(&place.path).unwrap();
    let begin = (root as usize - 1) * PAGE as usize;
    bytes[begin..begin + PAGE as usize].fill(0xff);
    std::fs::write(&place.path, bytes).unwrap();

    let options = SqliteOptions::new().with_check_bytes(0);
    let store = options.open(&place.path).await.unwrap();
    let named = Query::new().with_filter(Filter::Name("backup".into()));
    assert_eq!(store.list(&named).await.unwrap().items.len(), 10);
    let check = store.check().await.unwrap();
    let unfinished = "not checked to the end: pins without an action";
    let is_named = |found: &String| found.starts_with(unfinished);
    assert!(check.findings.iter().any(is_named), "{check:?}");
    // The other parts were checked.
    assert_eq!((check.actions, check.entries, check.owners), (10, 10, 1));
    let refused = store.list(&named).await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Corrupt);
    assert!(store.diagnostics().await.unwrap().damaged > 0);
    store.close().await.unwrap();
}
