//! Full queues and deadlines, and reads and writes dropped at every poll whatever the number of
//! readers: what takes a store of its own to show.
#![cfg(all(feature = "conformance", feature = "sqlite"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::sync::Arc;
use std::time::Duration;

use action_store::command::Effect;
use action_store::conformance::{Subject, Verdict, cases, check_store};
use action_store::{
    ActionStore, ActionUid, Batch, Command, Json, NewAction, SqliteOptions, SqliteStore,
    StoreError, StoreErrorKind,
};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

/// Enough of the largest batches to fill the smallest queue several times.
const BATCHES: usize = 12;
const ACTIONS: usize = 60;

fn large() -> (Vec<ActionUid>, Batch) {
    let attributes = Json::new(format!("{{\"a\":\"{}\"}}", "x".repeat(60_000))).unwrap();
    let new = || NewAction::task("a").with_attributes(attributes.clone());
    let news: Vec<Arc<NewAction>> = (0..ACTIONS).map(|_| Arc::new(new())).collect();
    let uids = news.iter().map(|new| new.uid).collect();
    let create = |new| Command::create(new);
    (uids, Batch::all(news.into_iter().map(create).collect()))
}

async fn other(store: &SqliteStore) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(store.path());
    options.connect().await.unwrap()
}

async fn run(connection: &mut SqliteConnection, sql: &'static str) {
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
}

/// How many of these actions are there.
async fn there(store: &SqliteStore, uids: &[ActionUid]) -> usize {
    store.get(uids).await.unwrap().iter().flatten().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_lets_go_of_what_it_did_not_begin_and_of_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new()
        .with_queue_bytes(0)
        .with_timeout(Duration::from_secs(3));
    let path = dir.path().join("actions.db");
    let store = Arc::new(options.open(&path).await.unwrap());
    let mut other = other(&store).await;
    run(&mut other, "BEGIN IMMEDIATE").await;
    let batches: Vec<(Vec<ActionUid>, Batch)> = (0..BATCHES).map(|_| large()).collect();
    let writes: Vec<_> = batches
        .iter()
        .map(|(_, batch)| {
            let (store, batch) = (store.clone(), batch.clone());
            tokio::spawn(async move { store.write(batch).await })
        })
        .collect();
    let mut kinds = Vec::new();
    for write in writes {
        let answer = write.await.unwrap();
        kinds.push(answer.as_ref().map_err(StoreError::kind).err());
    }
    // Each says something, and all that can be said of a store that writes nothing.
    let unknown = |kind: &&Option<StoreErrorKind>| **kind == Some(StoreErrorKind::OutcomeUnknown);
    let begun = kinds.iter().filter(unknown).count();
    let not_begun = kinds
        .iter()
        .filter(|kind| **kind == Some(StoreErrorKind::Unavailable))
        .count();
    assert_eq!(begun + not_begun, BATCHES, "{kinds:?}");
    // A queue of 8 MiB holds two of these batches of 3.6 MB; the writer may have taken both.
    assert!((1..=2).contains(&begun), "{kinds:?}");
    // Reads go on meanwhile.
    assert_eq!(there(&store, &batches[0].0).await, 0);
    run(&mut other, "ROLLBACK").await;
    other.close().await.unwrap();

    // Closing finishes what was begun, and nothing of what was let go stays in the queue.
    store.close().await.unwrap();
    drop(store);
    let store = SqliteStore::open(&path).await.unwrap();
    for ((uids, batch), kind) in batches.iter().zip(&kinds) {
        let found = there(&store, uids).await;
        assert!(found == 0 || found == ACTIONS, "torn: {found}");
        if *kind == Some(StoreErrorKind::Unavailable) {
            assert_eq!(found, 0, "certainly not done, and done");
        }
        // Repeated it is there, once.
        for answer in store.write(batch.clone()).await.unwrap() {
            let expected = [Effect::Applied, Effect::Already][usize::from(found > 0)];
            assert_eq!(answer.unwrap().effect, expected);
        }
    }
    let checked = check_store(&store).await.unwrap();
    assert_eq!(checked.actions, BATCHES * ACTIONS);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_time_says_so_and_does_nothing_it_denies() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("actions.db");
    let options = SqliteOptions::new().with_timeout(Duration::ZERO);
    let store = options.open(&path).await.unwrap();
    let (mut denied, mut unknown) = (Vec::new(), Vec::new());
    for _ in 0..50 {
        let new = NewAction::task("a");
        let uid = new.uid;
        let create = Command::create(new);
        let error = store.write(Batch::each(vec![create])).await.unwrap_err();
        match error.kind() {
            StoreErrorKind::Unavailable => denied.push(uid),
            StoreErrorKind::OutcomeUnknown => unknown.push(uid),
            _ => panic!("{error:?}"),
        }
        let error = store.get(&[uid]).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    }
    store.close().await.unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(there(&store, &denied).await, 0);
    let checked = check_store(&store).await.unwrap();
    assert_eq!(checked.actions, there(&store, &unknown).await);
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn futures_are_dropped_at_any_poll_whatever_the_number_of_readers() {
    let about_drops = || {
        let groups = ["drops", "polls"];
        cases()
            .iter()
            .filter(move |case| groups.contains(&case.group()))
    };
    assert!(about_drops().count() >= 7);
    for readers in [1, 4] {
        let open = move || async move {
            let dir = tempfile::tempdir().unwrap();
            let options = SqliteOptions::new().with_readers(readers);
            let store = options.open(dir.path().join("actions.db")).await.unwrap();
            Subject::new(store).with_kept(dir)
        };
        for case in about_drops() {
            let verdict = case.run(&open).await;
            assert_eq!(verdict.unwrap(), Verdict::Held, "{readers} readers");
        }
    }
}
