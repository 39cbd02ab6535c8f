//! Pipelined transactions: the next one is planned while the database executes the current one.
//!
//! The plan assumes that the current transaction commits. If it does not, the plan is dropped and
//! its batches are planned again. The database would refuse it too, because it is not at the
//! revision that the plan expects.

use std::collections::HashSet;
use std::pin::pin;
use std::time::Instant;

use super::engine::{Doubt, Encoded, Engine, Frame, Phase, Verdict};
use super::write_cache::{Applied, Remembered, WriteCache};
use super::write_queue::WriteQueue;
use super::write_request::{Answers, WriteRequest, answer_all, answer_each};
use super::writer::{Writer, plan_all};
use crate::error::StoreError;
use crate::model::{ActionUid, WriteSet};

/// A transaction that is ready to be sent.
struct PlannedTxn<E: Engine> {
    requests: Vec<WriteRequest>,
    answers: Answers,
    write_set: WriteSet,
    save: E::Save,
}

/// Batches that need data that is not cached.
type CacheMiss = Vec<WriteRequest>;

impl<E: Engine> Writer<E> {
    /// Writes waiting batches while the cache has all their data. Returns batches that must load
    /// data, or `None` once no batch waits. Their callers may still withdraw them.
    pub(super) async fn run_pipeline(&mut self, write_queue: &mut WriteQueue) -> CacheMiss {
        // Callers that were answered together come back together, after all of them have run.
        write_queue.settle().await;
        let most = match write_queue.len() {
            all if self.timer.parts(all) => all.div_ceil(2),
            all => all,
        };
        let mut group = write_queue.next_group(most);
        let (mut connection, mut write_cache) = match self.remember().await {
            Ok(both) => both,
            Err(error) => {
                group.retain(|request| request.claim.take());
                answer_all(group, &error);
                return CacheMiss::new();
            }
        };
        let mut next = self.draft(&write_cache, group);
        let mut committed: (Vec<WriteRequest>, Answers) = Default::default();
        loop {
            let sent = match next.and_then(|draft| self.claim(&write_cache, draft)) {
                Ok(draft) if !draft.write_set.is_empty() => draft,
                nothing_to_send => {
                    (self.write_cache, next) = (Some(write_cache), nothing_to_send);
                    self.engine.hand_back(connection);
                    answer_each(committed.0, committed.1);
                    break;
                }
            };
            let PlannedTxn {
                requests,
                answers,
                write_set,
                mut save,
            } = sent;
            write_cache.invalidate(&write_set);
            let stored = write_cache.stored;
            let applied = write_cache.apply(write_set, save.numbers(), save.expected());
            requests.iter().for_each(|request| request.claim.send());
            let (flying, begun) = (requests.len(), Instant::now());
            let (ended, meanwhile) = {
                let mut under_way = pin!(self.engine.commit(&mut connection, &mut save));
                let (timer, committed) = (&self.timer, &mut committed);
                let next = async {
                    let (requests, answers) = std::mem::take(committed);
                    answer_each(requests, answers);
                    write_queue
                        .gather(|waiting| timer.parts(flying + waiting))
                        .await;
                    let half = (flying + write_queue.len()).div_ceil(2);
                    self.draft(&write_cache, write_queue.next_group(half))
                };
                tokio::select! {
                    // Polled first, which sends it: the database works while the other callers are
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
                    write_queue.put_back(meanwhile.map(batches).unwrap_or_default());
                    if phase == Phase::Commit {
                        drop(write_cache);
                        let before = stored;
                        let doubt = Doubt {
                            before,
                            save,
                            error,
                        };
                        let waiting = (requests, answers);
                        return self.settle_doubt(connection, waiting, doubt).await;
                    }
                    return self
                        .fall(connection, write_cache, applied, requests, error)
                        .await;
                }
            };
            let commands = requests.iter().map(|request| request.batch.commands.len());
            self.timer.learn(commands.sum(), begun.elapsed());
            write_cache.committed(applied, after.pruned_through);
            self.position_watch
                .0
                .publish(self.lineage.at(write_cache.stored));
            committed = (requests, answers);
            next = meanwhile.unwrap_or_else(|| Err(CacheMiss::new()));
        }
        match next {
            Ok(draft) => {
                answer_each(draft.requests, draft.answers);
                CacheMiss::new()
            }
            Err(cold) => cold,
        }
    }

