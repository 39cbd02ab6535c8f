//! Trackers in several processes on one file: stopped, killed, fenced and replaced, in real time.
//!
//! The numbers of rounds are small, for the gate. At full size, on a machine that does nothing else:
//!
//! ```console
//! $ TRACKER_KILLS=100 TRACKER_LATE=200 TRACKER_FENCES=200 TRACKER_STOPS=20 \
//!     cargo test --release --all-features --test tracker_processes -- --nocapture
//! ```
//!
//! `TRACKER_HOLDS` says how often a host holds the write lock. Tests that take long and print figures
//! are in `cargo bench --all-features --bench recovery`, `--bench watch` and `--bench retention`; two
//! stores on one file race in `tests/sqlite_shared/` (`ACTIONS_RACE_SECONDS`, `OPENING_ROUNDS`).
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// Each takes what it needs of these.
#[allow(dead_code)]
#[path = "../support/attack.rs"]
mod attack;
#[allow(dead_code)]
#[path = "../support/children.rs"]
mod children;
mod inside;
mod kills;
mod late;
mod renamed;
mod rolling;
mod slow;
mod stopped;
mod zombies;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use action_store::owner::{OwnerQuery, OwnerState};
use action_store::{
    Action, ActionStore, ActionStoreExt, ActionUid, Filter, Order, OwnerRef, Query, SqliteOptions,
    SqliteStore, Status, Tracker, TrackerOptions,
};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};

use self::attack::{Dice, Place, asked_for, create, ends, place_for, raw, run};

fn place() -> Place {
    place_for("plane.db")
}

#[test]
fn in_a_process_of_its_own() {
    children::play(|role, path, more| async move {
        match &*role {
            "stopped" => stopped::work_until_fenced(&path).await,
            "host" => inside::write_in_the_hosts_transaction(&path).await,
            "heavy" => inside::write_heavily(&path).await,
            "late" => late::work_until_let_go(&path).await,
            "zombie" => zombies::create_until_let_go(&path).await,
            "plane" => kills::work_until_killed(&path, &more).await,
            "named" => renamed::work_until_killed(&path, &more).await,
            "old" => rolling::work_until_drained(&path, &more).await,
            other => panic!("no role {other:?}"),
        }
    });
}

async fn shared(path: &Path) -> Arc<SqliteStore> {
    let store = SqliteOptions::new().shared().open(path).await;
    Arc::new(store.unwrap())
}

/// A pool as a host would make it.
async fn pool(path: &Path, connections: u32, busy_timeout: Duration) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(busy_timeout);
    let pool = SqlitePoolOptions::new().max_connections(connections);
    pool.connect_with(options).await.unwrap()
}

fn with_lease(seconds: u64) -> TrackerOptions {
    TrackerOptions::new().with_lease(Duration::from_secs(seconds))
}

async fn tracker(store: &Arc<SqliteStore>, name: &str, options: TrackerOptions) -> Tracker {
    Tracker::start_with(store.clone(), name, options)
        .await
        .unwrap()
}

/// The unfinished actions of all incarnations of a name.
async fn unfinished(store: &dyn ActionStore, name: &str) -> Vec<Arc<Action>> {
    let query = Query::new()
        .with_filter(Filter::OwnerName(name.into()))
        .with_filter(Filter::Unfinished)
        .with_order(Order::Oldest)
        .with_limit(1000);
    store.pages(query).collect().await.unwrap()
}

async fn state(store: &dyn ActionStore, owner: &OwnerRef) -> OwnerState {
    let owners = store.all_owners(OwnerQuery::new()).await.unwrap();
    owners.iter().find(|o| o.owner == *owner).unwrap().state
}

/// An action once it is completed; it must be within a minute.
async fn completed(store: &dyn ActionStore, uid: ActionUid) -> Arc<Action> {
    let completed = async {
        let mut known = None;
        loop {
            known = Some(store.changed(known).await.unwrap().revision);
            let action = store.action(uid).await.unwrap();
            if let Some(action) = action.filter(|action| action.status == Status::Completed) {
                return action;
            }
        }
    };
    ends(completed).await
}

/// Returns true if a process holds the write lock of the file now.
async fn is_write_locked(path: &Path) -> bool {
    use sqlx::Connection;
    let mut connection = raw(path).await;
    run(&mut connection, "PRAGMA busy_timeout = 0").await;
    let begun = sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut connection)
        .await;
    if begun.is_ok() {
        run(&mut connection, "ROLLBACK").await;
    }
    connection.close().await.unwrap();
    begun.is_err()
}
