//! Measures how soon work learns of a cancel request from another process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Other, now, open, told};
use action_store::{
    ActionStore, ActionStoreExt, Batch, CancelRequest, Change, Command, NewAction, Tracker,
};

/// Second process: requests cancellation of each action it receives.
pub async fn child(path: &Path) {
    super::child(path, async |store, uid| {
        let please = CancelRequest::new().with_by("bench");
        store.request_cancel(uid, please).await.unwrap();
    })
    .await;
}

/// Measured while this many other actions of the same owner are executing.
pub async fn latency(path: &Path, count: usize, executing: usize) {
    let store = Arc::new(open(path).await);
    let tracker = Tracker::start(store.clone(), "plane").await.unwrap();
    let by = || Some(tracker.owner().clone());
    for _ in 0..executing / 250 {
        let mut commands = Vec::new();
        for _ in 0..250 {
            let new = NewAction::task("a");
            let uid = new.uid;
            commands.push(Command::create(new).by(by()));
            commands.push(Command::apply(uid, Change::Start).by(by()));
        }
        for answer in store.write(Batch::all(commands)).await.unwrap() {
            answer.unwrap();
        }
    }
    let mut other = Other::start("--canceller", path);
    let (mut heard, mut written) = (Vec::new(), Vec::new());
    for round in 0..count {
        let action = tracker.begin(NewAction::task("b")).await.unwrap();
        let waiting = tokio::spawn({
            let reporter = action.reporter();
            async move {
                reporter.cancel_requested().await;
                now()
            }
        });
        // Wait until the polls caused by the begin are over, and vary the delay over the whole
        // pause.
        let part = Duration::from_micros((round as u64 * 7919) % 200_000);
        tokio::time::sleep(Duration::from_millis(50) + part).await;
        other.tell(action.uid()).await;
        let at = waiting.await.unwrap();
        let (begun, done) = other.said().await;
        heard.push(at.saturating_sub(begun));
        written.push(done - begun);
        action.cancelled().await.unwrap();
    }
    other.end().await;
    println!("a request to cancel, {executing} others executing");
    told("heard by its work", heard);
    told("the write alone", written);
    store.close().await.unwrap();
}
