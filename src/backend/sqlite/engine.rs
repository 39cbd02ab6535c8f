//! SQLite as the shared writer uses it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::access::SqliteAccess;
use super::errors::{self, store_error};
#[cfg(test)]
use super::faults::Faults;
use super::file::Lock;
use super::load;
use super::lock_mode::LockMode;
use super::save::{self, Save};
use super::schema::BUSY;
use super::script::roll_back;
use super::source::Connection;
use super::write_slot::{Commits, WriteSlot, before};
use crate::backend::sql::{Doubt, Encoded, Engine, Frame, Loaded, Phase, Stored, Verdict};
use crate::clock::Clock;
use crate::error::StoreError;
use crate::model::{ActionUid, Owner, ReadSet, Timestamp, WriteSet};

/// Interval between checks whether another process still writes.
pub(super) const COME_BACK: Duration = Duration::from_millis(1);

/// Pause after a commit that lets recently seen other writers in.
const GIVE_WAY: Duration = Duration::from_millis(2);
const LATELY: Duration = Duration::from_secs(1);

pub(super) struct SqliteEngine {
    pub(super) db: WriteSlot,
    pub(super) clock: Clock,
    pub(super) lock: Arc<Option<Lock>>,
    /// Time at which another process was last seen writing.
    pub(super) met: Option<Instant>,
    #[cfg(test)]
    pub(super) faults: Faults,
}

impl SqliteEngine {
    /// Opens the connection whose close checkpoints the WAL, and first makes data in doubt durable.
    /// If either fails, the WAL stays for the next opener.
    async fn ready_to_fold(&mut self) {
        if let Ok(connection) = self.db.connection().await {
            self.db.slot.hand_back(connection);
        }
    }
}

fn commits(doubt: &Doubt<SqliteEngine>) -> Commits {
    Commits {
        before: doubt.before.last_commit,
        after: doubt.save.expected().last_commit,
    }
}

impl Engine for SqliteEngine {
    type Connection = Connection;
    type Save = Save;
    type Error = sqlx::Error;

    const PATIENCE: Duration = BUSY;

    fn plans_from_memory(&self) -> bool {
        self.db.access == SqliteAccess::Exclusive
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn is_in_doubt(&self) -> bool {
        self.db.file.is_in_doubt()
    }

    async fn ready(&mut self) -> Result<(), StoreError> {
        self.db.ready().await
    }

    fn rest(&mut self) {
        self.db.slot.rest();
    }

    async fn give_way(&mut self) {
        if self.met.is_some_and(|met| met.elapsed() < LATELY) {
            tokio::time::sleep(GIVE_WAY).await;
        }
    }

    async fn connection(&mut self) -> Result<Connection, StoreError> {
        self.db.connection().await
    }

    fn hand_back(&mut self, connection: Connection) {
        self.db.slot.hand_back(connection);
    }

    async fn give_up(&mut self, connection: Connection, error: &StoreError) {
        self.db.give_up(connection, error).await;
    }

    async fn roll_back(&mut self, connection: &mut Connection) -> bool {
        roll_back(connection).await
    }

    async fn read_owners(
        &mut self,
        connection: &mut Connection,
    ) -> Result<(Stored, Vec<Owner>), StoreError> {
        load::owners(connection).await
    }

    /// On a shared file this retries at short intervals while another connection writes. SQLite
    /// itself would retry only every 100 milliseconds. It would then nearly always find the file
    /// locked by a process that writes one transaction after another. Other writers may wait in
    /// SQLite's way (a host's pool does). So a writer that has met them pauses for a moment after a
    /// commit.
    async fn load(
        &mut self,
        connection: &mut Connection,
        read_sets: &[&ReadSet],
    ) -> Result<Loaded, StoreError> {
        let begun = Instant::now();
        loop {
            let read_sets = read_sets.iter().copied();
            match load::load(connection, read_sets, Some(load::BEGIN)).await {
                Err(error) if self.db.comes_back(&error) && begun.elapsed() < BUSY => {}
                loaded => {
                    let (txn, stored, numbers) = loaded?;
                    return Ok(Loaded {
                        txn,
                        stored,
                        numbers,
                        now: self.clock.now(),
                        blocked: Vec::new(),
                    });
                }
            }
            self.met = Some(Instant::now());
            roll_back(connection).await;
            tokio::time::sleep(COME_BACK).await;
        }
    }

    fn encode(
        &self,
        write_set: &WriteSet,
        stored: Stored,
        known: HashMap<ActionUid, i64>,
        frame: Frame,
    ) -> Result<Save, StoreError> {
        save::script(write_set, stored, known, frame).map_err(before)
    }

    async fn commit(
        &self,
        connection: &mut Connection,
        save: &mut Save,
    ) -> Result<Stored, (Phase, sqlx::Error)> {
        #[cfg(test)]
        if let Some(fault) = self.faults.take() {
            return fault.commit(connection, save).await;
        }
        save::commit(connection, save, &self.db.file).await
    }

    async fn end_unchanged(
        &mut self,
        connection: &mut Connection,
        repeats: bool,
    ) -> Result<(), StoreError> {
        self.db.end_unchanged(connection, repeats).await
    }

    async fn examine(&mut self, failed: Connection, doubt: &Doubt<Self>) -> Option<Verdict> {
        self.db.examine(failed, &commits(doubt), &doubt.error).await
    }

    async fn look_up(&mut self, doubt: &Doubt<Self>) -> Option<Verdict> {
        self.db.look_up(&commits(doubt), &doubt.error).await
    }

    /// Closes the last connection, which checkpoints the WAL into the file. If two processes close
    /// at the same time, both may skip the checkpoint, and a copy of the file would then lack the
    /// WAL.
    async fn close(mut self) {
        if self.db.file.check().is_err() {
            self.db.let_go_of_lost_file().await;
        }
        match self.db.access {
            SqliteAccess::Exclusive => self.ready_to_fold().await,
            SqliteAccess::Shared => {
                self.ready_to_fold().await;
                self.db.slot.close().await;
                drop(self.lock);
                // Others may have closed at the same time. The last process now tries again.
                if let Ok(Some(_alone)) = Lock::try_take(self.db.file.path(), LockMode::Exclusive)
                    && let Ok(connection) = self.db.slot.take().await
                {
                    self.db.slot.end(connection).await;
                }
                return;
            }
            SqliteAccess::HostPool | SqliteAccess::ReadOnly => {}
        }
        self.db.slot.close().await;
        drop(self.lock);
    }

    fn error(phase: Phase, error: sqlx::Error) -> StoreError {
        store_error("write", phase, error)
    }

    fn may_lie_with_one(error: &StoreError) -> bool {
        errors::may_lie_with_one(error)
    }

    /// A connection may turn out to be read-only; the next one may be able to write.
    fn may_succeed_again(error: &StoreError) -> bool {
        errors::is_read_only(error)
    }

    /// An action that was assumed to be new exists, or another writer has committed.
    fn contradicts(error: &sqlx::Error) -> bool {
        errors::is_constraint(error)
    }
}
