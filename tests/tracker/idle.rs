//! The cost of a tracker without work, measured in calls of the store.

use std::sync::Arc;
use std::time::Duration;

use action_store::tracker::LeftQueued;
use action_store::{
    ActionStoreExt, CancelRequest, Command, NewAction, OwnerRef, Status, Tracker, TrackerOptions,
};
use tokio::time::sleep;

use crate::spy::{Spy, tracker};

/// The calls of the store in ten minutes in which another program records actions, and the calls
/// that wait for a change.
async fn cost(store: &Arc<Spy>) -> (usize, usize) {
    sleep(Duration::from_secs(60)).await;
    store.calls();
    for _ in 0..600 {
        store
            .create(NewAction::task("of another program"))
            .await
            .unwrap();
        sleep(Duration::from_secs(1)).await;
    }
    (store.calls(), store.waits())
}

/// A burst of everything that a tracker can be asked for.
async fn burst(tracker: &Tracker) {
    for _ in 0..20 {
        let queued = tracker
            .enqueue(NewAction::task("queued"))
            .await
            .unwrap()
            .uid;
        let cancelled = tracker
            .enqueue(NewAction::task("queued"))
            .await
            .unwrap()
            .uid;
        tracker
            .cancel(cancelled, CancelRequest::new())
            .await
            .unwrap();
        let parts = vec![NewAction::task("part"), NewAction::task("part")];
        let parent = NewAction::task("parent");
        let (parent, parts) = tracker.begin_with_children(parent, parts).await.unwrap();
        for part in &parts {
            tracker
                .start_queued(part.uid)
                .await
                .unwrap()
                .succeed()
                .await
                .unwrap();
        }
        let dropped = tracker.start_queued(queued).await.unwrap();
        dropped.step("copy").await.unwrap();
        drop(dropped);
        drop(tracker.prepare(NewAction::task("never committed")).unwrap());
        let work = tracker.spawn(NewAction::task("work"), async |_| Ok(()));
        work.await.unwrap().join().await.unwrap();
        parent.succeed().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_tracker_that_was_busy_is_as_idle_as_a_new_one() {
    let (new, busy) = (Spy::new(), Spy::new());
    let _new = tracker(&new).await;
    let tracker = tracker(&busy).await;
    burst(&tracker).await;
    let (fresh, waits) = cost(&new).await;
    assert_eq!(cost(&busy).await, (fresh, waits));
    assert_eq!(waits, 0, "a wait makes a shared store poll its file");
}

#[tokio::test(start_paused = true)]
async fn a_queued_action_is_still_watched_for_a_cancel_request() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    burst(&tracker).await;
    sleep(Duration::from_secs(60)).await;
    let queued = tracker
        .enqueue(NewAction::task("queued"))
        .await
        .unwrap()
        .uid;
    sleep(Duration::from_secs(60)).await;
    // By another program, which cannot end the action of a live owner.
    store
        .request_cancel(queued, CancelRequest::new())
        .await
        .unwrap();
    let ended = store.completed(queued).await;
    assert_eq!(ended.outcome, Some(action_store::Outcome::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn queued_actions_of_earlier_incarnations_do_not_keep_the_tracker_busy() {
    let (new, busy) = (Spy::new(), Spy::new());
    let mut trackers = Vec::new();
    for store in [&new, &busy] {
        let earlier = OwnerRef::new("plane");
        store
            .command(Command::claim(earlier.clone()))
            .await
            .unwrap();
        for _ in 0..150 {
            let create = Command::create(NewAction::task("left")).by(earlier.clone());
            store.command(create).await.unwrap();
        }
        let options = TrackerOptions::new().with_left_queued(LeftQueued::Leave);
        let tracker = Tracker::start_with(store.clone(), "plane", options);
        let tracker = tracker.await.unwrap();
        assert!(tracker.recovery().await.is_complete());
        trackers.push(tracker);
    }
    burst(&trackers[1]).await;
    let left = store_has_queued(&busy).await;
    assert_eq!(left, 150);
    let fresh = cost(&new).await;
    assert_eq!(cost(&busy).await, fresh);
    assert_eq!(fresh.1, 0);
}

/// Returns the number of queued actions.
async fn store_has_queued(store: &Arc<Spy>) -> usize {
    let query = action_store::Query::new();
    let query = query.with_filter(action_store::Filter::Status(Status::Queued));
    store.pages(query).collect().await.unwrap().len()
}
