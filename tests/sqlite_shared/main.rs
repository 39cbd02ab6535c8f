//! Attacks on a store in SQLite that is not alone: other processes, a host's pool, a host's own
//! transaction.
#![cfg(all(unix, feature = "conformance", feature = "sqlite"))]
// Futures polled by hand stay on the thread that polls them.
#![allow(clippy::future_not_send)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// Each takes what it needs of these.
#[allow(dead_code)]
#[path = "../support/attack.rs"]
mod attack;
mod backups;
#[allow(dead_code)]
#[path = "../support/children.rs"]
mod children;
mod dropped_write_in;
mod drops;
mod fencing;
mod host;
mod opening;
mod places;
mod race;
mod racer;
mod tally;
mod verified;

use std::future::Future;
use std::path::Path;
use std::task::Poll;
use std::time::Duration;

use action_store::conformance::{Checked, check_store};
use action_store::{SqliteOptions, SqliteStore};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use self::attack::{Dice, Place, asked_for, beside, create, creating, ends, place_for, raw, run};

fn place() -> Place {
    place_for("plane.db")
}

#[test]
fn in_a_process_of_its_own() {
    children::play(|role, path, more| async move {
        match &*role {
            "opener" => opening::open_when_told(&path, &more).await,
            "racer" => racer::race_until_let_go(&path, &more).await,
            "fenced" => fencing::work_until_let_go(&path, &more).await,
            "holder" => places::hold_until_let_go(&path, &more).await,
            other => panic!("no role {other:?}"),
        }
    });
}

/// A pool as a host would make it.
async fn pool(path: &Path, connections: u32) -> SqlitePool {
    patient_pool(path, connections, Duration::from_secs(5)).await
}

async fn patient_pool(path: &Path, connections: u32, busy_timeout: Duration) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(busy_timeout);
    let pool = SqlitePoolOptions::new().max_connections(connections);
    pool.connect_with(options).await.unwrap()
}

async fn shared(path: &Path) -> SqliteStore {
    SqliteOptions::new().shared().open(path).await.unwrap()
}

/// Opens a store that no other process has open, and checks every trigger and every action.
async fn reopened_and_checked(path: &Path) -> (SqliteStore, Checked) {
    let options = SqliteOptions::new().must_exist().verify_schema();
    let store = options.open(path).await.unwrap();
    let checked = check_store(&store).await.unwrap();
    (store, checked)
}

/// Polls a future so many times at most, and drops it.
async fn poll_times<F: Future>(future: F, times: usize) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut polls = 0;
    std::future::poll_fn(|context| {
        if polls == times {
            return Poll::Ready(None);
        }
        polls += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if polls == times => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
