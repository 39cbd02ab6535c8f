//! The writer's connection. Makes a store in doubt durable before it is used, and finds out what
//! became of a failed commit.
//!
//! A failed commit may still have been applied. SQLite may have written all of it before the sync
//! failed; a later opener then finds it in the WAL. So the writer checks before it answers. On a
//! new connection, under the write lock, it reads which transaction was committed last.
//!
//! The bytes that it finds may not be synced, and the next power cut could undo an answer that
//! relies on them. So the writer first [makes them durable](make_durable).

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnection;

use super::access::SqliteAccess;
use super::errors::{is_busy, is_read_only, store_error, was_cut_short};
use super::identity::OpenFile;
use super::load;
use super::schema::BUSY;
use super::script::{Script, roll_back};
use super::source::{Connection, ConnectionSlot};
use super::sync::{COUNT_SYNC, Synced, make_durable};
use crate::backend::sql::{Phase, Stored, Verdict};
use crate::error::{StoreError, StoreErrorKind as ErrorKind};
use crate::spi::PositionWatch;

/// Pause between two attempts to make the store durable.
const PAUSE: Duration = Duration::from_millis(10);

pub(super) struct WriteSlot {
    pub(super) access: SqliteAccess,
    pub(super) slot: ConnectionSlot,
    pub(super) file: Arc<OpenFile>,
    pub(super) position_watch: Arc<PositionWatch>,
}

/// Random numbers of two transactions: the one whose commit failed, and the one before it.
pub(super) struct Commits {
    pub(super) before: i64,
    pub(super) after: i64,
}

pub(super) fn before(error: sqlx::Error) -> StoreError {
    store_error("write", Phase::Before, error)
}

