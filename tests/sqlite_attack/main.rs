//! Attacks on the store in one SQLite file: kills, crowds, failures in the middle, wrong moments.
#![cfg(all(unix, feature = "conformance", feature = "sqlite"))]
// Futures polled by hand stay on the thread that polls them.
#![allow(clippy::future_not_send)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// Each takes what it needs of these.
#[allow(dead_code)]
#[path = "../support/attack.rs"]
mod attack;
#[allow(dead_code)]
#[path = "../support/children.rs"]
mod children;
mod crowd;
mod failures;
mod hot;
mod kills;
// It writes and reads 1 GB several times, which takes minutes without optimisation.
#[cfg(not(debug_assertions))]
mod limits;
mod lists;
mod logs;
mod moments;
mod places;
mod waves;

use std::path::Path;

use action_store::SqliteStore;
use action_store::conformance::{Checked, check_store};

use self::attack::{Dice, Place, beside, create, creating, ends, place_for, raw, run};

fn place() -> Place {
    place_for("actions.db")
}

#[test]
fn in_a_process_of_its_own() {
    children::play(|role, path, _| async move {
        match &*role {
            "writer" => kills::write_until_killed(&path).await,
            "opener" => kills::open_when_told(&path).await,
            other => panic!("no role {other:?}"),
        }
    });
}

/// Opens a store, waiting for one that was given up to let go of it, and checks it whole.
async fn reopened_and_checked(path: &Path) -> (SqliteStore, Checked) {
    let store = SqliteStore::open(path).await.unwrap();
    let checked = check_store(&store).await.unwrap();
    (store, checked)
}
