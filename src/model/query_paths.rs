//! The indexes that can answer a query, the most selective first. The same for all stores.

use std::sync::Arc;

use super::access_path::AccessPath;
use super::labels::label_text;
use super::new_action::DEFAULT_TENANT;
use super::query::{Filter, Order, Query};
use super::state_set::StateSet;
use super::time_ranges::TimeRanges;
use super::words::{Outcome, Status};

/// Number of rows up to which a store counts the rows of each candidate, 1000. An index with fewer
/// rows is worth reading even if its rows must be sorted.
pub const SELECTIVE: usize = 1000;

impl Query {
    /// Returns the indexes that this query can read, the one that is usually the most selective
    /// first. [`Query::matches`] filters the rows that the index finds.
    ///
    /// Returns one index if its selectivity is known without counting. Otherwise a store counts up
    /// to [`SELECTIVE`] rows of each, and reads the index with the fewest. A store that does not
    /// count reads the first one that it has. [`AccessPath::All`] is always correct, because a page
    /// reads at most [`Limits::SCAN`](crate::Limits::SCAN) rows.
    ///
    /// The indexes are in creation order. For [`Order::Feed`], read the revisions instead. For
    /// [`Order::Finished`](crate::Order::Finished), read the completion times, or sort the rows of
    /// a selective index.
    ///
    /// ```
    /// use action_store::spi::AccessPath;
    /// use action_store::{ActionUid, Filter, Query, Status};
    ///
    /// let parent = ActionUid::new();
    /// let query = Query::new()
    ///     .with_filter(Filter::Status(Status::Executing))
    ///     .with_filter(Filter::Parent(parent));
    /// assert_eq!(query.access_paths(), [AccessPath::Parent(parent)]);
    /// ```
    #[must_use]
    pub fn access_paths(&self) -> Vec<AccessPath> {
        if self.order == Order::Feed {
            return vec![AccessPath::All];
        }
        let unfinished = self.filters.iter().any(|filter| match filter {
            Filter::Unfinished => true,
            Filter::Status(status) => *status != Status::Completed,
            Filter::States(states) => states.is_subset(StateSet::UNFINISHED),
            _ => false,
        });
        let cancelled = self.filters.contains(&Filter::CancelRequested);
        let of_owner = |name: &Arc<str>| {
            if cancelled {
                AccessPath::CancelsOf(name.clone())
            } else {
                AccessPath::UnfinishedOf(name.clone())
            }
        };
        let mut paths: Vec<AccessPath> = self
            .filters
            .iter()
            .filter_map(|filter| match filter {
                Filter::Uid(uid) => Some(AccessPath::Uid(*uid)),
                Filter::Parent(parent) => Some(AccessPath::Parent(*parent)),
                Filter::RetryOf(retry_of) => Some(AccessPath::RetryOf(*retry_of)),
                Filter::Correlation(text) => Some(AccessPath::Correlation(text.clone())),
                Filter::OwnerName(name) if unfinished => Some(of_owner(name)),
                Filter::Owner(owner) if unfinished => Some(of_owner(&owner.name)),
                Filter::Object(object) | Filter::Touches(object) => {
                    Some(AccessPath::Touches(object.clone()))
                }
                Filter::Unfinished | Filter::Status(Status::Queued | Status::Executing) => {
                    Some(AccessPath::Unfinished)
                }
                Filter::Outcome(outcome) if *outcome != Outcome::Succeeded => {
                    Some(AccessPath::Ended(*outcome))
                }
                Filter::States(states) => AccessPath::of_states(*states),
                Filter::Label { key, value } => Some(AccessPath::Label(match value {
                    Some(value) => label_text(key, value),
                    None => key.clone(),
                })),
                Filter::TouchesAny(objects) => Some(AccessPath::TouchesAny(objects.clone())),
                Filter::Tenant(tenant) if **tenant != *DEFAULT_TENANT => {
                    Some(AccessPath::Tenant(tenant.clone()))
                }
                Filter::Name(name) => Some(AccessPath::Name(name.clone())),
                Filter::NamePrefix(prefix) => Some(AccessPath::NamePrefix(prefix.clone())),
                _ => None,
            })
            .collect();
        paths.extend(TimeRanges::of(self).map(AccessPath::Times));
        paths.sort_by_key(AccessPath::rank);
        paths.dedup();
        // Too many names may begin with a text.
        if matches!(paths[..], [AccessPath::NamePrefix(_), ..]) {
            paths.push(AccessPath::All);
        }
        match paths.first() {
            None => vec![AccessPath::All],
            Some(first) if first.is_selective() => {
                paths.truncate(1);
                paths
            }
            Some(_) => paths,
        }
    }
}