/// The error for a write when a connection could not be reopened.
fn reconnected(error: StoreError) -> StoreError {
    StoreError::new(error.kind(), "write", "the database cannot be opened again").with_source(error)
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

impl WriteSlot {
    /// Opens a connection to the store's own file, or returns the error.
    pub(super) async fn ready(&mut self) -> Result<(), StoreError> {
        if let Err(error) = self.file.check_before("write") {
            self.let_go_of_lost_file().await;
            return Err(error);
        }
        self.slot.ready().await.map_err(reconnected)
    }

    /// Gives up a path whose file was removed or replaced. Checkpoints the WAL into its own file,
    /// which may have another name now, and moves it away from the path.
    pub(super) async fn let_go_of_lost_file(&mut self) {
        let Err(lost) = self.file.check_known() else {
            return;
        };
        self.position_watch
            .break_off(lost.into_error("changed", Phase::Before));
        if matches!(self.access, SqliteAccess::Exclusive | SqliteAccess::Shared) {
            self.slot.fold_log().await;
            self.file.put_log_aside();
        }
    }

    /// Returns a connection for writing. First makes a store in doubt durable.
    pub(super) async fn connection(&mut self) -> Result<Connection, StoreError> {
        let begun = Instant::now();
        loop {
            let mut connection = self.slot.take().await.map_err(reconnected)?;
            if !self.file.is_in_doubt() {
                return Ok(connection);
            }
            let error = match make_durable(&mut connection, &self.file).await {
                Ok(_) => {
                    self.file.set_in_doubt(false);
                    return Ok(connection);
                }
                Err(error) => before(error),
            };
            self.give_up(connection, &error).await;
            // The connection may be read-only by accident, or another process may be writing.
            let again = is_read_only(&error) || self.comes_back(&error);
            if !again || begun.elapsed() >= BUSY {
                return Err(error);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Returns true if a shared file was only locked by another process for a moment.
    pub(super) fn comes_back(&self, error: &StoreError) -> bool {
        self.access == SqliteAccess::Shared && is_busy(error)
    }

    /// Rolls back a transaction that failed before its commit. Closes a connection that cannot roll
    /// back or cannot write; the next transaction opens another one.
    pub(super) async fn give_up(&mut self, mut connection: Connection, error: &StoreError) {
        // Open connections still reach a lost file; a new connection would not.
        let is_lost = self.file.check_known().is_err();
        if roll_back(&mut connection).await && (is_lost || !is_read_only(error)) {
            self.slot.hand_back(connection);
        } else {
            self.slot.end(connection).await;
        }
    }

    /// Looks at the connection whose commit failed.
    pub(super) async fn examine(
        &mut self,
        mut failed: Connection,
        commits: &Commits,
        error: &sqlx::Error,
    ) -> Option<Verdict> {
        // Another file is at the path now, and a new connection would open that one.
        if self.file.check().is_err() {
            roll_back(&mut failed).await;
            self.slot.hand_back(failed);
            return Some(Verdict::Unknown);
        }
        // By then a partial write is rolled back, and its connection can show this. On a full disk
        // it may be the only connection: opening another one needs space.
        if was_cut_short(error) && roll_back(&mut failed).await {
            let stored = read_locked(&mut failed).await;
            if stored.is_ok_and(|stored| stored.last_commit == commits.before) {
                self.slot.hand_back(failed);
                return Some(Verdict::NotApplied);
            }
        }
        self.file.set_in_doubt(true);
        // It knows nothing of its failed commit, and all before that was synced. So what it copies
        // into the database is whole. It has failed, so an error on close has no effect.
        drop(failed.close().await);
        None
    }

    /// Makes one attempt. Returns `None` if its result is inconclusive.
    pub(super) async fn look_up(
        &mut self,
        commits: &Commits,
        error: &sqlx::Error,
    ) -> Option<Verdict> {
        let mut connection = match self.slot.take().await {
            Ok(connection) => connection,
            // A closed pool stays closed.
            Err(error) if error.kind() == ErrorKind::Closed => return Some(Verdict::Unknown),
            Err(_) => return None,
        };
        let synced = make_durable(&mut connection, &self.file).await;
        // On a full disk no sync is needed: the data found was durable before, and the failed
        // commit added nothing.
        let durable = match &synced {
            Ok(_) => true,
            Err(failed) => was_cut_short(failed) && was_cut_short(error),
        };
        // No sync is needed here either: a partial write left nothing to find.
        let stored = match roll_back(&mut connection).await {
            true => read_locked(&mut connection).await.ok(),
            false => None,
        };
        let verdict = stored.and_then(|stored| judge(commits, error, stored, synced.ok()));
        if verdict.is_some() && durable {
            self.file.set_in_doubt(false);
            self.slot.hand_back(connection);
        } else {
            self.slot.end(connection).await;
        }
        verdict
    }

    /// Ends a transaction that changes nothing.
    ///
    /// A repeat may refer to another writer's commit. On a shared file or a pool, that commit may
    /// have been read from the WAL before its sync. So the answer waits for a sync.
    pub(super) async fn end_unchanged(
        &self,
        connection: &mut SqliteConnection,
        repeats: bool,
    ) -> Result<(), StoreError> {
        if repeats && self.access != SqliteAccess::Exclusive {
            let mut script = Script::new();
            script.push(COUNT_SYNC);
            script.push("COMMIT");
            let mut synced = script.run(connection).await.map(drop).map_err(|f| f.error);
            // On a full disk the WAL itself can still be rewritten.
            if synced.as_ref().is_err_and(was_cut_short) && roll_back(connection).await {
                synced = make_durable(connection, &self.file).await.map(drop);
            }
            return synced.map_err(|error| {
                // A failed sync may have lost the bytes that the answer relies on.
                self.file.set_in_doubt(true);
                // The commands were applied before, but may not be durable.
                store_error("write", Phase::Commit, error)
            });
        }
        roll_back(connection).await;
        Ok(())
    }
}

/// Decides by the transaction that was committed last, as read under the write lock.
fn judge(
    commits: &Commits,
    error: &sqlx::Error,
    stored: Stored,
    synced: Option<Synced>,
) -> Option<Verdict> {
    let last = stored.last_commit;
    // A commit that failed at its sync may be complete in the WAL, behind the part that is read.
    // Only the next commit overwrites it.
    let gone = synced == Some(Synced::Commit) || was_cut_short(error);
    if last == commits.before {
        return gone.then_some(Verdict::NotApplied);
    }
    synced?;
    Some(match last == commits.after {
        true => Verdict::Applied(stored),
        false => Verdict::Overtaken,
    })
}
