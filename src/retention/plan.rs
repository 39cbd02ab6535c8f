//! Shows what would go, and why.

use std::sync::Arc;

use super::due::{Counts, Due, Reason};
use super::policy::Retention;
use crate::error::StoreError;
use crate::model::{Action, Timestamp};
use crate::store::ActionStore;

/// Shows what a policy would remove, and why. Changes nothing.
///
/// `now` is the time of whoever asks, usually [`Clock::now`](crate::Clock::now); see
/// [`Retention`] for how far it is believed. No method of a store shows its pins, so pinned actions
/// are among what is shown; [`Pruner`](super::Pruner) finds them refused.
pub fn plan<'s, S>(store: &'s S, policy: &Retention, now: Timestamp) -> Plan<'s, S>
where
    S: ActionStore + ?Sized,
{
    Plan {
        store,
        due: Due::new(policy.clone(), now),
        counts: Counts::default(),
    }
}

/// What a policy would remove, a page at a time. Holds at most 500 actions, without their results,
/// and a few bytes for each 500 that count for the cap.
#[derive(Debug)]
#[must_use = "a plan does nothing until its next page is asked for"]
pub struct Plan<'s, S: ActionStore + ?Sized> {
    store: &'s S,
    due: Due,
    counts: Counts,
}

impl<S: ActionStore + ?Sized> Plan<'_, S> {
    /// Some more that would go, each once: at most 500, perhaps none although more will follow;
    /// `None` at the end. After an error the same page can be asked for again.
    ///
    /// # Errors
    /// `Invalid` for a policy beyond its limits, and as [`ActionStore::list`]; `Unavailable` also
    /// if others remove actions faster than they can be read.
    pub async fn next(&mut self) -> Result<Option<Vec<(Arc<Action>, Reason)>>, StoreError> {
        let found = self.due.next(self.store).await?;
        for (_, reason) in found.iter().flatten() {
            self.counts.add(*reason);
        }
        Ok(found)
    }

    /// How many were shown so far, by reason.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The time from which ages are counted back; none as long as that is being looked for, or if
    /// nothing is completed.
    #[must_use]
    pub fn cutoff(&self) -> Option<Timestamp> {
        self.due.cutoff()
    }

    /// Walks through all that is left and only counts.
    ///
    /// # Errors
    /// As [`Plan::next`].
    pub async fn count(mut self) -> Result<Counts, StoreError> {
        while self.next().await?.is_some() {}
        Ok(self.counts)
    }
}
