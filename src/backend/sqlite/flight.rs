//! Pipelined transactions: the next one is planned while SQLite's thread executes the current one.
//!
//! The plan assumes that the current transaction commits. If it does not, the plan is dropped and
//! its batches are planned again. The database would refuse it too, because it is not at the
//! revision that the plan expects.

use std::collections::HashSet;
use std::pin::pin;
use std::time::{Duration, Instant};

use super::doubt::{Doubt, Verdict, unknown};
use super::errors::{Phase, is_constraint, is_read_only, may_lie_with_one, store_error};
use super::heads::{Applied, Heads, Remembered};
use super::lanes::{Job, Lanes};
use super::save::{self, Frame, Save};
use super::source::Connection;
use super::writer::{
    Answers, Writer, answer_all, answer_each, before, commit, plan_jobs, position, roll_back,
};
use crate::error::StoreError;
use crate::model::{ActionUid, WriteSet};

/// Estimated time per command on SQLite's thread, and estimated time for the rest of a batch:
/// planning it, answering the caller, and the caller's next request.
const IN_SQLITE: Duration = Duration::from_micros(20);
const ELSEWHERE: Duration = Duration::from_micros(8);

/// Estimated recent time that a transaction waits for the disk, in addition to its commands.
#[derive(Debug, Default)]
pub(super) struct Pace {
    disk: Duration,
    /// Always splits batches into two transactions, independent of cost.
    #[cfg(test)]
    always: bool,
}

impl Pace {
    #[cfg(test)]
    pub(super) fn always(always: bool) -> Pace {
        let disk = Duration::ZERO;
        Pace { disk, always }
    }

    fn learn(&mut self, commands: usize, took: Duration) {
        let work = IN_SQLITE.saturating_mul(u32::try_from(commands).unwrap_or(u32::MAX));
        self.disk = (self.disk * 9 + took.saturating_sub(work)) / 10;
    }

    /// Returns true if the batches should be written in two transactions. One half is then answered
    /// and can come again while the other is written. This waits for the disk twice, so it helps
    /// only if the disk is not the bottleneck.
    fn parts(&self, batches: usize) -> bool {
        #[cfg(test)]
        if self.always {
            return true;
        }
        ELSEWHERE.saturating_mul(u32::try_from(batches).unwrap_or(u32::MAX)) > self.disk
    }
}

/// A transaction that is ready to be sent.
struct Draft {
    jobs: Vec<Job>,
    answers: Answers,
    write_set: WriteSet,
    save: Save,
}

/// Batches that need data that is not cached.
type Cold = Vec<Job>;

impl Writer {
    /// Writes waiting batches while the cache has all their data. Returns batches that must load
    /// data, or `None` once no batch waits. Their callers may still withdraw them.
    pub(super) async fn fly(&mut self, lanes: &mut Lanes) -> Cold {
        // Callers that were answered together come back together, after all of them have run.
        lanes.settle().await;
        let most = match lanes.len() {
            all if self.pace.parts(all) => all.div_ceil(2),
            all => all,
        };
        let mut group = lanes.next_group(most);
        let (mut connection, mut heads) = match self.remember().await {
            Ok(both) => both,
            Err(error) => {
                group.retain(|job| job.claim.take());
                answer_all(group, &error);
                return Cold::new();
            }
        };
        let mut next = self.draft(&heads, group);
        let mut committed: (Vec<Job>, Answers) = Default::default();
        loop {
            let sent = match next.and_then(|draft| self.claim(&heads, draft)) {
                Ok(draft) if !draft.write_set.is_empty() => draft,
                nothing_to_send => {
                    (self.heads, next) = (Some(heads), nothing_to_send);
                    self.line.hand_back(connection);
                    answer_each(committed.0, committed.1);
                    break;
                }
            };
            let Draft {
                jobs,
                answers,
                write_set,
                mut save,
            } = sent;
            #[cfg(test)]
            (save.fault = self.faults.take());
            heads.withhold(&write_set);
            let stored = heads.stored;
            let applied = heads.apply(write_set, &save.numbers, save.expected());
            jobs.iter().for_each(|job| job.claim.send());
            let (flying, begun) = (jobs.len(), Instant::now());
            let (ended, meanwhile) = {
                let mut under_way = pin!(commit(&mut connection, &mut save, &self.file));
                let (pace, committed) = (&self.pace, &mut committed);
                let next = async {
                    let (jobs, answers) = std::mem::take(committed);
                    answer_each(jobs, answers);
                    lanes.gather(|waiting| pace.parts(flying + waiting)).await;
                    let half = (flying + lanes.len()).div_ceil(2);
                    self.draft(&heads, lanes.next_group(half))
                };
                tokio::select! {
                    // Polled first, which sends it: SQLite works while the other callers are
                    // answered.
                    biased;
                    ended = &mut under_way => (ended, None),
                    next = next => (under_way.await, Some(next)),
                }
            };
            answer_each(committed.0, committed.1);
            let after = match ended {
                Ok(after) => after,
                Err((phase, error)) => {
                    lanes.put_back(meanwhile.map(batches).unwrap_or_default());
                    if phase == Phase::Commit {
                        drop(heads);
                        let doubt = Doubt {
                            before: stored.last_commit,
                            after: save.expected().last_commit,
                            answers,
                            error,
                        };
                        return self.settle_doubt(connection, jobs, doubt).await;
                    }
                    return self.fall(connection, heads, applied, jobs, error).await;
                }
            };
            let commands = jobs.iter().map(|job| job.batch.commands.len());
            self.pace.learn(commands.sum(), begun.elapsed());
            heads.landed(applied, after.pruned_through);
            self.bell.0.ring(position(&self.lineage, heads.stored));
            committed = (jobs, answers);
            next = meanwhile.unwrap_or_else(|| Err(Cold::new()));
        }
        match next {
            Ok(draft) => {
                answer_each(draft.jobs, draft.answers);
                Cold::new()
            }
            Err(cold) => cold,
        }
    }