    /// Returns a connection and the cache, which is reloaded if it was dropped.
    async fn remember(&mut self) -> Result<(E::Connection, WriteCache), StoreError> {
        let mut connection = self.engine.connection().await?;
        if let Some(write_cache) = self.write_cache.take() {
            return Ok((connection, write_cache));
        }
        match self.engine.read_owners(&mut connection).await {
            Ok((stored, owners)) => {
                let write_cache = WriteCache::new(stored, owners, self.read_cache.clone());
                Ok((connection, write_cache))
            }
            Err(error) => {
                self.failed(connection, &error).await;
                Err(error)
            }
        }
    }

    /// Plans batches from the cache.
    fn draft(
        &self,
        write_cache: &WriteCache,
        requests: Vec<WriteRequest>,
    ) -> Result<PlannedTxn<E>, CacheMiss> {
        let Some(Remembered {
            mut txn,
            numbers,
            assumed,
        }) = write_cache.recall(&requests)
        else {
            return Err(requests);
        };
        let answers = plan_all(&requests, &mut txn, self.engine.now());
        let write_set = txn.into_write_set();
        let entered: HashSet<ActionUid> = write_set.created.iter().map(|a| a.uid).collect();
        if !assumed.is_subset(&entered) {
            return Err(requests);
        }
        let stored = write_cache.stored;
        let frame = Frame::BeginAndCommit;
        match self.engine.encode(&write_set, stored, numbers, frame) {
            Ok(save) => Ok(PlannedTxn {
                requests,
                answers,
                write_set,
                save,
            }),
            // The load that follows meets the same error and reports it.
            Err(_) => Err(requests),
        }
    }

    /// Takes the batches from their callers, without those that were withdrawn meanwhile.
    fn claim(
        &self,
        write_cache: &WriteCache,
        mut draft: PlannedTxn<E>,
    ) -> Result<PlannedTxn<E>, CacheMiss> {
        let planned = draft.requests.len();
        draft.requests.retain(|request| request.claim.take());
        match draft.requests.len() == planned {
            true => Ok(draft),
            false => self.draft(write_cache, draft.requests),
        }
    }

    /// Handles a transaction that failed before its commit.
    async fn fall(
        &mut self,
        mut connection: E::Connection,
        mut write_cache: WriteCache,
        applied: Applied,
        requests: Vec<WriteRequest>,
        error: E::Error,
    ) -> CacheMiss {
        requests.iter().for_each(|request| request.claim.refused());
        // An action that was assumed to be new exists, or another writer has committed.
        if E::contradicts(&error) && self.engine.roll_back(&mut connection).await {
            write_cache.undo(applied);
            self.write_cache = Some(write_cache);
            self.engine.hand_back(connection);
            return requests;
        }
        drop(write_cache);
        let error = E::error(Phase::Before, error);
        self.failed(connection, &error).await;
        self.refuse(requests, error)
    }

    /// Handles a transaction whose commit failed.
    async fn settle_doubt(
        &mut self,
        failed: E::Connection,
        (requests, answers): (Vec<WriteRequest>, Answers),
        doubt: Doubt<E>,
    ) -> CacheMiss {
        match self.resolve(failed, &doubt).await {
            Verdict::Applied(stored) => {
                self.position_watch.0.publish(self.lineage.at(stored));
                answer_each(requests, answers);
                CacheMiss::new()
            }
            Verdict::NotApplied => {
                requests.iter().for_each(|request| request.claim.refused());
                self.refuse(requests, E::error(Phase::Before, doubt.error))
            }
            Verdict::Overtaken => {
                requests.iter().for_each(|request| request.claim.doubt());
                requests
            }
            Verdict::Unknown => {
                answer_all(requests, &E::error(Phase::Commit, doubt.error));
                CacheMiss::new()
            }
        }
    }

    /// Answers batches that were certainly not applied, or returns them to be tried one by one.
    fn refuse(&self, requests: Vec<WriteRequest>, error: StoreError) -> CacheMiss {
        // A connection that cannot write was closed; the next one may be able to.
        if E::may_succeed_again(&error) || (requests.len() > 1 && E::may_lie_with_one(&error)) {
            return requests;
        }
        answer_all(requests, &error);
        CacheMiss::new()
    }
}

fn batches<E: Engine>(draft: Result<PlannedTxn<E>, CacheMiss>) -> Vec<WriteRequest> {
    match draft {
        Ok(draft) => draft.requests,
        Err(cold) => cold,
    }
}
