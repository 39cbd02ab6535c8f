//! Removes the actions that a policy selects.

use super::delete_batch::{Fate, Removing};
use super::policy::Retention;
use super::scan::{Counts, Due, Reason};
use crate::error::StoreError;
use crate::model::Timestamp;
use crate::store::ActionStore;

/// Removes the actions that a policy selects, and pauses after each transaction. See [`Pruner`].
///
/// `now` is the caller's time, usually [`Clock::now`](crate::Clock::now).
///
/// # Errors
/// As [`Pruner::next`].
///
/// # Panics
/// Outside a tokio runtime with time enabled.
pub async fn prune<S>(store: &S, policy: &Retention, now: Timestamp) -> Result<Pruned, StoreError>
where
    S: ActionStore + ?Sized,
{
    Pruner::new(store, policy, now).run().await
}

/// Report of a [`Pruner`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// Number of actions that were removed, by reason.
    pub removed: Counts,
    /// Number of selected actions that stay because they are pinned.
    pub pinned: u64,
    /// Number of selected actions that stay because their parent was unfinished at removal, though
    /// not when they were read.
    pub parts: u64,
    /// Number of selected actions that were already removed: by others, or by an earlier attempt
    /// whose answer was lost.
    pub gone: u64,
    /// Number of selected actions that stay because they changed after they were read.
    pub changed: u64,
    /// Number of transactions.
    pub batches: u64,
}

/// Removes the actions that a policy selects. It reads a page, then removes its actions in
/// transactions of at most [`Retention::batch`] actions and about [`Retention::batch_bytes`].
///
/// Each removal names the version that the decision was based on. The store refuses it if the
/// action changed, is pinned or is unfinished. So concurrent writes are safe, and several pruners
/// may run at once.
///
/// A pruner can be stopped at any point, also by a crash. Removed actions stay removed; another
/// pruner starts from the beginning and has less to do. Cancelling [`next`](Pruner::next) is safe:
/// actions that its transaction removed are then counted as `gone`.
///
/// # Cost
///
/// - First it reads the last 1,000 completed actions.
///
/// - It then scans each row once for old actions. The store does this itself, 10,000 rows per page.
///
/// - For the cap, it reads each completed action once more. It does so only if the store has
///   recorded more changes than the cap.
///
/// - The rule for the last actions of an object costs one query per object with an old action.
///
/// - Each action to be removed is read once more, to learn its size.
#[derive(Debug)]
#[must_use = "a pruner does nothing until it is run"]
pub struct Pruner<'s, S: ActionStore + ?Sized> {
    store: &'s S,
    pruning: Pruning,
}

impl<'s, S: ActionStore + ?Sized> Pruner<'s, S> {
    /// Creates a pruner for a policy and the caller's time. [`Retention`] says how a wrong clock is
    /// handled.
    pub fn new(store: &'s S, policy: &Retention, now: Timestamp) -> Pruner<'s, S> {
        Pruner {
            store,
            pruning: Pruning::new(policy, now),
        }
    }

    /// Reads one page or writes one transaction. Returns the number of removals that were tried;
    /// pause if it is not zero. Returns `None` at the end.
    ///
    /// After an error, call it again to repeat the step.
    ///
    /// # Errors
    /// As [`Plan::next`](super::Plan::next) and [`ActionStore::write`].
    pub async fn next(&mut self) -> Result<Option<u64>, StoreError> {
        self.pruning.next(self.store).await
    }

    /// Returns the report so far.
    #[must_use]
    pub fn report(&self) -> Pruned {
        self.pruning.report
    }

    /// Removes all remaining selected actions, with a pause after each transaction.
    ///
    /// # Errors
    /// As [`Pruner::next`].
    ///
    /// # Panics
    /// Outside a tokio runtime with time enabled.
    pub async fn run(mut self) -> Result<Pruned, StoreError> {
        while let Some(tried) = self.next().await? {
            pause(tried, self.pruning.policy.pause).await;
        }
        Ok(self.report())
    }
}

/// Pauses after a transaction, so that others can use the store.
pub(super) async fn pause(tried: u64, pause: std::time::Duration) {
    if tried > 0 && !pause.is_zero() {
        tokio::time::sleep(pause).await
    } else {
        // A store that never waits would starve other tasks.
        tokio::task::yield_now().await
    }
}

/// State of a pruner, without its store.
#[derive(Debug)]
pub(super) struct Pruning {
    pub(super) policy: Retention,
    pub(super) report: Pruned,
    due: Due,
    removing: Removing<Reason>,
}

impl Pruning {
    pub(super) fn new(policy: &Retention, now: Timestamp) -> Pruning {
        Pruning {
            policy: policy.clone(),
            report: Pruned::default(),
            due: Due::new(policy.clone(), now),
            removing: Removing::new(),
        }
    }

    pub(super) async fn next<S>(&mut self, store: &S) -> Result<Option<u64>, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        if self.removing.is_empty() {
            let Some(found) = self.due.next(store).await? else {
                return Ok(None);
            };
            for (action, reason) in found {
                self.removing.push(&action, reason);
            }
            return Ok(Some(0));
        }
        let fates = self
            .removing
            .step(store, self.policy.batch, self.policy.batch_bytes);
        let fates = fates.await?;
        let report = &mut self.report;
        report.batches += 1;
        for (_, reason, fate) in &fates {
            match fate {
                Fate::Removed => report.removed.add(*reason),
                Fate::Pinned => report.pinned += 1,
                Fate::Part => report.parts += 1,
                Fate::Gone => report.gone += 1,
                Fate::Changed => report.changed += 1,
            }
        }
        Ok(Some(fates.len() as u64))
    }
}
