//! A thousand who wait cost the store no more than one.

use action_store::{ActionStore, Batch};
use tokio::time::{Instant, sleep};

use crate::spy::*;

/// Measures the cost of waiting for that many actions while others are written one by one. All
/// waits end together. Returns the duration, and the number of calls of `get` and `changed`.
async fn asked(waiters: usize, writes: u32, pause: u64) -> (u64, usize, usize) {
    let store = Spy::new();
    let watcher = watcher(&store);
    let owner = owner(&*store).await;
    let mut uids = Vec::new();
    for _ in 0..waiters {
        uids.push(created(&*store).await);
    }
    let other = started(&*store, &owner).await;
    let begun = Instant::now();
    let mut waiting = tokio::task::JoinSet::new();
    for uid in uids.iter().copied() {
        let watcher = watcher.clone();
        waiting.spawn(async move { watcher.wait(uid).await });
    }
    sleep(millis(5)).await;
    for round in 0..writes {
        step(&*store, other, &owner, &round.to_string()).await;
        sleep(millis(pause)).await;
    }
    assert_eq!(watcher.watched(), waiters);
    let ends = uids.iter().map(|uid| cancel(*uid)).collect();
    store.write(Batch::each(ends)).await.unwrap();
    while let Some(waited) = in_time(waiting.join_next()).await {
        waited.unwrap().unwrap();
    }
    let took = begun.elapsed().as_millis() as u64;
    let (gets, changes, lists) = store.counts();
    assert_eq!(lists, 0);
    (took, gets, changes)
}

#[tokio::test(start_paused = true)]
async fn a_thousand_waiters_ask_as_much_as_one() {
    for (writes, pause) in [(0, 1), (100, 50), (1000, 1), (5000, 1)] {
        let (_, gets, changes) = asked(1, writes, pause).await;
        let (took, many_gets, many_changes) = asked(1000, writes, pause).await;
        // Slack: waiters that arrive during the first poll need another one.
        assert!(
            many_gets <= gets + 2,
            "{many_gets} for 1000, {gets} for one"
        );
        assert!(many_changes <= changes + 2, "{many_changes}, {changes}");
        // At most one poll in 10 ms, for any rate of writes.
        let most = took / 10 + 3;
        assert!(many_gets as u64 <= most, "{many_gets} in {took} ms");
        assert!(many_changes as u64 <= most, "{many_changes} in {took} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn waiters_that_arrive_one_by_one_share_a_query() {
    let store = Spy::new();
    let watcher = watcher(&store);
    let mut waiting = tokio::task::JoinSet::new();
    let mut uids = Vec::new();
    for _ in 0..2500 {
        let uid = created(&*store).await;
        uids.push(uid);
        let watcher = watcher.clone();
        waiting.spawn(async move { watcher.wait(uid).await });
        tokio::task::yield_now().await;
    }
    sleep(seconds(1)).await;
    // No time has passed between them; the second look has three parts of at most 1000.
    let (gets, ..) = store.counts();
    assert!(gets <= 8, "{gets}");
    for uid in uids {
        cancelled(&*store, uid).await;
    }
    while let Some(waited) = in_time(waiting.join_next()).await {
        waited.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_store_is_not_asked() {
    let store = Spy::new();
    let uid = created(&*store).await;
    let waited = watcher(&store).wait_for(uid, seconds(3600)).await.unwrap();
    assert!(waited.into_action().is_unfinished());
    let (gets, changes, _) = store.counts();
    assert_eq!((gets, changes), (1, 2));
}
