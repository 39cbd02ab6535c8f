//! Files of an open store are removed, replaced, moved, copied, or opened by another name.
#![cfg(all(unix, feature = "conformance", feature = "sqlite"))]
#![allow(clippy::future_not_send)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)]
#[path = "../support/attack.rs"]
mod attack;
mod branches;
#[allow(dead_code)]
#[path = "../support/children.rs"]
mod children;
mod damage;
mod forked;
mod known_damage;
mod leftovers;
mod pool_damage;
mod replaced;
mod second;

use std::path::Path;

use action_store::{SqliteOptions, SqliteStore};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use self::attack::{Place, beside, ends, place_for, raw, run};

fn place() -> Place {
    place_for("actions.db")
}

#[test]
fn in_a_process_of_its_own() {
    children::play(|role, path, more| async move {
        match &*role {
            "forker" => forked::fork_and_use(&path).await,
            "opener" => second::open_as_told(&path, &more).await,
            other => panic!("no role {other:?}"),
        }
    });
}

async fn pool(path: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().max_connections(2);
    pool.connect_with(options).await.unwrap()
}

async fn shared(path: &Path) -> SqliteStore {
    SqliteOptions::new().shared().open(path).await.unwrap()
}
