//! Actions whose start has an unknown result.

use std::time::Duration;

use action_store::{Batch, Change, Command, ErrorKind, NewAction, Outcome, Status};
use tokio::time::sleep;

use crate::spy::{Fault, Spy, finish_of, tracker};

/// Returns true if a batch begins an action.
fn takes(batch: &Batch) -> bool {
    let takes = |command: &Command| {
        let Command::Apply { change, .. } = command else {
            return false;
        };
        matches!(change, Change::Start | Change::Adopt)
    };
    batch.commands.iter().any(takes)
}

#[tokio::test(start_paused = true)]
async fn a_begin_of_unknown_outcome_leaves_nothing_executing() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let new = NewAction::task("backup");
    let uid = new.uid;
    store.on_write(|batch| (batch.commands.len() == 2).then_some(Fault::UnknownButDone));
    let unknown = tracker.begin(new).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::OutcomeUnknown);
    let ended = store.completed(uid).await;
    assert_eq!(ended.outcome, Some(Outcome::Interrupted));

    let queued = tracker.enqueue(NewAction::task("backup")).await.unwrap();
    store.on_write(move |batch| {
        let ends = finish_of(&batch.commands[0]).is_some();
        (!ends).then_some(Fault::UnknownButDone)
    });
    let unknown = tracker.start_queued(queued.uid).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(
        store.completed(queued.uid).await.outcome,
        Some(Outcome::Interrupted)
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_begin_of_unknown_outcome_leaves_the_first_ones_work_alone() {
    for fault in [Fault::UnknownButDone, Fault::UnknownAndNot] {
        let store = Spy::new();
        let tracker = tracker(&store).await;
        let new = NewAction::task("backup").with_idempotency_key("request-1");
        let action = tracker.begin(new.clone()).await.unwrap();
        let uid = action.uid();
        let again = NewAction::task("backup").with_idempotency_key("request-1");
        // By its key, by its uid, by hand, and by an adoption of what is executing.
        for call in 0..4 {
            // So often that the call gives up, and not for ever.
            let mut left = 3;
            store.on_write(move |batch| {
                let fails = takes(batch) && left > 0;
                left -= u32::from(fails);
                fails.then_some(fault)
            });
            let unknown = match call {
                0 => tracker.begin(again.clone()).await,
                1 => tracker.begin(new.clone()).await,
                2 => tracker.start_queued(uid).await,
                _ => tracker.adopt(uid).await,
            };
            let unknown = unknown.unwrap_err();
            assert_eq!(unknown.kind(), ErrorKind::OutcomeUnknown, "{call}");
            sleep(Duration::from_secs(10)).await;
            assert_eq!(store.now(uid).await.status, Status::Executing, "{call}");
            assert_eq!(tracker.health().waiting_ends, 0, "{call}");
        }
        let done = action.succeed().await.unwrap();
        assert_eq!(done.outcome, Some(Outcome::Succeeded));
        assert!(store.now_or_none(again.uid).await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeat_of_a_family_of_unknown_outcome_leaves_its_children_alone() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let parent = NewAction::task("upgrade");
    let news = vec![NewAction::task("node"), NewAction::task("node")];
    let (upgrade, children) = tracker
        .begin_with_children(parent.clone(), news.clone())
        .await
        .unwrap();
    let mut left = 3;
    store.on_write(move |batch| {
        let fails = takes(batch) && left > 0;
        left -= u32::from(fails);
        fails.then_some(Fault::UnknownAndNot)
    });
    let unknown = tracker.begin_with_children(parent, news).await;
    assert_eq!(unknown.unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(store.now(upgrade.uid()).await.status, Status::Executing);
    for child in children {
        assert_eq!(store.now(child.uid).await.status, Status::Queued);
        let part = tracker.start_queued(child.uid).await.unwrap();
        part.succeed().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_begin_of_which_nothing_came_leaves_nothing() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let new = NewAction::task("backup");
    let mut left = 3;
    store.on_write(move |_| {
        left -= 1;
        (left >= 0).then_some(Fault::UnknownAndNot)
    });
    tracker.begin(new.clone()).await.unwrap_err();
    sleep(Duration::from_secs(10)).await;
    assert!(store.now_or_none(new.uid).await.is_none());
    assert_eq!(tracker.health().waiting_ends, 0);
    // And what is asked for again is begun.
    tracker.begin(new).await.unwrap().succeed().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_child_that_was_started_meanwhile_goes_on() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let child = NewAction::task("node");
    let mut left = 3;
    store.on_write(move |batch| {
        let fails = takes(batch) && left > 0;
        left -= u32::from(fails);
        fails.then_some(Fault::UnknownButDone)
    });
    let parent = NewAction::task("upgrade");
    let family = tracker.begin_with_children(parent.clone(), vec![child.clone()]);
    family.await.unwrap_err();
    let started = tracker.start_queued(child.uid).await.unwrap();
    assert_eq!(
        store.completed(parent.uid).await.outcome,
        Some(Outcome::Interrupted)
    );
    sleep(Duration::from_secs(10)).await;
    started.succeed().await.unwrap();
}
