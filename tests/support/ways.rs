//! The ways in which a store in SQLite can be opened.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use action_store::{ActionStore, SqliteOptions, SqliteStore, StoreError};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

/// How a store is opened. Written `exclusive`, `shared`, `pool/wal/full/3`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Exclusive,
    Shared,
    /// On a pool of so many connections.
    Pool(Journal, Synchronous, u32),
}

/// The journal modes in which a pool may hold a store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Journal {
    Delete,
    Truncate,
    Persist,
    Wal,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Synchronous {
    Normal,
    Full,
    Extra,
}

pub(crate) const JOURNALS: [Journal; 4] = [
    Journal::Delete,
    Journal::Truncate,
    Journal::Persist,
    Journal::Wal,
];

pub(crate) const LEVELS: [Synchronous; 3] =
    [Synchronous::Normal, Synchronous::Full, Synchronous::Extra];

/// A journal mode with the level that makes its commits durable.
pub(crate) const DURABLE: [(Journal, Synchronous); 4] = [
    (Journal::Delete, Synchronous::Extra),
    (Journal::Truncate, Synchronous::Full),
    (Journal::Persist, Synchronous::Full),
    (Journal::Wal, Synchronous::Full),
];

/// Pools of one connection and of three.
pub(crate) const CONNECTIONS: [u32; 2] = [1, 3];

fn all() -> Vec<Way> {
    let mut ways = vec![Way::Exclusive, Way::Shared];
    for journal in JOURNALS {
        for level in LEVELS {
            ways.extend(CONNECTIONS.map(|count| Way::Pool(journal, level, count)));
        }
    }
    ways
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Way::Pool(journal, synchronous, connections) = self else {
            return f.write_str(match self {
                Way::Exclusive => "exclusive",
                _ => "shared",
            });
        };
        let journal = match journal {
            Journal::Delete => "delete",
            Journal::Truncate => "truncate",
            Journal::Persist => "persist",
            Journal::Wal => "wal",
        };
        let synchronous = match synchronous {
            Synchronous::Normal => "normal",
            Synchronous::Full => "full",
            Synchronous::Extra => "extra",
        };
        write!(f, "pool/{journal}/{synchronous}/{connections}")
    }
}

impl FromStr for Way {
    type Err = String;

    fn from_str(text: &str) -> Result<Way, String> {
        let found = all().into_iter().find(|way| way.to_string() == text);
        found.ok_or_else(|| format!("no way {text:?} to open a store"))
    }
}

/// An open store, and the pool it is on.
pub(crate) struct Opened {
    pub(crate) store: SqliteStore,
    pool: Option<SqlitePool>,
}

impl Way {
    /// Opens the store at a path, or makes one there.
    pub(crate) async fn open(self, path: &Path) -> Result<Opened, StoreError> {
        // Nothing here takes seconds; a call that does is stuck.
        let options = SqliteOptions::new().with_timeout(Duration::from_secs(10));
        let pool = match self {
            Way::Exclusive | Way::Shared => {
                let options = match self {
                    Way::Shared => options.shared(),
                    _ => options,
                };
                let store = options.open(path).await?;
                return Ok(Opened { store, pool: None });
            }
            Way::Pool(journal, level, connections) => pool(path, journal, level, connections),
        };
        let opened = options.on_pool(pool.clone()).await;
        if opened.is_err() {
            pool.close().await;
        }
        let (store, pool) = (opened?, Some(pool));
        Ok(Opened { store, pool })
    }
}

impl Opened {
    pub(crate) async fn close(self) -> Result<(), StoreError> {
        let closed = self.store.close().await;
        if let Some(pool) = self.pool {
            pool.close().await;
        }
        closed
    }
}

/// A pool as a host would make it, which connects when a connection is asked for. One of several
/// connections moves its log into the file often, so that a short run has some of that, too.
fn pool(path: &Path, journal: Journal, level: Synchronous, connections: u32) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(match journal {
            Journal::Delete => SqliteJournalMode::Delete,
            Journal::Truncate => SqliteJournalMode::Truncate,
            Journal::Persist => SqliteJournalMode::Persist,
            Journal::Wal => SqliteJournalMode::Wal,
        })
        .synchronous(match level {
            Synchronous::Normal => SqliteSynchronous::Normal,
            Synchronous::Full => SqliteSynchronous::Full,
            Synchronous::Extra => SqliteSynchronous::Extra,
        })
        .pragma(
            "wal_autocheckpoint",
            if connections > 1 { "50" } else { "1000" },
        )
        .busy_timeout(Duration::from_secs(5));
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(5))
        .connect_lazy_with(options)
}