    /// Returns a connection and the cache, which is reloaded if it was dropped.
    async fn remember(&mut self) -> Result<(Connection, Heads), StoreError> {
        let mut connection = self.connection().await?;
        if let Some(heads) = self.heads.take() {
            return Ok((connection, heads));
        }
        match Heads::read(&mut connection, self.hot.clone()).await {
            Ok(heads) => Ok((connection, heads)),
            Err(error) => {
                self.failed(connection, &error).await;
                Err(error)
            }
        }
    }

    /// Plans batches from the cache.
    fn draft(&self, heads: &Heads, jobs: Vec<Job>) -> Result<Draft, Cold> {
        let Some(Remembered {
            mut txn,
            numbers,
            assumed,
        }) = heads.recall(&jobs)
        else {
            return Err(jobs);
        };
        let answers = plan_jobs(&jobs, &mut txn, self.clock.now());
        let write_set = txn.into_write_set();
        let entered: HashSet<ActionUid> = write_set.created.iter().map(|a| a.uid).collect();
        if !assumed.is_subset(&entered) {
            return Err(jobs);
        }
        match save::script(&write_set, heads.stored, numbers, Frame::BeginAndCommit) {
            Ok(save) => Ok(Draft {
                jobs,
                answers,
                write_set,
                save,
            }),
            // The load that follows meets the same error and reports it.
            Err(_) => Err(jobs),
        }
    }

    /// Takes the batches from their callers, without those that were withdrawn meanwhile.
    fn claim(&self, heads: &Heads, mut draft: Draft) -> Result<Draft, Cold> {
        let planned = draft.jobs.len();
        draft.jobs.retain(|job| job.claim.take());
        match draft.jobs.len() == planned {
            true => Ok(draft),
            false => self.draft(heads, draft.jobs),
        }
    }

    /// Handles a transaction that failed before its commit.
    async fn fall(
        &mut self,
        mut connection: Connection,
        mut heads: Heads,
        applied: Applied,
        jobs: Vec<Job>,
        error: sqlx::Error,
    ) -> Cold {
        // An action that was assumed to be new exists, or another writer has committed.
        if is_constraint(&error) && roll_back(&mut connection).await {
            heads.undo(applied);
            self.heads = Some(heads);
            self.line.hand_back(connection);
            return jobs;
        }
        drop(heads);
        let error = store_error("write", Phase::Before, error);
        self.failed(connection, &error).await;
        self.refuse(jobs, error)
    }

    /// Handles a transaction whose commit failed.
    async fn settle_doubt(&mut self, failed: Connection, jobs: Vec<Job>, doubt: Doubt) -> Cold {
        match self.resolve(failed, &doubt).await {
            Verdict::Applied(position) => {
                self.bell.0.ring(position);
                answer_each(jobs, doubt.answers);
                Cold::new()
            }
            Verdict::NotApplied => self.refuse(jobs, before(doubt.error)),
            Verdict::Overtaken => jobs,
            Verdict::Unknown => {
                answer_all(jobs, &unknown(doubt.error));
                Cold::new()
            }
        }
    }

    /// Answers batches that were certainly not applied, or returns them to be tried one by one.
    fn refuse(&self, jobs: Vec<Job>, error: StoreError) -> Cold {
        // A connection that cannot write was closed; the next one may be able to.
        if is_read_only(&error) || (jobs.len() > 1 && may_lie_with_one(&error)) {
            return jobs;
        }
        answer_all(jobs, &error);
        Cold::new()
    }
}

