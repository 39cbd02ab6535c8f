//! Tests that the read cache shows what the database has.

use std::time::{Duration, Instant};

use std::sync::Arc;

use crate::error::StoreErrorKind as ErrorKind;
use crate::model::{Action, ActionUid, Batch, Command, Finish, Json, NewAction, Outcome};
use crate::store::{ActionStore, ActionStoreExt};
use crate::{SqliteOptions, SqliteStore};

async fn open(dir: &tempfile::TempDir, options: SqliteOptions) -> SqliteStore {
    options.open(dir.path().join("actions.db")).await.unwrap()
}

/// An action of the store that is cached.
async fn read_cache(store: &SqliteStore) -> Arc<Action> {
    let new = NewAction::task("read_cache")
        .with_attributes(Json::new("{\"a\": [1.50, \"\\u00e9\"]}").unwrap());
    let action = store.create(new).await.unwrap();
    assert_eq!(
        store.sql.read_cache.get(&[action.uid]),
        Some(vec![Some(action.clone())])
    );
    action
}

/// Reads from the database: one missing action makes the store read all of them there.
async fn stored(store: &SqliteStore, uid: ActionUid) -> Option<Arc<Action>> {
    let mut found = store.get(&[ActionUid::new(), uid]).await.unwrap();
    found.pop().unwrap()
}

fn cancelled() -> Finish {
    Finish::new(Outcome::Cancelled)
}

#[tokio::test]
async fn what_is_unfinished_is_here_as_it_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, SqliteOptions::new()).await;
    let (one, other) = (read_cache(&store).await, read_cache(&store).await);
    assert_eq!(stored(&store, one.uid).await, Some(one.clone()));
    let both = vec![Some(one.clone()), Some(other.clone())];
    assert_eq!(store.sql.read_cache.get(&[one.uid, other.uid]), Some(both));

    let requested = store
        .request_cancel(one.uid, Default::default())
        .await
        .unwrap();
    assert_eq!(requested.version.get(), 2);
    assert_eq!(
        store.sql.read_cache.get(&[one.uid]),
        Some(vec![Some(requested.clone())])
    );
    assert_eq!(stored(&store, one.uid).await, Some(requested));

    let done = store.finish(one.uid, cancelled(), None).await.unwrap();
    assert_eq!(
        store.sql.read_cache.get(&[one.uid]),
        Some(vec![Some(done.clone())])
    );
    assert_eq!(stored(&store, one.uid).await, Some(done));
    let ended = store.finish(other.uid, cancelled(), None).await.unwrap();
    let (uid, if_version) = (ended.uid, ended.version);
    let remove = Command::Remove { uid, if_version };
    store.command(remove).await.unwrap();
    assert_eq!(store.sql.read_cache.get(&[uid]), None);
    assert_eq!(store.action(uid).await.unwrap(), None);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_transaction_that_failed_leaves_nothing_here() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, SqliteOptions::new().with_max_bytes(600 * 1024)).await;
    let before = read_cache(&store).await;
    let long = || {
        NewAction::task("long")
            .with_description("x".repeat(4000))
            .into()
    };
    let create = || Command::Create {
        new: long(),
        by: None,
    };
    let full = Batch::all((0..300).map(|_| create()).collect());
    let full = store.write(full).await.unwrap_err();
    assert_eq!(full.kind(), ErrorKind::Unavailable);
    assert_eq!(store.sql.read_cache.get(&[before.uid]), None);
    assert_eq!(store.action(before.uid).await.unwrap(), Some(before));
    // The writer reloads its cache.
    read_cache(&store).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn an_action_that_was_wrongly_taken_for_new_leaves_all_else_here() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, SqliteOptions::new()).await;
    let (one, other) = (read_cache(&store).await, read_cache(&store).await);
    let new = Arc::new(NewAction::task("done"));
    let uid = new.uid;
    let create = || Command::Create {
        new: new.clone(),
        by: None,
    };
    store.command(create()).await.unwrap();
    let done = store.finish(uid, cancelled(), None).await.unwrap();
    // A transaction that the database refuses: the cache does not know that the action exists.
    let request = Command::Apply {
        uid: one.uid,
        op: crate::model::OpId::new(),
        change: crate::model::Change::RequestCancel(Default::default()),
        by: None,
        if_version: None,
    };
    let both = Batch::each(vec![request, create()]);
    let answers = store.write(both).await.unwrap();
    let requested = answers[0].as_ref().unwrap().action.clone();
    assert_eq!(answers[1].as_ref().unwrap().action, Some(done));
    assert_eq!(requested.as_ref().unwrap().version.get(), 2);
    assert_eq!(
        store.sql.read_cache.get(&[one.uid]),
        Some(vec![requested.clone()])
    );
    assert_eq!(
        store.sql.read_cache.get(&[other.uid]),
        Some(vec![Some(other.clone())])
    );
    assert_eq!(stored(&store, one.uid).await, requested);
    // The cache now has it: the next change loads nothing and succeeds.
    let ended = store.finish(one.uid, cancelled(), None).await.unwrap();
    assert_eq!(ended.version.get(), 3);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_closed_store_shows_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, SqliteOptions::new()).await;
    let action = read_cache(&store).await;
    store.close().await.unwrap();
    let closed = store.action(action.uid).await.unwrap_err();
    assert_eq!(closed.kind(), ErrorKind::Closed);
    assert_eq!(store.sql.read_cache.get(&[action.uid]), None);
}

#[tokio::test]
async fn a_shared_store_keeps_nothing_here() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, SqliteOptions::new().shared()).await;
    let action = store.create(NewAction::task("cold")).await.unwrap();
    assert_eq!(store.sql.read_cache.get(&[action.uid]), None);
    assert_eq!(store.action(action.uid).await.unwrap(), Some(action));
    store.close().await.unwrap();
}

#[tokio::test]
async fn whoever_asks_again_and_again_lets_the_writer_have_its_turn() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&dir, SqliteOptions::new()).await);
    let uid = read_cache(&store).await.uid;
    let writing = store.clone();
    let writing = tokio::spawn(async move { writing.finish(uid, cancelled(), None).await });
    let begun = Instant::now();
    while store.action(uid).await.unwrap().unwrap().is_unfinished() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "nobody else has a turn"
        );
    }
    writing.await.unwrap().unwrap();
    store.close().await.unwrap();
}
