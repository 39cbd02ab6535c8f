//! The single writer: takes all waiting batches, plans them, writes them as one transaction, then
//! answers.
//!
//! Callers wait for an answer, never for a statement, so a dropped future cannot interrupt a
//! transaction. The same queue makes group commit possible.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnection;
use tokio::task::JoinHandle;

use super::diagnostics::SqliteAccess;
use super::doubt::{Doubt, Failed, Verdict, unknown};
use super::errors::{self, is_read_only, store_error};
use super::file::{Lock, LockMode};
use super::identity::OpenFile;
use super::load;
use super::pipeline::CommitTimer;
use super::save::{self, Save};
use super::schema::BUSY;
use super::source::{Connection, ConnectionSlot};
use crate::backend::position_watch::PositionWatch;
use crate::backend::sql::{
    Answers, Frame, Lineage, Phase, ReadCache, Stored, WriteCache, WriteQueue, WriteRequest,
    answer_all, answer_each,
};
use crate::clock::Clock;
use crate::error::StoreError;
use crate::model::{ActionUid, Timestamp, TxnState, plan};

/// Pause between two attempts to make a store in doubt durable.
const AGAIN: Duration = Duration::from_millis(100);

/// Maximum number of attempts for a batch, if a connection turns out to be read-only or other
/// writers commit during the check of a doubtful commit.
const TRIES: usize = 3;

/// Interval between checks whether another process still writes.
pub(super) const COME_BACK: Duration = Duration::from_millis(1);

/// Pause after a commit that lets recently seen other writers in.
const GIVE_WAY: Duration = Duration::from_millis(2);
const LATELY: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    pub(super) access: SqliteAccess,
    pub(super) path: PathBuf,
    pub(super) clock: Clock,
    pub(super) position_watch: CloseOnDrop,
    pub(super) slot: ConnectionSlot,
    pub(super) file: Arc<OpenFile>,
    pub(super) lineage: Arc<Lineage>,
    /// The write cache. `None` until it is loaded, after every failure, and always if others write
    /// too.
    pub(super) write_cache: Option<WriteCache>,
    /// The part of the cache that readers use.
    pub(super) read_cache: Arc<ReadCache>,
    /// The reader tasks, which end when the writer does.
    pub(super) readers: Vec<JoinHandle<()>>,
    pub(super) lock: Arc<Option<Lock>>,
    pub(super) timer: CommitTimer,
    /// Time at which another process was last seen writing.
    pub(super) met: Option<Instant>,
    /// True while the store may hold unsynced bytes. Readers answer nothing then.
    pub(super) in_doubt: Arc<AtomicBool>,
    #[cfg(test)]
    pub(super) faults: super::faults::Faults,
}

impl Writer {
    /// Works until the store is closed and all waiting work is done. Returns true if all readers
    /// ended without a panic.
    pub(super) async fn run(mut self, mut write_queue: WriteQueue) -> bool {
        while self.wait(&mut write_queue).await {
            // Opens the connection first, which may take time, and then takes the batches. Until
            // then callers can withdraw them and know that nothing was applied.
            let ready = self.ready().await;
            let mut group = match (&ready, self.access) {
                (Ok(()), SqliteAccess::Exclusive) => self.run_pipeline(&mut write_queue).await,
                _ => write_queue.next_group(usize::MAX),
            };
            group.retain(|request| request.claim.take());
            match ready {
                Ok(()) if group.is_empty() => self.slot.rest(),
                Ok(()) => {
                    self.write_group(group, &mut write_queue).await;
                    if self.met.is_some_and(|met| met.elapsed() < LATELY) {
                        tokio::time::sleep(GIVE_WAY).await;
                    }
                }
                Err(error) => answer_all(group, &error),
            }
        }
        let mut whole = true;
        for reader in self.readers.drain(..) {
            whole &= reader.await.is_ok();
        }
        self.fold().await;
        whole
    }

    /// Waits for work. Returns false once the store is closed and no batch waits. Meanwhile makes a
    /// store in doubt durable, so that its readers can answer again.
    async fn wait(&mut self, write_queue: &mut WriteQueue) -> bool {
        while self.in_doubt.load(Ordering::Acquire) {
            tokio::select! {
                biased;
                more = write_queue.wait() => return more,
                () = tokio::time::sleep(AGAIN) => {}
            }
            if let Ok(connection) = self.connection().await {
                self.slot.hand_back(connection);
            }
        }
        write_queue.wait().await
    }

    /// Opens a connection to the store's own file, or returns the error.
    async fn ready(&mut self) -> Result<(), StoreError> {
        if let Err(error) = self.file.check_before("write") {
            self.let_go_of_lost_file().await;
            return Err(error);
        }
        self.slot.ready().await.map_err(reconnected)
    }

