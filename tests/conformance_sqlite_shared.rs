//! The store in SQLite keeps the contract where it is not alone: on a file that others may open,
//! and on a host's pool, of one connection and of several.
#![cfg(all(feature = "conformance", feature = "sqlite"))]
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use action_store::conformance::Subject;
use action_store::{Clock, SqliteOptions, SqliteStore, StoreError, Timestamp};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

/// How a store opens its database.
#[derive(Debug, Clone, Copy)]
enum Way {
    Shared,
    Pool { connections: u32 },
}

/// A pool as a host would make it.
async fn pool(path: &Path, connections: u32) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().max_connections(connections);
    pool.connect_with(options).await.unwrap()
}

async fn open_at(
    way: Way,
    path: PathBuf,
    options: SqliteOptions,
) -> Result<SqliteStore, StoreError> {
    match way {
        Way::Shared => options.shared().open(path).await,
        Way::Pool { connections } => options.on_pool(pool(&path, connections).await).await,
    }
}

async fn subject(way: Way) -> Subject {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plane.db");
    let clock = Clock::manual(Timestamp::from_seconds(1_760_400_087));
    let options = SqliteOptions::new().with_clock(clock.clone());
    let store = open_at(way, path.clone(), options.clone()).await.unwrap();
    Subject::new(store)
        .with_clock(clock)
        .with_reopen(move || open_at(way, path.clone(), options.clone()))
        .with_kept(dir)
}

mod shared {
    async fn open() -> super::Subject {
        super::subject(super::Way::Shared).await
    }

    action_store::conformance_tests!(open, clock, reopen);
}

mod pool_of_one {
    async fn open() -> super::Subject {
        super::subject(super::Way::Pool { connections: 1 }).await
    }

    action_store::conformance_tests!(open, clock, reopen);
}

mod pool_of_four {
    async fn open() -> super::Subject {
        super::subject(super::Way::Pool { connections: 4 }).await
    }

    action_store::conformance_tests!(open, clock, reopen);
}
