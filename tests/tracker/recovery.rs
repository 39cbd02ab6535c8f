//! Settling what earlier incarnations of a name have left.

use std::time::Duration;

use action_store::owner::OwnerEnd;
use action_store::tracker::{LeftQueued, OrphanDecision};
use action_store::{
    ActionStoreExt, ActionUid, Change, Command, ErrorKind, Finish, NewAction, Outcome, OwnerRef,
    Status, StoreErrorKind, Tracker, TrackerOptions,
};
use tokio::time::sleep;

use crate::spy::{Fault, Spy, finish_of, tracker};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Actions of an incarnation that ended without a word: two executing, one queued.
async fn left_behind(store: &Spy, name: &str) -> (OwnerRef, Vec<ActionUid>) {
    let owner = OwnerRef::new(name);
    let claim = Command::claim(owner.clone());
    store.command(claim).await.unwrap();
    let mut uids = Vec::new();
    for _ in 0..3 {
        let create = Command::create(NewAction::task("backup")).by(owner.clone());
        uids.push(store.command_on_action(create).await.unwrap().uid);
    }
    for uid in &uids[..2] {
        store.start(*uid, &owner).await.unwrap();
    }
    (owner, uids)
}

fn succeeded() -> Change {
    Change::Finish(Finish::succeeded())
}

#[tokio::test]
async fn a_start_settles_what_an_earlier_incarnation_left() {
    let store = Spy::new();
    let (before, uids) = left_behind(&store, "plane").await;
    let (_, others) = left_behind(&store, "plane@elsewhere").await;
    let tracker = tracker(&store).await;
    let recovery = tracker.recovery().await;
    assert_eq!(
        (recovery.lost, recovery.interrupted, recovery.unsettled),
        (2, 1, 0)
    );
    assert!(recovery.is_complete());
    for uid in &uids[..2] {
        let lost = store.now(*uid).await;
        assert_eq!(lost.outcome, Some(Outcome::Lost));
        assert_eq!(&*lost.error.as_ref().unwrap().code, "lost");
        let evidence = lost.evidence.as_ref().unwrap();
        assert_eq!((&evidence.owner, evidence.end), (&before, OwnerEnd::Fenced));
        assert_eq!(&*evidence.decided_by, "plane");
    }
    let queued = store.now(uids[2]).await;
    assert_eq!(queued.outcome, Some(Outcome::Interrupted));
    assert!(
        queued
            .error
            .as_ref()
            .unwrap()
            .message
            .contains("never started")
    );
    for uid in others {
        assert_eq!(
            store.now(uid).await.outcome,
            None,
            "another name is not ours to settle"
        );
    }
}

#[tokio::test]
async fn queued_actions_may_stay_for_whoever_starts_them() {
    let store = Spy::new();
    let (_, uids) = left_behind(&store, "plane").await;
    let leave = TrackerOptions::new().with_left_queued(LeftQueued::Leave);
    let tracker = Tracker::start_with(store.clone(), "plane", leave)
        .await
        .unwrap();
    assert_eq!(
        (
            tracker.recovery().await.lost,
            tracker.recovery().await.left_queued
        ),
        (2, 1)
    );
    let own = tracker.enqueue(NewAction::task("backup")).await.unwrap();
    let action = tracker.start_queued(uids[2]).await.unwrap();
    assert_eq!(action.action().owner.as_ref(), Some(tracker.owner()));
    tracker.shutdown().await.unwrap();
    assert_eq!(store.now(uids[2]).await.outcome, Some(Outcome::Interrupted));
    assert_eq!(store.now(own.uid).await.status, Status::Queued);
}

