//! A rolling restart: the old process drains while the new one starts.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use action_store::owner::OwnerState;
use action_store::tracker::LeftQueued;
use action_store::{
    Action, ActionStore, ActionStoreExt, ErrorKind, NewAction, Outcome, SqliteStore, Status,
    StoreErrorKind, Tracker, TrackerOptions,
};

use super::children::{Child, say, told, until_let_go};
use super::{ends, place, shared, state, unfinished};

fn options() -> TrackerOptions {
    TrackerOptions::new().with_left_queued(LeftQueued::Leave)
}

/// Works on one action and has queued three; told to drain, it ends what it has begun and goes.
pub(crate) async fn work_until_drained(path: &Path, name: &str) {
    let exclusive = !name.contains('@');
    let store = match exclusive {
        true => Arc::new(SqliteStore::open(path).await.unwrap()),
        false => shared(path).await,
    };
    let tracker = Tracker::start_with(store.clone(), name, options())
        .await
        .unwrap();
    let (finish, finished) = tokio::sync::oneshot::channel::<()>();
    let working = tracker
        .spawn(NewAction::task("begun"), async |action| {
            action.step("copy").await?;
            finished.await?;
            assert!(action.is_owner());
            Ok(())
        })
        .await
        .unwrap();
    for _ in 0..3 {
        tracker.enqueue(NewAction::task("queued")).await.unwrap();
    }
    say("working");
    tokio::task::spawn_blocking(told).await.unwrap();
    // From here on it takes no new work.
    finish.send(()).unwrap();
    working.join().await.unwrap();
    tracker.shutdown().await.unwrap();
    store.close().await.unwrap();
    say("drained");
    tokio::task::spawn_blocking(until_let_go).await.unwrap();
}

/// Starts queued actions that have no living owner, and ends them.
async fn take_over(tracker: &Tracker, left: Vec<Arc<Action>>) {
    assert_eq!(left.len(), 3);
    for queued in left {
        assert_eq!(queued.status, Status::Queued);
        let action = tracker.start_queued(queued.uid).await.unwrap();
        let done = action.succeed().await.unwrap();
        assert_eq!(done.owner.as_ref(), Some(tracker.owner()));
    }
}

async fn begun(store: &dyn ActionStore) -> Arc<Action> {
    let all = store.pages(action_store::Query::new());
    let mut all = all.collect().await.unwrap();
    all.retain(|action| &*action.name == "begun");
    all.pop().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_for_one_process_is_handed_over_when_the_old_one_has_closed_it() {
    let place = place();
    let mut old = Child::start("old", &place.path, "plane");
    assert_eq!(old.heard().as_deref(), Some("working"));
    // With a bound, as a host would wait.
    let (mut refused, mut pause) = (0, Duration::from_millis(10));
    let store = loop {
        match ends(SqliteStore::open(&place.path)).await {
            Ok(store) => break Arc::new(store),
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}"),
        }
        refused += 1;
        assert!(refused < 50, "the old one does not let go");
        if refused == 2 {
            old.tell("drain");
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(500));
    };
    assert!(refused >= 2);
    assert_eq!(old.heard().as_deref(), Some("drained"));
    let tracker = Tracker::start_with(store.clone(), "plane", options())
        .await
        .unwrap();
    let recovery = ends(tracker.recovery()).await;
    assert_eq!((recovery.lost, recovery.left_queued), (0, 3));
    assert_eq!(begun(&*store).await.outcome, Some(Outcome::Succeeded));
    take_over(&tracker, unfinished(&*store, "plane").await).await;
    tracker.shutdown().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_names_on_a_shared_file_live_side_by_side_until_the_old_one_has_drained() {
    let place = place();
    let mut old = Child::start("old", &place.path, "plane@old");
    assert_eq!(old.heard().as_deref(), Some("working"));
    let store = shared(&place.path).await;
    let tracker = Tracker::start_with(store.clone(), "plane@new", options())
        .await
        .unwrap();
    ends(tracker.recovery()).await;
    // Both take work, and neither touches the other's.
    let action = tracker.begin(NewAction::task("new")).await.unwrap();
    action.succeed().await.unwrap();
    let working = begun(&*store).await;
    assert_eq!(working.status, Status::Executing);
    let owner = working.owner.clone().unwrap();
    assert_eq!(state(&*store, &owner).await, OwnerState::Alive);
    old.tell("drain");
    assert_eq!(old.heard().as_deref(), Some("drained"));
    assert_eq!(begun(&*store).await.outcome, Some(Outcome::Succeeded));
    assert_eq!(state(&*store, &owner).await, OwnerState::Released);
    take_over(&tracker, unfinished(&*store, "plane@old").await).await;
    tracker.shutdown().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_of_the_same_name_waits_for_the_old_one_if_it_does_not_take_over() {
    let place = place();
    let mut old = Child::start("old", &place.path, "plane@host");
    assert_eq!(old.heard().as_deref(), Some("working"));
    let store = shared(&place.path).await;
    let polite = options().with_take_over(false);
    let mut refused = 0;
    let tracker = loop {
        match Tracker::start_with(store.clone(), "plane@host", polite.clone()).await {
            Ok(tracker) => break tracker,
            Err(error) => assert_eq!(error.kind(), ErrorKind::OwnerAlive, "{error}"),
        }
        refused += 1;
        assert!(refused < 200, "the old one does not let go");
        if refused == 2 {
            old.tell("drain");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(refused >= 2);
    assert_eq!(ends(tracker.recovery()).await.lost, 0);
    assert_eq!(begun(&*store).await.outcome, Some(Outcome::Succeeded));
    take_over(&tracker, unfinished(&*store, "plane@host").await).await;
    tracker.shutdown().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_process_of_the_same_name_that_takes_over_ends_what_the_old_one_has_begun() {
    let place = place();
    let mut old = Child::start("old", &place.path, "plane@host");
    assert_eq!(old.heard().as_deref(), Some("working"));
    let store = shared(&place.path).await;
    let tracker = Tracker::start_with(store.clone(), "plane@host", options())
        .await
        .unwrap();
    let recovery = ends(tracker.recovery()).await;
    assert_eq!((recovery.lost, recovery.left_queued), (1, 3));
    assert_eq!(begun(&*store).await.outcome, Some(Outcome::Lost));
    take_over(&tracker, unfinished(&*store, "plane@host").await).await;
    tracker.shutdown().await.unwrap();
    store.close().await.unwrap();
}
