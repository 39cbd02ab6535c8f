//! A process is suspended inside a write while it holds the write lock. Other processes get an
//! error in time, and all go on once the process does.

use std::path::Path;
use std::time::{Duration, Instant};

use action_store::owner::{OwnerQuery, OwnerState};
use action_store::{
    ActionStore, ActionStoreExt, ActionUid, ErrorKind, NewAction, Outcome, SqliteStore, Tracker,
};

use super::children::{Child, say, told, until_let_go};
use super::{
    Dice, completed, ends, is_write_locked, place, pool, shared, state, tracker, with_lease,
};

/// Longer than any step of this test, so that no owner is taken for dead.
const LEASE: u64 = 60;

/// Creates an action in a host's transaction, and commits it on request.
pub(crate) async fn write_in_the_hosts_transaction(path: &Path) {
    let pool = pool(path, 2, Duration::from_secs(5)).await;
    let store = std::sync::Arc::new(SqliteStore::on_pool(pool.clone()).await.unwrap());
    let tracker = tracker(&store, "host", with_lease(LEASE)).await;
    let prepared = tracker.prepare(NewAction::task("create_bdb")).unwrap();
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    for answer in store
        .write_in(&mut transaction, prepared.batch())
        .await
        .unwrap()
    {
        answer.unwrap();
    }
    say(&format!("inside {}", prepared.uid()));
    tokio::task::spawn_blocking(told).await.unwrap();
    transaction.commit().await.unwrap();
    let action = tracker.begin(prepared).await.unwrap();
    action.succeed().await.unwrap();
    assert!(tracker.is_owner());
    tracker.shutdown().await.unwrap();
    store.close().await.unwrap();
    say("done");
}

/// Eight tasks begin and end actions as fast as they can.
pub(crate) async fn write_heavily(path: &Path) {
    let store = shared(path).await;
    let tracker = tracker(&store, "heavy", with_lease(LEASE)).await;
    let (end, ended) = tokio::sync::watch::channel(false);
    let tasks: Vec<_> = (0..8)
        .map(|_| tokio::spawn(begin_and_end(tracker.clone(), ended.clone())))
        .collect();
    say("writing");
    tokio::task::spawn_blocking(until_let_go).await.unwrap();
    end.send(true).unwrap();
    let mut count = 0;
    for task in tasks {
        count += task.await.unwrap();
    }
    let is_owner = tracker.is_owner();
    tracker.shutdown().await.unwrap();
    store.close().await.unwrap();
    say(&format!("{is_owner} {count}"));
}

async fn begin_and_end(tracker: Tracker, end: tokio::sync::watch::Receiver<bool>) -> u64 {
    let mut count = 0;
    while !*end.borrow() {
        let new = NewAction::task("a").with_description("d".repeat(1000));
        let action = tracker.begin(new).await.unwrap();
        action.succeed().await.unwrap();
        count += 1;
    }
    count
}

/// Errors of another process while a suspended process holds the write lock.
async fn is_told_in_time(store: &SqliteStore, tracker: &Tracker) -> Duration {
    let asked = Instant::now();
    let refused = ends(tracker.begin(NewAction::task("b"))).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    let took = asked.elapsed();
    // Reads go on.
    ends(store.all_owners(OwnerQuery::new())).await.unwrap();
    assert!(tracker.is_owner());
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_stopped_in_its_transaction_makes_others_unavailable_and_no_more() {
    let place = place();
    let store = shared(&place.path).await;
    let tracker = tracker(&store, "other", with_lease(LEASE)).await;
    let mut child = Child::start("host", &place.path, "");
    let said = child.heard().unwrap();
    let uid: ActionUid = said.strip_prefix("inside ").unwrap().parse().unwrap();
    child.stop();
    let took = is_told_in_time(&store, &tracker).await;
    println!("told after {took:?}");
    assert!(store.action(uid).await.unwrap().is_none());
    child.go_on();
    child.tell("commit");
    let succeeded = completed(&*store, uid).await;
    assert_eq!(succeeded.outcome, Some(Outcome::Succeeded));
    let action = ends(tracker.begin(NewAction::task("b"))).await.unwrap();
    ends(action.succeed()).await.unwrap();
    assert_eq!(child.heard().as_deref(), Some("done"));
    assert!(child.ended().success());
    let owner = succeeded.owner.clone().unwrap();
    assert_eq!(state(&*store, &owner).await, OwnerState::Released);
    tracker.shutdown().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_is_stopped_in_a_commit_makes_others_unavailable_and_no_more() {
    let (place, dice) = (place(), Dice::new());
    let store = shared(&place.path).await;
    let tracker = tracker(&store, "other", with_lease(LEASE)).await;
    let mut child = Child::start("heavy", &place.path, "");
    assert_eq!(child.heard().as_deref(), Some("writing"));
    let mut stops = 0;
    loop {
        tokio::time::sleep(Duration::from_micros(dice.roll(20_000))).await;
        child.stop();
        stops += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
        if is_write_locked(&place.path).await {
            break;
        }
        child.go_on();
        assert!(stops < 2000, "it was never stopped in a write");
    }
    let took = is_told_in_time(&store, &tracker).await;
    println!("stopped in a write at the {stops}. time; told after {took:?}");
    child.go_on();
    let action = ends(tracker.begin(NewAction::task("b"))).await.unwrap();
    ends(action.succeed()).await.unwrap();
    child.let_go();
    let said = child.heard().unwrap();
    let (is_owner, count) = said.split_once(' ').unwrap();
    assert_eq!(is_owner, "true");
    assert!(count.parse::<u64>().unwrap() > 0, "{said}");
    assert!(child.ended().success());
    tracker.shutdown().await.unwrap();
    let checked = action_store::conformance::check_store(&*store)
        .await
        .unwrap();
    println!(
        "{count} by the one that was stopped, {} in all",
        checked.actions
    );
    store.close().await.unwrap();
}
