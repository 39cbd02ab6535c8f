//! The standing query: silent owners, and what the dead have left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use action_store::owner::{OwnerEnd, OwnerQuery, OwnerState};
use action_store::tracker::{OrphanDecision, Settlement};
use action_store::{
    ActionStore, ActionStoreExt, ActionUid, Batch, Command, ErrorKind, NewAction, Outcome,
    OwnerRef, Status, Tracker, TrackerOptions,
};
use tokio::time::{advance, sleep};

use crate::spy::{Fault, Spy, finish_of, tracker};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An owner of a process that the tests play, and an executing action of it.
async fn owner(store: &Spy, name: &str) -> (OwnerRef, ActionUid) {
    let owner = OwnerRef::new(name);
    let claim = Command::claim(owner.clone());
    store.command(claim).await.unwrap();
    let uid = store.create(NewAction::task("backup")).await.unwrap().uid;
    store.start(uid, &owner).await.unwrap();
    (owner, uid)
}

async fn renew(store: &Spy, owner: &OwnerRef) {
    store.command(Command::renew(owner.clone())).await.unwrap();
}

async fn state(store: &Spy, owner: &OwnerRef) -> OwnerState {
    let owners = store.all_owners(OwnerQuery::new()).await.unwrap();
    owners.iter().find(|o| o.owner == *owner).unwrap().state
}

#[tokio::test(start_paused = true)]
async fn an_owner_of_another_name_is_fenced_after_a_whole_lease_of_silence() {
    let store = Spy::new();
    let (silent, uid) = owner(&store, "elsewhere").await;
    let _tracker = tracker(&store).await;
    sleep(Duration::from_millis(29_900)).await;
    assert_eq!(state(&store, &silent).await, OwnerState::Alive);
    sleep(seconds(8)).await;
    assert_eq!(state(&store, &silent).await, OwnerState::Fenced);
    let lost = store.now(uid).await;
    assert_eq!(lost.outcome, Some(Outcome::Lost));
    let evidence = lost.evidence.as_ref().unwrap();
    assert_eq!((&evidence.owner, evidence.end), (&silent, OwnerEnd::Fenced));
    assert_eq!(&*evidence.decided_by, "plane");
}

#[tokio::test(start_paused = true)]
async fn a_living_owner_is_never_robbed_however_late_it_renews_within_its_lease() {
    let store = Spy::new();
    let _tracker = tracker(&store).await;
    let (late, uid) = owner(&store, "elsewhere").await;
    // Any sequence does; this one comes back the same.
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..200 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        sleep(Duration::from_millis(seed % 29_000)).await;
        assert_eq!(
            state(&store, &late).await,
            OwnerState::Alive,
            "round {round}"
        );
        renew(&store, &late).await;
    }
    assert!(store.now(uid).await.is_unfinished());
}

#[tokio::test(start_paused = true)]
async fn a_tracker_that_was_suspended_fences_no_owner() {
    let store = Spy::new();
    let _tracker = tracker(&store).await;
    let (other, _) = owner(&store, "elsewhere").await;
    // After three polls nothing runs for ten leases, so no owner could renew.
    sleep(seconds(23)).await;
    advance(seconds(300)).await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(state(&store, &other).await, OwnerState::Alive);
    renew(&store, &other).await;
    sleep(seconds(25)).await;
    assert_eq!(state(&store, &other).await, OwnerState::Alive);
}

#[tokio::test(start_paused = true)]
async fn a_tracker_that_cannot_write_fences_no_owner() {
    let store = Spy::new();
    let _tracker = tracker(&store).await;
    let (other, uid) = owner(&store, "elsewhere").await;
    // Reads work, but no process can write: a full disk, or a long transaction of a host.
    store.on_write(|_| Some(Fault::Unavailable));
    sleep(seconds(300)).await;
    // The one that watches comes first.
    store.heal();
    sleep(seconds(14)).await;
    assert_eq!(state(&store, &other).await, OwnerState::Alive);
    assert!(store.now(uid).await.is_unfinished());
    // An owner that still does not renew is dead.
    sleep(seconds(30)).await;
    assert_eq!(state(&store, &other).await, OwnerState::Fenced);
}

#[tokio::test(start_paused = true)]
async fn actions_of_a_released_or_fenced_owner_are_settled_without_waiting() {
    let store = Spy::new();
    let (gone, uid) = owner(&store, "elsewhere").await;
    store.command(Command::release(gone)).await.unwrap();
    let _tracker = tracker(&store).await;
    sleep(seconds(1)).await;
    let lost = store.now(uid).await;
    assert_eq!(lost.outcome, Some(Outcome::Lost));
    assert_eq!(lost.evidence.as_ref().unwrap().end, OwnerEnd::Released);
}

