//! Removes what a policy says.

use super::due::{Counts, Due, Reason};
use super::policy::Retention;
use super::removing::{Fate, Removing};
use crate::error::StoreError;
use crate::model::Timestamp;
use crate::store::ActionStore;

/// Removes what a policy says, and pauses after each transaction. See [`Pruner`].
///
/// # Errors
/// As [`Pruner::next`].
///
/// # Panics
/// Outside a tokio runtime with time enabled.
#[cfg(feature = "tracker")]
pub async fn prune<S>(store: &S, policy: &Retention, now: Timestamp) -> Result<Pruned, StoreError>
where
    S: ActionStore + ?Sized,
{
    Pruner::new(store, policy, now).run().await
}

/// What came of pruning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// How many were removed, by reason.
    pub removed: Counts,
    /// How many should have gone but are pinned.
    pub pinned: u64,
    /// How many should have gone but are parts of actions that were unfinished when their turn came,
    /// though not when they were read.
    pub parts: u64,
    /// How many were gone when their turn came: removed by others, or by an earlier try whose
    /// answer was lost.
    pub gone: u64,
    /// How many were refused because they are no longer what they were when they were read.
    pub changed: u64,
    /// In how many transactions.
    pub batches: u64,
}

/// Removes what a policy says: a page is read, then removed in transactions of
/// [`Retention::batch`] and [`Retention::batch_bytes`].
///
/// Each removal names the version that was judged, and the store refuses it for what is pinned or
/// unfinished: whatever others do meanwhile, nothing goes that should stay. Two that prune at once
/// do not harm each other.
///
/// It can be stopped anywhere, by a crash too: what was removed is gone, and another pruner begins
/// at the beginning, where there is less to do. A dropped future of [`next`](Pruner::next) leaves
/// it whole; what its transaction removed is then counted as gone.
///
/// # What it costs
///
/// Before it removes, it reads the last 1,000 completed actions, and looks at each row once for
/// what is old, which the store does for itself, 10,000 rows a page; once more for the cap, reading
/// each completed action, but only in a store that has recorded more changes than the cap is. What
/// is kept for its object costs one query for each object that has something old. Each action to
/// be removed is read once more, to know its size.
#[derive(Debug)]
#[must_use = "a pruner does nothing until it is run"]
pub struct Pruner<'s, S: ActionStore + ?Sized> {
    store: &'s S,
    pruning: Pruning,
}

impl<'s, S: ActionStore + ?Sized> Pruner<'s, S> {
    /// For what a policy says at a time; see [`Retention`] for how far that is believed.
    pub fn new(store: &'s S, policy: &Retention, now: Timestamp) -> Pruner<'s, S> {
        Pruner {
            store,
            pruning: Pruning::new(policy, now),
        }
    }

    /// Reads a page or writes one transaction, and says how many removals that tried: after those,
    /// pause. `None` at the end. After an error the same can be asked for again.
    ///
    /// # Errors
    /// As [`Plan::next`](super::Plan::next) and [`ActionStore::write`].
    pub async fn next(&mut self) -> Result<Option<u64>, StoreError> {
        self.pruning.next(self.store).await
    }

    /// What came of it so far.
    #[must_use]
    pub fn report(&self) -> Pruned {
        self.pruning.report
    }

    /// Removes all that is left, pausing after each transaction.
    ///
    /// # Errors
    /// As [`Pruner::next`].
    ///
    /// # Panics
    /// Outside a tokio runtime with time enabled.
    #[cfg(feature = "tracker")]
    pub async fn run(mut self) -> Result<Pruned, StoreError> {
        while let Some(tried) = self.next().await? {
            pause(tried, self.pruning.policy.pause).await;
        }
        Ok(self.report())
    }
}

/// Leaves the store to others after a transaction.
#[cfg(feature = "tracker")]
pub(super) async fn pause(tried: u64, pause: std::time::Duration) {
    match tried > 0 && !pause.is_zero() {
        true => tokio::time::sleep(pause).await,
        // A store that answers without ever waiting would keep everybody else from running.
        false => tokio::task::yield_now().await,
    }
}

/// A pruner without its store.
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
