//! Planes that share a store: trackers, watchers and retention over PostgreSQL.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use action_store::retention::{Retention, prune};
use action_store::{
    ActionError, ActionStore, ActionStoreExt, NewAction, ObjectRef, Outcome, Progress, Query,
    Status, Timestamp, Tracker, Watcher,
};

use super::{Server, close_whole, new_schema, open};

async fn in_time<F: Future>(future: F) -> F::Output {
    let limit = Duration::from_secs(30);
    tokio::time::timeout(limit, future)
        .await
        .expect("within 30 seconds")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plane_records_and_another_one_watches() {
    let Some(server) = Server::shared("a_plane_records_and_another_one_watches") else {
        return;
    };
    let schema = new_schema();
    let here = Arc::new(open(server, &schema).await);
    let there = Arc::new(open(server, &schema).await);
    let tracker = Tracker::start(here.clone(), "plane@1").await.unwrap();
    let watcher = Watcher::new(there.clone());
    let mut feed = watcher.watch_all(None).await.unwrap();
    let new = NewAction::state_machine("SMCreateBDB", ObjectRef::bdb(1));
    let action = tracker.begin(new).await.unwrap();
    let uid = action.uid();
    let waiting = tokio::spawn({
        let watcher = watcher.clone();
        async move { watcher.wait(uid).await }
    });
    action.step("load_rows").await.unwrap();
    action.progress(Progress::ratio(1, 2));
    action.succeed().await.unwrap();
    let ended = in_time(waiting).await.unwrap().unwrap();
    assert_eq!(ended.outcome, Some(Outcome::Succeeded));
    assert_eq!(ended.progress, Progress::DONE);
    loop {
        let seen = in_time(feed.next()).await.unwrap();
        if seen.status == Status::Completed {
            assert_eq!(seen, ended);
            break;
        }
    }
    // Requested by the one plane, seen by the other.
    let action = tracker.begin(NewAction::task("backup_bdb")).await.unwrap();
    there
        .request_cancel(action.uid(), Default::default())
        .await
        .unwrap();
    in_time(action.cancel_requested()).await;
    let error = ActionError::new("cancelled", "it was cancelled");
    action.fail(error).await.unwrap();
    drop((feed, watcher));
    tracker.shutdown().await.unwrap();
    drop(tracker);
    there.close().await.unwrap();
    here.close().await.unwrap();
    close_whole(open(server, &schema).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_actions_of_a_plane_that_died_are_settled_by_its_next_start() {
    let name = "the_actions_of_a_plane_that_died_are_settled_by_its_next_start";
    let Some(server) = Server::shared(name) else {
        return;
    };
    let schema = new_schema();
    let (url, name) = (server.url(), schema.clone());
    // A runtime that ends in the middle of its work, like a process that is killed.
    let orphans = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let orphans = runtime.block_on(async {
            let options = action_store::PostgresOptions::new().with_schema(name);
            let store = Arc::new(options.connect(&url).await.unwrap());
            let tracker = Tracker::start(store, "plane@1").await.unwrap();
            let mut orphans = Vec::new();
            for _ in 0..3 {
                let action = tracker.begin(NewAction::task("orphan")).await.unwrap();
                orphans.push(action.uid());
                std::mem::forget(action);
            }
            std::mem::forget(tracker);
            orphans
        });
        runtime.shutdown_background();
        orphans
    });
    let orphans = orphans.join().unwrap();
    let store = Arc::new(open(server, &schema).await);
    let tracker = Tracker::start(store.clone(), "plane@1").await.unwrap();
    assert!(in_time(tracker.recovery()).await.is_complete());
    for action in store.get(&orphans).await.unwrap() {
        let action = action.unwrap();
        assert_eq!(action.outcome, Some(Outcome::Lost), "{action:?}");
        assert!(action.evidence.is_some());
    }
    // Retention removes what is beyond its cap, and the position says so.
    let policy = Retention::keep_all().with_cap(Some(1));
    let policy = policy.with_keep_last(0);
    let later = Timestamp::from(SystemTime::now() + Duration::from_secs(60));
    let pruned = prune(&*store, &policy, later).await.unwrap();
    assert_eq!(pruned.removed.total(), 2, "{pruned:?}");
    let page = store.list(&Query::new()).await.unwrap();
    assert_eq!((page.items.len(), page.at.actions), (1, 1));
    assert!(page.at.pruned_through.get() > 0);
    tracker.shutdown().await.unwrap();
    drop(tracker);
    store.close().await.unwrap();
    close_whole(open(server, &schema).await).await;
}
