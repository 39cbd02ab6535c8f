//! In memory, with a paused clock.

use std::sync::Arc;
use std::time::Duration;

use action_store::conformance::{Fault, FaultPlan, Method};
use action_store::{ErrorKind, MemoryStore, NewAction, Outcome};

use super::{Inner, completed, failing, tracker};

fn memory() -> Inner {
    Arc::new(MemoryStore::new())
}

#[tokio::test(start_paused = true)]
async fn an_end_is_tried_under_one_operation_id_until_it_is_recorded_once() {
    super::an_end_is_tried_under_one_operation_id(memory(), 20).await;
}

#[tokio::test(start_paused = true)]
async fn an_end_that_is_never_answered_is_in_the_store_or_at_the_next_start() {
    super::an_end_that_is_never_answered(memory(), Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_or_doubled_though_writes_fail_after_they_were_done() {
    super::lives(memory(), super::unknown_but_done(), 8, 50).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_or_doubled_whatever_becomes_of_a_write() {
    super::lives(memory(), super::anything(), 8, 50).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_out_of_reach_makes_the_owner_doubtful_and_a_renewal_certain_again() {
    let store = failing(&memory());
    let tracker = tracker(&store).await;
    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    let uid = action.uid();
    store.set_plan(FaultPlan::new().with_percent(Method::Write, 100, Fault::Unavailable));
    tokio::time::sleep(Duration::from_secs(25)).await;
    assert!(!tracker.is_owner());
    let said = action.succeed().await;
    assert_eq!(said.unwrap_err().kind(), ErrorKind::Unavailable);
    store.heal();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(tracker.is_owner());
    let ended = completed(store.inner(), uid).await;
    assert_eq!(ended.outcome, Some(Outcome::Succeeded));
    tracker.shutdown().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn handles_dropped_at_once_all_end_while_writes_fail_at_random() {
    super::handles_dropped_at_once(memory(), 5_000).await;
}
