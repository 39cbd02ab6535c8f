//! Sets of statuses and outcomes.

use super::action::Action;
use super::words::{Outcome, Status};

/// A set of states that an action can be in: queued, executing, and completed with each of the
/// outcomes.
///
/// ```
/// use action_store::query::StateSet;
/// use action_store::{Filter, Outcome, Query, Status};
///
/// // Executing, or completed without success.
/// let states = StateSet::new()
///     .with_status(Status::Executing)
///     .with_outcomes([Outcome::Failed, Outcome::Lost]);
/// let query = Query::new().with_filter(Filter::States(states));
/// # let _ = query;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct StateSet(u8);

const QUEUED: u8 = 1;
const EXECUTING: u8 = 2;

const fn ended(outcome: Outcome) -> u8 {
    4 << outcome.code()
}

impl StateSet {
    /// All states.
    pub const ALL: StateSet = StateSet(0b111_1111);
    /// Queued and executing.
    pub const UNFINISHED: StateSet = StateSet(QUEUED | EXECUTING);

    /// Creates an empty set. No action is in it.
    #[must_use]
    pub const fn new() -> StateSet {
        StateSet(0)
    }

    /// Adds a status. [`Status::Completed`] adds every outcome.
    #[must_use]
    pub const fn with_status(self, status: Status) -> StateSet {
        StateSet(
            self.0
                | match status {
                    Status::Queued => QUEUED,
                    Status::Executing => EXECUTING,
                    Status::Completed => StateSet::ALL.0 & !StateSet::UNFINISHED.0,
                },
        )
    }

    /// Adds statuses. [`Status::Completed`] adds every outcome.
    #[must_use]
    pub fn with_statuses(self, statuses: impl IntoIterator<Item = Status>) -> StateSet {
        statuses.into_iter().fold(self, StateSet::with_status)
    }

    /// Adds the state of being completed with an outcome.
    #[must_use]
    pub const fn with_outcome(self, outcome: Outcome) -> StateSet {
        StateSet(self.0 | ended(outcome))
    }

    /// Adds the states of being completed with one of these outcomes.
    #[must_use]
    pub fn with_outcomes(self, outcomes: impl IntoIterator<Item = Outcome>) -> StateSet {
        outcomes.into_iter().fold(self, StateSet::with_outcome)
    }

    /// Returns the states that are in both sets.
    #[must_use]
    pub const fn intersection(self, other: StateSet) -> StateSet {
        StateSet(self.0 & other.0)
    }

    /// Returns true if every state of this set is in the other one.
    #[must_use]
    pub const fn is_subset(self, other: StateSet) -> bool {
        self.0 & !other.0 == 0
    }

    /// Returns true if there is no state in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns true if an action is in one of the states.
    #[must_use]
    pub fn contains(self, action: &Action) -> bool {
        let state = match (action.outcome, action.status) {
            (Some(outcome), _) => ended(outcome),
            (None, Status::Queued) => QUEUED,
            (None, _) => EXECUTING,
        };
        self.0 & state != 0
    }

    /// Returns the statuses of unfinished actions in the set.
    pub fn unfinished(self) -> impl Iterator<Item = Status> {
        let unfinished = [(Status::Queued, QUEUED), (Status::Executing, EXECUTING)];
        let statuses = unfinished
            .into_iter()
            .filter(move |(_, bit)| self.0 & bit != 0);
        statuses.map(|(status, _)| status)
    }

    /// Returns the outcomes in the set.
    pub fn outcomes(self) -> impl Iterator<Item = Outcome> {
        let outcomes = Outcome::ALL.iter().copied();
        outcomes.filter(move |outcome| self.0 & ended(*outcome) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_the_states_that_were_added() {
        let mixed = StateSet::new()
            .with_status(Status::Executing)
            .with_outcomes([Outcome::Lost, Outcome::Failed]);
        assert_eq!(mixed.unfinished().collect::<Vec<_>>(), [Status::Executing]);
        let outcomes: Vec<Outcome> = mixed.outcomes().collect();
        assert_eq!(outcomes, [Outcome::Failed, Outcome::Lost]);
        let all = StateSet::new().with_statuses(Status::ALL.iter().copied());
        assert_eq!(all, StateSet::ALL);
        let each = StateSet::UNFINISHED.with_outcomes(Outcome::ALL.iter().copied());
        assert_eq!(each, StateSet::ALL);
        assert!(mixed.is_subset(all) && !all.is_subset(mixed));
        assert!(mixed.intersection(StateSet::new()).is_empty());
        let unfinished = all.intersection(StateSet::UNFINISHED);
        assert_eq!(unfinished.outcomes().count(), 0);
        assert_eq!(unfinished.unfinished().count(), 2);
    }
}
