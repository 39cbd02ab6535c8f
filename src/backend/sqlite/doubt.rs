//! Commits that failed: whether they were applied, and making durable what is found.
//!
//! A commit that failed is not a commit that was not applied. SQLite may have written all of it
//! before the sync failed, and a later opener finds it in the log. So the writer looks before it
//! answers: on a fresh connection, under the write lock, it reads which transaction was committed
//! last.
//!
//! What it finds may never have been synced: a process can die between the write and the sync of its
//! commit, and a sync that failed leaves the bytes readable but not on the disk. An answer on such
//! bytes would be lost with the next power cut. So the writer first makes durable what it finds.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnection;

use super::diagnostics::SqliteAccess;
use super::errors::{Phase, store_error, was_cut_short};
use super::load::{self, Stored};
use super::schema::BUSY;
use super::script::Script;
use super::source::Connection;
use super::writer::{Answers, Writer, before, position, reconnected, roll_back};
use crate::error::StoreError;
use crate::model::{Effect, Position};

/// The pause between two attempts to reach the store.
const PAUSE: Duration = Duration::from_millis(10);

/// Writes one page, and so syncs the log. `SET id = id` would not do: SQLite does not write a page
/// whose bytes stay the same.
const SYNC: &str = "UPDATE actions_store SET syncs = syncs + 1 WHERE id = 1";

/// A transaction whose COMMIT failed.
pub(super) struct Doubt {
    /// The transaction that was committed before it.
    pub(super) before: i64,
    /// Its own number.
    pub(super) after: i64,
    pub(super) answers: Answers,
    pub(super) error: sqlx::Error,
}

/// Why a transaction has no answers.
pub(super) enum Failed {
    /// It failed before its COMMIT was sent.
    Before(StoreError),
    AtCommit(Doubt),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Failed {
        Failed::Before(error)
    }
}

/// How a doubtful commit turned out.
pub(super) enum Verdict {
    /// It was applied, and is durable now.
    Applied(Position),
    /// It was not applied, and never will be.
    NotApplied,
    /// Others have committed since, so its number is gone either way.
    Overtaken,
    /// The store could not be reached in time.
    Unknown,
}

/// The error of a commit whose outcome could not be found out.
pub(super) fn unknown(error: sqlx::Error) -> StoreError {
    store_error("write", Phase::Commit, error)
}

/// Makes durable what the connection can read, whoever wrote it, and shows that it can write.
///
/// A commit that syncs makes durable what lies before it in the log, unless an earlier sync failed:
/// the kernel then takes the lost bytes for clean. The checkpoint before it copies what was read from
/// the log into the database and syncs that. The commit then begins a new log, with a new header, so
/// that the old log and its hole are never replayed. A checkpoint that readers hold up is no harm: as
/// long as a connection is open, unsynced commits of others are not visible.
pub(super) async fn make_durable(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("PRAGMA wal_checkpoint(PASSIVE)")
        .execute(&mut *connection)
        .await?;
    sqlx::query(SYNC).execute(connection).await.map(drop)
}

/// Reads where the store stands while no other connection can write.
async fn read_locked(connection: &mut SqliteConnection) -> Result<Stored, StoreError> {
    let mut script = Script::new();
    script.push(load::BEGIN);
    script.push(load::POSITION);
    let results = script.run(connection).await;
    let results = results.map_err(|failed| before(failed.error));
    let stored = results
        .and_then(|results| load::read_position(results.get(1).map_or(&[][..], Vec::as_slice)));
    roll_back(connection).await;
    stored
}

impl Writer {
    /// A connection to write on. While the store is in doubt, it is made durable first.
    pub(super) async fn connection(&mut self) -> Result<Connection, StoreError> {
        let mut connection = self.line.take().await.map_err(reconnected)?;
        if self.in_doubt.load(Ordering::Acquire) {
            if let Err(error) = make_durable(&mut connection).await {
                drop(connection.close().await);
                return Err(before(error));
            }
            self.in_doubt.store(false, Ordering::Release);
        }
        Ok(connection)
    }

    /// Finds out whether a transaction whose commit failed was applied.
    pub(super) async fn resolve(&mut self, failed: Connection, doubt: &Doubt) -> Verdict {
        self.heads = None;
        self.in_doubt.store(true, Ordering::Release);
        // It failed already; that closing it may fail too changes nothing.
        drop(failed.close().await);
        let begun = Instant::now();
        loop {
            if let Some(verdict) = self.look_up(doubt).await {
                return verdict;
            }
            if begun.elapsed() >= BUSY {
                return Verdict::Unknown;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// One attempt; none if it has shown nothing.
    async fn look_up(&mut self, doubt: &Doubt) -> Option<Verdict> {
        let mut connection = self.line.take().await.ok()?;
        let durable = make_durable(&mut connection).await.is_ok();
        let Ok(stored) = read_locked(&mut connection).await else {
            drop(connection.close().await);
            return None;
        };
        if durable {
            self.in_doubt.store(false, Ordering::Release);
            self.line.hand_back(connection);
        } else {
            drop(connection.close().await);
        }
        match stored.last_commit {
            last if last == doubt.after && durable => {
                Some(Verdict::Applied(position(self.life, stored)))
            }
            // A full disk can be read, though nothing can be made durable there.
            last if last == doubt.before && (durable || was_cut_short(&doubt.error)) => {
                Some(Verdict::NotApplied)
            }
            last if last != doubt.after && last != doubt.before && durable => {
                Some(Verdict::Overtaken)
            }
            _ => None,
        }
    }

    /// Ends a transaction that changes nothing.
    ///
    /// `Already` speaks of a commit that may be another's. On a shared file or a pool that commit may
    /// have been read from the log before it was synced, so the answer waits for a sync.
    pub(super) async fn end_unchanged(
        &self,
        connection: &mut SqliteConnection,
        answers: &Answers,
    ) -> Result<(), StoreError> {
        let mut done = answers.iter().flatten().flatten();
        let on_others = self.access != SqliteAccess::Exclusive;
        if on_others && done.any(|done| done.effect == Effect::Already) {
            let mut script = Script::new();
            script.push(SYNC);
            script.push("COMMIT");
            // It may have been applied: that is what the answer was to say.
            let synced = script.run(connection).await;
            return synced.map(drop).map_err(|failed| unknown(failed.error));
        }
        roll_back(connection).await;
        Ok(())
    }
}
