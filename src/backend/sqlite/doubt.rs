//! Commits that failed: whether they were applied, and making durable what is found.
//!
//! A commit that failed is not a commit that was not applied. SQLite may have written all of it
//! before the sync failed, and a later opener finds it in the log. So the writer looks before it
//! answers: on a fresh connection, under the write lock, it reads which transaction was committed
//! last.
//!
//! The bytes it finds may never have been synced, and an answer on them would be lost with the next
//! power cut. So the writer first [makes them durable](make_durable).

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnection;

use super::diagnostics::SqliteAccess;
use super::errors::{Phase, is_read_only, store_error, was_cut_short};
use super::load::{self, Stored};
use super::schema::BUSY;
use super::script::Script;
use super::source::Connection;
use super::sync::{COUNT_SYNC, Synced, make_durable};
use super::writer::{Answers, Writer, before, position, reconnected, roll_back};
use crate::error::{ErrorKind, StoreError};
use crate::model::{Effect, Position};

/// The pause between two attempts to reach the store.
const PAUSE: Duration = Duration::from_millis(10);

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
        let begun = Instant::now();
        loop {
            let mut connection = self.line.take().await.map_err(reconnected)?;
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
            // It may be read-only by chance, and another process may write just now.
            let again = is_read_only(&error) || self.comes_back(&error);
            if !again || begun.elapsed() >= BUSY {
                return Err(error);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Finds out whether a transaction whose commit failed was applied.
    pub(super) async fn resolve(&mut self, mut failed: Connection, doubt: &Doubt) -> Verdict {
        self.heads = None;
        // Another file is there now. A new connection would be to that one.
        if self.file.check().is_err() {
            roll_back(&mut failed).await;
            self.line.hand_back(failed);
            return Verdict::Unknown;
        }
        // A write that was cut short is undone by then, and its connection tells so. On a full disk it
        // may be the only one: to open another takes room.
        if was_cut_short(&doubt.error) && roll_back(&mut failed).await {
            let stored = read_locked(&mut failed).await;
            if stored.is_ok_and(|stored| stored.last_commit == doubt.before) {
                self.line.hand_back(failed);
                return Verdict::NotApplied;
            }
        }
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
        let mut connection = match self.line.take().await {
            Ok(connection) => connection,
            // A pool that was closed stays closed.
            Err(error) if error.kind() == ErrorKind::Closed => return Some(Verdict::Unknown),
            Err(_) => return None,
        };
        let synced = make_durable(&mut connection, &self.path).await;
        // On a full disk nothing needs to be synced: what was found before was durable, and the
        // failed commit added nothing that could be found.
        let durable = match &synced {
            Ok(_) => true,
            Err(error) => was_cut_short(error) && was_cut_short(&doubt.error),
        };
        // Also without a sync: a write that was cut short left nothing to be found.
        let stored = match roll_back(&mut connection).await {
            true => read_locked(&mut connection).await.ok(),
            false => None,
        };
        let verdict = stored.and_then(|stored| self.judge(doubt, stored, synced.ok()));
        if verdict.is_some() && durable {
            self.in_doubt.store(false, Ordering::Release);
            self.line.hand_back(connection);
        } else {
            drop(connection.close().await);
        }
        verdict
    }

    /// Judges by the transaction that was committed last, as read under the write lock.
    fn judge(&self, doubt: &Doubt, stored: Stored, synced: Option<Synced>) -> Option<Verdict> {
        let last = stored.last_commit;
        // A commit that failed at its sync may be whole in the log, beyond the part that is read.
        // Only the next commit overwrites it.
        let gone = synced == Some(Synced::Commit) || was_cut_short(&doubt.error);
        if last == doubt.before {
            return gone.then_some(Verdict::NotApplied);
        }
        synced?;
        Some(match last == doubt.after {
            true => Verdict::Applied(position(&self.lineage, stored)),
            false => Verdict::Overtaken,
        })
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
            script.push(COUNT_SYNC);
            script.push("COMMIT");
            let mut synced = script.run(connection).await.map(drop).map_err(|f| f.error);
            // On a full disk the log itself can still be written again.
            if synced.as_ref().is_err_and(was_cut_short) && roll_back(connection).await {
                synced = make_durable(connection, &self.path).await.map(drop);
            }
            return synced.map_err(|error| {
                // A sync that failed may have lost the bytes that the answer stands on.
                self.in_doubt.store(true, Ordering::Release);
                // The commands were applied before, but may not be durable.
                unknown(error)
            });
        }
        roll_back(connection).await;
        Ok(())
    }
}