    /// Gives up a path whose file was removed or replaced. Checkpoints the WAL into its own file,
    /// which may have another name now, and moves it away from the path.
    async fn let_go_of_lost_file(&mut self) {
        let Err(lost) = self.file.check_known() else {
            return;
        };
        self.position_watch
            .0
            .break_off(lost.into_error("changed", Phase::Before));
        if matches!(self.access, SqliteAccess::Exclusive | SqliteAccess::Shared) {
            self.slot.fold_log().await;
            self.file.put_log_aside();
        }
    }

    /// Closes the last connection, which checkpoints the WAL into the file. If two processes close
    /// at the same time, both may skip the checkpoint, and a copy of the file would then lack the
    /// WAL.
    async fn fold(mut self) {
        if self.file.check().is_err() {
            self.let_go_of_lost_file().await;
        }
        match self.access {
            SqliteAccess::Exclusive => self.ready_to_fold().await,
            SqliteAccess::Shared => {
                self.ready_to_fold().await;
                self.slot.close().await;
                drop(self.lock);
                // Others may have closed at the same time. The last process now tries again.
                if let Ok(Some(_alone)) = Lock::try_take(&self.path, LockMode::Exclusive) {
                    drop(self.slot.ready().await);
                    self.slot.close().await;
                }
                return;
            }
            SqliteAccess::HostPool | SqliteAccess::ReadOnly => {}
        }
        self.slot.close().await;
        drop(self.lock);
    }

    /// Opens the connection whose close checkpoints the WAL, and first makes data in doubt durable.
    /// If either fails, the WAL stays for the next opener.
    async fn ready_to_fold(&mut self) {
        if let Ok(connection) = self.connection().await {
            self.slot.hand_back(connection);
        }
    }

    /// Writes the batches of a group in one transaction. If that fails and one batch may be the
    /// cause, writes each one alone. Owner commands that arrive meanwhile do not wait for all of
    /// these.
    async fn write_group(&mut self, requests: Vec<WriteRequest>, write_queue: &mut WriteQueue) {
        for request in self.write_together(requests).await {
            let mut owners = write_queue.next_owners();
            owners.retain(|request| request.claim.take());
            for request in self.write_together(owners).await {
                self.write_together(vec![request]).await;
            }
            self.write_together(vec![request]).await;
        }
    }

    /// Writes batches in one transaction. Returns them unanswered if one of them may be the cause
    /// of a failure; never returns a single batch.
    async fn write_together(&mut self, requests: Vec<WriteRequest>) -> Vec<WriteRequest> {
        if requests.is_empty() {
            return requests;
        }
        match self.transact(&requests).await {
            Ok(answers) => answer_each(requests, answers),
            Err(error) if requests.len() > 1 && errors::may_lie_with_one(&error) => {
                return requests;
            }
            Err(error) => answer_all(requests, &error),
        }
        Vec::new()
    }

    async fn transact(&mut self, requests: &[WriteRequest]) -> Result<Answers, StoreError> {
        let mut tries = 1..=TRIES;
        loop {
            let last = tries.next().is_none_or(|this| this == TRIES);
            let mut connection = self.connection().await?;
            match self.transact_on(&mut connection, requests).await {
                Ok(answers) => {
                    self.slot.hand_back(connection);
                    return Ok(answers);
                }
                Err(Failed::Before(error)) => {
                    let again = is_read_only(&error) && !last;
                    self.failed(connection, &error).await;
                    if !again {
                        return Err(error);
                    }
                }
                Err(Failed::AtCommit(doubt)) => match self.resolve(connection, &doubt).await {
                    Verdict::Applied(position) => {
                        self.position_watch.0.publish(position);
                        return Ok(doubt.answers);
                    }
                    Verdict::NotApplied => return Err(before(doubt.error)),
                    // If it was applied, the new plan finds it and answers `Already`.
                    Verdict::Overtaken if !last => {}
                    Verdict::Overtaken | Verdict::Unknown => return Err(unknown(doubt.error)),
                },
            }
        }
    }

    /// Handles a transaction that failed before its commit: drops the cache and rolls back. Closes
    /// a connection that cannot roll back or cannot write; the next transaction opens another one.
    pub(super) async fn failed(&mut self, mut connection: Connection, error: &StoreError) {
        self.write_cache = None;
        // Open connections still reach a lost file; a new connection would not.
        let is_lost = self.file.check_known().is_err();
        if roll_back(&mut connection).await && (is_lost || !is_read_only(error)) {
            self.slot.hand_back(connection);
        } else {
            // The connection has already failed, so an error on close has no effect.
            drop(connection.close().await);
        }
    }

