//! Claiming, renewing, losing, giving back.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use action_store::action::LogEntryKind;
use action_store::owner::{OwnerQuery, OwnerState};
use action_store::{
    ActionStore, ActionStoreExt, ErrorKind, NewAction, Outcome, Progress, Status, Tracker,
    TrackerOptions,
};
use tokio::time::{sleep, timeout};

use crate::spy::{Fault, Spy, is_renewal, tracker};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn renewals_cost_the_same_however_many_actions_there_are() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    store.writes();
    sleep(seconds(61)).await;
    assert_eq!(store.renewals(), 12, "one in a sixth of 30 s");
    let mut actions = Vec::new();
    for _ in 0..10_000 {
        actions.push(tracker.begin(NewAction::task("backup")).await.unwrap());
    }
    store.writes();
    sleep(seconds(60)).await;
    assert_eq!(store.renewals(), 12);
    assert_eq!(
        store.all_owners(OwnerQuery::new()).await.unwrap()[0].renewals,
        24
    );
}

#[tokio::test(start_paused = true)]
async fn a_fenced_tracker_is_told_and_its_late_end_kept_once() {
    let store = Spy::new();
    let first = tracker(&store).await;
    let action = first.begin(NewAction::task("backup")).await.unwrap();
    let idle = first.begin(NewAction::task("backup")).await.unwrap();
    let uid = action.uid();
    let second = tracker(&store).await;
    assert_eq!(second.recovery().await.lost, 2);
    assert!(action.is_owner(), "nobody has told it yet");
    let fenced = action.step("copy").await.unwrap_err();
    assert_eq!(fenced.kind(), ErrorKind::Fenced);
    assert_eq!(fenced.current().unwrap().outcome, Some(Outcome::Lost));
    assert!(!action.is_owner() && !idle.is_owner() && !first.is_owner());
    assert_eq!(
        action.succeed().await.unwrap_err().kind(),
        ErrorKind::Fenced
    );
    let log = store.log_of(uid).await;
    let late: Vec<_> = log
        .iter()
        .filter(|entry| entry.kind == LogEntryKind::LateReport)
        .collect();
    assert_eq!(late.len(), 1);
    assert_eq!(late[0].outcome, Some(Outcome::Succeeded));
    for error in [
        first.begin(NewAction::task("backup")).await.unwrap_err(),
        first.enqueue(NewAction::task("backup")).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Fenced);
    }
    drop(idle);
    first.shutdown().await.unwrap();
    assert!(second.is_owner());
    second
        .begin(NewAction::task("backup"))
        .await
        .unwrap()
        .succeed()
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_late_end_alone_tells_a_tracker_that_it_is_fenced() {
    let store = Spy::new();
    let first = tracker(&store).await;
    let action = first.begin(NewAction::task("backup")).await.unwrap();
    let _second = tracker(&store).await;
    assert!(first.is_owner());
    let late = action.succeed().await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Fenced);
    assert!(!first.is_owner());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_alone_tells_a_tracker_that_it_is_fenced() {
    let store = Spy::new();
    let first = tracker(&store).await;
    let _second = tracker(&store).await;
    sleep(seconds(6)).await;
    assert!(!first.is_owner());
    store.writes();
    sleep(seconds(60)).await;
    assert_eq!(store.renewals(), 12, "the fenced one has stopped");
}

#[tokio::test(start_paused = true)]
async fn ownership_is_in_doubt_after_two_thirds_of_a_lease_without_renewal() {
    for fault in [Fault::Unavailable, Fault::Hangs] {
        let store = Spy::new();
        let tracker = tracker(&store).await;
        let action = tracker.begin(NewAction::task("backup")).await.unwrap();
        sleep(seconds(11)).await;
        // The last renewal was at 10 s; its word is good until 30 s.
        store.on_write(move |batch| is_renewal(&batch.commands[0]).then_some(fault));
        sleep(Duration::from_millis(18_900)).await;
        assert!(tracker.is_owner() && action.is_owner());
        sleep(Duration::from_millis(200)).await;
        assert!(!tracker.is_owner() && !action.is_owner());
        store.writes();
        sleep(seconds(60)).await;
        let hangs = fault == Fault::Hangs;
        // One that hangs is the only one; what fails is tried once a second.
        assert_eq!(store.renewals(), if hangs { 0 } else { 60 });
        store.heal();
        sleep(seconds(6)).await;
        assert_eq!(
            tracker.is_owner(),
            !hangs,
            "the store has not given the name away"
        );
        // The store decides, not the tracker's own state.
        action.succeed().await.unwrap();
    }
}

