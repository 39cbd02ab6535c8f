//! Counts actions by status and outcome.

use super::ActionStore;
use crate::error::StoreError;
use crate::model::{Action, Detail, Filter, Limits, Outcome, Query, StateSet, Status};

/// Number of actions in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct StateCount {
    /// Number of actions that were counted.
    pub number: u64,
    /// False if there may be more actions than were counted.
    pub exact: bool,
}

/// Number of actions by status and outcome. See [`count`](crate::ActionStoreExt::count).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct StateCounts {
    /// Actions that have not started.
    pub queued: StateCount,
    /// Actions that have started and are not completed.
    pub executing: StateCount,
    /// Actions that succeeded.
    pub succeeded: StateCount,
    /// Actions that failed.
    pub failed: StateCount,
    /// Actions that were cancelled on request.
    pub cancelled: StateCount,
    /// Actions that were interrupted: stopped, or never started.
    pub interrupted: StateCount,
    /// Actions that were lost with their owner.
    pub lost: StateCount,
}

/// The sets of states that are counted one by one. The succeeded actions are nearly all actions, so
/// they come last.
fn groups() -> impl Iterator<Item = StateSet> {
    let outcomes = Outcome::ALL.iter().rev().copied();
    let ended = outcomes.map(|outcome| StateSet::new().with_outcome(outcome));
    std::iter::once(StateSet::UNFINISHED).chain(ended)
}

fn succeeded() -> StateSet {
    StateSet::new().with_outcome(Outcome::Succeeded)
}

impl StateCounts {
    /// See [`count`](crate::ActionStoreExt::count).
    pub(crate) async fn of<S>(
        store: &S,
        filters: &[Filter],
        bound: u32,
    ) -> Result<StateCounts, StoreError>
    where
        S: ActionStore + ?Sized,
    {
        let mut counts = StateCounts::default();
        // Most stores have few actions that did not succeed: one page finds all of them, at one
        // moment.
        let others = groups().filter(|group| *group != succeeded());
        let others = others.flat_map(StateSet::outcomes);
        let others = StateSet::UNFINISHED.with_outcomes(others);
        let page = store.list(&query(filters, others, Limits::PAGE)).await?;
        let mut rest: Vec<StateSet> = groups().collect();
        let mut actions = page.at.actions;
        if page.next.is_none() && page.items.len() <= bound as usize {
            page.items.iter().for_each(|action| counts.add(action));
            counts.set_exact(others);
            rest = vec![succeeded()];
        }
        for group in rest {
            let others_exact = counts.with_exact(succeeded(), true).is_exact();
            if group == succeeded() && filters.is_empty() && others_exact {
                let others = counts.total();
                counts.succeeded = StateCount {
                    number: actions.saturating_sub(others),
                    exact: true,
                };
                continue;
            }
            let (more, at) = counts.walk(store, filters, group, bound).await?;
            actions = at;
            if !more {
                counts.set_exact(group);
            }
        }
        Ok(counts)
    }

    /// Counts the actions of a set of states up to `bound`. Returns true if there may be more, and
    /// the number of actions in the store.
    async fn walk<S>(
        &mut self,
        store: &S,
        filters: &[Filter],
        group: StateSet,
        bound: u32,
    ) -> Result<(bool, u64), StoreError>
    where
        S: ActionStore + ?Sized,
    {
        let mut left = bound;
        let mut query = query(filters, group, Limits::PAGE);
        // A page may be short. So the number of pages is bounded, too.
        let mut pages = bound / u32::from(Limits::PAGE) + 1;
        loop {
            // One more, to see whether there are more.
            query.limit = u16::try_from(left.saturating_add(1))
                .unwrap_or(u16::MAX)
                .min(Limits::PAGE);
            let page = store.list(&query).await?;
            let found = page.items.len().min(left as usize);
            let counted = page.items.iter().take(found);
            counted.for_each(|action| self.add(action));
            left -= u32::try_from(found).unwrap_or(left);
            pages -= 1;
            let more = page.next.is_some() || page.items.len() > found;
            if !more || left == 0 || pages == 0 {
                return Ok((more, page.at.actions));
            }
            query.after = page.next;
        }
    }

    /// Counts one more action.
    pub(crate) fn add(&mut self, action: &Action) {
        let count = match (action.outcome, action.status) {
            (None, Status::Queued) => &mut self.queued,
            (None, _) => &mut self.executing,
            (Some(outcome), _) => self.of_outcome_mut(outcome),
        };
        count.number += 1;
    }

    fn of_outcome_mut(&mut self, outcome: Outcome) -> &mut StateCount {
        match outcome {
            Outcome::Succeeded => &mut self.succeeded,
            Outcome::Failed => &mut self.failed,
            Outcome::Cancelled => &mut self.cancelled,
            Outcome::Interrupted => &mut self.interrupted,
            Outcome::Lost => &mut self.lost,
        }
    }

    fn set_exact(&mut self, states: StateSet) {
        *self = self.with_exact(states, true);
    }

    fn with_exact(mut self, states: StateSet, exact: bool) -> StateCounts {
        for status in states.unfinished() {
            match status {
                Status::Queued => self.queued.exact = exact,
                _ => self.executing.exact = exact,
            }
        }
        for outcome in states.outcomes() {
            self.of_outcome_mut(outcome).exact = exact;
        }
        self
    }

    /// Returns the counts with their words, unfinished ones first.
    #[must_use]
    pub fn by_word(&self) -> [(&'static str, StateCount); 7] {
        [
            (Status::Queued.as_str(), self.queued),
            (Status::Executing.as_str(), self.executing),
            (Outcome::Succeeded.as_str(), self.succeeded),
            (Outcome::Failed.as_str(), self.failed),
            (Outcome::Cancelled.as_str(), self.cancelled),
            (Outcome::Interrupted.as_str(), self.interrupted),
            (Outcome::Lost.as_str(), self.lost),
        ]
    }

    /// Returns the numbers alone, in the order of [`by_word`](StateCounts::by_word).
    #[cfg(feature = "conformance")]
    pub(crate) fn numbers(&self) -> [u64; 7] {
        self.by_word().map(|(_, count)| count.number)
    }

    /// Returns true if all counts are exact.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.by_word().iter().all(|(_, count)| count.exact)
    }

    /// Returns the number of all counted actions.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_word().iter().map(|(_, count)| count.number).sum()
    }
}

fn query(filters: &[Filter], states: StateSet, limit: u16) -> Query {
    let mut query = Query::new()
        .with_limit(limit)
        .with_detail(Detail::Summary)
        .with_filter(Filter::States(states));
    query.filters.extend_from_slice(filters);
    query
}