fn batches(draft: Result<Draft, Cold>) -> Vec<Job> {
    match draft {
        Ok(draft) => draft.jobs,
        Err(cold) => cold,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::model::{Batch, CancelRequest, Change, Command, Finish, NewAction, OpId, Outcome};
    use crate::store::{ActionStore, ActionStoreExt};
    use crate::{Action, ErrorKind, SqliteOptions, SqliteStore};

    /// A store that plans one transaction during another whenever two batches wait.
    async fn open(dir: &tempfile::TempDir, mut options: SqliteOptions) -> SqliteStore {
        options.always_parts = true;
        options.open(dir.path().join("actions.db")).await.unwrap()
    }

    fn create(new: Arc<NewAction>) -> Command {
        Command::Create { new, by: None }
    }

    fn request_cancel(action: &Action) -> Command {
        Command::Apply {
            uid: action.uid,
            op: OpId::new(),
            change: Change::RequestCancel(CancelRequest::default()),
            by: None,
            if_version: None,
        }
    }

    /// Many actions, then one that exists but that the cache assumes to be new.
    async fn refused_in_the_end(store: &SqliteStore, first: Command) -> Batch {
        let there = store.create(NewAction::task("there")).await.unwrap();
        let end = Finish::new(Outcome::Cancelled);
        store.finish(there.uid, end, None).await.unwrap();
        let mut commands = vec![first];
        commands.extend((0..400).map(|_| create(NewAction::task("new").into())));
        commands.push(create(NewAction::task("other").with_uid(there.uid).into()));
        Batch::all(commands)
    }

    #[tokio::test]
    async fn what_was_planned_on_a_transaction_that_fails_is_planned_anew() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, SqliteOptions::new()).await;
        let action = store.create(NewAction::task("a")).await.unwrap();
        let refused = refused_in_the_end(&store, request_cancel(&action)).await;
        // Sent in sequence, before the writer runs.
        let meanwhile = Batch::each(vec![request_cancel(&action)]);
        let (refused, meanwhile) = tokio::join!(store.write(refused), store.write(meanwhile));
        assert!(refused.unwrap().iter().all(Result::is_err));
        let requested = meanwhile.unwrap().pop().unwrap().unwrap().action.unwrap();
        // The first request was not applied: this one is the second version, not a repeat.
        assert_eq!(requested.version.get(), 2);
        assert_eq!(store.action(action.uid).await.unwrap(), Some(requested));
        let end = Finish::new(Outcome::Cancelled);
        let ended = store.finish(action.uid, end, None).await.unwrap();
        assert_eq!(ended.version.get(), 3);
        store.close().await.unwrap();
    }

    #[tokio::test]
    async fn what_fails_for_want_of_room_leaves_what_was_planned_on_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, SqliteOptions::new().with_max_bytes(600 * 1024)).await;
        let action = store.create(NewAction::task("a")).await.unwrap();
        let long = || NewAction::task("long").with_description("x".repeat(4000));
        let large = Batch::all((0..400).map(|_| create(long().into())).collect());
        let meanwhile = Batch::each(vec![request_cancel(&action)]);
        let (large, meanwhile) = tokio::join!(store.write(large), store.write(meanwhile));
        assert_eq!(large.unwrap_err().kind(), ErrorKind::Unavailable);
        let requested = meanwhile.unwrap().pop().unwrap().unwrap().action.unwrap();
        assert_eq!(requested.version.get(), 2);
        assert_eq!(store.action(action.uid).await.unwrap(), Some(requested));
        store.close().await.unwrap();
    }

    #[tokio::test]
    async fn what_was_removed_meanwhile_is_told_by_the_next_too() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, SqliteOptions::new()).await;
        let action = store.create(NewAction::task("a")).await.unwrap();
        let gone = store.create(NewAction::task("gone")).await.unwrap();
        let end = Command::Apply {
            uid: gone.uid,
            op: OpId::new(),
            change: Change::Finish(Finish::new(Outcome::Cancelled)),
            by: None,
            if_version: None,
        };
        let remove = Command::Remove {
            uid: gone.uid,
            if_version: gone.version.next(),
        };
        let removed = Batch::all(vec![end, remove]);
        let meanwhile = Batch::each(vec![request_cancel(&action)]);
        let (removed, meanwhile) = tokio::join!(store.write(removed), store.write(meanwhile));
        assert!(removed.unwrap().iter().all(Result::is_ok));
        meanwhile.unwrap().pop().unwrap().unwrap();
        let at = store.changed(None).await.unwrap();
        assert!(at.pruned_through.get() > 0, "{at:?}");
        let page = store.list(&crate::Query::new()).await.unwrap();
        assert_eq!(page.at, at);
        store.close().await.unwrap();
    }
}
