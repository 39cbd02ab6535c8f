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

use super::branch::Lineage;
use super::diagnostics::SqliteAccess;
use super::doubt::{Doubt, Failed, Verdict, unknown};
use super::errors::{self, Phase, is_read_only, store_error};
use super::file::{Hold, Lock};
use super::flight::Pace;
use super::heads::Heads;
use super::hot::Hot;
use super::identity::OpenFile;
use super::lanes::{Job, Lanes};
use super::load::{self, Stored};
use super::save::{self, Frame, Save};
use super::schema::BUSY;
use super::source::{Connection, Line};
use crate::backend::bell::Bell;
use crate::clock::Clock;
use crate::error::StoreError;
use crate::model::{ActionUid, Done, Position, Rejection, Revision, Timestamp, TxnState, plan};

/// The results of a batch.
pub(super) type Answer = Result<Vec<Result<Done, Rejection>>, StoreError>;

/// Pause between two attempts to make a store in doubt durable.
const AGAIN: Duration = Duration::from_millis(100);

/// Maximum number of attempts for a batch, if a connection turns out to be read-only or other
/// writers commit during the check of a doubtful commit.
const TRIES: usize = 3;

/// Interval between checks whether another process still writes.
const COME_BACK: Duration = Duration::from_millis(1);

/// Pause after a commit that lets recently seen other writers in.
const GIVE_WAY: Duration = Duration::from_millis(2);
const LATELY: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    pub(super) access: SqliteAccess,
    pub(super) path: PathBuf,
    pub(super) clock: Clock,
    pub(super) bell: Ringer,
    pub(super) line: Line,
    pub(super) file: Arc<OpenFile>,
    pub(super) lineage: Arc<Lineage>,
    /// The write cache. `None` until it is loaded, after every failure, and always if others write
    /// too.
    pub(super) heads: Option<Heads>,
    /// The part of the cache that readers use.
    pub(super) hot: Arc<Hot>,
    /// The reader tasks, which end when the writer does.
    pub(super) readers: Vec<JoinHandle<()>>,
    pub(super) lock: Arc<Option<Lock>>,
    pub(super) pace: Pace,
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
    pub(super) async fn run(mut self, mut lanes: Lanes) -> bool {
        while self.wait(&mut lanes).await {
            // Opens the connection first, which may take time, and then takes the batches. Until
            // then callers can withdraw them and know that nothing was applied.
            let ready = self.ready().await;
            let mut group = match (&ready, self.access) {
                (Ok(()), SqliteAccess::Exclusive) => self.fly(&mut lanes).await,
                _ => lanes.next_group(usize::MAX),
            };
            group.retain(|job| job.claim.take());
            match ready {
                Ok(()) if group.is_empty() => self.line.rest(),
                Ok(()) => {
                    self.write_group(group, &mut lanes).await;
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
    async fn wait(&mut self, lanes: &mut Lanes) -> bool {
        while self.in_doubt.load(Ordering::Acquire) {
            tokio::select! {
                biased;
                more = lanes.wait() => return more,
                () = tokio::time::sleep(AGAIN) => {}
            }
            if let Ok(connection) = self.connection().await {
                self.line.hand_back(connection);
            }
        }
        lanes.wait().await
    }

    /// Opens a connection to the store's own file, or returns the error.
    async fn ready(&mut self) -> Result<(), StoreError> {
        if let Err(error) = self.file.check_before("write") {
            self.let_go_of_lost_file().await;
            return Err(error);
        }
        self.line.ready().await.map_err(reconnected)
    }

    /// Gives up a path whose file was removed or replaced. Checkpoints the WAL into its own file,
    /// which may have another name now, and moves it away from the path.
    async fn let_go_of_lost_file(&mut self) {
        let Err(lost) = self.file.check_known() else {
            return;
        };
        self.bell
            .0
            .break_off(lost.into_error("changed", Phase::Before));
        if matches!(self.access, SqliteAccess::Exclusive | SqliteAccess::Shared) {
            self.line.fold_log().await;
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
                self.line.close().await;
                drop(self.lock);
                // Others may have closed at the same time. The last process now tries again.
                if let Ok(Some(_alone)) = Lock::try_take(&self.path, Hold::Exclusive) {
                    drop(self.line.ready().await);
                    self.line.close().await;
                }
                return;
            }
            SqliteAccess::HostPool | SqliteAccess::ReadOnly => {}
        }
        self.line.close().await;
        drop(self.lock);
    }

    /// Opens the connection whose close checkpoints the WAL, and first makes data in doubt durable.
    /// If either fails, the WAL stays for the next opener.
    async fn ready_to_fold(&mut self) {
        if let Ok(connection) = self.connection().await {
            self.line.hand_back(connection);
        }
    }

    /// Writes the batches of a group in one transaction. If that fails and one batch may be the
    /// cause, writes each one alone. Owner commands that arrive meanwhile do not wait for all of
    /// these.
    async fn write_group(&mut self, jobs: Vec<Job>, lanes: &mut Lanes) {
        for job in self.write_together(jobs).await {
            let mut owners = lanes.next_owners();
            owners.retain(|job| job.claim.take());
            for job in self.write_together(owners).await {
                self.write_together(vec![job]).await;
            }
            self.write_together(vec![job]).await;
        }
    }

    /// Writes batches in one transaction. Returns them unanswered if one of them may be the cause
    /// of a failure; never returns a single batch.
    async fn write_together(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        if jobs.is_empty() {
            return jobs;
        }
        match self.transact(&jobs).await {
            Ok(answers) => answer_each(jobs, answers),
            Err(error) if jobs.len() > 1 && errors::may_lie_with_one(&error) => return jobs,
            Err(error) => answer_all(jobs, &error),
        }
        Vec::new()
    }

    async fn transact(&mut self, jobs: &[Job]) -> Result<Answers, StoreError> {
        let mut tries = 1..=TRIES;
        loop {
            let last = tries.next().is_none_or(|this| this == TRIES);
            let mut connection = self.connection().await?;
            match self.transact_on(&mut connection, jobs).await {
                Ok(answers) => {
                    self.line.hand_back(connection);
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
                        self.bell.0.ring(position);
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
        self.heads = None;
        // Open connections still reach a lost file; a new connection would not.
        let is_lost = self.file.check_known().is_err();
        if roll_back(&mut connection).await && (is_lost || !is_read_only(error)) {
            self.line.hand_back(connection);
        } else {
            // The connection has already failed, so an error on close has no effect.
            drop(connection.close().await);
        }
    }

    async fn transact_on(
        &mut self,
        connection: &mut SqliteConnection,
        jobs: &[Job],
    ) -> Result<Answers, Failed> {
        let (mut txn, stored, numbers) = self.begin(connection, jobs).await?;
        // Read only now: another writer may have held the file for seconds, and written later
        // timestamps.
        let answers = plan_jobs(jobs, &mut txn, self.clock.now());
        let write_set = txn.into_write_set();
        if write_set.is_empty() {
            self.end_unchanged(connection, &answers).await?;
            return Ok(answers);
        }
        let mut save = save::script(&write_set, stored, numbers, Frame::Commit).map_err(before)?;
        if let Some(heads) = &self.heads {
            heads.withhold(&write_set);
        }
        jobs.iter().for_each(|job| job.claim.send());
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
        match &mut self.heads {
            Some(heads) if heads.stored == stored => {
                let applied = heads.apply(write_set, &save.numbers, after);
                heads.landed(applied, after.pruned_through);
            }
            // Another writer has committed, so the cache is outdated.
            _ => self.heads = None,
        }
        self.bell.0.ring(position(&self.lineage, after));
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
        jobs: &[Job],
    ) -> Result<(TxnState, Stored, HashMap<ActionUid, i64>), StoreError> {
        let begun = Instant::now();
        loop {
            let read_set = jobs.iter().map(|job| &job.read_set);
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

/// The results of the batches of a group.
pub(super) type Answers = Vec<Vec<Result<Done, Rejection>>>;

pub(super) fn plan_jobs(jobs: &[Job], txn: &mut TxnState, now: Timestamp) -> Answers {
    let plan_job = |job: &Job| plan(&job.batch, &job.read_set, txn, now);
    jobs.iter().map(plan_job).collect()
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

pub(super) fn position(lineage: &Lineage, stored: Stored) -> Position {
    let revision = |number: i64| Revision::new(u64::try_from(number).unwrap_or_default());
    Position {
        revision: revision(stored.revision),
        pruned_through: revision(stored.pruned_through),
        pruned_created: stored.pruned_created.map(Timestamp::from_micros),
        ..lineage.position()
    }
}

/// Ends all waits for changes when the writer ends for any reason, also with its runtime: no
/// position is announced after that.
pub(super) struct Ringer(pub(super) Arc<Bell>);

impl Drop for Ringer {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The error for a write when a connection could not be reopened.
pub(super) fn reconnected(error: StoreError) -> StoreError {
    StoreError::new(error.kind(), "write", "the database cannot be opened again").with_source(error)
}

pub(super) fn answer_each(jobs: Vec<Job>, answers: Answers) {
    for (job, answer) in jobs.into_iter().zip(answers) {
        answer_job(job, Ok(answer));
    }
}

pub(super) fn answer_all(jobs: Vec<Job>, error: &StoreError) {
    for job in jobs {
        answer_job(job, Err(error.clone()));
    }
}

fn answer_job(job: Job, answer: Answer) {
    // Released first, so that a caller that continues at once finds room.
    drop(job.room);
    // The caller may have gone away; the error is ignored.
    let _gone = job.reply.send(answer);
}
