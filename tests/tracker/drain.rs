//! Draining before a shutdown.

use std::time::Duration;

use action_store::{ActionStore, Error, ErrorKind, NewAction, Outcome, Status, Tracker};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::spy::{Fault, Spy, finish_of, is_renewal, tracker};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Starts a drain, and returns once it refuses new work.
async fn draining(tracker: &Tracker) -> JoinHandle<action_store::tracker::Drained> {
    let draining = tokio::spawn({
        let tracker = tracker.clone();
        async move { tracker.drain(seconds(600)).await }
    });
    sleep(Duration::from_millis(100)).await;
    assert!(tracker.health().is_draining);
    draining
}

#[track_caller]
fn assert_draining<T: std::fmt::Debug>(answer: Result<T, Error>) {
    let refused = answer.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Closed);
    assert!(refused.to_string().contains("draining"), "{refused}");
}

/// Makes the next call of the tracker fail: it gives up after three writes.
fn fail_once(store: &Spy, fault: Fault) {
    let mut left = 3;
    store.on_write(move |batch| {
        let fails = left > 0 && !batch.commands.iter().any(is_renewal);
        left -= u32::from(fails);
        fails.then_some(fault)
    });
}

#[tokio::test(start_paused = true)]
async fn a_drain_takes_no_new_work_and_waits_for_the_old() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let queued = tracker
        .enqueue(NewAction::task("queued"))
        .await
        .unwrap()
        .uid;
    let left = tracker.enqueue(NewAction::task("left")).await.unwrap().uid;
    let (parent, children) = tracker
        .begin_with_children(NewAction::task("upgrade"), vec![NewAction::task("node")])
        .await
        .unwrap();
    let begun = tracker.start_queued(queued).await.unwrap();

    let draining = tokio::spawn({
        let tracker = tracker.clone();
        async move { tracker.drain(seconds(600)).await }
    });
    sleep(seconds(1)).await;
    assert!(tracker.health().is_draining);
    let refusals = [
        tracker.begin(NewAction::task("new")).await.err(),
        tracker.start_queued(left).await.err(),
        tracker.enqueue(NewAction::task("new")).await.err(),
        tracker.adopt(left).await.err(),
    ];
    for refused in refusals {
        let refused = refused.unwrap();
        assert_eq!(refused.kind(), ErrorKind::Closed);
        assert!(refused.to_string().contains("draining"), "{refused}");
    }
    // The work in progress goes on, with its parts.
    let node = tracker.start_queued(children[0].uid).await.unwrap();
    let late = parent
        .begin_child(NewAction::task("late part"))
        .await
        .unwrap();
    for part in [node, late, begun] {
        part.step("copy").await.unwrap();
        part.succeed().await.unwrap();
    }
    sleep(seconds(1)).await;
    assert!(!draining.is_finished());
    parent.succeed().await.unwrap();
    let drained = draining.await.unwrap();
    assert!(drained.is_complete(), "{drained:?}");
    tracker.shutdown().await.unwrap();
    assert_eq!(store.now(left).await.outcome, Some(Outcome::Interrupted));
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_is_out_of_time_names_what_is_left() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let mut handles = Vec::new();
    for _ in 0..120 {
        handles.push(tracker.begin(NewAction::task("backup")).await.unwrap());
    }
    let begun = Instant::now();
    let left = tracker.drain(seconds(3)).await;
    assert_eq!(begun.elapsed(), seconds(3));
    assert_eq!((left.in_work, left.in_work_actions.len()), (120, 100));
    assert_eq!(left.in_work_actions[0], handles[0].uid());
    assert!(!left.is_complete());
    // Ends that the store does not take count as well, and a second call waits for them.
    store.on_write(|batch| finish_of(&batch.commands[0]).map(|_| Fault::Unavailable));
    handles.truncate(1);
    let left = tracker.drain(seconds(3)).await;
    assert_eq!((left.in_work, left.unrecorded_ends), (1, 119));
    store.heal();
    handles.pop().unwrap().succeed().await.unwrap();
    assert!(tracker.drain(seconds(30)).await.is_complete());
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_a_call_that_is_beginning_an_action() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    store.on_write(|batch| (batch.commands.len() == 2).then_some(Fault::CancelledAtOnce));
    let beginning = tokio::spawn({
        let tracker = tracker.clone();
        async move { tracker.begin(NewAction::task("backup")).await }
    });
    sleep(Duration::from_millis(500)).await;
    let left = tracker.drain(Duration::ZERO).await;
    assert_eq!((left.beginning, left.in_work), (1, 0));
    let draining = tokio::spawn({
        let tracker = tracker.clone();
        async move { tracker.drain(seconds(600)).await }
    });
    let action = beginning.await.unwrap().unwrap();
    sleep(seconds(1)).await;
    assert!(!draining.is_finished());
    action.cancelled().await.unwrap();
    assert!(draining.await.unwrap().is_complete());
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_a_prepared_action_and_begins_it() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let prepared = tracker.prepare(NewAction::task("create")).unwrap();
    let never_committed = tracker.prepare(NewAction::task("create")).unwrap();
    let draining = draining(&tracker).await;
    assert_draining(tracker.prepare(NewAction::task("late")));

    let left = tracker.drain(Duration::ZERO).await;
    assert_eq!((left.prepared, left.in_work), (2, 0));
    assert!(!left.is_complete());

    // The host commits it now.
    store.write(prepared.batch()).await.unwrap();
    let action = tracker.begin(prepared.clone()).await.unwrap();
    let left = tracker.drain(Duration::ZERO).await;
    assert_eq!((left.prepared, left.in_work), (1, 1));
    // Parts of an action in work may still be prepared.
    let part = NewAction::task("part").with_parent(action.uid());
    let part = tracker.prepare(part).unwrap();
    store.write(part.batch()).await.unwrap();
    tracker.begin(part).await.unwrap().succeed().await.unwrap();
    drop(never_committed);
    sleep(seconds(1)).await;
    assert!(!draining.is_finished());
    action.succeed().await.unwrap();
    // A clone of what was begun is not waited for.
    let drained = draining.await.unwrap();
    assert!(drained.is_complete(), "{drained:?}");
    drop(prepared);
}