impl AccessPath {
    fn rank(&self) -> u8 {
        match self {
            AccessPath::Uid(_) => 0,
            AccessPath::Parent(_) => 1,
            AccessPath::RetryOf(_) => 2,
            AccessPath::Correlation(_) => 3,
            AccessPath::CancelsOf(_) => 4,
            AccessPath::UnfinishedOf(_) => 5,
            AccessPath::Touches(_) => 6,
            AccessPath::Unfinished => 7,
            AccessPath::Ended(_) => 8,
            AccessPath::States(_) => 9,
            AccessPath::Label(_) => 10,
            AccessPath::TouchesAny(_) => 11,
            AccessPath::Tenant(_) => 12,
            AccessPath::Name(_) => 13,
            AccessPath::NamePrefix(_) => 14,
            AccessPath::Times(_) => 15,
            AccessPath::All => 16,
        }
    }

    /// Returns the index for a set of states. `None` if the set has the succeeded actions, which
    /// have no such index.
    fn of_states(states: StateSet) -> Option<AccessPath> {
        let mut outcomes = states.outcomes();
        let (first, more) = (outcomes.next(), outcomes.next().is_some());
        match (states.unfinished().next(), first) {
            (_, Some(Outcome::Succeeded)) => None,
            (Some(_), None) => Some(AccessPath::Unfinished),
            (None, Some(outcome)) if !more => Some(AccessPath::Ended(outcome)),
            _ => Some(AccessPath::States(states)),
        }
    }

    /// Returns true for an index that finds few actions, however large the store is.
    fn is_selective(&self) -> bool {
        self.rank() <= 5
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Action, ActionUid, NewAction, ObjectRef};

    #[test]
    fn an_action_is_in_the_indexes_that_a_query_for_it_can_read() {
        let objects = [ObjectRef::bdb(1), ObjectRef::node(2)];
        let new = NewAction::state_machine("SMUpgrade", objects[0].clone())
            .with_parent(ActionUid::new())
            .with_correlation("req-1")
            .with_label("region", "eu-1")
            .with_tenant("acme");
        let action = Action::new(&new, new.digest(), crate::model::Timestamp::from_seconds(1));
        let paths = AccessPath::of(&action);
        for filter in [
            Filter::Parent(action.parent.unwrap()),
            Filter::Correlation("req-1".into()),
            Filter::Tenant("acme".into()),
            Filter::Name("SMUpgrade".into()),
            Filter::Touches(objects[0].clone()),
            Filter::label("region", "eu-1"),
            Filter::label_key("region"),
            Filter::Unfinished,
        ] {
            let query = Query::new().with_filter(filter);
            let read = query.access_paths();
            assert!(read.iter().all(|path| paths.contains(path)), "{read:?}");
        }
    }

    #[test]
    fn a_set_of_states_reads_the_smallest_indexes() {
        let set = StateSet::new;
        let of = AccessPath::of_states;
        let mixed = StateSet::UNFINISHED.with_outcome(Outcome::Lost);
        assert_eq!(of(StateSet::UNFINISHED), Some(AccessPath::Unfinished));
        assert_eq!(
            of(set().with_status(Status::Queued)),
            Some(AccessPath::Unfinished)
        );
        let lost = set().with_outcome(Outcome::Lost);
        assert_eq!(of(lost), Some(AccessPath::Ended(Outcome::Lost)));
        assert_eq!(of(mixed), Some(AccessPath::States(mixed)));
        assert_eq!(of(set()), Some(AccessPath::States(set())));
        assert_eq!(of(mixed.with_outcome(Outcome::Succeeded)), None);
        assert_eq!(of(set().with_outcome(Outcome::Succeeded)), None);
    }
}