#[tokio::test]
async fn work_that_goes_on_before_the_renewer_does_is_told_the_truth() {
    let store = Spy::new();
    let options = TrackerOptions::new().with_lease(seconds(1));
    let tracker = Tracker::start_with(store.clone(), "plane", options)
        .await
        .unwrap();
    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    assert!(action.is_owner());
    // As after a suspension of the process: time has passed, and no other task has run.
    std::thread::sleep(Duration::from_millis(700));
    assert!(!action.is_owner() && !tracker.is_owner() && !tracker.health().is_owner);
    let told = std::pin::pin!(action.ownership_lost());
    let told = told.poll(&mut Context::from_waker(Waker::noop()));
    assert!(told.is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_is_soon_tried_again() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    sleep(seconds(5)).await;
    store.on_write(|batch| is_renewal(&batch.commands[0]).then_some(Fault::Unavailable));
    sleep(seconds(18)).await;
    store.heal();
    for _ in 0..600 {
        sleep(Duration::from_millis(100)).await;
        assert!(tracker.is_owner());
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_flush_does_not_delay_renewals() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    store.on_write(|batch| (!is_renewal(&batch.commands[0])).then_some(Fault::Hangs));
    action.progress(Progress::ratio(1, 2));
    store.writes();
    sleep(seconds(61)).await;
    assert_eq!(store.renewals(), 12);
    assert!(tracker.is_owner());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_brings_everything_to_its_end() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    let queued = tracker.enqueue(NewAction::task("backup")).await.unwrap();
    let uid = action.uid();
    // The first is written at once, the second waits for the pace when the end comes.
    action.progress(Progress::ratio(1, 4));
    sleep(Duration::from_millis(10)).await;
    action.progress(Progress::ratio(2, 4));
    let reporter = action.reporter();
    assert!(action.is_owner() && !tracker.health().is_closed);
    tracker.shutdown().await.unwrap();
    // Work that has not ended hears of it at once.
    assert!(!action.is_owner() && !tracker.is_owner());
    for lost in [reporter.ownership_lost(), action.ownership_lost()] {
        timeout(Duration::ZERO, lost).await.unwrap();
    }
    assert!(tracker.health().is_closed && !tracker.health().is_fenced);
    let ended = store.now(uid).await;
    assert_eq!(ended.outcome, Some(Outcome::Interrupted));
    assert_eq!(ended.progress, Progress::ratio(2, 4));
    assert_eq!(
        store.now(queued.uid).await.outcome,
        Some(Outcome::Interrupted)
    );
    assert_eq!(
        store.all_owners(OwnerQuery::new()).await.unwrap()[0].state,
        OwnerState::Released
    );
    let late = action.succeed().await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Closed);
    assert_eq!(late.current().unwrap().outcome, Some(Outcome::Interrupted));
    assert!(!tracker.health().is_fenced, "it has ended by itself");
    for error in [
        tracker.begin(NewAction::task("backup")).await.unwrap_err(),
        tracker
            .enqueue(NewAction::task("backup"))
            .await
            .unwrap_err(),
        tracker.start_queued(queued.uid).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Closed);
    }
    tracker.clone().shutdown().await.unwrap();
    store.writes();
    sleep(seconds(60)).await;
    assert_eq!(store.renewals(), 0);
    // The store is the host's.
    assert!(store.changed(None).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_wakes_waiters_for_the_loss_of_ownership() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    let reporter = action.reporter();
    let lost = tokio::spawn(async move { reporter.ownership_lost().await });
    sleep(seconds(1)).await;
    assert!(!lost.is_finished());
    // Ownership is not renewed any more, with or without an error.
    store.on_write(|_| Some(Fault::Unavailable));
    tracker.shutdown().await.unwrap_err();
    timeout(seconds(1), lost).await.unwrap().unwrap();
    assert!(!action.is_owner());
}

#[tokio::test(start_paused = true)]
async fn a_closed_store_is_no_fence_and_what_it_did_not_take_is_counted() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    let uid = action.uid();
    let dropped = tracker.begin(NewAction::task("backup")).await.unwrap();
    let kept = tracker.begin(NewAction::task("backup")).await.unwrap();
    store.on_write(|_| Some(Fault::Closed));
    drop(dropped);
    assert_eq!(
        action.succeed().await.unwrap_err().kind(),
        ErrorKind::Closed
    );
    sleep(seconds(10)).await;
    let health = tracker.health();
    assert!(health.is_closed && !health.is_fenced && !health.is_owner);
    assert_eq!((health.given_up, health.waiting_ends), (2, 0));
    timeout(seconds(1), kept.ownership_lost()).await.unwrap();
    let refused = tracker.shutdown().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Closed);
    assert_eq!(store.now(uid).await.status, Status::Executing);
    assert_eq!(
        store.all_owners(OwnerQuery::new()).await.unwrap()[0].state,
        OwnerState::Alive
    );
}

