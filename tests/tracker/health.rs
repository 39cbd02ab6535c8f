//! A background task that fails shows in the tracker's health, until it works again.

use std::sync::Arc;
use std::time::Duration;

use action_store::conformance::{Call, Fault, FaultPlan, FaultyStore, Method};
use action_store::tracker::Health;
use action_store::{
    Command, MemoryStore, NewAction, StoreError, StoreErrorKind, Tracker, TrackerOptions,
};
use tokio::time::sleep;

type Store = Arc<FaultyStore<MemoryStore>>;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

async fn start() -> (Store, Tracker) {
    let store = Arc::new(FaultyStore::new(MemoryStore::new(), FaultPlan::new()));
    let options = TrackerOptions::new().with_lease(seconds(30));
    let tracker = Tracker::start_with(store.clone(), "plane", options)
        .await
        .unwrap();
    tracker.recovery().await;
    (store, tracker)
}

/// Fails every write that has such a command.
fn writes_with(hits: fn(&Command) -> bool) -> FaultPlan {
    FaultPlan::new().with_rule(move |call: &Call<'_>| {
        let hit = call.method == Method::Write && call.commands.iter().any(hits);
        hit.then_some(Fault::Unavailable)
    })
}

fn is_well(health: &Health) {
    assert!(health.failure.is_none(), "{health:?}");
    let tasks = [
        &health.renewing,
        &health.writing,
        &health.sweeping,
        &health.listening,
    ];
    assert!(tasks.iter().all(|task| task.is_none()), "{health:?}");
}

fn kind(error: &Option<StoreError>) -> Option<StoreErrorKind> {
    error.as_ref().map(StoreError::kind)
}

#[tokio::test(start_paused = true)]
async fn failing_renewals_show_with_their_number_and_since_when() {
    let (store, tracker) = start().await;
    sleep(seconds(6)).await;
    is_well(&tracker.health());
    store.set_plan(writes_with(|command| matches!(command, Command::Renew(_))));
    sleep(Duration::from_millis(14_500)).await;
    let ill = tracker.health();
    assert_eq!(kind(&ill.failure), Some(StoreErrorKind::Unavailable));
    let renewing = ill.renewing.unwrap();
    assert_eq!(renewing.error.kind(), StoreErrorKind::Unavailable);
    // Due at 10 s, and then each second.
    assert_eq!(renewing.failures, 11);
    assert_eq!(renewing.since.as_secs(), 10);
    assert_eq!(ill.since_renewal.as_secs(), 15);
    assert_eq!(ill.lease, seconds(30));
    assert!(ill.is_owner && ill.writing.is_none());
    store.heal();
    sleep(seconds(2)).await;
    is_well(&tracker.health());
}

#[tokio::test(start_paused = true)]
async fn failing_writes_show_until_they_succeed() {
    let (store, tracker) = start().await;
    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    store.set_plan(writes_with(|command| {
        matches!(command, Command::Apply { .. })
    }));
    drop(action);
    sleep(seconds(10)).await;
    let ill = tracker.health();
    assert!(ill.writing.as_ref().unwrap().failures > 1, "{ill:?}");
    assert_eq!(kind(&ill.failure), Some(StoreErrorKind::Unavailable));
    assert!(ill.renewing.is_none());
    store.heal();
    sleep(seconds(10)).await;
    is_well(&tracker.health());
}

#[tokio::test(start_paused = true)]
async fn failing_sweeps_show_until_they_succeed() {
    let (store, tracker) = start().await;
    // They read the owners, and write what they find.
    store.set_plan(FaultPlan::new().with_percent(Method::Owners, 100, Fault::Unavailable));
    sleep(seconds(20)).await;
    let ill = tracker.health();
    assert!(ill.sweeping.as_ref().unwrap().failures > 1, "{ill:?}");
    assert_eq!(kind(&ill.failure), Some(StoreErrorKind::Unavailable));
    assert!(ill.swept.unread.is_some());
    store.heal();
    sleep(seconds(10)).await;
    is_well(&tracker.health());
}

#[tokio::test(start_paused = true)]
async fn a_fence_that_fails_shows_as_a_failing_sweep() {
    let (store, tracker) = start().await;
    let options = TrackerOptions::new().with_sweep(false);
    let dead = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let inner = store.clone();
    std::thread::spawn(move || {
        let started = Tracker::start_with(inner, "dead", options);
        drop(dead.block_on(started).unwrap());
    })
    .join()
    .unwrap();
    store.set_plan(writes_with(|command| {
        matches!(command, Command::Fence { .. })
    }));
    sleep(seconds(70)).await;
    let ill = tracker.health();
    assert!(ill.sweeping.is_some(), "{ill:?}");
    store.heal();
    sleep(seconds(10)).await;
    is_well(&tracker.health());
}

#[tokio::test(start_paused = true)]
async fn a_failing_search_for_cancel_requests_shows_until_it_succeeds() {
    let (store, tracker) = start().await;
    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    sleep(seconds(2)).await;
    let plan = FaultPlan::new().with_percent(Method::Changed, 100, Fault::Unavailable);
    store.set_plan(plan.with_percent(Method::List, 100, Fault::Unavailable));
    // A change, so that it looks.
    action.step("copy").await.unwrap();
    sleep(seconds(5)).await;
    let ill = tracker.health();
    assert!(ill.listening.as_ref().unwrap().failures > 1, "{ill:?}");
    store.heal();
    sleep(seconds(10)).await;
    // It waits for a change again; the next one shows that it works.
    action.step("verify").await.unwrap();
    sleep(seconds(10)).await;
    is_well(&tracker.health());
}

#[tokio::test(start_paused = true)]
async fn a_watcher_shows_why_it_cannot_ask() {
    let (store, tracker) = start().await;
    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    let watcher = tracker.watcher().clone();
    let waiting = tokio::spawn({
        let (watcher, uid) = (watcher.clone(), action.uid());
        async move { watcher.wait(uid).await }
    });
    sleep(seconds(1)).await;
    assert!(watcher.failure().is_none());
    store.set_plan(FaultPlan::new().with_percent(Method::Changed, 100, Fault::Unavailable));
    // The read in progress is still answered.
    action.step("copy").await.unwrap();
    sleep(seconds(10)).await;
    assert_eq!(kind(&watcher.failure()), Some(StoreErrorKind::Unavailable));
    store.heal();
    action.succeed().await.unwrap();
    waiting.await.unwrap().unwrap();
    sleep(seconds(10)).await;
    assert!(watcher.failure().is_none());
}
