//! Waits for an action, follows one, and follows all of them.
//!
//!     cargo run --example wait_and_watch

use std::sync::Arc;
use std::time::Duration;

use action_store::watch::Waited;
use action_store::{
    ActionError, MemoryStore, NewAction, Outcome, Progress, Status, Tracker, Watcher,
};
use tokio::sync::oneshot;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let store = Arc::new(MemoryStore::new());
    let tracker = Tracker::start(store.clone(), "plane@host-1").await?;
    // A watcher works in any process that shares the store, also in one without a tracker.
    let watcher = Watcher::new(store);
    let mut feed = watcher.watch_all(None).await?; // everything that changes from here on

    let (go_on, told) = oneshot::channel();
    let backup = tracker
        .spawn(NewAction::task("backup_bdb"), async |action| {
            action.step("copy").await?;
            let stopped = |_| ActionError::new("stopped", "nobody let the backup go on");
            told.await.map_err(stopped)?;
            action.step("verify").await?;
            Ok(())
        })
        .await?;
    let uid = backup.uid();

    // The end, but not longer than a time.
    match watcher.wait_for(uid, Duration::from_millis(50)).await? {
        Waited::Unfinished(action) => assert_eq!(action.status, Status::Executing),
        Waited::Completed(_) => return Err("nobody let it go on yet".into()),
    }

    // Each change of one action. A slow reader skips states, and never misses the last one.
    let mut changes = watcher.watch(uid);
    let follow = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(action) = changes.next().await? {
            println!(
                "{:?} {:?} {} %",
                action.status, action.step, action.progress
            );
            seen.push(action);
        }
        Ok::<_, action_store::Error>(seen)
    });

    go_on.send(()).map_err(|()| "the backup has ended")?;
    let ended = watcher.wait(uid).await?; // however long it takes
    assert_eq!(ended.outcome, Some(Outcome::Succeeded));
    backup.join().await?;

    let seen = follow.await??;
    assert!(seen.is_sorted_by_key(|action| action.version));
    assert_eq!(seen.last().map(|last| last.progress), Some(Progress::DONE));

    // Each action that changed, at its latest change.
    loop {
        let action = feed.next().await?;
        println!("feed: {} {:?}", action.name, action.outcome);
        assert_eq!(action.uid, uid);
        if !action.is_unfinished() {
            break;
        }
    }
    tracker.shutdown().await?;
    Ok(())
}
