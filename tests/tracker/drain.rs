//! Draining before a shutdown.

use std::time::Duration;

use action_store::{ErrorKind, NewAction, Outcome};
use tokio::time::{Instant, sleep};

use crate::spy::{Fault, Spy, finish_of, tracker};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
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