#[tokio::test(start_paused = true)]
async fn an_action_a_sweep_cannot_settle_is_reported_until_it_can() {
    let store = Spy::new();
    let (gone, bad) = owner(&store, "elsewhere").await;
    let good = store.create(NewAction::task("backup")).await.unwrap().uid;
    store.start(good, &gone).await.unwrap();
    store.command(Command::release(gone)).await.unwrap();
    let (other, _) = owner(&store, "nowhere").await;
    store.command(Command::release(other)).await.unwrap();
    store.on_write(move |batch| {
        let hit = |command: &Command| matches!(command, Command::Apply { uid, .. } if *uid == bad);
        batch.commands.iter().any(hit).then_some(Fault::Corrupt)
    });
    let tracker = tracker(&store).await;
    for _ in 0..3 {
        sleep(seconds(100)).await;
        let swept = tracker.health().swept;
        assert_eq!((swept.lost, swept.unsettled), (2, 1));
        assert_eq!(swept.unsettled_actions[0].uid, bad);
        let why = &swept.unsettled_actions[0].error;
        assert_eq!(why.kind(), ErrorKind::Corrupt);
    }
    // The own name had nothing to settle.
    assert!(tracker.recovery().await.is_complete());
    store.heal();
    sleep(seconds(10)).await;
    let swept = tracker.health().swept;
    assert_eq!((swept.lost, swept.unsettled), (3, 0));
    assert!(swept.is_complete() && swept.unsettled_actions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_the_sweep_other_names_are_left_alone() {
    let store = Spy::new();
    let (silent, uid) = owner(&store, "elsewhere").await;
    let options = TrackerOptions::new().with_sweep(false);
    let _tracker = Tracker::start_with(store.clone(), "plane", options)
        .await
        .unwrap();
    sleep(seconds(300)).await;
    assert_eq!(state(&store, &silent).await, OwnerState::Alive);
    assert!(store.now(uid).await.is_unfinished());
}

#[tokio::test(start_paused = true)]
async fn the_host_may_leave_an_action_to_be_adopted() {
    let store = Spy::new();
    let (_, kept) = owner(&store, "plane").await;
    let (before, _) = owner(&store, "plane").await;
    let lost = store.create(NewAction::task("resize")).await.unwrap().uid;
    store.start(lost, &before).await.unwrap();
    let asked = Arc::new(AtomicU64::new(0));
    let count = asked.clone();
    let options = TrackerOptions::new().with_decide(move |action| {
        count.fetch_add(1, Ordering::Relaxed);
        match &*action.name {
            "backup" => OrphanDecision::Leave,
            _ => OrphanDecision::Settle,
        }
    });
    let tracker = Tracker::start_with(store.clone(), "plane", options)
        .await
        .unwrap();
    let recovery = tracker.recovery().await;
    assert_eq!((recovery.left_unfinished, recovery.lost), (2, 1));
    assert!(recovery.is_complete());
    sleep(seconds(300)).await;
    assert_eq!(asked.load(Ordering::Relaxed), 3, "each once");
    let action = tracker.adopt(kept).await.unwrap();
    assert_eq!(action.action().owner.as_ref(), Some(tracker.owner()));
    action.succeed().await.unwrap();
    assert_eq!(store.now(kept).await.outcome, Some(Outcome::Succeeded));
    assert_eq!(store.now(lost).await.outcome, Some(Outcome::Lost));
    let refused = tracker.adopt(lost).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
}

#[tokio::test(start_paused = true)]
async fn a_decision_that_panics_stops_no_other() {
    let store = Spy::new();
    let mut uids = Vec::new();
    for _ in 0..3 {
        uids.push(owner(&store, "plane").await.1);
    }
    let bad = uids[1];
    let well = Arc::new(AtomicU64::new(0));
    let now_well = well.clone();
    let options = TrackerOptions::new().with_decide(move |action| {
        assert!(
            action.uid != bad || well.load(Ordering::Relaxed) > 0,
            "on purpose"
        );
        OrphanDecision::Settle
    });
    let tracker = Tracker::start_with(store.clone(), "plane", options)
        .await
        .unwrap();
    let recovery = tracker.recovery().await;
    assert_eq!((recovery.lost, recovery.unsettled), (2, 1));
    assert_eq!(recovery.unsettled_actions[0].uid, bad);
    now_well.store(1, Ordering::Relaxed);
    sleep(seconds(8)).await;
    assert_eq!(store.now(bad).await.outcome, Some(Outcome::Lost));
}

#[tokio::test(start_paused = true)]
async fn an_action_of_a_living_owner_cannot_be_adopted_or_settled() {
    let store = Spy::new();
    let tracker = tracker(&store).await;
    let (_, uid) = owner(&store, "elsewhere").await;
    for refused in [
        tracker.adopt(uid).await.unwrap_err(),
        tracker.settle(uid, "it hangs").await.unwrap_err(),
    ] {
        assert_eq!(refused.kind(), ErrorKind::OwnerAlive);
    }
    assert_eq!(store.now(uid).await.status, Status::Executing);
}

#[tokio::test(start_paused = true)]
async fn operators_settle_an_action_of_a_dead_owner_with_a_reason() {
    let store = Spy::new();
    let (_, executing) = owner(&store, "plane").await;
    let before = owner(&store, "plane").await.0;
    let create = Command::create(NewAction::task("backup")).by(before);
    let queued = store.command_on_action(create).await.unwrap().uid;
    let options = TrackerOptions::new().with_decide(|_| OrphanDecision::Leave);
    let options = options.with_left_queued(action_store::tracker::LeftQueued::Leave);
    let tracker = Tracker::start_with(store.clone(), "plane", options)
        .await
        .unwrap();
    tracker.recovery().await;
    let by_ann = Settlement::new("node 7 burnt down").with_by("ann");
    let lost = tracker.settle(executing, by_ann).await.unwrap();
    assert_eq!(&*lost.evidence.as_ref().unwrap().decided_by, "ann");
    let told = store.log_of(executing).await.pop().unwrap();
    assert_eq!(told.by.as_deref(), Some("ann"));
    assert_eq!(lost.outcome, Some(Outcome::Lost));
    let error = lost.error.as_ref().unwrap();
    assert_eq!(&*error.code, "lost");
    assert_eq!(error.detail.as_deref(), Some("node 7 burnt down"));
    assert!(!error.message.contains("node 7"), "{}", error.message);
    let never = tracker.settle(queued, "nobody wants it").await.unwrap();
    assert_eq!(never.outcome, Some(Outcome::Interrupted));
    assert_eq!(&*never.evidence.as_ref().unwrap().decided_by, "plane");
    let nobody = Settlement::new("?").with_by("");
    let invalid = tracker.settle(never.uid, nobody).await.unwrap_err();
    assert_eq!(invalid.kind(), ErrorKind::Invalid);
    let missing = tracker.settle(ActionUid::new(), "?").await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn an_action_started_before_an_operator_settles_it_goes_on() {
    let store = Spy::new();
    let before = owner(&store, "plane").await.0;
    let create = Command::create(NewAction::task("backup")).by(before);
    let queued = store.command_on_action(create).await.unwrap().uid;
    let options = TrackerOptions::new().with_left_queued(action_store::tracker::LeftQueued::Leave);
    let tracker = Tracker::start_with(store.clone(), "plane", options)
        .await
        .unwrap();
    tracker.recovery().await;
    store.on_write(|batch| finish_of(&batch.commands[0]).map(|_| Fault::Started));
    let refused = tracker.settle(queued, "nobody wants it").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_eq!(store.now(queued).await.status, Status::Executing);
}

#[tokio::test(start_paused = true)]
async fn new_work_need_not_wait_for_the_old() {
    let store = Spy::new();
    let (_, uid) = owner(&store, "plane").await;
    store.on_write(|batch| {
        let lost = |command| finish_of(command).is_some_and(|f| f.outcome == Outcome::Lost);
        batch.commands.iter().any(lost).then_some(Fault::Hangs)
    });
    let tracker = tracker(&store).await;
    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    action.succeed().await.unwrap();
    assert!(store.now(uid).await.is_unfinished());
}

#[tokio::test(start_paused = true)]
async fn two_sweepers_settle_each_action_once() {
    let store = Spy::new();
    let mut left = Vec::new();
    for name in ["a", "b", "c"] {
        left.push(owner(&store, name).await.1);
    }
    let one = tracker(&store).await;
    let two = Tracker::start(store.clone(), "plane-2").await.unwrap();
    sleep(seconds(50)).await;
    for uid in left {
        let lost = store.now(uid).await;
        assert_eq!(lost.outcome, Some(Outcome::Lost));
        let log = store.log_of(uid).await;
        let ends = log
            .iter()
            .filter(|entry| entry.outcome == Some(Outcome::Lost));
        assert_eq!(ends.count(), 1);
    }
    assert!(one.is_owner() && two.is_owner());
}

#[tokio::test(start_paused = true)]
async fn dead_names_that_left_nothing_are_not_read() {
    let store = Spy::new();
    for names in 0..40 {
        let names = (0..500).map(|n| OwnerRef::new(format!("pod {names} {n}")));
        let both = |owner: OwnerRef| {
            let (take_over, ended) = (true, owner.clone());
            [
                Command::claim(owner).with_take_over(take_over),
                Command::release(ended),
            ]
        };
        let batch = Batch::each(names.flat_map(both).collect());
        for answer in store.write(batch).await.unwrap() {
            answer.unwrap();
        }
    }
    // One that is alive, and one that has ended and left something to be settled.
    let (_other, _) = owner(&store, "elsewhere").await;
    let (ended, uid) = owner(&store, "ended").await;
    store.command(Command::release(ended)).await.unwrap();
    let tracker = tracker(&store).await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(store.now(uid).await.outcome, Some(Outcome::Lost));
    assert_eq!(store.pages_of_owners(), [3]);
    sleep(seconds(20)).await;
    assert_eq!(store.pages_of_owners(), [2, 2]);
    assert!(tracker.is_owner());
}
