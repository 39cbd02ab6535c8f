//! The cost of a tracker without work, measured in calls of the store.

use std::sync::Arc;
use std::time::Duration;

use action_store::{ActionStoreExt, CancelRequest, NewAction, Tracker};
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
