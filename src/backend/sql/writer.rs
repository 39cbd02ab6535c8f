//! The single writer of a store, and how it writes a group of batches as one transaction.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::commit_timer::CommitTimer;
use super::doubt::resolve;
use super::engine::{Doubt, Encoded, Engine, Frame, Phase, Verdict};
use super::lineage::Lineage;
use super::read_cache::ReadCache;
use super::write_cache::WriteCache;
use super::write_request::{Answers, WriteRequest, answer_all, answer_each};
use crate::error::StoreError;
use crate::model::{Effect, Timestamp, TxnState, plan};
use crate::spi::PositionWatch;
use crate::telemetry::{self, Stopwatch};

/// Maximum number of attempts for a batch, if its transaction may succeed when it is tried again,
/// or other writers commit during the check of a doubtful commit.
const TRIES: usize = 3;

pub(super) struct Writer<E: Engine> {
    pub(super) engine: E,
    pub(super) lineage: Arc<Lineage>,
    pub(super) position_watch: CloseOnDrop,
    /// The write cache. `None` until it is loaded, after every failure, and always if others write
    /// too.
    pub(super) write_cache: Option<WriteCache>,
    /// The part of the cache that readers use.
    pub(super) read_cache: Arc<ReadCache>,
    /// The reader tasks, which end when the writer does.
    pub(super) readers: Vec<JoinHandle<()>>,
    pub(super) timer: CommitTimer,
    /// Batches that a host's transaction blocks. They are tried again later.
    pub(super) blocked: Vec<WriteRequest>,
}

/// Reason why a transaction has no answers.
enum Failed<E: Engine> {
    /// It failed before its COMMIT was sent.
    Before(StoreError),
    AtCommit(Doubt<E>, Answers),
}

impl<E: Engine> From<StoreError> for Failed<E> {
    fn from(error: StoreError) -> Failed<E> {
        Failed::Before(error)
    }
}

impl<E: Engine> Writer<E> {
    /// Writes batches in one transaction, without those that were withdrawn. Returns them unanswered
    /// if one of them may be the cause of a failure; their callers may withdraw them then. Never
    /// returns a single batch.
    pub(super) async fn write_together(
        &mut self,
        mut requests: Vec<WriteRequest>,
    ) -> Vec<WriteRequest> {
        requests.retain(|request| request.claim.take());
        if requests.is_empty() {
            return requests;
        }
        match self.transact(&mut requests).await {
            Ok(answers) => answer_each(requests, answers),
            Err(error) if requests.len() > 1 && E::may_lie_with_one(&error) => {
                requests.iter().for_each(|request| request.claim.refused());
                return requests;
            }
            Err(error) => answer_all(requests, &error),
        }
        Vec::new()
    }

    /// Moves the batches that cannot be planned now from `requests` to `self.blocked`.
    async fn transact(&mut self, requests: &mut Vec<WriteRequest>) -> Result<Answers, StoreError> {
        let mut tries = 1..=TRIES;
        loop {
            let last = tries.next().is_none_or(|this| this == TRIES);
            let mut connection = self.engine.connection().await?;
            match self.transact_on(&mut connection, requests).await {
                Ok(answers) => {
                    self.engine.hand_back(connection);
                    return Ok(answers);
                }
                Err(Failed::Before(error)) => {
                    let again = E::may_succeed_again(&error) && !last;
                    take_back(requests);
                    self.failed(connection, &error).await;
                    if !again {
                        return Err(error);
                    }
                }
                Err(Failed::AtCommit(doubt, answers)) => {
                    match self.resolve(connection, &doubt).await {
                        Verdict::Applied(stored) => {
                            let position = self.lineage.at(stored);
                            self.position_watch.0.publish(position);
                            return Ok(answers);
                        }
                        Verdict::NotApplied => {
                            let error = E::error(Phase::Before, doubt.error);
                            take_back(requests);
                            if last || !E::may_succeed_again(&error) {
                                return Err(error);
                            }
                        }
                        // If it was applied, the new plan finds it and answers `Already`.
                        Verdict::Overtaken if !last => {
                            requests.iter().for_each(|request| request.claim.doubt());
                        }
                        Verdict::Overtaken | Verdict::Unknown => {
                            return Err(E::error(Phase::Commit, doubt.error));
                        }
                    }
                }
            }
        }
    }