#[tokio::test(start_paused = true)]
async fn a_tracker_that_only_renews_knows_that_the_store_is_closed() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    store.on_write(|batch| is_renewal(&batch.commands[0]).then_some(Fault::Closed));
    timeout(seconds(6), action.ownership_lost()).await.unwrap();
    let health = tracker.health();
    assert!(health.is_closed && !health.is_fenced && !health.is_owner);
    let refused = tracker.shutdown().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn dropping_everything_gives_the_name_back_and_ends_the_tasks() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let queued = tracker.enqueue(NewAction::task("backup")).await.unwrap();
    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    drop(tracker);
    // Work in progress keeps the name.
    sleep(seconds(300)).await;
    action.step("copy").await.unwrap();
    let uid = action.uid();
    drop(action);
    sleep(seconds(10)).await;
    assert_eq!(store.now(uid).await.outcome, Some(Outcome::Interrupted));
    assert_eq!(
        store.now(queued.uid).await.outcome,
        Some(Outcome::Interrupted)
    );
    assert_eq!(
        store.all_owners(OwnerQuery::new()).await.unwrap()[0].state,
        OwnerState::Released
    );
    assert_eq!(
        Arc::strong_count(&store),
        1,
        "no task holds the store any more"
    );
}

#[tokio::test(start_paused = true)]
async fn tasks_end_even_if_the_store_fails_for_ever() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    store.on_write(|_| Some(Fault::Unavailable));
    drop((action, tracker));
    sleep(seconds(60)).await;
    assert_eq!(Arc::strong_count(&store), 1);
}

#[tokio::test]
async fn a_living_owner_is_left_alone_on_request() {
    let store = Spy::new();
    let first = tracker(&store).await;
    let action = first.begin(NewAction::task("backup")).await.unwrap();
    let polite = TrackerOptions::new().with_take_over(false);
    let refused = Tracker::start_with(store.clone(), "plane", polite.clone())
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::OwnerAlive);
    action.succeed().await.unwrap();
    first.shutdown().await.unwrap();
    Tracker::start_with(store.clone(), "plane", polite)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_bad_option_or_name_is_invalid() {
    let store = Spy::new();
    for (options, name) in [
        (
            TrackerOptions::new().with_lease(Duration::from_millis(999)),
            "plane",
        ),
        (TrackerOptions::new().with_lease(seconds(3601)), "plane"),
        (
            TrackerOptions::new().with_flush_interval(Duration::ZERO),
            "plane",
        ),
        (
            TrackerOptions::new().with_flush_interval(seconds(61)),
            "plane",
        ),
        (TrackerOptions::new(), ""),
    ] {
        let error = Tracker::start_with(store.clone(), name, options)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}
