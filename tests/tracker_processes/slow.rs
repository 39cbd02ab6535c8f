//! A living owner keeps its lease under many writes, and when a host writes slowly.

use std::sync::Arc;
use std::time::{Duration, Instant};

use action_store::owner::OwnerState;
use action_store::{
    ActionStore, ActionStoreExt, Batch, NewAction, SqliteOptions, SqliteStore, Tracker,
    TrackerOptions,
};
use sqlx::sqlite::SqlitePool;

use super::{asked_for, create, ends, place, pool, run, shared, state, with_lease};

const LEASE: Duration = Duration::from_secs(6);

/// The least there can be.
const QUEUE: usize = 8 * 1024 * 1024;

/// Watches a tracker for as long as the work takes. How often it did not hold itself the owner.
async fn doubts_during<T>(tracker: &Tracker, work: impl Future<Output = T>) -> (usize, Duration) {
    let (mut doubts, mut longest) = (0, Duration::ZERO);
    let mut work = std::pin::pin!(work);
    loop {
        let pause = tokio::time::sleep(Duration::from_millis(10));
        tokio::select! {
            _ = work.as_mut() => return (doubts, longest),
            () = pause => {
                doubts += !tracker.is_owner() as usize;
                longest = longest.max(tracker.health().since_renewal);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_full_of_writes_does_not_let_its_owner_lapse() {
    let place = place();
    let options = SqliteOptions::new().with_queue_bytes(QUEUE);
    let store = Arc::new(options.open(&place.path).await.unwrap());
    // A debug build writes slowly, beside other tests even more so.
    let options = TrackerOptions::new().with_lease(LEASE * 2);
    let tracker = Tracker::start_with(store.clone(), "plane", options.clone())
        .await
        .unwrap();
    let other = Tracker::start_with(store.clone(), "other", options)
        .await
        .unwrap();
    let end = Instant::now() + LEASE * 2;
    let tasks: Vec<_> = (0..500)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut count = 0_u64;
                while Instant::now() < end {
                    let new = || NewAction::task("a").with_description("d".repeat(4000));
                    let batch = Batch::each((0..10).map(|_| create(new())).collect());
                    store.write(batch).await.unwrap();
                    count += 10;
                }
                count
            })
        })
        .collect();
    let work = async {
        let (mut full, mut looks) = (0, 0);
        while Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let queued = store.diagnostics().await.unwrap().queued_bytes;
            full += (queued > QUEUE / 2) as usize;
            looks += 1;
        }
        let mut count = 0;
        for task in tasks {
            count += ends(task).await.unwrap();
        }
        println!("{count} actions; half full or more at {full} of {looks} looks");
        assert!(full > looks / 2, "it was not full");
    };
    let (doubts, longest) = doubts_during(&tracker, work).await;
    println!("{longest:?} without a renewal at most");
    assert_eq!(doubts, 0);
    for tracker in [tracker, other] {
        assert_eq!(state(&*store, tracker.owner()).await, OwnerState::Alive);
        tracker.shutdown().await.unwrap();
    }
    store.close().await.unwrap();
}

/// The host holds the right to write for so long, several times.
async fn hold(pool: &SqlitePool, times: usize, long: Duration) {
    for _ in 0..times {
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        run(&mut transaction, "INSERT INTO host (name) VALUES ('a')").await;
        tokio::time::sleep(long).await;
        transaction.commit().await.unwrap();
        tokio::time::sleep(LEASE / 6).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_host_does_not_let_an_owner_lapse() {
    // One call waits for its turn in SQLite; the other is refused at once.
    for patience in [Duration::from_secs(5), Duration::ZERO] {
        let place = place();
        let pool = pool(&place.path, 3, patience).await;
        run(
            &mut pool.acquire().await.unwrap(),
            "CREATE TABLE host (name TEXT)",
        )
        .await;
        let store = Arc::new(SqliteStore::on_pool(pool.clone()).await.unwrap());
        let options = TrackerOptions::new().with_lease(LEASE);
        let tracker = Tracker::start_with(store.clone(), "plane", options.clone())
            .await
            .unwrap();
        let elsewhere = shared(&place.path).await;
        let other = Tracker::start_with(elsewhere.clone(), "other", options)
            .await
            .unwrap();
        let action = tracker.begin(NewAction::task("backup")).await.unwrap();
        // More than a third of the lease; what is left of two thirds is for the renewal before.
        let long = LEASE * 7 / 20;
        let (doubts, longest) = doubts_during(&tracker, hold(&pool, 2, long)).await;
        println!("{patience:?}: {longest:?} without a renewal at most");
        assert_eq!(doubts, 0, "{patience:?}");
        let uid = action.uid();
        // A call that does not wait for its turn may be refused.
        let may_be_busy = |written: Result<(), action_store::Error>| {
            if let Err(error) = written {
                assert!(patience.is_zero(), "{error}");
                assert_eq!(error.kind(), action_store::ErrorKind::Unavailable);
            }
        };
        // Then the end is written later.
        may_be_busy(action.succeed().await.map(drop));
        let written = async {
            while elsewhere
                .action(uid)
                .await
                .unwrap()
                .unwrap()
                .outcome
                .is_none()
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        ends(written).await;
        assert_eq!(state(&*elsewhere, tracker.owner()).await, OwnerState::Alive);
        may_be_busy(tracker.shutdown().await);
        other.shutdown().await.unwrap();
        store.close().await.unwrap();
        elsewhere.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_is_not_fenced_while_no_process_can_write() {
    let place = place();
    let store = shared(&place.path).await;
    let elsewhere = shared(&place.path).await;
    let tracker = super::tracker(&store, "plane", with_lease(1)).await;
    let other = super::tracker(&elsewhere, "other", with_lease(1)).await;
    let action = tracker.begin(NewAction::task("backup")).await.unwrap();
    let hosts = pool(&place.path, 1, Duration::from_secs(5)).await;
    for _ in 0..asked_for("TRACKER_HOLDS", 2) {
        let transaction = hosts.begin_with("BEGIN IMMEDIATE").await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert!(!tracker.is_owner(), "it cannot know");
        transaction.commit().await.unwrap();
        // It takes itself for the owner again as soon as the store has said so.
        let again = async {
            while !tracker.is_owner() || !other.is_owner() {
                assert!(!tracker.health().is_fenced && !other.health().is_fenced);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        ends(again).await;
    }
    action.succeed().await.unwrap();
    for tracker in [tracker, other] {
        assert_eq!(state(&*store, tracker.owner()).await, OwnerState::Alive);
        tracker.shutdown().await.unwrap();
    }
    store.close().await.unwrap();
    elsewhere.close().await.unwrap();
}
