//! A living owner that comes late, but within its lease, is not robbed.

use std::path::Path;
use std::time::Duration;

use action_store::owner::OwnerState;
use action_store::{ActionStore, NewAction, Outcome};

use super::children::{Child, say, until_let_go};
use super::{Dice, asked_for, completed, place, shared, state, tracker, unfinished, with_lease};

const LEASE: u64 = 2;

pub(crate) async fn work_until_let_go(path: &Path) {
    let store = shared(path).await;
    let tracker = tracker(&store, "late", with_lease(LEASE)).await;
    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    say("working");
    tokio::task::spawn_blocking(until_let_go).await.unwrap();
    action.succeed().await.unwrap();
    assert!(!tracker.health().is_fenced);
    tracker.shutdown().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_suspended_for_less_than_its_lease_keeps_its_actions() {
    let (place, dice) = (place(), Dice::new());
    let rounds = asked_for("TRACKER_LATE", 5);
    let store = shared(&place.path).await;
    let sweeper = tracker(&store, "sweeper", with_lease(LEASE)).await;
    let mut child = Child::start("late", &place.path, "");
    assert_eq!(child.heard().as_deref(), Some("working"));
    let working = unfinished(&*store, "late").await.pop().unwrap();
    let owner = working.owner.clone().unwrap();
    let mut robbed = 0;
    for _ in 0..rounds {
        child.stop();
        // With the sixth of the lease in which it may have been about to renew, and some time to
        // do so, this is less than the lease.
        tokio::time::sleep(Duration::from_millis(dice.roll(1400))).await;
        robbed += (state(&*store, &owner).await != OwnerState::Alive) as u64;
        child.go_on();
        tokio::time::sleep(Duration::from_millis(150 + dice.roll(250))).await;
    }
    println!("{rounds} delays, {robbed} times robbed");
    assert_eq!(robbed, 0);
    assert_eq!(state(&*store, &owner).await, OwnerState::Alive);
    child.let_go();
    let ended = completed(&*store, working.uid).await;
    assert_eq!(ended.outcome, Some(Outcome::Succeeded));
    assert!(child.ended().success());
    sweeper.shutdown().await.unwrap();
    store.close().await.unwrap();
}