#[tokio::test(start_paused = true)]
async fn a_prepared_action_whose_begin_failed_is_waited_for_until_it_is_dropped() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let prepared = tracker.prepare(NewAction::task("create")).unwrap();
    let draining = draining(&tracker).await;
    let refused = tracker.begin(prepared.clone()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotFound);
    sleep(seconds(1)).await;
    assert!(!draining.is_finished());
    drop(prepared);
    assert!(draining.await.unwrap().is_complete());
}

#[tokio::test(start_paused = true)]
async fn a_call_after_an_unknown_outcome_gets_its_action_while_the_tracker_drains() {
    for fault in [Fault::UnknownButDone, Fault::UnknownAndNot] {
        for with_key in [false, true] {
            let store = Spy::new();
            let tracker = tracker(&store).await;
            let context = format!("{fault:?}, with a key: {with_key}");
            let plain = NewAction::task("backup");
            // With a key, the caller may build the action anew, with another uid.
            let new = || match with_key {
                true => NewAction::task("backup").with_idempotency_key("request-7"),
                false => plain.clone(),
            };
            fail_once(&store, fault);
            let unknown = tracker.begin(new()).await.unwrap_err();
            assert_eq!(unknown.kind(), ErrorKind::OutcomeUnknown, "{context}");

            let draining = draining(&tracker).await;
            let left = tracker.drain(Duration::ZERO).await;
            assert_eq!((left.in_work, left.unrecorded_ends), (0, 1), "{context}");
            assert_draining(tracker.begin(NewAction::task("new")).await);
            let other = new().with_tenant("other").with_idempotency_key("request-7");
            if with_key {
                assert_draining(tracker.begin(other).await);
            }
            let action = tracker.begin(new()).await.unwrap();
            sleep(seconds(30)).await;
            assert!(!draining.is_finished(), "{context}");
            assert_eq!(store.now(action.uid()).await.status, Status::Executing);
            action.succeed().await.unwrap();
            assert!(draining.await.unwrap().is_complete(), "{context}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_and_a_family_of_unknown_outcome_may_be_repeated_while_the_tracker_drains() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let queued = tracker.enqueue(NewAction::task("queued")).await.unwrap();
    fail_once(&store, Fault::UnknownButDone);
    tracker.start_queued(queued.uid).await.unwrap_err();
    let parent = NewAction::task("upgrade");
    let parts = || vec![NewAction::task("node")];
    fail_once(&store, Fault::UnknownButDone);
    let family = tracker.begin_with_children(parent.clone(), parts()).await;
    family.unwrap_err();

    let draining = draining(&tracker).await;
    let started = tracker.start_queued(queued.uid).await.unwrap();
    let (parent, children) = tracker.begin_with_children(parent, parts()).await.unwrap();
    let child = tracker.start_queued(children[0].uid).await.unwrap();
    for action in [child, parent, started] {
        action.succeed().await.unwrap();
    }
    assert!(draining.await.unwrap().is_complete());
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_after_a_start_of_unknown_outcome_that_nobody_repeats() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let new = NewAction::task("backup");
    fail_once(&store, Fault::UnknownButDone);
    tracker.begin(new.clone()).await.unwrap_err();
    let begun = Instant::now();
    assert!(tracker.drain(seconds(600)).await.is_complete());
    assert!(begun.elapsed() < seconds(7), "{:?}", begun.elapsed());
    let outcome = store.now(new.uid).await.outcome;
    assert_eq!(outcome, Some(Outcome::Interrupted));
    // The time for the repeat is over.
    assert_draining(tracker.begin(new).await);
}
