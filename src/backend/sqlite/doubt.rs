//! Failed commits: finds out whether they were applied, and makes the result durable.
//!
//! A failed commit may still have been applied. SQLite may have written all of it before the sync
//! failed; a later opener then finds it in the WAL. So the writer checks before it answers. On a
//! new connection, under the write lock, it reads which transaction was committed last.
//!
//! The bytes that it finds may not be synced, and the next power cut could undo an answer that
//! relies on them. So the writer first [makes them durable](make_durable).

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnection;

use super::diagnostics::SqliteAccess;
use super::errors::{is_read_only, store_error, was_cut_short};
use super::load;
use super::schema::BUSY;
use super::script::Script;
use super::source::Connection;
use super::sync::{COUNT_SYNC, Synced, make_durable};
use super::writer::{Writer, before, reconnected, roll_back};
use crate::backend::sql::Answers;
use crate::backend::sql::{Phase, Stored};
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::model::{Effect, Position};

/// Pause between two attempts to reach the store.
const PAUSE: Duration = Duration::from_millis(10);

/// A transaction whose COMMIT failed.
pub(super) struct Doubt {
    /// Number of the transaction that was committed before it.
    pub(super) before: i64,
    /// Number of this transaction.
    pub(super) after: i64,
    pub(super) answers: Answers,
    pub(super) error: sqlx::Error,
}

/// Reason why a transaction has no answers.
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

/// Outcome of a doubtful commit.
pub(super) enum Verdict {
    /// It was applied, and is durable now.
    Applied(Position),
    /// It was not applied, and never will be.
    NotApplied,
    /// Another writer has committed since, so its number was overwritten in either case.
    Overtaken,
    /// The store could not be reached in time.
    Unknown,
}

/// The error of a commit whose outcome is unknown.
pub(super) fn unknown(error: sqlx::Error) -> StoreError {
    store_error("write", Phase::Commit, error)
}

/// Reads the position of the store under the write lock.
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
    /// Returns a connection for writing. First makes a store in doubt durable.
    pub(super) async fn connection(&mut self) -> Result<Connection, StoreError> {
        let begun = Instant::now();
        loop {
            let mut connection = self.slot.take().await.map_err(reconnected)?;
            if !self.in_doubt.load(Ordering::Acquire) {
                return Ok(connection);
            }
            let error = match make_durable(&mut connection, &self.path).await {
                Ok(_) => {
                    self.in_doubt.store(false, Ordering::Release);
                    return Ok(connection);
                }
                Err(error) => before(error),
            };
            self.failed(connection, &error).await;
            // The connection may be read-only by accident, or another process may be writing.
            let again = is_read_only(&error) || self.comes_back(&error);
            if !again || begun.elapsed() >= BUSY {
                return Err(error);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Finds out whether a transaction whose commit failed was applied.
    pub(super) async fn resolve(&mut self, mut failed: Connection, doubt: &Doubt) -> Verdict {
        self.write_cache = None;
        // Another file is at the path now, and a new connection would open that one.
        if self.file.check().is_err() {
            roll_back(&mut failed).await;
            self.slot.hand_back(failed);
            return Verdict::Unknown;
        }
        // By then a partial write is rolled back, and its connection can show this. On a full disk
        // it may be the only connection: opening another one needs space.
        if was_cut_short(&doubt.error) && roll_back(&mut failed).await {
            let stored = read_locked(&mut failed).await;
            if stored.is_ok_and(|stored| stored.last_commit == doubt.before) {
                self.slot.hand_back(failed);
                return Verdict::NotApplied;
            }
        }
        self.in_doubt.store(true, Ordering::Release);
        // The connection has already failed, so an error on close has no effect.
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

    /// Makes one attempt. Returns `None` if its result is inconclusive.
    async fn look_up(&mut self, doubt: &Doubt) -> Option<Verdict> {
        let mut connection = match self.slot.take().await {
            Ok(connection) => connection,
            // A closed pool stays closed.
            Err(error) if error.kind() == ErrorKind::Closed => return Some(Verdict::Unknown),
            Err(_) => return None,
        };
        let synced = make_durable(&mut connection, &self.path).await;
        // On a full disk no sync is needed: the data found was durable before, and the failed
        // commit added nothing.
        let durable = match &synced {
            Ok(_) => true,
            Err(error) => was_cut_short(error) && was_cut_short(&doubt.error),
        };
        // No sync is needed here either: a partial write left nothing to find.
        let stored = match roll_back(&mut connection).await {
            true => read_locked(&mut connection).await.ok(),
            false => None,
        };
        let verdict = stored.and_then(|stored| self.judge(doubt, stored, synced.ok()));
        if verdict.is_some() && durable {
            self.in_doubt.store(false, Ordering::Release);
            self.slot.hand_back(connection);
        } else {
            drop(connection.close().await);
        }
        verdict
    }

    /// Decides by the transaction that was committed last, as read under the write lock.
    fn judge(&self, doubt: &Doubt, stored: Stored, synced: Option<Synced>) -> Option<Verdict> {
        let last = stored.last_commit;
        // A commit that failed at its sync may be complete in the WAL, behind the part that is
        // read. Only the next commit overwrites it.
        let gone = synced == Some(Synced::Commit) || was_cut_short(&doubt.error);
        if last == doubt.before {
            return gone.then_some(Verdict::NotApplied);
        }
        synced?;
        Some(match last == doubt.after {
            true => Verdict::Applied(self.lineage.at(stored)),
            false => Verdict::Overtaken,
        })
    }

    /// Ends a transaction that changes nothing.
    ///
    ///
    /// `Already` may refer to another writer's commit. On a shared file or a pool, that commit may
    /// have been read from the WAL before its sync. So the answer waits for a sync.
    pub(super) async fn end_unchanged(
        &self,
        connection: &mut SqliteConnection,
        answers: &Answers,
    ) -> Result<(), StoreError> {
        let mut done = answers.iter().flatten().flatten();
        let on_others = self.access != SqliteAccess::Exclusive;
        if on_others && done.any(|done| done.effect == Effect::Already) {
            let mut script = Script::new();
            script.push(COUNT_SYNC);
            script.push("COMMIT");
            let mut synced = script.run(connection).await.map(drop).map_err(|f| f.error);
            // On a full disk the WAL itself can still be rewritten.
            if synced.as_ref().is_err_and(was_cut_short) && roll_back(connection).await {
                synced = make_durable(connection, &self.path).await.map(drop);
            }
            return synced.map_err(|error| {
                // A failed sync may have lost the bytes that the answer relies on.
                self.in_doubt.store(true, Ordering::Release);
                // The commands were applied before, but may not be durable.
                unknown(error)
            });
        }
        roll_back(connection).await;
        Ok(())
    }
}
