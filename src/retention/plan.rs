//! Shows which actions a policy would remove, and why.

use std::sync::Arc;

use super::policy::Retention;
use super::scan::{Counts, Due, Reason};
use crate::error::StoreError;
use crate::model::{Action, Timestamp};
use crate::store::ActionStore;

/// Shows which actions a policy would remove, and why. Changes nothing.
///
/// `now` is the caller's time, usually [`Clock::now`](crate::Clock::now). [`Retention`] says how a
/// wrong clock is handled.
///
/// The plan includes pinned actions, because no method of a store shows its pins. The store refuses
/// their removal, and [`Pruner`](super::Pruner) reports them.
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

/// Actions that a policy would remove, one page at a time. See [`plan`].
///
/// Holds at most 500 actions in memory, without their results, and a few bytes for each 500 actions
/// that count for the cap.
#[derive(Debug)]
#[must_use = "a plan does nothing until its next page is asked for"]
pub struct Plan<'s, S: ActionStore + ?Sized> {
    store: &'s S,
    due: Due,
    counts: Counts,
}

impl<S: ActionStore + ?Sized> Plan<'_, S> {
    /// Returns more actions that would be removed, each of them once. A page has at most 500
    /// actions, and may be empty although more follow. Returns `None` at the end.
    ///
    /// After an error, call it again to repeat the page.
    ///
    /// # Errors
    /// `Invalid` if a value of the policy is out of range. `Unavailable` also if others remove
    /// actions faster than they can be read. Otherwise as [`ActionStore::list`].
    pub async fn next(&mut self) -> Result<Option<Vec<(Arc<Action>, Reason)>>, StoreError> {
        let found = self.due.next(self.store).await?;
        for (_, reason) in found.iter().flatten() {
            self.counts.add(*reason);
        }
        Ok(found)
    }

    /// Returns the number of actions shown so far, by reason.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns the time from which ages are counted back. `None` until it is known, and if no
    /// action is completed.
    #[must_use]
    pub fn cutoff(&self) -> Option<Timestamp> {
        self.due.cutoff()
    }

    /// Reads all remaining pages and returns the counts.
    ///
    /// # Errors
    /// As [`Plan::next`].
    pub async fn count(mut self) -> Result<Counts, StoreError> {
        while self.next().await?.is_some() {}
        Ok(self.counts)
    }
}