    /// Handles a transaction that failed before its commit: drops the cache and rolls back.
    pub(super) async fn failed(&mut self, connection: E::Connection, error: &StoreError) {
        self.write_cache = None;
        self.engine.give_up(connection, error).await;
    }

    /// Finds out whether a transaction whose commit failed was applied.
    pub(super) async fn resolve(&mut self, failed: E::Connection, doubt: &Doubt<E>) -> Verdict {
        self.write_cache = None;
        resolve(&mut self.engine, failed, doubt).await
    }

    async fn transact_on(
        &mut self,
        connection: &mut E::Connection,
        requests: &mut Vec<WriteRequest>,
    ) -> Result<Answers, Failed<E>> {
        let read_sets: Vec<_> = requests.iter().map(|request| &request.read_set).collect();
        let loaded = self.engine.load(connection, &read_sets).await?;
        let (mut txn, stored) = (loaded.txn, loaded.stored);
        if !loaded.blocked.is_empty() {
            let mut indexes = 0..;
            let is_blocked = |_: &mut WriteRequest| {
                let index = indexes.next();
                index.is_some_and(|index| loaded.blocked.contains(&index))
            };
            self.blocked.extend(requests.extract_if(.., is_blocked));
        }
        let answers = plan_all(requests, &mut txn, loaded.now);
        let write_set = txn.into_write_set();
        if write_set.is_empty() {
            let mut done = answers.iter().flatten().flatten();
            let repeats = done.any(|done| done.effect == Effect::Already);
            self.engine.end_unchanged(connection, repeats).await?;
            return Ok(answers);
        }
        let mut save = self
            .engine
            .encode(&write_set, stored, loaded.numbers, Frame::Commit)?;
        if let Some(write_cache) = &self.write_cache {
            write_cache.invalidate(&write_set);
        }
        requests.iter().for_each(|request| request.claim.send());
        let stopwatch = Stopwatch::start();
        let after = match self.engine.commit(connection, &mut save).await {
            Ok(after) => after,
            Err((Phase::Before, error)) => return Err(E::error(Phase::Before, error).into()),
            Err((Phase::Commit, error)) => {
                let before = stored;
                let doubt = Doubt {
                    before,
                    save,
                    error,
                };
                return Err(Failed::AtCommit(doubt, answers));
            }
        };
        telemetry::committed(stopwatch.elapsed(), commands_of(requests));
        match &mut self.write_cache {
            Some(write_cache) if write_cache.stored == stored => {
                let applied = write_cache.apply(write_set, save.numbers(), after);
                write_cache.committed(applied, after.pruned_through);
            }
            // Another writer has committed, so the cache is outdated.
            _ => self.write_cache = None,
        }
        self.position_watch.0.publish(self.lineage.at(after));
        Ok(answers)
    }
}

/// Takes batches again that certainly were not applied.
fn take_back(requests: &[WriteRequest]) {
    for request in requests {
        // They are the writer's, so this does not fail.
        let _taken = request.claim.take();
    }
}

pub(super) fn plan_all(requests: &[WriteRequest], txn: &mut TxnState, now: Timestamp) -> Answers {
    let plan_one = |request: &WriteRequest| plan(&request.batch, &request.read_set, txn, now);
    requests.iter().map(plan_one).collect()
}

/// Returns the number of commands in all batches.
pub(super) fn commands_of(requests: &[WriteRequest]) -> usize {
    let commands = requests.iter().map(|request| request.batch.commands.len());
    commands.sum()
}

/// Ends all waits for changes when the writer ends for any reason, also with its runtime: no
/// position is announced after that.
pub(super) struct CloseOnDrop(pub(super) Arc<PositionWatch>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}