    async fn transact_on(
        &mut self,
        connection: &mut SqliteConnection,
        requests: &[WriteRequest],
    ) -> Result<Answers, Failed> {
        let (mut txn, stored, numbers) = self.begin(connection, requests).await?;
        // Read only now: another writer may have held the file for seconds, and written later
        // timestamps.
        let answers = plan_jobs(requests, &mut txn, self.clock.now());
        let write_set = txn.into_write_set();
        if write_set.is_empty() {
            self.end_unchanged(connection, &answers).await?;
            return Ok(answers);
        }
        let mut save = save::script(&write_set, stored, numbers, Frame::Commit).map_err(before)?;
        if let Some(write_cache) = &self.write_cache {
            write_cache.invalidate(&write_set);
        }
        requests.iter().for_each(|request| request.claim.send());
        #[cfg(test)]
        (save.fault = self.faults.take());
        let after = match commit(connection, &mut save, &self.file).await {
            Ok(after) => after,
            Err((Phase::Before, error)) => return Err(before(error).into()),
            Err((Phase::Commit, error)) => {
                return Err(Failed::AtCommit(Doubt {
                    before: stored.last_commit,
                    after: save.expected().last_commit,
                    answers,
                    error,
                }));
            }
        };
        match &mut self.write_cache {
            Some(write_cache) if write_cache.stored == stored => {
                let applied = write_cache.apply(write_set, &save.numbers, after);
                write_cache.committed(applied, after.pruned_through);
            }
            // Another writer has committed, so the cache is outdated.
            _ => self.write_cache = None,
        }
        self.position_watch.0.publish(self.lineage.at(after));
        Ok(answers)
    }
}

impl Writer {
    /// Begins a transaction and loads the data that its batches need.
    ///
    ///
    /// On a shared file this retries at short intervals while another connection writes. SQLite
    /// itself would retry only every 100 milliseconds. It would then nearly always find the file
    /// locked by a process that writes one transaction after another. Other writers may wait in
    /// SQLite's way (a host's pool does). So a writer that has met them pauses for a moment after a
    /// commit.
    async fn begin(
        &mut self,
        connection: &mut SqliteConnection,
        requests: &[WriteRequest],
    ) -> Result<(TxnState, Stored, HashMap<ActionUid, i64>), StoreError> {
        let begun = Instant::now();
        loop {
            let read_set = requests.iter().map(|request| &request.read_set);
            let txn = load::load(connection, read_set, Some(load::BEGIN)).await;
            match txn {
                Err(error) if self.comes_back(&error) && begun.elapsed() < BUSY => {}
                txn => return txn,
            }
            self.met = Some(Instant::now());
            roll_back(connection).await;
            tokio::time::sleep(COME_BACK).await;
        }
    }

    pub(super) fn comes_back(&self, error: &StoreError) -> bool {
        self.access == SqliteAccess::Shared && errors::is_busy(error)
    }
}

pub(super) fn plan_jobs(requests: &[WriteRequest], txn: &mut TxnState, now: Timestamp) -> Answers {
    let plan_job = |request: &WriteRequest| plan(&request.batch, &request.read_set, txn, now);
    requests.iter().map(plan_job).collect()
}

/// Runs the statements of a write, including COMMIT. Returns the new position, or the point at
/// which it failed.
pub(super) async fn commit(
    connection: &mut SqliteConnection,
    save: &mut Save,
    file: &OpenFile,
) -> Result<Stored, (Phase, sqlx::Error)> {
    #[cfg(test)]
    if let Some(fault) = save.fault.take() {
        return fault.commit(connection, save).await;
    }
    let statements = save.script.len();
    file.check().map_err(|lost| (Phase::Before, lost.into()))?;
    match save.script.take().run(connection).await {
        Ok(results) => {
            // The commit is in the open file. Checks that the path still leads to it.
            file.check().map_err(|lost| (Phase::Commit, lost.into()))?;
            Ok(save.after(&results))
        }
        // A refused COMMIT leaves the transaction open, so it is rolled back later.
        Err(failed) if failed.done + 1 >= statements && !errors::was_refused(&failed.error) => {
            Err((Phase::Commit, failed.error))
        }
        Err(failed) => Err((Phase::Before, failed.error)),
    }
}

/// Rolls back an open transaction. Returns false if that fails.
pub(super) async fn roll_back(connection: &mut SqliteConnection) -> bool {
    match sqlx::query("ROLLBACK").execute(connection).await {
        Ok(_) => true,
        Err(error) => {
            let database = error.as_database_error();
            database.is_some_and(|e| e.message().contains("no transaction is active"))
        }
    }
}

pub(super) fn before(error: sqlx::Error) -> StoreError {
    store_error("write", Phase::Before, error)
}

/// Ends all waits for changes when the writer ends for any reason, also with its runtime: no
/// position is announced after that.
pub(super) struct CloseOnDrop(pub(super) Arc<PositionWatch>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The error for a write when a connection could not be reopened.
pub(super) fn reconnected(error: StoreError) -> StoreError {
    StoreError::new(error.kind(), "write", "the database cannot be opened again").with_source(error)
}
