//! A plane that is killed, and started again at once under another name: a new pod.

use std::path::Path;
use std::sync::Arc;

use action_store::owner::{OwnerEnd, OwnerState};
use action_store::{
    ActionStore, ActionStoreExt, ActionUid, NewAction, Outcome, SqliteStore, Tracker,
    TrackerOptions,
};

use super::children::{Child, say};
use super::{completed, place, shared, state, tracker, with_lease};

const HOUR: u64 = 3600;

/// Longer than any test runs.
fn with_a_long_lease() -> TrackerOptions {
    with_lease(HOUR)
}

/// Starts one action and queues another under the name given, and never ends them.
pub(crate) async fn work_until_killed(path: &Path, name: &str) {
    let store = Arc::new(SqliteStore::open(path).await.unwrap());
    let tracker = tracker(&store, name, with_a_long_lease()).await;
    let running = NewAction::task("upgrade").with_exclusive("cluster");
    let running = tracker.begin(running).await.unwrap();
    let queued = NewAction::task("backup").with_exclusive("bdb");
    let queued = tracker.enqueue(queued).await.unwrap();
    say(&format!("{} {}", running.uid(), queued.uid));
    std::future::pending::<()>().await;
}

fn killed(path: &Path, name: &str) -> (ActionUid, ActionUid) {
    let mut child = Child::start("named", path, name);
    let said = child.heard().unwrap();
    let (running, queued) = said.split_once(' ').unwrap();
    child.kill();
    // It has ended once nothing more can come.
    assert_eq!(child.heard(), None);
    (running.parse().unwrap(), queued.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_planes_actions_are_settled_at_once_under_another_name() {
    let place = place();
    let (running, queued) = killed(&place.path, "pod-1");
    let store = Arc::new(SqliteStore::open(&place.path).await.unwrap());
    let before = store.action(running).await.unwrap().unwrap();
    let owner = before.owner.clone().unwrap();
    assert_eq!(state(&*store, &owner).await, OwnerState::Disconnected);

    let tracker = tracker(&store, "pod-2", with_a_long_lease()).await;
    let lost = completed(&*store, running).await;
    assert_eq!(lost.outcome, Some(Outcome::Lost));
    let evidence = lost.evidence.as_ref().unwrap();
    assert_eq!(
        (&evidence.owner, evidence.end, &*evidence.decided_by),
        (&owner, OwnerEnd::Disconnected, "pod-2")
    );
    assert_eq!(evidence.last_seen_at, before.last_seen_at);
    let never_started = completed(&*store, queued).await;
    assert_eq!(never_started.outcome, Some(Outcome::Interrupted));
    for key in ["cluster", "bdb"] {
        let again = NewAction::task("again").with_exclusive(key);
        tracker.begin(again).await.unwrap().succeed().await.unwrap();
    }
    tracker.shutdown().await.unwrap();
    store.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_without_exclusive_access_ends_no_other_owner() {
    let place = place();
    let store = shared(&place.path).await;
    let working: Tracker = tracker(&store, "plane", with_a_long_lease()).await;
    let action = working.begin(NewAction::task("a")).await.unwrap();
    let other = shared(&place.path).await;
    let pool = super::pool(&place.path, 2, std::time::Duration::from_secs(5)).await;
    let on_pool = SqliteStore::on_pool(pool).await.unwrap();
    let reading = action_store::SqliteOptions::new().read_only();
    let reading = reading.open(&place.path).await.unwrap();
    assert_eq!(state(&*other, working.owner()).await, OwnerState::Alive);
    action.succeed().await.unwrap();
    working.shutdown().await.unwrap();
    for store in [&*store, &*other, &on_pool, &reading] {
        store.close().await.unwrap();
    }
}