#[tokio::test]
async fn many_rows_are_settled_and_a_bad_one_stops_none() {
    let store = Spy::new();
    let (owner, uids) = left_behind(&store, "plane").await;
    for _ in 0..600 {
        let create = Command::create(NewAction::task("backup")).by(owner.clone());
        store.command(create).await.unwrap();
    }
    let bad = uids[1];
    store.on_write(move |batch| {
        let hit = batch
            .commands
            .iter()
            .any(|command| matches!(command, Command::Apply { uid, .. } if *uid == bad));
        hit.then_some(Fault::Corrupt)
    });
    let tracker = tracker(&store).await;
    let recovery = tracker.recovery().await;
    assert_eq!(
        (recovery.lost, recovery.interrupted, recovery.unsettled),
        (1, 601, 1)
    );
    assert_eq!(recovery.unsettled_actions[0].uid, bad);
    assert_eq!(
        recovery.unsettled_actions[0].error.kind(),
        ErrorKind::Corrupt
    );
    assert!(!recovery.is_complete());
    let largest = store
        .writes()
        .iter()
        .map(|batch| batch.commands.len())
        .max();
    assert!(largest <= Some(256), "{largest:?} commands in one write");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_hides_no_other() {
    let store = Spy::new();
    let mut uids = Vec::new();
    for _ in 0..50 {
        // Each claim fences the one before: many incarnations of one name.
        uids.extend(left_behind(&store, "plane").await.1);
    }
    store.damage(uids[70]);
    let tracker = tracker(&store).await;
    let recovery = tracker.recovery().await;
    assert_eq!(recovery.lost + recovery.interrupted, 149);
    assert_eq!(
        recovery.unread.as_ref().unwrap().kind(),
        StoreErrorKind::Corrupt
    );
    for uid in uids.iter().filter(|uid| **uid != uids[70]) {
        assert!(!store.now(*uid).await.is_unfinished(), "{uid}");
    }
    assert!(store.now(uids[70]).await.is_unfinished());
}

#[tokio::test]
async fn each_row_counts_once_whichever_end_it_was_reached_from() {
    for healed in [false, true] {
        let store = Spy::new();
        let mut uids = Vec::new();
        for _ in 0..10 {
            uids.extend(left_behind(&store, "plane").await.1);
        }
        // One is unreadable, two cannot be written, on both sides; those never started stay.
        store.damage(uids[13]);
        if healed {
            store.heal_from_the_newest();
        }
        let bad = [uids[3], uids[21]];
        store.on_write(move |batch| {
            let hit = |command: &Command| {
                matches!(command, Command::Apply { uid, .. } if bad.contains(uid))
            };
            batch.commands.iter().any(hit).then_some(Fault::Corrupt)
        });
        let leave = uids[18];
        let options = TrackerOptions::new()
            .with_left_queued(LeftQueued::Leave)
            .with_decide(move |action| match action.uid == leave {
                true => OrphanDecision::Leave,
                false => OrphanDecision::Settle,
            });
        let tracker = Tracker::start_with(store.clone(), "plane", options)
            .await
            .unwrap();
        let recovery = tracker.recovery().await;
        assert_eq!((recovery.left_queued, recovery.left_unfinished), (10, 1));
        assert_eq!(recovery.lost, 16 + u64::from(healed));
        assert_eq!(recovery.unsettled, 2);
        let named = recovery.unsettled_actions.iter().map(|left| left.uid);
        assert_eq!(named.collect::<Vec<_>>(), bad);
        assert!(recovery.unread.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn an_action_that_could_not_be_settled_at_the_start_is_settled_later() {
    let store = Spy::new();
    let (_, uids) = left_behind(&store, "plane").await;
    store.on_write(|batch| finish_of(&batch.commands[0]).map(|_| Fault::Unavailable));
    let tracker = tracker(&store).await;
    let recovery = tracker.recovery().await;
    assert!(!recovery.is_complete());
    assert_eq!(recovery.lost + recovery.interrupted, 0);
    store.heal();
    sleep(seconds(8)).await;
    for uid in uids {
        assert!(!store.now(uid).await.is_unfinished());
    }
    let later = tracker.recovery().await;
    assert!(later.is_complete());
    assert_eq!((later.lost, later.interrupted), (2, 1));
    assert_eq!(tracker.health().swept.lost, 2);
}

#[tokio::test(start_paused = true)]
async fn a_failure_during_recovery_does_not_hide_the_settled_actions() {
    let store = Spy::new();
    let (owner, _) = left_behind(&store, "plane").await;
    for _ in 0..600 {
        let create = Command::create(NewAction::task("backup")).by(owner.clone());
        store.command(create).await.unwrap();
    }
    let mut batches = 0;
    store.on_write(move |batch| {
        batches += u32::from(finish_of(&batch.commands[0]).is_some());
        (batches > 1).then_some(Fault::Unavailable)
    });
    let tracker = tracker(&store).await;
    let recovery = tracker.recovery().await;
    assert_eq!((recovery.lost, recovery.interrupted), (2, 254));
    let unread = recovery.unread.as_ref().unwrap();
    assert_eq!(unread.kind(), StoreErrorKind::Unavailable);
    assert!(!recovery.is_complete());
}

#[tokio::test(start_paused = true)]
async fn a_recovery_that_never_was_is_not_complete() {
    let store = Spy::new();
    left_behind(&store, "plane").await;
    store.on_write(|batch| {
        let lost = |command| finish_of(command).is_some_and(|f| f.outcome == Outcome::Lost);
        batch.commands.iter().any(lost).then_some(Fault::Hangs)
    });
    let tracker = tracker(&store).await;
    sleep(seconds(1)).await;
    tracker.shutdown().await.unwrap();
    let recovery = tracker.recovery().await;
    assert!(!recovery.is_complete());
    assert_eq!(
        recovery.unread.as_ref().unwrap().kind(),
        StoreErrorKind::Closed
    );
}

#[tokio::test]
async fn an_action_started_during_recovery_goes_on() {
    let store = Spy::new();
    let (before, uids) = left_behind(&store, "plane").await;
    for uid in &uids[..2] {
        store.apply(*uid, succeeded(), Some(&before)).await.unwrap();
    }
    // The tracker's own host starts it just before it would be ended as never started.
    store.on_write(|batch| finish_of(&batch.commands[0]).map(|_| Fault::Started));
    let tracker = tracker(&store).await;
    let recovery = tracker.recovery().await;
    assert!(recovery.is_complete(), "{recovery:?}");
    assert_eq!((recovery.lost, recovery.interrupted), (0, 0));
    let started = store.now(uids[2]).await;
    assert_eq!(started.status, Status::Executing);
    assert_eq!(started.owner.as_ref(), Some(tracker.owner()));
}

#[tokio::test]
async fn a_tracker_that_is_overtaken_while_it_settles_knows() {
    let store = Spy::new();
    left_behind(&store, "plane").await;
    store.on_write(|batch| finish_of(&batch.commands[0]).map(|_| Fault::TakenOver));
    let overtaken = tracker(&store).await;
    assert!(!overtaken.recovery().await.is_complete());
    overtaken.ownership_lost().await;
    assert!(!overtaken.is_owner() && overtaken.health().is_fenced);
}
